//! A process that is stopped or killed at any point holds nobody up, and nothing is lost that was visible.

use std::time::{Duration, Instant};
use tasker_telemetry_core::arena::fail;
use tasker_telemetry_tests::protocol::{bound, labels};
use tasker_telemetry_tests::{one_arena, until, usual, Command, Number, Reply, Stage, Worker};

/// What the others do meanwhile must be done by then, however busy the machine is.
const PROMPT: Duration = Duration::from_secs(10);

/// How a process comes to a point.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Way {
    /// It is the first of all.
    Creates,
    /// Something that is no arena stands at the path.
    SetsAside,
    /// Its first sample, in an arena that others use.
    Arrives,
    /// It registers one more series.
    Registers,
    /// It registers a series in the place of one that was removed.
    Reuses,
    /// It registers so many series that the file must grow.
    Grows,
    /// It removes a series.
    Removes,
}

fn ways(point: &str) -> &'static [Way] {
    match point {
        "open:aside_renamed" => &[Way::SetsAside],
        _ if point.starts_with("open:") => &[Way::Creates],
        _ if point.starts_with("attach:") => &[Way::Creates, Way::Arrives],
        _ if point.starts_with("grow:") => &[Way::Grows],
        "register:claimed" => &[Way::Reuses],
        "register:reserved" => &[Way::Creates, Way::Arrives, Way::Registers],
        _ if point.starts_with("register:") => &[Way::Creates, Way::Arrives, Way::Registers, Way::Reuses],
        _ if point.starts_with("remove:") => &[Way::Removes],
        _ => panic!("no test comes to {point}"),
    }
}

fn declare(worker: &mut Worker) {
    worker
        .declare("hits_total", "counter", &["path"])
        .declare("depth", "last", &["queue"])
        .declare("busy", "sum", &[]);
}

fn newcomer(stage: &Stage) -> Worker {
    let mut worker = stage.open();
    declare(&mut worker);
    worker
}

fn hits(worker: &mut Worker, path: &str) -> Option<u64> {
    let series = worker.series("hits_total");
    let found = series.iter().find(|series| series.label("path") == path);
    found.map(|series| series.value.count())
}

/// Waits for the answer, or for the end that `action` makes; `true` when the answer came.
fn answered(worker: &mut Worker, action: &str) -> bool {
    until("an answer, or to be interrupted", || {
        let interrupted = match action {
            "stop" => worker.state() == Some('T'),
            _ => matches!(worker.state(), None | Some('Z' | 'X')),
        };
        if interrupted {
            return Some(false);
        }
        worker.reply_within(Duration::from_millis(1)).is_ok().then_some(true)
    })
}

/// Stops or kills a process at `point`, shows what the others can do meanwhile, and what it comes to in the end.
fn interrupt(point: &str, way: Way, action: &str, with_child: bool) {
    println!("{point}={action}, {way:?}, with a child: {with_child}");
    let stage = Stage::new();
    let mut witness = newcomer(&stage);
    let fresh = matches!(way, Way::Creates | Way::SetsAside);
    if way == Way::SetsAside {
        std::fs::create_dir_all(stage.arena().parent().unwrap()).unwrap();
        std::fs::write(stage.arena(), b"no arena").unwrap();
    }
    if !fresh {
        witness
            .increment(labels("hits_total", &["seen"]), 5)
            .set(labels("depth", &["seen"]), 5.0);
    }

    let mut patient = newcomer(&stage);
    patient.bind("new", "hits_total", &["new"]);
    if !fresh && way != Way::Arrives {
        patient.increment(labels("hits_total", &["own"]), 3);
    }
    if matches!(way, Way::Reuses | Way::Removes) {
        patient.increment(bound("new"), 1);
    }
    if way == Way::Reuses {
        assert!(patient.remove(bound("new")));
        // From here on nobody holds it.
        patient.scrape();
        witness.scrape();
    }
    let child = with_child.then(|| stage.fork(&mut patient));
    patient.done(Command::Arm(format!("{point}={action}")));
    let mut registered = 0;
    match way {
        Way::Removes => patient.send(&Command::Remove(bound("new"))),
        Way::Grows => loop {
            let next = labels("hits_total", &[&format!("more{registered}")]);
            patient.send(&Command::Increment(next, 1, 1));
            if !answered(&mut patient, action) {
                break;
            }
            registered += 1;
            assert!(registered < 5000, "{point} was not reached");
        },
        _ => patient.send(&Command::Increment(bound("new"), 1, 1)),
    }
    if way != Way::Grows {
        assert!(!answered(&mut patient, action), "{point} was not reached");
    }

    let begun = Instant::now();
    let mut latecomer = newcomer(&stage);
    latecomer
        .increment(labels("hits_total", &["new"]), 10)
        .increment(labels("hits_total", &["other"]), 20)
        .increment(labels("hits_total", &["gone"]), 30);
    witness
        .increment(labels("hits_total", &["other"]), 200)
        .set(labels("depth", &["other"]), 6.0);
    assert!(witness.remove(labels("hits_total", &["gone"])));
    for worker in [&mut witness, &mut latecomer] {
        assert_eq!(hits(worker, "other"), Some(220));
        assert_eq!(hits(worker, "gone"), None);
        assert!(hits(worker, "new") >= Some(10));
        if !fresh {
            assert_eq!(hits(worker, "seen"), Some(5));
            assert_eq!(worker.value(labels("depth", &["seen"])), Some(Number::Gauge(5.0)));
        }
        for more in 0..registered {
            assert_eq!(
                worker
                    .value(labels("hits_total", &[&format!("more{more}")]))
                    .unwrap()
                    .count(),
                1
            );
        }
    }
    assert!(
        begun.elapsed() < PROMPT,
        "the others were held up: {:?}",
        begun.elapsed()
    );

    let mut everyone = vec![witness, latecomer];
    if action == "stop" {
        patient.go_on();
        let reply = patient.reply();
        assert!(matches!(reply, Reply::Done | Reply::Count(1)), "{reply:?}");
        patient.increment(bound("new"), 100);
        everyone.push(patient);
    }
    if let Some(mut child) = child {
        child.increment(bound("new"), 1000);
        everyone.push(child);
    }
    let exact = match (way, action) {
        (Way::Grows | Way::Removes, "stop") => 110,
        (_, "stop") => 111,
        _ => 10,
    } + if with_child { 1000 } else { 0 };
    for worker in &mut everyone {
        let new = hits(worker, "new").unwrap();
        match action {
            "stop" => assert_eq!(new, exact),
            _ => assert!(new == exact || new == exact + 1, "{new}"),
        }
        assert_eq!(hits(worker, "other"), Some(220));
        // The arena takes new series as ever.
        worker.increment(labels("hits_total", &["after"]), 1);
    }
    one_arena(&mut everyone);
    assert_eq!(hits(&mut everyone[0], "after"), Some(everyone.len() as u64));
}

