//! What an event costs without Ruby: finding its route, deciding, counting it and observing its duration.
//!
//! `cargo bench -p tasker_telemetry_core --bench events`

use criterion::{criterion_group, criterion_main, Criterion};
use std::borrow::Cow;
use std::hint::black_box;
use tasker_telemetry_core::arena::{Place, Registry, Settings, Threads};
use tasker_telemetry_core::event::{intern, Events, Key, Label, Mapping, Payload, Redactor, Times, Value};

const NOW: i64 = 1_800_000_000_000_000_000;

/// A small payload, looked through from the front as a small Ruby Hash is.
struct Small(Vec<(Key, Value<'static>)>);

impl Small {
    fn of(entries: &[(&str, Value<'static>)]) -> Self {
        Self(
            entries
                .iter()
                .map(|(key, value)| (intern(key), value.clone()))
                .collect(),
        )
    }
}

impl Payload for Small {
    fn get(&self, key: Key) -> Option<Value<'_>> {
        let (_, value) = self.0.iter().find(|(other, _)| *other == key)?;
        Some(match value {
            Value::Text(text) => Value::Text(Cow::Borrowed(text)),
            other => other.clone(),
        })
    }

    fn for_each(&self, visit: &mut dyn FnMut(&str, Value<'_>)) {
        self.0.iter().for_each(|(key, value)| visit(key.name(), value.clone()));
    }
}

fn text(text: &'static str) -> Value<'static> {
    Value::Text(Cow::Borrowed(text))
}

fn events() -> Events {
    let registry = Registry::new(Threads::Serialized);
    let settings = Settings {
        place: Place::Memory,
        ..Settings::default()
    };
    registry.configure(settings).expect("valid settings");
    let events = Events::new(registry);
    for (pattern, sample, labels) in [
        ("order.completed", 1.0, &["status", "plan"][..]),
        ("order.seen", 1.0, &["status"][..]),
        ("order.rare", 0.0, &["status"][..]),
        ("cart.*", 1.0, &[][..]),
    ] {
        let labels = labels.iter().map(|label| Label::new(label, label, None)).collect();
        let mapping = Mapping::new(pattern, &["metrics", "traces"], sample, "normal", labels, true);
        events.map(mapping.expect("a valid mapping"));
    }
    events
}

fn custom(criterion: &mut Criterion) {
    let events = events();
    let payload = Small::of(&[
        ("order_id", Value::Int(7)),
        ("status", text("paid")),
        ("plan", text("pro")),
    ]);
    let mut group = criterion.benchmark_group("custom event");
    group.bench_function("route", |bencher| {
        bencher.iter(|| drop(events.route(black_box("order.completed"))));
    });
    let mut finish = |what: &str, name: &'static str, times: Times| {
        group.bench_function(what, |bencher| {
            bencher.iter(|| {
                let route = events.route(black_box(name));
                events.finish(&route, &payload, black_box(times)).decision
            });
        });
    };
    let block = Times::around(NOW, NOW + 2_000_000);
    finish("2 labels and duration", "order.completed", block);
    finish("1 label and duration", "order.seen", block);
    finish("1 label", "order.seen", Times::at(NOW));
    finish("sampled out", "order.rare", block);
    finish("no label and duration", "cart.seen", block);
    finish("not mapped", "basket.seen", block);
    group.finish();
}

fn built_in(criterion: &mut Criterion) {
    let events = events();
    let step = |id: i64, attempt: i64| {
        Small::of(&[
            ("task_id", Value::Int(1)),
            ("step_id", Value::Int(id)),
            ("task_name", text("pack")),
            ("namespace", text("shop")),
            ("step_name", text("weigh")),
            ("attempt_number", Value::Int(attempt)),
            ("transitioned_at", Value::Time(NOW + attempt)),
        ])
    };
    let mut group = criterion.benchmark_group("step of a task");
    let mut tell = |what: &str, payload: &dyn Fn(i64) -> Small| {
        let mut attempt = 0;
        group.bench_function(what, |bencher| {
            bencher.iter_batched(
                || {
                    attempt += 1;
                    payload(attempt)
                },
                |payload| {
                    let route = events.route(black_box("step.completed"));
                    let times = Times::around(NOW, NOW + 2_000_000);
                    events.finish(&route, &payload, times).duplicate
                },
                criterion::BatchSize::SmallInput,
            );
        });
    };
    tell("completed", &|attempt| step(7, attempt));
    tell("completed again", &|_| step(7, 1));
    group.finish();
}

fn redacting(criterion: &mut Criterion) {
    let redactor = Redactor::default();
    let mut group = criterion.benchmark_group("redacting");
    group.bench_function("key", |bencher| bencher.iter(|| redactor.hides(black_box("order_id"))));
    let ordinary = "Validation failed: Email can't be blank, Name is too short (minimum is 3 characters)";
    group.bench_function("ordinary message", |bencher| {
        bencher.iter(|| redactor.text(black_box(ordinary)).len());
    });
    group.bench_function("word", |bencher| {
        bencher.iter(|| redactor.text(black_box("paid")).len());
    });
    let secret = "GET https://user:pass@api.example/v1?token=abc failed with 401";
    group.bench_function("message with secrets", |bencher| {
        bencher.iter(|| redactor.text(black_box(secret)).len());
    });
    group.finish();
}

criterion_group!(benches, custom, built_in, redacting);
criterion_main!(benches);
