//! Names and labels that would make a page which no reader accepts, or two series of one.

use super::common::{declare, lines, registry};
use tasker_telemetry_core::arena::{Error, Settings, SpanOutcome};
use tasker_telemetry_core::metric::{self, Aggregation, Descriptor, Kind};

fn gauge(name: &str) -> Descriptor {
    Descriptor::new(name, "", None, Kind::Gauge(Aggregation::Last), &[], None).unwrap()
}

fn labels(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect()
}

#[test]
fn refuses_what_the_gem_prints_of_every_process() {
    let registry = registry(|_| {});
    let of_processes = [
        "process_threads",
        "process_resident_memory_bytes",
        "process_cpu_seconds",
        "ruby_gc_runs",
        "ruby_gc_duration_seconds",
    ];
    for name in of_processes {
        let refused = registry.declare(gauge(name));
        assert!(matches!(refused, Err(metric::Error::SampleClash { .. })), "{name}");
    }
    assert!(registry.declare(gauge("process_open_files")).is_ok());
}

#[test]
fn refuses_what_a_prefix_makes_one_of_the_gems_own() {
    let prefixed = registry(|settings| settings.prefix = Some("tasker".to_owned()));
    assert!(matches!(
        prefixed.declare(gauge("telemetry_processes")),
        Err(metric::Error::ReservedMetricName(name)) if name == "tasker_telemetry_processes"
    ));

    let plain = registry(|_| {});
    declare(&plain, "threads", Kind::Counter, &[]);
    declare(&plain, "telemetry_series", Kind::Counter, &[]);
    for prefix in ["process", "tasker"] {
        let refused = plain.configure(Settings {
            prefix: Some(prefix.to_owned()),
            ..Settings::default()
        });
        assert!(
            matches!(&refused, Err(Error::PrefixClash { prefix: told, .. }) if told == prefix),
            "{refused:?}"
        );
    }
}

#[test]
fn keeps_default_labels_off_what_is_told_of_the_whole_machine() {
    let registry = registry(|settings| settings.default_labels = labels(&[("reason", "x")]));
    declare(&registry, "a_total", Kind::Counter, &[]).increment_int(&[], 1);
    assert_eq!(lines(&registry, "a_total"), ["a_total{reason=\"x\"} 1"]);
    assert_eq!(
        lines(&registry, "tasker_telemetry_processes"),
        ["tasker_telemetry_processes 1"]
    );
    let dropped = lines(
        &registry,
        "tasker_telemetry_dropped_samples_total{reason=\"wrong_labels\"}",
    );
    assert_eq!(dropped.len(), 1);
}

#[test]
fn takes_default_labels_for_the_same_in_any_order() {
    let registry = registry(|settings| settings.default_labels = labels(&[("a", "1"), ("b", "2")]));
    let counter = declare(&registry, "x_total", Kind::Counter, &[]);
    counter.increment_int(&[], 1);
    let settings = |pairs: &[(&str, &str)]| Settings {
        place: tasker_telemetry_core::arena::Place::Memory,
        default_labels: labels(pairs),
        ..Settings::default()
    };
    registry.configure(settings(&[("b", "2"), ("a", "1")])).unwrap();
    counter.increment_int(&[], 1);
    assert_eq!(lines(&registry, "x_total"), ["x_total{a=\"1\",b=\"2\"} 2"]);

    registry.configure(settings(&[("c", "3")])).unwrap();
    let threads = lines(&registry, "process_threads");
    assert!(
        threads[0].starts_with("process_threads{c=\"3\",process="),
        "{threads:?}"
    );
}

#[test]
fn prints_what_became_of_spans_from_before_the_arena_on() {
    let registry = registry(|_| {});
    registry.count_spans(SpanOutcome::Exported, 3);
    declare(&registry, "a_total", Kind::Counter, &[]).increment_int(&[], 1);
    registry.count_spans(SpanOutcome::Exported, 4);
    registry.count_spans(SpanOutcome::QueueFull, 2);
    assert_eq!(
        lines(&registry, "tasker_telemetry_exported_spans_total"),
        ["tasker_telemetry_exported_spans_total 7"]
    );
    let dropped = lines(&registry, "tasker_telemetry_dropped_spans_total");
    assert!(dropped.contains(&"tasker_telemetry_dropped_spans_total{reason=\"queue_full\"} 2".to_owned()));
    for reason in ["rejected", "retries_exhausted", "shutdown"] {
        let line = format!("tasker_telemetry_dropped_spans_total{{reason=\"{reason}\"}} 0");
        assert!(dropped.contains(&line), "{dropped:?}");
    }
}
