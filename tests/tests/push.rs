//! Metrics are pushed at an interval, while this process is the one to push, and once more at the end.

use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::metrics::v1::ResourceMetrics;
use prost::Message;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tasker_telemetry_core::export::push::{Options, Push, Settings};
use tasker_telemetry_core::export::transports::otlp;
use tasker_telemetry_core::runtime::Runtime;
use tasker_telemetry_tests::collector::{Behaviour, Collector};
use tasker_telemetry_tests::{until, DEADLINE};

struct Pushing {
    push: Push,
    runtime: Arc<Runtime>,
    elected: Arc<AtomicBool>,
    collected: Arc<AtomicU64>,
}

impl Pushing {
    fn to(collector: &Collector, interval: f64) -> Self {
        let options = Options {
            enabled: Some(true),
            otlp: otlp::Options {
                endpoint: Some(collector.url()),
                ..otlp::Options::default()
            },
            interval: Some(interval),
        };
        let settings = Settings::resolve(&options, &|_| None).unwrap();
        let (runtime, elected, collected) = (
            Runtime::new(),
            Arc::new(AtomicBool::new(true)),
            Arc::<AtomicU64>::default(),
        );
        let (is_elected, collects) = (Arc::clone(&elected), Arc::clone(&collected));
        let collect = move || {
            let number = collects.fetch_add(1, Ordering::SeqCst);
            is_elected.load(Ordering::SeqCst).then(|| message(number))
        };
        let push = Push::new(settings, &runtime, Box::new(collect)).unwrap();
        Self {
            push,
            runtime,
            elected,
            collected,
        }
    }
}

impl Drop for Pushing {
    fn drop(&mut self) {
        self.runtime.shutdown(DEADLINE);
    }
}

/// The `number`th message.
fn message(number: u64) -> Vec<u8> {
    ExportMetricsServiceRequest {
        resource_metrics: vec![ResourceMetrics {
            schema_url: number.to_string(),
            ..ResourceMetrics::default()
        }],
    }
    .encode_to_vec()
}

#[test]
fn metrics_are_pushed_at_an_interval_and_at_the_end() {
    let collector = Collector::start();
    let pushing = Pushing::to(&collector, 0.1);
    assert!(!pushing.runtime.is_running());
    pushing.push.start();
    until("two pushes", || (pushing.push.stats().pushed >= 2).then_some(()));
    assert!(pushing.push.shutdown(DEADLINE, &|| false));
    let requests = collector.requests();
    assert!(requests.iter().all(|request| request.path == "/v1/metrics"));
    let last = requests.last().unwrap().metrics().resource_metrics.remove(0).schema_url;
    assert_eq!(last, (pushing.collected.load(Ordering::SeqCst) - 1).to_string());
    assert_eq!(requests.len() as u64, pushing.push.stats().pushed);
}

#[test]
fn a_process_that_is_not_elected_pushes_nothing() {
    let collector = Collector::start();
    let pushing = Pushing::to(&collector, 0.1);
    pushing.elected.store(false, Ordering::SeqCst);
    pushing.push.start();
    until("it to ask", || {
        (pushing.collected.load(Ordering::SeqCst) >= 3).then_some(())
    });
    assert!(pushing.push.flush(DEADLINE, &|| false));
    assert!(collector.requests().is_empty());
    pushing.elected.store(true, Ordering::SeqCst);
    until("a push", || (!collector.requests().is_empty()).then_some(()));
}

#[test]
fn a_push_that_failed_is_made_up_for_with_what_is_true_then() {
    let collector = Collector::start();
    collector.script([Behaviour::Answer(503, "retry-after: 1\r\n"), Behaviour::HangUp]);
    let pushing = Pushing::to(&collector, 3600.0);
    assert!(pushing.push.flush(DEADLINE, &|| false));
    let requests = collector.requests();
    assert_eq!(requests.len(), 3);
    assert!(requests[1].at - requests[0].at >= Duration::from_secs(1));
    assert_ne!(requests[0].body, requests[2].body);
    let stats = pushing.push.stats();
    assert_eq!((stats.pushed, stats.failed), (1, 2));

    collector.script([Behaviour::Answer(400, "")]);
    assert!(!pushing.push.flush(DEADLINE, &|| false));
    assert!(pushing.push.stats().last_error.unwrap().contains("400"));
}

#[test]
fn a_last_push_to_a_collector_that_hangs_is_bounded() {
    let collector = Collector::start();
    collector.otherwise(Behaviour::Hang);
    let pushing = Pushing::to(&collector, 3600.0);
    pushing.push.start();
    let begun = Instant::now();
    assert!(!pushing.push.shutdown(Duration::from_millis(50), &|| false));
    assert!(!pushing.push.flush(DEADLINE, &|| true));
    assert!(pushing.runtime.shutdown(DEADLINE));
    assert!(begun.elapsed() < DEADLINE);
}

#[test]
fn pushing_goes_on_after_a_fork() {
    let collector = Collector::start();
    let pushing = Pushing::to(&collector, 0.1);
    pushing.push.start();
    for _ in 0..3 {
        pushing.runtime.before_fork();
        pushing.runtime.after_fork_parent();
        let before = pushing.push.stats().pushed;
        until("another push", || (pushing.push.stats().pushed > before).then_some(()));
    }
}
