//! Processes with equal pids, in two pid namespaces, on one arena.

use std::collections::HashMap;
use tasker_telemetry_tests::protocol::{bound, labels};
use tasker_telemetry_tests::{one_arena, Number, Stage, Worker};

fn declare(worker: &mut Worker) {
    worker
        .declare("orders_total", "counter", &["from"])
        .declare("depth", "per_process", &["queue"])
        .declare("busy", "sum", &[]);
}

/// Values of the series of `metric` that have these label values, by the value of another label.
fn by(worker: &mut Worker, metric: &str, having: &[(&str, &str)], label: &str) -> HashMap<String, Number> {
    let mut series = worker.series(metric);
    series.retain(|series| having.iter().all(|(label, value)| series.label(label) == *value));
    let found: HashMap<_, _> = series
        .iter()
        .map(|series| (series.label(label).to_owned(), series.value.clone()))
        .collect();
    assert_eq!(found.len(), series.len(), "{label} tells them apart: {series:?}");
    found
}

fn orders(worker: &mut Worker) -> HashMap<String, Number> {
    by(worker, "orders_total", &[], "from")
}

fn depths(worker: &mut Worker, queue: &str) -> HashMap<String, Number> {
    by(worker, "depth", &[("queue", queue)], "process")
}

fn counts<const N: usize>(expected: [(&str, u64); N]) -> HashMap<String, Number> {
    expected
        .map(|(from, count)| (from.to_owned(), Number::Counter(count, 0.0)))
        .into()
}

fn gauges<const N: usize>(expected: [(&String, f64); N]) -> HashMap<String, Number> {
    expected
        .map(|(process, value)| (process.clone(), Number::Gauge(value)))
        .into()
}

#[test]
fn equal_pids_are_different_processes() {
    let stage = Stage::new();
    let mut parent = stage.open();
    declare(&mut parent);
    parent
        .bind("orders", "orders_total", &["parent"])
        .bind("depth", "depth", &["mail"])
        .bind("busy", "busy", &[])
        .increment(bound("orders"), 1)
        .set(bound("depth"), 1.0)
        .set(bound("busy"), 1.0);
    // A process can make one namespace, so each gets a parent of its own; the handles are inherited all the way.
    let mut between = [(); 3].map(|()| stage.fork(&mut parent));
    let [mut first, mut second, mut third] = between.each_mut().map(|between| stage.fork_into_namespace(between));
    first
        .increment(bound("orders"), 10)
        .set(bound("depth"), 2.0)
        .set(bound("busy"), 2.0);
    second
        .increment(bound("orders"), 100)
        .set(bound("depth"), 3.0)
        .set(bound("busy"), 4.0);
    for (worker, name, depth) in [(&mut first, "first", 20.0), (&mut second, "second", 30.0)] {
        // One of its own, one that the other binds as well, and a gauge that only it has.
        worker
            .bind("own", "orders_total", &[name])
            .bind("both", "orders_total", &["both"])
            .bind("inside", "depth", &["inside"])
            .increment(bound("own"), 7)
            .increment(bound("both"), 1000)
            .set(bound("inside"), depth);
    }
    first.increment(bound("orders"), 10_000).increment(bound("own"), 1);

    let [of_parent, of_first, of_second] = [&mut parent, &mut first, &mut second].map(Worker::process);
    assert!(
        of_first.starts_with("1-") && of_second.starts_with("1-"),
        "both have the pid 1"
    );
    for worker in [&mut parent, &mut first, &mut second] {
        assert_eq!(
            orders(worker),
            counts([("parent", 10_111), ("first", 8), ("second", 7), ("both", 2000)])
        );
        assert_eq!(
            depths(worker, "mail"),
            gauges([(&of_parent, 1.0), (&of_first, 2.0), (&of_second, 3.0)])
        );
        assert_eq!(
            depths(worker, "inside"),
            gauges([(&of_first, 20.0), (&of_second, 30.0)])
        );
        assert_eq!(worker.series("busy")[0].value, Number::Gauge(7.0));
    }

    first.kill();
    second.set(bound("depth"), 9.0).increment(bound("both"), 1);
    for worker in [&mut parent, &mut second] {
        assert_eq!(
            orders(worker),
            counts([("parent", 10_111), ("first", 8), ("second", 7), ("both", 2001)])
        );
        assert_eq!(depths(worker, "mail"), gauges([(&of_parent, 1.0), (&of_second, 9.0)]));
        assert_eq!(depths(worker, "inside"), gauges([(&of_second, 30.0)]));
        assert_eq!(worker.series("busy")[0].value, Number::Gauge(5.0));
    }
    // A third with the pid 1, which has done nothing so far, takes over the place of the first in the table, and with it
    // the label, but nothing that the first had.
    third
        .increment(bound("orders"), 100_000)
        .set(bound("depth"), 6.0)
        .set(bound("busy"), 8.0);
    assert_eq!(third.process(), of_first);
    for worker in [&mut parent, &mut second, &mut third] {
        assert_eq!(
            orders(worker),
            counts([("parent", 110_111), ("first", 8), ("second", 7), ("both", 2001)])
        );
        assert_eq!(
            depths(worker, "mail"),
            gauges([(&of_parent, 1.0), (&of_first, 6.0), (&of_second, 9.0)])
        );
        assert_eq!(depths(worker, "inside"), gauges([(&of_second, 30.0)]));
        assert_eq!(worker.series("busy")[0].value, Number::Gauge(13.0));
    }
}

