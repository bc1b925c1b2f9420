//! Notes that real processes make in one arena.

use std::fs;
use tasker_telemetry_tests::protocol::Meet;
use tasker_telemetry_tests::{until, Command, Random, Reply, Stage, Worker};

const KEYS: usize = 8_000;

/// Tells workers to meet the same keys at once.
fn meet(workers: &mut [Worker], ledger: &std::path::Path, random: &mut Random) {
    for worker in workers {
        worker.send(&Command::Meet(Meet {
            ledger: ledger.to_owned(),
            keys: KEYS,
            seed: random.draw(),
        }));
    }
}

fn finish(worker: &mut Worker) {
    assert!(matches!(worker.reply(), Reply::Done));
}

#[test]
fn each_key_is_new_to_one_process() {
    let mut random = Random::seeded();
    let stage = Stage::new();
    let (ledger, file) = stage.ledger(KEYS);
    // Strangers, a child whose parent had the notes mapped, and one whose parent had not.
    let mut workers = vec![stage.open(), stage.open()];
    let early = stage.fork(&mut workers[1]);
    workers[0].done(Command::Note(1, 1));
    let late = stage.fork(&mut workers[0]);
    workers.extend([early, late]);
    meet(&mut workers, &file, &mut random);
    workers.iter_mut().for_each(finish);
    assert!((0..KEYS).all(|key| ledger.get(key) == 1));
}

#[test]
fn a_process_that_is_killed_takes_no_more_than_one_key_along() {
    let mut random = Random::seeded();
    let stage = Stage::new();
    let (ledger, file) = stage.ledger(KEYS);
    let mut workers: Vec<Worker> = (0..4).map(|_| stage.open()).collect();
    meet(&mut workers, &file, &mut random);
    let enough = random.below(KEYS as u64 / 2);
    until("some keys to be met", || (ledger.total(0, KEYS) > enough).then_some(()));
    workers[0].kill();
    workers[1..].iter_mut().for_each(finish);
    assert!((0..KEYS).all(|key| ledger.get(key) <= 1));
    let met = ledger.total(0, KEYS);
    assert!((KEYS as u64 - 1..=KEYS as u64).contains(&met), "{met}");
}

#[test]
fn a_process_that_is_stopped_or_killed_while_it_makes_room_holds_nobody_up() {
    for action in ["stop", "kill"] {
        let stage = Stage::new();
        let mut patient = stage.open();
        patient.done(Command::Arm(format!("notes:reserved={action}")));
        patient.send(&Command::Note(7, 1));
        if action == "stop" {
            patient.wait_stopped();
        } else {
            patient.wait_gone();
        }
        let mut others = [stage.open(), stage.open()];
        others[0].done(Command::Note(7, 70));
        assert_eq!(others[1].noted(7), Some(70));
        if action == "stop" {
            patient.go_on();
            finish(&mut patient);
            assert_eq!(others[1].noted(7), Some(1));
        }
    }
}

#[test]
fn notes_go_along_when_the_arena_is_replaced() {
    let stage = Stage::new();
    let mut workers = [stage.open(), stage.open()];
    workers[0].done(Command::Note(1, 10));
    workers[1].done(Command::Note(2, 20));
    fs::remove_file(stage.arena()).unwrap();
    let mut newcomer = stage.open();
    newcomer.done(Command::Note(3, 30));
    workers.iter_mut().for_each(|worker| drop(worker.scrape()));
    for worker in workers.iter_mut().chain([&mut newcomer]) {
        assert_eq!([1, 2, 3].map(|key| worker.noted(key)), [Some(10), Some(20), Some(30)]);
    }
}
