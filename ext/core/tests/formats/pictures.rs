//! Any picture that an arena could show.

use proptest::collection::{btree_map, btree_set, vec};
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;
use std::sync::Arc;
use tasker_telemetry_core::metric::{Aggregation, Descriptor, Kind, LabelKey};
use tasker_telemetry_core::snapshot::{Count, Family, HistogramValue, Point, Snapshot, Value};

/// A number as a page has to spell it.
#[derive(Debug, Clone, Copy)]
pub enum Number {
    Int(u64),
    Float(f64),
}

impl Number {
    pub fn of_count(count: &Count) -> Self {
        if count.float == 0.0 {
            Self::Int(count.int)
        } else {
            Self::Float(count.int as f64 + count.float)
        }
    }

    pub fn is_finite(self) -> bool {
        matches!(self, Self::Int(_)) || matches!(self, Self::Float(value) if value.is_finite())
    }

    pub fn is_spelled(self, text: &str) -> bool {
        match self {
            Self::Int(value) => text == value.to_string(),
            Self::Float(value) if value.is_nan() => text == "NaN",
            Self::Float(f64::INFINITY) => text == "+Inf",
            Self::Float(f64::NEG_INFINITY) => text == "-Inf",
            Self::Float(value) => text.parse::<f64>().is_ok_and(|read| read.to_bits() == value.to_bits()),
        }
    }
}

pub fn pictures() -> impl Strategy<Value = Snapshot> {
    (vec(drafts(), 0..4), 0u64..1 << 30).prop_map(|(drafts, taken_at)| {
        let families = drafts.into_iter().enumerate().map(|(at, draft)| draft.family(at));
        Snapshot::new(families.collect(), taken_at * 1_000_000_000)
    })
}

/// All of a family but the part of its name that keeps it from printing another family's samples.
#[derive(Debug, Clone)]
struct Draft {
    kind: Kind,
    labels: Vec<String>,
    bounds: Vec<f64>,
    name: String,
    unit: Option<&'static str>,
    total: bool,
    help: String,
    superseded: bool,
    points: Vec<Point>,
}

impl Draft {
    fn family(self, at: usize) -> Family {
        let unit = self.unit.filter(|_| !self.total || self.kind == Kind::Counter);
        let suffix = unit.map(|unit| format!("_{unit}")).unwrap_or_default();
        let total = if self.total { "_total" } else { "" };
        let name = format!("m{at}{}{suffix}{total}", self.name);
        let descriptor = Descriptor::new(&name, &self.help, unit, self.kind, &self.labels, Some(self.bounds));
        let descriptor = Arc::new(descriptor.expect("a valid declaration"));
        Family::new(descriptor, self.superseded, Arc::new(self.points))
    }
}

fn drafts() -> impl Strategy<Value = Draft> {
    let labels = btree_set("[a-d][a-z0-9_]{0,2}", 0..4);
    (kinds(), labels, btree_set(bounds(), 1..5)).prop_flat_map(|(kind, labels, bounds)| {
        let points = vec(points(kind, labels.len(), bounds.len() + 1), 0..5);
        let labels: Vec<String> = labels.into_iter().collect();
        let bounds: Vec<f64> = bounds.into_iter().map(f64::from_bits).collect();
        let unit = option::of(select(vec!["seconds", "bytes"]));
        (points, "[a-z:_]{0,6}", unit, any::<bool>(), texts(), any::<bool>()).prop_map(
            move |(points, name, unit, total, help, superseded)| Draft {
                kind,
                labels: labels.clone(),
                bounds: bounds.clone(),
                name,
                unit,
                total,
                help,
                superseded,
                points,
            },
        )
    })
}

fn kinds() -> impl Strategy<Value = Kind> {
    let gauge = select(Aggregation::ALL.to_vec()).prop_map(|(_, aggregation)| Kind::Gauge(aggregation));
    prop_oneof![Just(Kind::Counter), gauge, Just(Kind::Histogram)]
}

/// Bits of a bound, so that a set keeps bounds distinct.
fn bounds() -> impl Strategy<Value = u64> {
    let usual = select(vec![0.0, 0.1, 0.5, 1.0, 2.5, 1e6, 1e-5, -1.0]);
    let any = floats().prop_filter("a bound is finite", |bound| bound.is_finite());
    prop_oneof![usual, any].prop_map(|bound| (bound + 0.0).to_bits())
}

fn floats() -> impl Strategy<Value = f64> {
    let edges = select(vec![0.0, -0.0, 1.0, 0.25, f64::NAN, f64::INFINITY, f64::NEG_INFINITY]);
    prop_oneof![edges, any::<u64>().prop_map(f64::from_bits), -1e9..1e9]
}

/// Text of any characters, those with a meaning in some format more often.
fn texts() -> impl Strategy<Value = String> {
    let special = "\\\"\n\r\0,{}=# \t'n\u{feff}\u{2028}".chars().collect::<Vec<_>>();
    vec(prop_oneof![select(special), any::<char>()], 0..24).prop_map(String::from_iter)
}

fn values(kind: Kind, width: usize) -> BoxedStrategy<Value> {
    match kind {
        Kind::Counter => (any::<u64>(), prop_oneof![Just(0.0), 0.0..1e300])
            .prop_map(|(int, float)| Value::Counter(Count { int, float }))
            .boxed(),
        Kind::Gauge(_) => floats().prop_map(Value::Gauge).boxed(),
        Kind::Histogram => (vec(0..u64::MAX >> 4, width), floats())
            .prop_map(|(buckets, sum)| Value::Histogram(HistogramValue { buckets, sum }))
            .boxed(),
    }
}

fn points(kind: Kind, labels: usize, width: usize) -> impl Strategy<Value = Point> {
    let defaults = btree_map("[e-g][a-z]{0,2}", texts(), 0..3);
    // Quarters of a second, which floats hold exactly.
    let created_at = (1u64..1 << 32).prop_map(|quarters| quarters * 250_000_000);
    (defaults, vec(texts(), labels), texts(), values(kind, width), created_at).prop_map(
        |(defaults, values, process, value, created_at)| Point {
            defaults: LabelKey::of(
                defaults
                    .iter()
                    .flat_map(|(name, value)| [name.as_str(), value.as_str()]),
            ),
            values: LabelKey::of(values.iter().map(String::as_str)),
            process,
            value,
            created_at,
            exemplars: Vec::new(),
        },
    )
}