fn interrupt_everywhere(prefix: &str, action: &str) {
    let mut points = fail::POINTS.iter().filter(|point| point.starts_with(prefix)).peekable();
    assert!(points.peek().is_some());
    for point in points {
        for way in ways(point) {
            interrupt(point, *way, action, false);
            // A child that was forked before the first sample has inherited nothing.
            if !matches!(way, Way::Creates | Way::SetsAside | Way::Arrives) {
                interrupt(point, *way, action, true);
            }
        }
    }
}

#[test]
fn stopped_while_it_opens() {
    interrupt_everywhere("open:", "stop");
}

#[test]
fn killed_while_it_opens() {
    interrupt_everywhere("open:", "kill");
}

#[test]
fn stopped_while_it_attaches() {
    interrupt_everywhere("attach:", "stop");
}

#[test]
fn killed_while_it_attaches() {
    interrupt_everywhere("attach:", "kill");
}

#[test]
fn stopped_while_the_file_grows() {
    interrupt_everywhere("grow:", "stop");
}

#[test]
fn killed_while_the_file_grows() {
    interrupt_everywhere("grow:", "kill");
}

#[test]
fn stopped_while_it_registers() {
    interrupt_everywhere("register:", "stop");
}

#[test]
fn killed_while_it_registers() {
    interrupt_everywhere("register:", "kill");
}

#[test]
fn stopped_while_it_removes() {
    interrupt_everywhere("remove:", "stop");
}

#[test]
fn killed_while_it_removes() {
    interrupt_everywhere("remove:", "kill");
}

/// Interrupts a process that has found a series idle, while another writes to that series.
fn interrupt_expiry(point: &str, action: &str) {
    println!("{point}={action}");
    let stage = Stage::new();
    let mut witness = newcomer(&stage);
    witness
        .bind("seen", "hits_total", &["seen"])
        .increment(bound("seen"), 5);
    let mut patient = stage.worker();
    let Command::Open { arena, service, .. } = usual(&stage.arena()) else {
        unreachable!()
    };
    patient.done(Command::Open {
        arena,
        service,
        max_series: 100,
        idle_expiry: Some(1),
        parallel: false,
        default_labels: Vec::new(),
    });
    patient.done(Command::Arm(format!("{point}={action}")));
    until("a series to be found idle", || {
        patient.send(&Command::Scrape);
        (!answered(&mut patient, action)).then_some(())
    });

    let begun = Instant::now();
    let mut latecomer = newcomer(&stage);
    witness.increment(bound("seen"), 10);
    latecomer.increment(labels("hits_total", &["seen"]), 20);
    witness.increment(labels("hits_total", &["seen"]), 40);
    // As long as it was only found idle, it goes on; once it was removed, it starts anew.
    let expected = if point == "expire:expiring" { 75 } else { 70 };
    for worker in [&mut witness, &mut latecomer] {
        assert_eq!(hits(worker, "seen"), Some(expected));
    }
    assert!(
        begun.elapsed() < PROMPT,
        "the others were held up: {:?}",
        begun.elapsed()
    );
    if action == "stop" {
        patient.go_on();
        assert!(matches!(patient.reply(), Reply::Picture(_)));
        assert_eq!(hits(&mut witness, "seen"), Some(expected));
        witness.increment(bound("seen"), 100);
        assert_eq!(hits(&mut latecomer, "seen"), Some(expected + 100));
    }
    let dropped = witness.status()["dropped"].clone();
    assert!(
        dropped.as_object().unwrap().values().all(|count| count == 0),
        "{dropped}"
    );
}

#[test]
fn interrupted_while_a_series_expires() {
    for point in ["expire:expiring", "expire:removing"] {
        for action in ["stop", "kill"] {
            interrupt_expiry(point, action);
        }
    }
}

#[test]
fn no_point_is_forgotten() {
    let tested = ["open:", "attach:", "grow:", "register:", "remove:", "expire:"];
    for point in fail::POINTS {
        assert!(tested.iter().any(|prefix| point.starts_with(prefix)), "{point}");
    }
}
