//! A picture that every format's test prints.

use super::{Kind, Renderer};
use crate::metric::{Aggregation, Descriptor, Kind as Instrument, LabelKey};
use crate::snapshot::{Count, Family, HistogramValue, Point, Snapshot, Value};
use std::sync::Arc;

/// The whole page, in one piece.
pub(super) fn page(kind: Kind, snapshot: Snapshot) -> String {
    let mut out = Vec::new();
    assert!(!Renderer::new(kind, snapshot).chunk(&mut out, usize::MAX));
    String::from_utf8(out).unwrap()
}

pub(super) fn counter(name: &str, unit: Option<&str>, labels: &[&str]) -> Descriptor {
    descriptor(name, "", unit, Instrument::Counter, labels, None)
}

pub(super) fn count(values: &[&str], count: Count) -> Point {
    point(&[], values, "", Value::Counter(count))
}

/// One metric of every kind, with the names, labels, help and numbers that formats treat differently.
pub(super) fn shop() -> Snapshot {
    let last = Instrument::Gauge(Aggregation::Last);
    let per_process = Instrument::Gauge(Aggregation::PerProcess);
    let int = |int| Value::Counter(Count { int, float: 0.0 });
    let histogram = |buckets: &[u64], sum| {
        let buckets = buckets.to_vec();
        Value::Histogram(HistogramValue { buckets, sum })
    };
    let orders = descriptor(
        "orders",
        "Orders \\ \"placed\"\n",
        None,
        Instrument::Counter,
        &["status", "queue"],
        None,
    );
    let superseded = Family::new(
        Arc::new(counter("orders", None, &[])),
        true,
        Arc::new(vec![point(&[], &[], "", int(11))]),
    );
    let checkout = descriptor(
        "checkout_seconds",
        "Time to check out",
        Some("seconds"),
        Instrument::Histogram,
        &["plan"],
        Some(vec![0.1, 1.0, 1e6]),
    );
    let mut unknown_birth = point(&[], &[], "", int(3));
    unknown_birth.created_at = 0;
    let families = vec![
        superseded,
        Family::owned(
            orders,
            vec![
                point(&["region", "eu"], &["pa\"id\\\n", ""], "", int(9_007_199_254_740_993)),
                point(&[], &["é😀", "\t"], "", Value::Counter(Count { int: 2, float: 0.5 })),
            ],
        ),
        Family::owned(counter("never_total", None, &["status"]), vec![]),
        Family::owned(counter("read_bytes_total", Some("bytes"), &[]), vec![unknown_birth]),
        Family::owned(
            descriptor("balance", "", None, last, &[], None),
            vec![point(&[], &[], "", Value::Gauge(-0.5))],
        ),
        Family::owned(
            descriptor("queue_depth", "Jobs waiting", None, per_process, &[], None),
            vec![
                point(&["region", "eu"], &[], "host-1", Value::Gauge(f64::INFINITY)),
                point(&[], &[], "host-2", Value::Gauge(f64::NAN)),
            ],
        ),
        Family::owned(
            checkout,
            vec![point(&[], &["pro"], "", histogram(&[1, 0, 2, 1], 1_000_020.05))],
        ),
        Family::owned(
            descriptor("heat", "", None, Instrument::Histogram, &[], Some(vec![-1.0])),
            vec![point(&[], &[], "", histogram(&[1, 2], 2.0))],
        ),
    ];
    Snapshot::new(families, 1_700_000_001_000_000_000)
}

fn descriptor(
    name: &str,
    help: &str,
    unit: Option<&str>,
    kind: Instrument,
    labels: &[&str],
    bounds: Option<Vec<f64>>,
) -> Descriptor {
    let labels: Vec<String> = labels.iter().map(|label| (*label).to_owned()).collect();
    Descriptor::new(name, help, unit, kind, &labels, bounds).unwrap()
}

fn point(defaults: &[&str], values: &[&str], process: &str, value: Value) -> Point {
    Point {
        defaults: LabelKey::of(defaults.iter().copied()),
        values: LabelKey::of(values.iter().copied()),
        process: process.to_owned(),
        value,
        created_at: 1_700_000_000_250_000_000,
        exemplars: Vec::new(),
    }
}
