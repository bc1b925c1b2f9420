//! A fork in the middle of a request: the parent delivers its spans once, a child its own and no others.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use tasker_telemetry_tests::collector::{Behaviour, Collector};
use tasker_telemetry_tests::sending::Sending;
use tasker_telemetry_tests::{until, DEADLINE};

/// A fork is to take no longer, while a collector hangs for ever.
const LONGEST_FORK: Duration = Duration::from_secs(1);

struct Forker(Child);

impl Forker {
    fn start(collector: &Collector, hooks: &str, depth: usize, children: usize) -> Self {
        let process = Command::new(env!("CARGO_BIN_EXE_forker"))
            .args([&collector.url(), hooks, &depth.to_string(), &children.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn();
        Self(process.unwrap())
    }

    fn go_on(&mut self) {
        self.0.stdin.as_mut().unwrap().write_all(b"\n").unwrap();
    }

    /// How long its forks took.
    fn forked(&mut self) -> Duration {
        let mut line = String::new();
        BufReader::new(self.0.stdout.as_mut().unwrap())
            .read_line(&mut line)
            .unwrap();
        Duration::from_micros(line.trim().parse().unwrap())
    }

    /// Whether it and its children delivered all.
    fn ended(&mut self) -> bool {
        until("it to end", || self.0.try_wait().unwrap()).success()
    }
}

impl Drop for Forker {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Spans that were taken, by the first word of their names. A request that was cancelled after it had been written may
/// be taken as well as the one that was sent for it, so spans are told apart by their ids, as collectors do.
fn by_kind(collector: &Collector) -> BTreeMap<String, usize> {
    let mut ids: BTreeMap<String, BTreeSet<Vec<u8>>> = BTreeMap::new();
    for span in collector.spans() {
        ids.entry(span.name).or_default().insert(span.span_id);
    }
    let mut kinds = BTreeMap::new();
    for (name, ids) in ids {
        assert_eq!(ids.len(), 1, "{name}");
        let kind = name.split(' ').next().unwrap().to_owned();
        *kinds.entry(kind).or_default() += 1;
    }
    kinds
}

fn kinds(counts: &[(&str, usize)]) -> BTreeMap<String, usize> {
    counts
        .iter()
        .map(|(kind, count)| ((*kind).to_owned(), *count))
        .collect()
}

/// Forks while a request of the parent hangs, and answers how often each kind of span was taken.
fn fork_in_a_request(hooks: &str, depth: usize, children: usize) -> BTreeMap<String, usize> {
    let collector = Collector::start();
    collector.otherwise(Behaviour::Hang);
    let mut forker = Forker::start(&collector, hooks, depth, children);
    until("a request to hang", || collector.is_hanging().then_some(()));
    forker.go_on();
    let took = forker.forked();
    assert!(took < LONGEST_FORK * children as u32, "{took:?}");
    collector.otherwise(Behaviour::Take);
    forker.go_on();
    assert!(forker.ended());
    let requests = collector.requests();
    let ids = |prefix: &str| -> BTreeSet<Vec<u8>> {
        let spans = requests
            .iter()
            .flat_map(tasker_telemetry_tests::collector::Request::spans);
        spans
            .filter(|span| span.name.starts_with(prefix))
            .map(|span| span.span_id)
            .collect()
    };
    assert_eq!(ids("0 ").len(), 5, "sent again under the same ids");
    by_kind(&collector)
}

#[test]
fn each_process_delivers_its_own_once() {
    // Of two children the first ends at once, without what it has not sent.
    assert_eq!(
        fork_in_a_request("hooks", 1, 2),
        kinds(&[("0", 5), ("1", 1), ("open", 1)])
    );
}

#[test]
fn children_of_children_do_too() {
    let expected = kinds(&[("0", 5), ("1", 2), ("2", 2), ("open", 3)]);
    assert_eq!(fork_in_a_request("hooks", 2, 2), expected);
}

#[test]
fn a_fork_that_bypasses_the_hooks_is_noticed() {
    assert_eq!(
        fork_in_a_request("bypass", 1, 2),
        kinds(&[("0", 5), ("1", 1), ("open", 1)])
    );
    let expected = kinds(&[("0", 5), ("1", 2), ("2", 2), ("open", 3)]);
    assert_eq!(fork_in_a_request("bypass", 2, 2), expected);
}

#[test]
fn a_request_in_flight_is_cancelled_at_once() {
    let collector = Collector::start();
    collector.otherwise(Behaviour::Hang);
    let sending = Sending::to(&collector.url(), &[("OTEL_EXPORTER_OTLP_TIMEOUT", "3600000")]);
    sending.span("span");
    until("a request to hang", || collector.is_hanging().then_some(()));
    sending.runtime.before_fork();
    assert!(!sending.runtime.is_running());
    assert_eq!(sending.tracer.stats().queued, 1);
    sending.span("another");
    sending.runtime.after_fork_parent();
    collector.otherwise(Behaviour::Take);
    assert!(sending.flush());
    assert_eq!(collector.taken().len(), 2);
}

#[test]
fn a_wait_that_was_asked_for_outlasts_a_fork() {
    let collector = Collector::start();
    let sending = Sending::to(&collector.url(), &[]);
    collector.script([Behaviour::Answer(503, "retry-after: 2\r\n")]);
    sending.span("span");
    until("the refusal", || sending.tracer.stats().retry_in);
    sending.runtime.before_fork();
    sending.runtime.after_fork_parent();
    until("it to arrive", || (collector.requests().len() == 2).then_some(()));
    let requests = collector.requests();
    assert!(requests[1].at - requests[0].at >= Duration::from_secs(2));
}

#[test]
fn a_flush_in_another_thread_survives_forks() {
    let collector = Collector::start();
    collector.otherwise(Behaviour::Hang);
    let sending = Sending::to(&collector.url(), &[]);
    sending.span("span");
    std::thread::scope(|scope| {
        let flush = scope.spawn(|| sending.tracer.flush(DEADLINE, &|| false));
        for _ in 0..20 {
            sending.runtime.before_fork();
            sending.runtime.after_fork_parent();
        }
        collector.otherwise(Behaviour::Take);
        assert!(flush.join().unwrap());
    });
    assert_eq!(collector.taken().len(), 1);
}
