//! Metrics are pushed at an interval, while this process is the one to push, and once more at the end.

use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::{Gauge, Metric, NumberDataPoint, ResourceMetrics, ScopeMetrics};
use prost::Message;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tasker_telemetry_core::export::push::{Options, Page, Push, Settings, Source};
use tasker_telemetry_core::export::transports::otlp::{self, SMALLEST};
use tasker_telemetry_core::runtime::Runtime;
use tasker_telemetry_tests::collector::{Behaviour, Collector};
use tasker_telemetry_tests::{until, DEADLINE};

/// Makes numbered messages where it is told that it is elected.
#[derive(Default)]
struct Made {
    is_elected: AtomicBool,
    /// Others have had their terms before this one.
    term: AtomicU64,
    /// Another process is elected, pushes and resigns while so many pages are made.
    misses: AtomicU64,
    asked: AtomicU64,
    made: AtomicU64,
    /// A term is over once a page has been made.
    loses: AtomicBool,
    /// Pages take as many looks at who is elected.
    takes: AtomicU64,
    /// Pages cannot be made.
    fails: AtomicBool,
    /// Bytes of padding in each of the hundred pieces that a page has then.
    padding: AtomicUsize,
}

struct Making(Arc<Made>);

impl Source for Making {
    fn pace(&self, interval: Duration) -> Duration {
        interval / 4
    }

    fn campaign(&self) -> Option<u64> {
        self.0.asked.fetch_add(1, Ordering::SeqCst);
        let term = self.0.term.load(Ordering::SeqCst);
        self.0.is_elected.load(Ordering::SeqCst).then_some(term)
    }

    fn holds(&self, term: u64) -> bool {
        self.0.is_elected.load(Ordering::SeqCst) && self.0.term.load(Ordering::SeqCst) == term
    }

    fn page(&self) -> Page {
        let made = Arc::clone(&self.0);
        let until = made.asked.load(Ordering::SeqCst) + made.takes.load(Ordering::SeqCst);
        Box::pin(async move {
            while made.asked.load(Ordering::SeqCst) < until {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            if made.loses.load(Ordering::SeqCst) {
                made.is_elected.store(false, Ordering::SeqCst);
            }
            if made.misses.load(Ordering::SeqCst) > 0 {
                made.misses.fetch_sub(1, Ordering::SeqCst);
                made.term.fetch_add(2, Ordering::SeqCst);
            }
            if made.fails.load(Ordering::SeqCst) {
                return None;
            }
            let number = made.made.fetch_add(1, Ordering::SeqCst);
            Some(match made.padding.load(Ordering::SeqCst) {
                0 => message(number),
                padding => large(number, padding),
            })
        })
    }
}

struct Pushing {
    push: Push,
    runtime: Arc<Runtime>,
    source: Arc<Made>,
}

impl Pushing {
    fn to(collector: &Collector, interval: f64) -> Self {
        let (runtime, source) = (Runtime::new(), Arc::<Made>::default());
        source.is_elected.store(true, Ordering::SeqCst);
        let push = push(collector, interval, &runtime, &source);
        Self { push, runtime, source }
    }

    fn elect(&self, elected: bool) {
        self.source.is_elected.store(elected, Ordering::SeqCst);
    }