#[test]
fn each_opens_the_arena_inside_its_namespace() {
    // As containers on a shared volume do: nothing is inherited, and no process sees the other's pid.
    let stage = Stage::new();
    let mut outside = [stage.worker(), stage.worker()];
    let [mut first, mut second] = outside.each_mut().map(|outside| stage.fork_into_namespace(outside));
    for (worker, name, value) in [(&mut first, "first", 2.0), (&mut second, "second", 3.0)] {
        worker.open(&stage.arena());
        declare(worker);
        worker
            .bind("own", "orders_total", &[name])
            .bind("both", "orders_total", &["both"])
            .bind("depth", "depth", &["mail"])
            .bind("busy", "busy", &[])
            .increment(bound("own"), 10)
            .increment(bound("both"), 100)
            .set(bound("depth"), value)
            .set(bound("busy"), value);
    }
    first.increment(bound("own"), 1).increment(bound("both"), 1000);

    one_arena([&mut first, &mut second]);
    let [of_first, of_second] = [&mut first, &mut second].map(Worker::process);
    assert!(
        of_first.starts_with("1-") && of_second.starts_with("1-"),
        "both have the pid 1"
    );
    for worker in [&mut first, &mut second] {
        assert_eq!(orders(worker), counts([("first", 11), ("second", 10), ("both", 1200)]));
        assert_eq!(depths(worker, "mail"), gauges([(&of_first, 2.0), (&of_second, 3.0)]));
        assert_eq!(worker.series("busy")[0].value, Number::Gauge(5.0));
    }
    // Of `per_process` gauges each reads its own.
    assert_eq!(first.value(bound("depth")), Some(Number::Gauge(2.0)));
    assert_eq!(second.value(bound("depth")), Some(Number::Gauge(3.0)));

    // Neither is taken for dead by the other, nor by one outside.
    let mut witness = stage.open();
    declare(&mut witness);
    witness.increment(labels("orders_total", &["both"]), 1);
    assert_eq!(
        depths(&mut witness, "mail"),
        gauges([(&of_first, 2.0), (&of_second, 3.0)])
    );
    second.kill();
    first.set(bound("depth"), 4.0);
    for worker in [&mut first, &mut witness] {
        assert_eq!(orders(worker), counts([("first", 11), ("second", 10), ("both", 1201)]));
        assert_eq!(depths(worker, "mail"), gauges([(&of_first, 4.0)]));
        assert_eq!(worker.series("busy")[0].value, Number::Gauge(2.0));
    }
}
