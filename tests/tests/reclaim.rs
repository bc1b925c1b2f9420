//! Space and series come back whoever reads, removes, dies or was killed in the middle of it.

use tasker_telemetry_tests::protocol::{bound, labels};
use tasker_telemetry_tests::{until, Command, Number, Stage, Worker};

fn capped(stage: &Stage, max_series: u32, idle_expiry: Option<u64>) -> Worker {
    let mut worker = stage.worker();
    worker.done(Command::Open {
        arena: Some(stage.arena()),
        service: "shop".to_owned(),
        max_series,
        idle_expiry,
        parallel: false,
        default_labels: Vec::new(),
    });
    worker
}

/// Churns through 24 000 series, of which `end` ends each, and answers how large the arena is in the end.
fn churned(end: impl Fn(&mut Worker, &mut Worker, &str)) -> u64 {
    let stage = Stage::new();
    let mut churner = stage.open();
    churner.declare("orders_total", "counter", &["id"]);
    let mut other = stage.open();
    other.declare("orders_total", "counter", &["id"]);
    for number in 0..24_000 {
        let id = format!("{number}-{}", "x".repeat(100));
        churner.increment(labels("orders_total", &[&id]), 1);
        end(&mut churner, &mut other, &id);
    }
    std::fs::metadata(stage.arena()).unwrap().len()
}

/// All of them at once would be over 5 MiB.
const BOUNDED: u64 = 3 << 20;

#[test]
fn a_process_that_only_removes_keeps_nothing_back() {
    let bytes = churned(|_, remover, id| {
        assert!(remover.remove(labels("orders_total", &[id])));
    });
    assert!(bytes <= BOUNDED, "{bytes} bytes");
}

#[test]
fn a_process_that_only_reads_keeps_nothing_back() {
    let bytes = churned(|churner, reader, id| {
        assert_eq!(
            reader.value(labels("orders_total", &[id])),
            Some(Number::Counter(1, 0.0))
        );
        assert!(churner.remove(labels("orders_total", &[id])));
    });
    assert!(bytes <= BOUNDED, "{bytes} bytes");
}

#[test]
fn what_is_removed_stays_removed_while_a_replaced_arena_is_in_use() {
    let stage = Stage::new();
    let mut idle = stage.open();
    idle.declare("orders_total", "counter", &["id"])
        .declare("depth", "last", &["queue"])
        .bind("x", "orders_total", &["x"])
        .increment(bound("x"), 5)
        .set(labels("depth", &["mail"]), 7.0);
    let mut scraped = stage.open();
    scraped
        .declare("orders_total", "counter", &["id"])
        .declare("depth", "last", &["queue"])
        .increment(labels("orders_total", &["y"]), 1);
    std::fs::remove_file(stage.arena()).unwrap();
    assert_eq!(scraped.total("orders_total"), 6);

    assert!(scraped.remove(labels("orders_total", &["x"])));
    assert!(scraped.remove(labels("depth", &["mail"])));
    for _ in 0..2 {
        assert_eq!(scraped.total("orders_total"), 1);
        assert_eq!(scraped.series("depth"), []);
    }
    // A handle on what was removed begins a new series, at the place where all count now.
    idle.increment(bound("x"), 2);
    assert_eq!(scraped.total("orders_total"), 3);
    scraped.call(Command::Clear("orders_total".to_owned()));
    assert_eq!(scraped.total("orders_total"), 0);
}

#[test]
fn gauges_of_the_dead_leave_the_cap_to_the_living() {
    let stage = Stage::new();
    for _ in 0..4 {
        let mut worker = capped(&stage, 2, None);
        worker
            .declare("busy", "sum", &["queue"])
            .set(labels("busy", &["mail"]), 1.0)
            .set(labels("busy", &["fax"]), 1.0)
            .kill();
    }
    let mut living = capped(&stage, 2, None);
    living
        .declare("busy", "sum", &["queue"])
        .set(labels("busy", &["mail"]), 1.0)
        .set(labels("busy", &["telex"]), 1.0);
    let queues: Vec<_> = living
        .series("busy")
        .iter()
        .map(|series| series.label("queue").to_owned())
        .collect();
    assert_eq!(queues, ["mail", "telex"]);
}

#[test]
fn the_cap_of_gauges_with_a_cell_per_process_is_on_the_label_sets_of_each() {
    let stage = Stage::new();
    let mut workers: Vec<_> = (0..6).map(|_| capped(&stage, 3, None)).collect();
    for worker in &mut workers {
        worker.declare("busy", "sum", &["queue"]);
        for queue in ["mail", "fax", "telex", "post"] {
            worker.set(labels("busy", &[queue]), 1.0);
        }
    }
    let mut busy: Vec<_> = workers[0]
        .series("busy")
        .iter()
        .map(|series| (series.label("queue").to_owned(), series.value.clone()))
        .collect();
    busy.sort_by(|a, b| a.0.cmp(&b.0));
    let expected = ["__overflow__", "fax", "mail", "telex"].map(|queue| (queue.to_owned(), Number::Gauge(6.0)));
    assert_eq!(busy, expected);
}

#[test]
fn a_series_expires_that_one_who_was_killed_had_found_idle() {
    let stage = Stage::new();
    let mut killed = capped(&stage, 100, Some(20));
    killed
        .declare("orders_total", "counter", &["id"])
        .increment(labels("orders_total", &["x"]), 1)
        .done(Command::Arm("expire:expiring=kill".to_owned()));
    until("a process to be killed while it removes a series", || {
        killed.send(&Command::Scrape);
        killed.try_reply().is_err().then_some(())
    });
    killed.wait_gone();

    let mut other = capped(&stage, 100, Some(20));
    other.declare("orders_total", "counter", &["id"]);
    until("the series to expire", || {
        other.series("orders_total").is_empty().then_some(())
    });
}
