//! What is counted in a sampled span leaves an exemplar; the latest one counts.

use crate::common::{declare, key, registry, snapshot};
use std::sync::Arc;
use tasker_telemetry_core::arena::exemplar::{set_current, TraceRef};
use tasker_telemetry_core::arena::{Place, Registry};
use tasker_telemetry_core::metric::{Aggregation, Kind};
use tasker_telemetry_core::snapshot::{Exemplar, Point};

fn span(number: u8) -> TraceRef {
    TraceRef {
        trace_id: [number; 16],
        span_id: [number; 8],
    }
}

fn within<T>(number: u8, work: impl FnOnce() -> T) -> T {
    let before = set_current(Some(span(number)));
    let done = work();
    assert_eq!(set_current(before), Some(span(number)));
    done
}

/// Each slot's exemplar: its value, and the number of its span.
fn exemplars(registry: &Arc<Registry>, name: &str) -> Vec<(usize, f64, u8)> {
    let (mut point, mut found) = (Point::new(), Vec::new());
    for family in snapshot(registry).families {
        if family.descriptor.name == name && !family.superseded {
            for index in 0..family.len() {
                assert!(family.load(index, &mut point));
                found.extend(point.exemplars.iter().map(|(slot, exemplar)| read(*slot, exemplar)));
            }
        }
    }
    found
}

fn read(slot: usize, exemplar: &Exemplar) -> (usize, f64, u8) {
    let number = exemplar.trace_id[0];
    assert_eq!((exemplar.trace_id, exemplar.span_id), ([number; 16], [number; 8]));
    assert!(exemplar.at > 1_600_000_000_000_000_000);
    (slot, exemplar.value, number)
}

#[test]
fn the_latest_of_a_counter_and_of_each_bucket_is_kept() {
    let registry = registry(|_| {});
    let counter = declare(&registry, "orders_total", Kind::Counter, &["status"]);
    let histogram = declare(&registry, "checkout_seconds", Kind::Histogram, &[]);
    let gauge = declare(&registry, "depth", Kind::Gauge(Aggregation::Last), &[]);
    counter.increment_int(key(&["paid"]).as_bytes(), 1);
    histogram.observe(&[], 0.05).unwrap();
    assert_eq!(exemplars(&registry, "orders_total"), []);

    let bound = counter.series(&key(&["paid"]));
    within(1, || {
        bound.increment_int(2);
        counter.increment_int(key(&["failed"]).as_bytes(), 5);
        histogram.observe(&[], 0.07).unwrap();
        histogram.observe(&[], 5.0).unwrap();
        gauge.set(&[], 7.0).unwrap();
    });
    within(2, || {
        bound.increment(0.5).unwrap();
        within(3, || histogram.observe(&[], 6.0).unwrap());
    });
    bound.increment_int(1);
    histogram.observe(&[], 0.01).unwrap();
    assert_eq!(exemplars(&registry, "orders_total"), [(0, 0.5, 2), (0, 5.0, 1)]);
    assert_eq!(exemplars(&registry, "checkout_seconds"), [(0, 0.07, 1), (2, 6.0, 3)]);
    assert_eq!(exemplars(&registry, "depth"), []);
}

#[test]
fn a_thread_has_a_span_of_its_own() {
    let registry = registry(|_| {});
    let counter = declare(&registry, "orders_total", Kind::Counter, &[]);
    within(1, || {
        std::thread::scope(|scope| {
            scope.spawn(|| counter.increment_int(&[], 1));
        });
    });
    assert_eq!(exemplars(&registry, "orders_total"), []);
}

#[test]
fn a_series_that_takes_the_place_of_another_does_not_take_its_exemplars() {
    let registry = registry(|_| {});
    let counter = declare(&registry, "orders_total", Kind::Counter, &["number"]);
    let mut bytes = Vec::new();
    for round in 0..3u8 {
        for number in 0..2_000u32 {
            let labels = key(&[number.to_string().as_str()]);
            within(round, || counter.increment_int(labels.as_bytes(), 1));
        }
        assert_eq!(exemplars(&registry, "orders_total"), vec![(0, 1.0, round); 2_000]);
        counter.clear();
        for number in 0..2_000u32 {
            counter.increment_int(key(&[number.to_string().as_str()]).as_bytes(), 1);
        }
        assert_eq!(exemplars(&registry, "orders_total"), []);
        counter.clear();
        drop(snapshot(&registry));
        bytes.push(
            registry
                .status(tasker_telemetry_core::arena::Quiescent::promise())
                .arena
                .unwrap()
                .bytes,
        );
    }
    assert_eq!(bytes[1], bytes[2], "what is free is used again");
}

#[test]
fn are_there_when_the_arena_is_opened_again_or_replaced() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("arena");
    let open = || {
        let registry = registry(|settings| settings.place = Place::Path(path.clone()));
        let counter = declare(&registry, "orders_total", Kind::Counter, &["status"]);
        let histogram = declare(&registry, "checkout_seconds", Kind::Histogram, &[]);
        (registry, counter, histogram)
    };
    {
        let (_registry, counter, histogram) = open();
        within(1, || counter.increment_int(key(&["paid"]).as_bytes(), 1));
        within(1, || histogram.observe(&[], 0.5).unwrap());
    }
    let (registry, counter, histogram) = open();
    assert_eq!(exemplars(&registry, "orders_total"), [(0, 1.0, 1)]);
    assert!(registry.take_notices().is_empty());
    counter.increment_int(key(&["paid"]).as_bytes(), 1);

    std::fs::remove_file(&path).unwrap();
    assert_eq!(exemplars(&registry, "orders_total"), [(0, 1.0, 1)]);
    assert_eq!(exemplars(&registry, "checkout_seconds"), [(1, 0.5, 1)]);
    // The newer one counts, wherever it was left.
    within(2, || histogram.observe(&[], 0.6).unwrap());
    within(2, || histogram.observe(&[], 0.01).unwrap());
    assert_eq!(exemplars(&registry, "checkout_seconds"), [(0, 0.01, 2), (1, 0.6, 2)]);
    assert_eq!(exemplars(&registry, "orders_total"), [(0, 1.0, 1)]);
}
