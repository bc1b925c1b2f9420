//! What counting costs without Ruby, and what a scrape of an arena of 10 000 counter series is made of.
//!
//! `cargo bench -p tasker_telemetry_core --bench arena`

use criterion::{criterion_group, criterion_main, BatchSize, Criterion, Throughput};
use std::hint::black_box;
use std::sync::Arc;
use tasker_telemetry_core::arena::exemplar::{self, TraceRef};
use tasker_telemetry_core::arena::{Metric, Place, Quiescent, Registry, Settings, Threads};
use tasker_telemetry_core::export::formats::{Kind as Format, Renderer};
use tasker_telemetry_core::metric::{Aggregation, Descriptor, Kind, LabelKey};

const SERIES: u64 = 10_000;

fn registry() -> Arc<Registry> {
    let registry = Registry::new(Threads::Serialized);
    let settings = Settings {
        place: Place::Memory,
        max_series: u32::MAX,
        ..Settings::default()
    };
    registry.configure(settings).expect("valid settings");
    registry
}

fn declare(registry: &Arc<Registry>, name: &str, kind: Kind) -> Arc<Metric> {
    let labels = ["status", "queue"].map(str::to_owned);
    let descriptor = Descriptor::new(name, "Help", None, kind, &labels, None).expect("a valid declaration");
    registry.declare(descriptor).expect("a new name")
}

fn key(index: u64) -> LabelKey {
    let (status, queue) = (format!("status-{}", index % 100), format!("queue-{}", index / 100));
    LabelKey::of([status.as_str(), queue.as_str()])
}

fn recording(criterion: &mut Criterion) {
    let registry = registry();
    let counter = declare(&registry, "orders_total", Kind::Counter);
    let histogram = declare(&registry, "checkout_seconds", Kind::Histogram);
    let gauge = declare(&registry, "queue_depth", Kind::Gauge(Aggregation::Last));
    let key = key(1);

    let mut group = criterion.benchmark_group("recording");
    let bound = counter.series(&key);
    group.bench_function("bound increment", |bencher| {
        bencher.iter(|| bound.increment_int(black_box(1)));
    });
    group.bench_function("increment by key", |bencher| {
        bencher.iter(|| counter.increment_int(black_box(key.as_bytes()), 1));
    });
    let bound = gauge.series(&key);
    group.bench_function("bound set", |bencher| {
        bencher.iter(|| drop(bound.set(black_box(7.0))));
    });
    let bound = histogram.series(&key);
    group.bench_function("bound observe", |bencher| {
        bencher.iter(|| drop(bound.observe(black_box(0.31))));
    });
    group.bench_function("observe by key", |bencher| {
        bencher.iter(|| histogram.observe(black_box(key.as_bytes()), 0.31));
    });
    group.finish();

    // Last, because recording looks for a span from then on.
    let mut group = criterion.benchmark_group("recording while traces are on");
    let (counted, observed) = (counter.series(&key), histogram.series(&key));
    let span = TraceRef {
        trace_id: [1; 16],
        span_id: [1; 8],
    };
    for (current, name) in [(None, "outside of spans"), (Some(span), "in a span")] {
        exemplar::set_current(Some(span));
        exemplar::set_current(current);
        group.bench_function(format!("bound increment {name}"), |bencher| {
            bencher.iter(|| counted.increment_int(black_box(1)));
        });
        group.bench_function(format!("bound observe {name}"), |bencher| {
            bencher.iter(|| drop(observed.observe(black_box(0.31))));
        });
    }
    exemplar::set_current(None);
    group.finish();
}

fn notes(criterion: &mut Criterion) {
    let notes = registry().notes();
    let mut group = criterion.benchmark_group("notes");
    let mut key = 0;
    group.bench_function("first, of a new key", |bencher| {
        bencher.iter(|| {
            key += 1;
            notes.first(black_box(key), 1_700_000_000)
        });
    });
    assert!(!notes.first(key, 1_700_000_000), "the key was noted");
    group.bench_function("first, of a known key", |bencher| {
        bencher.iter(|| notes.first(black_box(key), 1_700_000_000));
    });
    group.bench_function("update", |bencher| {
        bencher.iter(|| notes.update(black_box(7), 1_700_000_000, |value| Some(value.unwrap_or(0) + 1)));
    });
    group.bench_function("get", |bencher| bencher.iter(|| notes.get(black_box(7))));
    group.finish();
}

fn registering(criterion: &mut Criterion) {
    let keys: Vec<_> = (0..SERIES).map(key).collect();
    let mut group = criterion.benchmark_group("registering");
    group.throughput(Throughput::Elements(SERIES)).sample_size(10);
    group.bench_function("10000 counter series", |bencher| {
        bencher.iter_batched(
            || {
                let registry = registry();
                let counter = declare(&registry, "orders_total", Kind::Counter);
                (registry, counter)
            },
            |(registry, counter)| {
                keys.iter().for_each(|key| counter.increment_int(key.as_bytes(), 1));
                (registry, counter)
            },
            BatchSize::PerIteration,
        );
    });
    group.finish();
}

fn scraping(criterion: &mut Criterion) {
    let registry = registry();
    let counter = declare(&registry, "orders_total", Kind::Counter);
    (0..SERIES).for_each(|index| counter.increment_int(key(index).as_bytes(), index));

    let mut group = criterion.benchmark_group("scraping");
    group.throughput(Throughput::Elements(SERIES));
    group.bench_function("begin", |bencher| {
        bencher.iter(|| drop(registry.begin_scrape(Quiescent::promise())));
    });
    let scrape = registry.begin_scrape(Quiescent::promise());
    group.bench_function("snapshot", |bencher| bencher.iter(|| scrape.snapshot()));
    let snapshot = scrape.snapshot();
    let mut page = Vec::new();
    group.bench_function("render", |bencher| {
        bencher.iter(|| {
            page.clear();
            Renderer::new(Format::Prometheus, snapshot.clone()).chunk(&mut page, usize::MAX);
            black_box(page.len())
        });
    });
    group.bench_function("whole page", |bencher| {
        bencher.iter(|| {
            let snapshot = registry.begin_scrape(Quiescent::promise()).snapshot();
            let mut page = Vec::new();
            Renderer::new(Format::Prometheus, snapshot).chunk(&mut page, usize::MAX);
            page
        });
    });
    group.finish();
}

criterion_group!(benches, recording, notes, registering, scraping);
criterion_main!(benches);
