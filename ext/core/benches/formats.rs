//! What a page costs: 10 000 counter series of two labels, and 1 000 histograms of one label and eleven bounds.
//!
//! `cargo bench -p tasker_telemetry_core --bench formats` prints the time of a whole page and the series per second.

use criterion::{criterion_group, criterion_main, Criterion, Throughput};
use std::hint::black_box;
use std::sync::Arc;
use tasker_telemetry_core::export::formats::{Kind, Renderer};
use tasker_telemetry_core::metric::{Descriptor, Kind as Instrument, LabelKey};
use tasker_telemetry_core::snapshot::{Count, Family, HistogramValue, Point, Points, Snapshot, Value};

/// Series whose points are written into the reader's buffer one at a time, as from an arena.
struct Series {
    labels: Vec<Vec<String>>,
    value: fn(usize, &mut Value),
}

impl Points for Series {
    fn count(&self) -> usize {
        self.labels.len()
    }

    fn load(&self, index: usize, point: &mut Point) -> bool {
        point.values = LabelKey::reusing(std::mem::take(&mut point.values).into_buffer());
        for value in &self.labels[index] {
            point.values.push(value);
        }
        point.created_at = 1_700_000_000_123_456_789;
        (self.value)(index, &mut point.value);
        true
    }
}

fn counters() -> Snapshot {
    let names = ["status", "queue"].map(str::to_owned);
    let descriptor = Descriptor::new("orders_total", "Orders placed", None, Instrument::Counter, &names, None);
    let labels = (0..10_000).map(|i| vec![format!("status-{}", i % 100), format!("queue-{}", i / 100)]);
    picture(descriptor, labels.collect(), |index, value| {
        let int = index as u64 * 7;
        *value = Value::Counter(Count { int, float: 0.0 });
    })
}

fn histograms() -> Snapshot {
    let names = ["plan".to_owned()];
    let descriptor = Descriptor::new("checkout_seconds", "Time", None, Instrument::Histogram, &names, None);
    let labels = (0..1_000).map(|i| vec![format!("plan-{i}")]);
    picture(descriptor, labels.collect(), |index, value| {
        if !matches!(value, Value::Histogram(_)) {
            *value = Value::Histogram(HistogramValue::default());
        }
        if let Value::Histogram(histogram) = value {
            histogram.buckets.clear();
            histogram.buckets.extend((0..12).map(|bucket| bucket * index as u64));
            histogram.sum = index as f64 * 0.37;
        }
    })
}

fn picture(
    descriptor: tasker_telemetry_core::metric::Result<Descriptor>,
    labels: Vec<Vec<String>>,
    value: fn(usize, &mut Value),
) -> Snapshot {
    let descriptor = descriptor.expect("a valid declaration");
    let family = Family::new(Arc::new(descriptor), false, Arc::new(Series { labels, value }));
    Snapshot::new(vec![family], 1_700_000_000_000_000_000)
}

fn pages(criterion: &mut Criterion) {
    for (name, snapshot) in [("10000 counters", counters()), ("1000 histograms", histograms())] {
        let mut group = criterion.benchmark_group(name);
        group.throughput(Throughput::Elements(snapshot.series() as u64));
        for kind in Kind::ALL {
            let mut page = Vec::new();
            group.bench_function(kind.name(), |bencher| {
                bencher.iter(|| {
                    page.clear();
                    Renderer::new(kind, snapshot.clone()).chunk(&mut page, usize::MAX);
                    black_box(page.len())
                });
            });
        }
        group.finish();
    }
}

criterion_group!(benches, pages);
criterion_main!(benches);
