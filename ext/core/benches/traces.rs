//! What spans cost the application: `cargo bench -p tasker_telemetry_core --bench traces`.

use criterion::{criterion_group, criterion_main, Criterion};
use std::hint::black_box;
use std::sync::Arc;
use tasker_telemetry_core::runtime::Runtime;
use tasker_telemetry_core::trace::{
    derive, ids, DropReason, Options, Priority, Settings, SpanKind, SpanRecord, Totals, Tracer,
};

struct Uncounted;

impl Totals for Uncounted {
    fn exported(&self, _: u64) {}
    fn dropped(&self, _: DropReason, _: u64) {}
}

/// A tracer whose queue is full and stays so: its runtime is closed, so that only the application's part is measured.
fn tracer(ratio: f64) -> Tracer {
    let options = Options {
        enabled: Some(true),
        sample_ratio: Some(ratio),
        ..Options::default()
    };
    let settings = Settings::resolve(&options, &|_| None).expect("defaults");
    let runtime = Runtime::new();
    runtime.shutdown(std::time::Duration::ZERO);
    Tracer::new(settings, &runtime, Arc::new(Uncounted)).expect("no certificates")
}

fn spans(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("span");
    let tracer_of_all = tracer(1.0);
    group.bench_function("start, 2 attributes, end", |bencher| {
        bencher.iter(|| {
            let mut span = tracer_of_all.start("charge", SpanKind::Internal, None);
            span.set_attribute("amount", 12);
            span.set_attribute("currency", "EUR");
            span.end(None);
        });
    });
    group.bench_function("the same, current in a fiber and inside another", |bencher| {
        let outer = tracer_of_all.start("request", SpanKind::Server, None);
        tracer_of_all.contexts().push(7, outer.context().clone());
        bencher.iter(|| {
            let parent = tracer_of_all.contexts().current(7);
            let mut span = tracer_of_all.start("charge", SpanKind::Internal, parent.as_ref());
            tracer_of_all.contexts().push(7, span.context().clone());
            span.set_attribute("amount", 12);
            span.set_attribute("currency", "EUR");
            tracer_of_all.contexts().pop(7, span.context().span_id());
            span.end(None);
        });
    });
    let tracer_of_none = tracer(0.0);
    group.bench_function("not sampled", |bencher| {
        bencher.iter(|| {
            let mut span = tracer_of_none.start("charge", SpanKind::Internal, None);
            span.set_attribute("amount", 12);
            span.set_attribute("currency", "EUR");
            span.end(None);
        });
    });
    group.bench_function("derived ids of a step, emitted", |bencher| {
        let identity = tracer_of_all.identity().clone();
        bencher.iter(|| {
            let (task, step) = (
                derive::task(&identity, black_box("12345")),
                derive::step(&identity, "12345", black_box("678"), "1"),
            );
            let record = SpanRecord::new(task.trace_id, step, "step", 1, 2);
            tracer_of_all.emit(record, Priority::Normal)
        });
    });
    group.bench_function("two random ids", |bencher| {
        bencher.iter(|| (ids::trace_id(), ids::span_id()));
    });
    group.finish();
}

criterion_group!(benches, spans);
criterion_main!(benches);
