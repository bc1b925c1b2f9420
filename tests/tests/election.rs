//! One of the processes of an arena is elected, whatever happens to it.

use std::fs;
use std::time::{Duration, Instant};
use tasker_telemetry_tests::{until, Command, Stage, Worker};

/// Long enough that no healthy process is silent for so long, on any machine.
const LONG: u64 = 600_000;

/// Who of `workers` holds the office after each has campaigned.
fn elect(workers: &mut [&mut Worker], office: &str, interval: u64) -> Vec<Option<u64>> {
    workers
        .iter_mut()
        .map(|worker| worker.campaign(office, interval))
        .collect()
}

#[test]
fn one_of_all_holds_each_office() {
    let stage = Stage::new();
    let mut workers: Vec<Worker> = (0..4).map(|_| stage.open()).collect();
    for round in 0..3 {
        for (office, holder) in [("push", 0), ("sync", 2)] {
            if round == 0 {
                assert!(workers[holder].campaign(office, LONG).is_some());
            }
            let held = elect(&mut workers.iter_mut().collect::<Vec<_>>(), office, LONG);
            let holders: Vec<_> = (0..4).filter(|index| held[*index].is_some()).collect();
            assert_eq!(holders, [holder]);
            assert!(workers[holder].still_holds(office));
        }
    }
}

#[test]
fn a_killed_holder_is_replaced_at_once() {
    let stage = Stage::new();
    let (mut one, mut other) = (stage.open(), stage.open());
    let first = one.campaign("push", LONG).unwrap();
    assert_eq!(other.campaign("push", LONG), None);
    one.kill();
    // A newcomer takes its slot in the table of processes, and holds nothing by that.
    let mut newcomer = stage.open();
    newcomer.status();
    assert!(!newcomer.still_holds("push"));
    let second = other.campaign("push", LONG).unwrap();
    assert!(second > first);
    assert_eq!(newcomer.campaign("push", LONG), None);
}

#[test]
fn a_holder_that_ends_or_resigns_is_replaced_at_once() {
    let stage = Stage::new();
    let (mut one, mut other) = (stage.open(), stage.open());
    let first = one.campaign("push", LONG).unwrap();
    one.done(Command::Resign("push".to_owned()));
    let second = other.campaign("push", LONG).unwrap();
    assert!(second > first);
    assert_eq!(one.campaign("push", LONG), None);
    other.exit();
    let third = one.campaign("push", LONG).unwrap();
    assert!(third > second);
}

#[test]
fn a_stopped_holder_is_replaced_within_two_intervals_and_finds_out() {
    const INTERVAL: Duration = Duration::from_millis(2_000);
    let interval = INTERVAL.as_millis() as u64;
    let stage = Stage::new();
    let (mut one, mut other) = (stage.open(), stage.open());
    let first = one.campaign("push", interval).unwrap();
    // Before it stops, so that what is measured is no shorter than what is promised.
    let stopped = Instant::now();
    one.stop();
    let mut asked = Instant::now();
    let second = until("another holder", || {
        let before = std::mem::replace(&mut asked, Instant::now());
        let token = other.campaign("push", interval)?;
        // When it was last found to be held, two intervals were not over.
        assert!(before - stopped < 2 * INTERVAL);
        Some(token)
    });
    assert!(second > first);
    one.go_on();
    assert!(!one.still_holds("push"));
    // The other goes on for as long as it campaigns.
    assert_eq!(other.campaign("push", interval), Some(second));
    assert_eq!(one.campaign("push", LONG), None);
}

#[test]
fn a_forked_child_holds_nothing() {
    let stage = Stage::new();
    let mut parent = stage.open();
    let first = parent.campaign("push", LONG).unwrap();
    let mut child = stage.fork(&mut parent);
    assert!(!child.still_holds("push"));
    assert_eq!(child.campaign("push", LONG), None);
    // What the child does with what it inherited is not done to the parent's term.
    let mut other = stage.fork(&mut parent);
    other.done(Command::Resign("push".to_owned()));
    assert!(parent.still_holds("push"));
    assert_eq!(parent.campaign("push", LONG), Some(first));
    parent.kill();
    assert!(child.campaign("push", LONG).unwrap() > first);
}

#[test]
fn who_holds_an_office_in_a_replaced_arena_holds_it_no_more() {
    let stage = Stage::new();
    let (mut one, mut other) = (stage.open(), stage.open());
    one.campaign("push", LONG).unwrap();
    assert!(other.campaign("sync", LONG).is_some());
    fs::remove_file(stage.arena()).unwrap();
    assert!(!one.still_holds("push"));
    assert!(other.campaign("push", LONG).is_some());
    assert_eq!(one.campaign("push", LONG), None);
}