    /// Has the worker begin anew.
    fn fork(&self) {
        self.runtime.before_fork();
        self.runtime.after_fork_parent();
    }
}

fn push(collector: &Collector, interval: f64, runtime: &Arc<Runtime>, source: &Arc<Made>) -> Push {
    let options = Options {
        enabled: Some(true),
        otlp: otlp::Options {
            endpoint: Some(collector.url()),
            ..otlp::Options::default()
        },
        interval: Some(interval),
    };
    let settings = Settings::resolve(&options, &|_| None).unwrap();
    Push::new(settings, runtime, Box::new(Making(Arc::clone(source)))).unwrap()
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

/// The `number`th message, in a hundred pieces of one data point each.
fn large(number: u64, padding: usize) -> Vec<u8> {
    let metric = Metric {
        description: "x".repeat(padding),
        data: Some(Data::Gauge(Gauge {
            data_points: vec![NumberDataPoint::default()],
        })),
        ..Metric::default()
    };
    let piece = |index| ResourceMetrics {
        schema_url: format!("{number} {index}"),
        scope_metrics: vec![ScopeMetrics {
            metrics: vec![metric.clone()],
            ..ScopeMetrics::default()
        }],
        ..ResourceMetrics::default()
    };
    ExportMetricsServiceRequest {
        resource_metrics: (0..100).map(piece).collect(),
    }
    .encode_to_vec()
}

/// How often each piece was taken.
fn pieces(collector: &Collector) -> BTreeMap<String, usize> {
    let mut pieces = BTreeMap::new();
    for request in collector.requests().iter().filter(|request| request.taken) {
        for piece in request.metrics().resource_metrics {
            *pieces.entry(piece.schema_url).or_default() += 1;
        }
    }
    pieces
}

/// The pieces of the `number`th page, each once.
fn whole(number: u64) -> BTreeMap<String, usize> {
    (0..100).map(|index| (format!("{number} {index}"), 1)).collect()
}

#[test]
fn metrics_are_pushed_at_an_interval_and_at_the_end() {
    let collector = Collector::start();
    let pushing = Pushing::to(&collector, 0.1);
    assert!(!pushing.runtime.is_running());
    pushing.push.start();
    until("two pushes", || (pushing.push.stats().pushed >= 2).then_some(()));
    assert!(pushing.push.flush(DEADLINE, &|| false));
    pushing.push.stop();
    let requests = collector.requests();
    assert!(requests.iter().all(|request| request.path == "/v1/metrics"));
    let last = requests.last().unwrap().metrics().resource_metrics.remove(0).schema_url;
    assert_eq!(last, (pushing.source.made.load(Ordering::SeqCst) - 1).to_string());
    assert_eq!(requests.len() as u64, pushing.push.stats().pushed);
}

#[test]
fn a_process_that_is_not_elected_pushes_nothing() {
    let collector = Collector::start();
    let pushing = Pushing::to(&collector, 0.1);
    pushing.elect(false);
    pushing.push.start();
    until("it to ask", || {
        (pushing.source.asked.load(Ordering::SeqCst) >= 3).then_some(())
    });
    assert!(pushing.push.flush(Duration::MAX, &|| false));
    assert_eq!(pushing.source.made.load(Ordering::SeqCst), 0);
    assert!(collector.requests().is_empty());
    pushing.elect(true);
    until("a push", || (!collector.requests().is_empty()).then_some(()));
}

#[test]
fn who_is_newly_elected_pushes_at_once_each_time() {
    let collector = Collector::start();
    let pushing = Pushing::to(&collector, 3600.0);
    pushing.push.start();
    for term in 1..=3 {
        until("a push", || (pushing.push.stats().pushed == 2 * term - 1).then_some(()));
        // Who is elected already waits for the interval.
        pushing.fork();
        assert!(pushing.push.flush(DEADLINE, &|| false));
        assert_eq!(pushing.push.stats().pushed, 2 * term);
        pushing.elect(false);
        assert!(pushing.push.flush(DEADLINE, &|| false));
        pushing.elect(true);
        pushing.fork();
    }
}

#[test]
fn a_term_that_is_lost_while_the_page_is_made_pushes_nothing() {
    let collector = Collector::start();
    let pushing = Pushing::to(&collector, 3600.0);
    pushing.source.loses.store(true, Ordering::SeqCst);
    assert!(pushing.push.flush(DEADLINE, &|| false));
    assert_eq!(pushing.source.made.load(Ordering::SeqCst), 1);
    assert!(collector.requests().is_empty());
}

#[test]
fn a_page_of_a_term_before_is_not_sent_in_a_later_one() {
    let collector = Collector::start();
    let pushing = Pushing::to(&collector, 3600.0);
    pushing.source.misses.store(2, Ordering::SeqCst);
    assert!(pushing.push.flush(DEADLINE, &|| false));
    let requests = collector.requests();
    assert_eq!(requests.len(), 1);
    assert_eq!(requests[0].body, message(2));
    let stats = pushing.push.stats();
    assert_eq!((stats.pushed, stats.failed), (1, 0));
}

#[test]
fn a_page_that_cannot_be_made_is_a_push_that_failed() {
    let collector = Collector::start();
    let pushing = Pushing::to(&collector, 3600.0);
    pushing.source.fails.store(true, Ordering::SeqCst);
    assert!(!pushing.push.flush(DEADLINE, &|| false));
    let stats = pushing.push.stats();
    assert_eq!((stats.pushed, stats.failed), (0, 1));
    assert_eq!(stats.last_error.unwrap(), "the page of metrics could not be made");
    assert!(collector.requests().is_empty());
    pushing.source.fails.store(false, Ordering::SeqCst);
    assert!(pushing.push.flush(DEADLINE, &|| false));
    assert_eq!(pushing.push.stats().pushed, 1);
}

#[test]
fn it_is_asked_who_is_elected_however_long_a_page_or_an_answer_takes() {
    let collector = Collector::start();
    let pushing = Pushing::to(&collector, 0.1);
    pushing.source.takes.store(10, Ordering::SeqCst);
    assert!(pushing.push.flush(DEADLINE, &|| false));
    assert_eq!(collector.requests().len(), 1);

    pushing.source.takes.store(0, Ordering::SeqCst);
    collector.otherwise(Behaviour::Hang);
    until("a request", || collector.is_hanging().then_some(()));
    let asked = pushing.source.asked.load(Ordering::SeqCst);
    until("it to ask", || {
        (pushing.source.asked.load(Ordering::SeqCst) >= asked + 10).then_some(())
    });
    // What another process has pushed meanwhile must not be followed by what is older.
    pushing.elect(false);
    assert!(pushing.push.flush(DEADLINE, &|| false));
    let failed = pushing.push.stats();
    assert_eq!((failed.pushed, failed.failed), (1, 0));
}

#[test]
fn what_takes_the_place_of_a_push_is_alone() {
    let (before, after) = (Collector::start(), Collector::start());
    let mut pushing = Pushing::to(&before, 0.1);
    pushing.push.start();
    until("a push", || (!before.requests().is_empty()).then_some(()));
    pushing.push = push(&after, 0.1, &pushing.runtime, &pushing.source);
    let last = until("a push there", || {
        (!after.requests().is_empty()).then(|| before.requests().len())
    });
    until("more of them", || (after.requests().len() >= 5).then_some(()));
    assert!(before.requests().len() <= last + 1);
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
fn a_page_is_as_many_requests_as_it_takes_of_one_push() {
    let collector = Collector::start();
    let pushing = Pushing::to(&collector, 3600.0);
    pushing.source.padding.store(7_000, Ordering::SeqCst);
    assert!(pushing.push.flush(DEADLINE, &|| false));
    assert_eq!(pieces(&collector), whole(0));
    let requests = collector.requests();
    assert_eq!(requests.len(), 3);
    assert!(requests.iter().all(|request| request.body.len() <= 256 << 10));
    let stats = pushing.push.stats();
    assert_eq!((stats.pushed, stats.failed, stats.last_error), (1, 0, None));
}

#[test]
fn a_page_of_which_a_part_has_to_wait_is_made_anew() {
    let collector = Collector::start();
    collector.script([Behaviour::Take, Behaviour::Answer(503, "")]);
    let pushing = Pushing::to(&collector, 3600.0);
    pushing.source.padding.store(7_000, Ordering::SeqCst);
    assert!(pushing.push.flush(DEADLINE, &|| false));
    let stats = pushing.push.stats();
    assert_eq!((stats.pushed, stats.failed), (1, 1));
    let second: BTreeMap<_, _> = pieces(&collector)
        .into_iter()
        .filter(|(piece, _)| piece.starts_with("1 "))
        .collect();
    assert_eq!(second, whole(1));
}

#[test]
fn a_collector_that_takes_less_gets_less_and_what_is_too_large_for_it_is_counted() {
    let collector = Collector::start();
    collector.otherwise(Behaviour::AtMost(SMALLEST * 2));
    let pushing = Pushing::to(&collector, 3600.0);
    pushing.source.padding.store(10_000, Ordering::SeqCst);
    assert!(pushing.push.flush(DEADLINE, &|| false));
    assert_eq!(pieces(&collector), whole(0));

    let before = collector.requests().len();
    collector.otherwise(Behaviour::AtMost(10));
    assert!(!pushing.push.flush(DEADLINE, &|| false));
    // It is not cut up to the last piece.
    assert!(collector.requests().len() - before < 50);
    let stats = pushing.push.stats();
    assert_eq!((stats.pushed, stats.failed, stats.rejected), (1, 1, 100));
    assert!(stats.last_error.unwrap().contains("413"));
}

#[test]
fn a_part_that_is_refused_keeps_no_other_one_back() {
    let collector = Collector::start();
    collector.script([Behaviour::Answer(400, "")]);
    let pushing = Pushing::to(&collector, 3600.0);
    pushing.source.padding.store(7_000, Ordering::SeqCst);
    assert!(!pushing.push.flush(DEADLINE, &|| false));
    assert_eq!(collector.requests().len(), 3);
    let stats = pushing.push.stats();
    assert_eq!((stats.pushed, stats.failed), (0, 1));
    assert!(stats.last_error.unwrap().contains("400"));
}

#[test]
fn a_last_push_to_a_collector_that_hangs_is_bounded() {
    let collector = Collector::start();
    collector.otherwise(Behaviour::Hang);
    let pushing = Pushing::to(&collector, 3600.0);
    pushing.push.start();
    let begun = Instant::now();
    assert!(!pushing.push.flush(Duration::from_millis(50), &|| false));
    assert!(!pushing.push.flush(DEADLINE, &|| true));
    pushing.push.stop();
    assert!(!pushing.push.flush(DEADLINE, &|| false));
    assert!(pushing.runtime.shutdown(DEADLINE));
    assert!(begun.elapsed() < DEADLINE);
}

#[test]
fn pushing_goes_on_after_a_fork() {
    let collector = Collector::start();
    let pushing = Pushing::to(&collector, 0.1);
    pushing.push.start();
    for _ in 0..3 {
        pushing.fork();
        let before = pushing.push.stats().pushed;
        until("another push", || (pushing.push.stats().pushed > before).then_some(()));
    }
}
