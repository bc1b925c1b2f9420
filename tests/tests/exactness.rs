//! After any mixture of forks, spawns, threads, exits and `kill -9` the total equals the increments that returned.

use std::ops::ControlFlow;
use tasker_telemetry_tests::protocol::{bound, labels, Burst};
use tasker_telemetry_tests::{while_it_moves, Command, Number, Random, Reply, Stage, Worker};

const THREADS: usize = 8;
const SAMPLES: u64 = 1_000_000;

fn parallel(stage: &Stage) -> Worker {
    let mut worker = stage.worker();
    worker
        .done(Command::Open {
            arena: Some(stage.arena()),
            service: "shop".to_owned(),
            max_series: 10_000,
            idle_expiry: None,
            parallel: true,
            default_labels: Vec::new(),
        })
        .declare("hits_total", "counter", &["path"])
        .declare("latency_seconds", "histogram", &["path"]);
    worker
}

#[test]
fn a_million_samples_of_24_processes_half_of_them_killed() {
    let mut random = Random::seeded();
    let stage = Stage::new();
    let (mut preloaded, mut lazy) = (parallel(&stage), parallel(&stage));
    preloaded
        .increment(labels("hits_total", &["0"]), 1)
        .observe(labels("latency_seconds", &["0"]), 0.5);

    let mut workers: Vec<Worker> = Vec::new();
    for _ in 0..8 {
        workers.push(stage.fork(&mut preloaded));
        workers.push(stage.fork(&mut lazy));
        workers.push(parallel(&stage));
    }
    let enough = workers.len() * THREADS * 2;
    let words = enough + 1;
    let (ledger, path) = stage.ledger(words);
    for (index, worker) in workers.iter_mut().enumerate() {
        worker.send(&Command::Burst(Burst {
            ledger: path.clone(),
            words,
            row: index * THREADS * 2,
            enough,
            threads: THREADS,
            counter: "hits_total".to_owned(),
            histogram: "latency_seconds".to_owned(),
            variants: 20,
            bound: index % 4 < 2,
        }));
    }

    // Every second one is killed when it has written as much as chance has chosen, of what would be its share of the
    // million. All write on until the last of them is dead, so each dies in the middle of the burst.
    let written = |index: usize| ledger.total(index * THREADS * 2, THREADS * 2);
    let share = SAMPLES / workers.len() as u64;
    let mut doomed: Vec<(usize, u64)> = (0..workers.len())
        .filter(|index| index % 2 == 1)
        .map(|index| (index, 1 + random.below(share)))
        .collect();
    let killed = doomed.len() as u64;
    while_it_moves(
        "the killed to come to their points, and the others to a million",
        || {
            doomed.retain(|(index, instant)| {
                let due = written(*index) >= *instant;
                if due {
                    workers[*index].kill();
                }
                !due
            });
            let all = ledger.total(0, enough);
            match doomed.len() {
                0 if all >= SAMPLES => ControlFlow::Break(()),
                0 => ControlFlow::Continue(all),
                _ => ControlFlow::Continue(doomed.iter().map(|(index, _)| written(*index)).sum()),
            }
        },
    );
    ledger.set(enough, 1);
    for (index, worker) in workers.iter_mut().enumerate() {
        match (index % 2, worker.try_reply()) {
            (0, Ok(Reply::Done)) | (1, Err(_)) => {}
            (_, reply) => panic!("process {index} said {reply:?}"),
        }
    }

    let returned = |word: usize| -> u64 { (word..enough).step_by(2).map(|index| ledger.get(index)).sum() };
    let (increments, observations) = (returned(0) + 1, returned(1) + 1);
    let in_flight = killed * THREADS as u64;
    for mut observer in [parallel(&stage), preloaded] {
        let hits = observer.total("hits_total");
        assert!(
            (increments..=increments + in_flight).contains(&hits),
            "{hits} of {increments}"
        );
        let latency = observer.series("latency_seconds");
        let seen: u64 = latency.iter().map(|series| series.value.count()).sum();
        assert!(
            (observations..=observations + in_flight).contains(&seen),
            "{seen} of {observations}"
        );
        let sum: f64 = latency
            .iter()
            .map(|series| match &series.value {
                Number::Histogram(_, sum) => *sum,
                other => panic!("{other:?}"),
            })
            .sum();
        assert!(
            (sum - 0.5 * seen as f64).abs() <= 0.5 * in_flight as f64,
            "{sum} of {seen}"
        );
    }
}

