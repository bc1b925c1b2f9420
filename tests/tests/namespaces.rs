//! Processes with equal pids, in two pid namespaces, on one arena.

use std::collections::HashSet;
use tasker_telemetry_tests::protocol::bound;
use tasker_telemetry_tests::{Number, Stage};

#[test]
fn equal_pids_are_different_processes() {
    let stage = Stage::new();
    let mut parent = stage.open();
    parent
        .declare("orders_total", "counter", &[])
        .declare("depth", "per_process", &[])
        .declare("busy", "sum", &[])
        .bind("orders", "orders_total", &[])
        .bind("depth", "depth", &[])
        .bind("busy", "busy", &[])
        .increment(bound("orders"), 1)
        .set(bound("depth"), 1.0)
        .set(bound("busy"), 1.0);
    // A process can make one namespace, so each gets a parent of its own; the handles are inherited all the way.
    let mut between = [stage.fork(&mut parent), stage.fork(&mut parent)];
    let mut first = stage.fork_into_namespace(&mut between[0]);
    let mut second = stage.fork_into_namespace(&mut between[1]);
    first
        .increment(bound("orders"), 10)
        .set(bound("depth"), 2.0)
        .set(bound("busy"), 2.0);
    second
        .increment(bound("orders"), 100)
        .set(bound("depth"), 3.0)
        .set(bound("busy"), 4.0);
    first.increment(bound("orders"), 1000);
    first
        .bind("again", "orders_total", &[])
        .increment(bound("again"), 10_000);

    for worker in [&mut parent, &mut first, &mut second] {
        assert_eq!(worker.total("orders_total"), 11_111);
        assert_eq!(worker.series("busy")[0].value, Number::Gauge(7.0));
        let depths = worker.series("depth");
        let processes: HashSet<_> = depths.iter().map(|series| series.label("process").to_owned()).collect();
        assert_eq!((depths.len(), processes.len()), (3, 3), "{depths:?}");
        let ones = processes.iter().filter(|process| process.starts_with("1-")).count();
        assert_eq!(ones, 2, "both have the pid 1: {processes:?}");
    }
    first.kill();
    assert_eq!(second.total("orders_total"), 11_111);
    assert_eq!(second.series("busy")[0].value, Number::Gauge(5.0));
    second.set(bound("depth"), 9.0);
    let depths: Vec<_> = parent.series("depth").into_iter().map(|series| series.value).collect();
    assert_eq!(depths, [Number::Gauge(1.0), Number::Gauge(9.0)]);
    // A third with the pid 1 takes over the place of the first in the table, and nothing else of it.
    let mut newcomers = stage.fork(&mut parent);
    let mut third = stage.fork_into_namespace(&mut newcomers);
    third.increment(bound("orders"), 100_000).set(bound("busy"), 8.0);
    assert_eq!(parent.total("orders_total"), 111_111);
    assert_eq!(parent.series("busy")[0].value, Number::Gauge(13.0));
}