#[test]
fn five_of_the_parent_and_seven_of_the_child_are_twelve() {
    let stage = Stage::new();
    let mut parent = stage.open();
    parent
        .declare("orders_total", "counter", &["status"])
        .declare("latency_seconds", "histogram", &["status"])
        .bind("paid", "orders_total", &["paid"])
        .bind("lost", "orders_total", &["lost"])
        .bind("took", "latency_seconds", &["paid"])
        .increment(bound("paid"), 5)
        .observe(bound("took"), 0.5);
    let mut child = stage.fork(&mut parent);
    child
        .increment(bound("paid"), 3)
        .increment(labels("orders_total", &["paid"]), 4)
        .increment(bound("lost"), 1)
        .observe(bound("took"), 0.25);
    parent.increment(bound("lost"), 1);
    for worker in [&mut child, &mut parent] {
        assert_eq!(worker.value(bound("paid")), Some(Number::Counter(12, 0.0)));
        assert_eq!(worker.value(bound("lost")), Some(Number::Counter(2, 0.0)));
        assert_eq!(
            worker.value(bound("took")),
            Some(Number::Histogram(vec![0, 2, 0, 0], 0.75))
        );
    }
    child.kill();
    assert_eq!(parent.total("orders_total"), 14);
}

#[test]
fn forks_of_forks_and_daemons_count() {
    let stage = Stage::new();
    let mut line = vec![stage.open()];
    line[0]
        .declare("orders_total", "counter", &[])
        .bind("orders", "orders_total", &[])
        .increment(bound("orders"), 1);
    for depth in 1..6 {
        let mut child = stage.fork(&mut line[depth - 1]);
        child.increment(bound("orders"), 1);
        // A parent that goes on beside its child.
        line[depth - 1].increment(bound("orders"), 10);
        line.push(child);
    }
    let mut daemon = stage.daemonise(&mut line[5]);
    daemon.increment(bound("orders"), 100);
    for mut ancestor in line.drain(..3) {
        ancestor.exit();
    }
    line[0].increment(bound("orders"), 1000);
    assert_eq!(daemon.total("orders_total"), 6 + 50 + 100 + 1000);
    assert_eq!(line[2].total("orders_total"), 6 + 50 + 100 + 1000);
}

#[test]
fn a_private_arena_is_shared_by_forks() {
    let stage = Stage::new();
    let mut parent = stage.worker();
    parent.done(Command::Open {
        arena: None,
        service: "shop".to_owned(),
        max_series: 100,
        idle_expiry: None,
        parallel: false,
        default_labels: Vec::new(),
    });
    parent
        .declare("orders_total", "counter", &[])
        .bind("orders", "orders_total", &[]);
    let mut child = stage.fork(&mut parent);
    child.increment(bound("orders"), 7);
    parent.increment(bound("orders"), 5);
    assert_eq!(parent.total("orders_total"), 12);
    child.exit();
    assert_eq!(parent.total("orders_total"), 12);
}

#[test]
fn integers_stay_exact_beyond_what_a_float_holds() {
    let stage = Stage::new();
    let mut workers = [stage.open(), stage.open()];
    for worker in &mut workers {
        worker
            .declare("bytes_total", "counter", &[])
            .increment(labels("bytes_total", &[]), 1 << 53)
            .increment(labels("bytes_total", &[]), 1);
    }
    assert_eq!(workers[0].total("bytes_total"), (1 << 54) + 2);
    assert!(workers[0]
        .page("prometheus")
        .contains("\nbytes_total 18014398509481986\n"));
    workers[0].increment(labels("bytes_total", &[]), 1);
    assert_eq!(workers[1].total("bytes_total"), (1 << 54) + 3);
}

#[test]
fn gauges_of_processes() {
    let stage = Stage::new();
    let mut parent = stage.open();
    for aggregation in ["sum", "min", "max", "per_process", "last"] {
        let name = format!("depth_{aggregation}");
        parent
            .declare(&name, aggregation, &["queue"])
            .bind(&name, &name, &["mail"])
            .set(bound(&name), 5.0);
    }
    let mut child = stage.fork(&mut parent);
    let mut other = stage.open();
    for aggregation in ["sum", "min", "max", "per_process", "last"] {
        let name = format!("depth_{aggregation}");
        child.set(bound(&name), 7.0);
        other
            .declare(&name, aggregation, &["queue"])
            .set(labels(&name, &["mail"]), 3.0);
    }
    let read = |worker: &mut Worker| {
        ["sum", "min", "max", "last"].map(|aggregation| {
            let series = worker.series(&format!("depth_{aggregation}"));
            assert_eq!(series.len(), 1, "{series:?}");
            series[0].value.clone()
        })
    };
    let values = |values: [f64; 4]| values.map(Number::Gauge);
    for worker in [&mut parent, &mut child, &mut other] {
        assert_eq!(read(worker), values([15.0, 3.0, 7.0, 3.0]));
        let each = worker.series("depth_per_process");
        let mut found: Vec<_> = each.iter().map(|series| series.value.clone()).collect();
        found.sort_by(|a, b| format!("{a:?}").cmp(&format!("{b:?}")));
        assert_eq!(found, [3.0, 5.0, 7.0].map(Number::Gauge));
        assert!(each.iter().all(|series| !series.label("process").is_empty()));
    }
    // The dead are not added up; what all share keeps its last value.
    other.kill();
    assert_eq!(read(&mut parent), values([12.0, 5.0, 7.0, 3.0]));
    child.exit();
    assert_eq!(read(&mut parent), values([5.0, 5.0, 5.0, 3.0]));
    assert_eq!(parent.series("depth_per_process").len(), 1);
}
