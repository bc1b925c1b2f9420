//! Spans reach a collector once, whatever it does.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{SocketAddr, TcpListener};
use std::time::{Duration, Instant};
use tasker_telemetry_core::export::transports::otlp;
use tasker_telemetry_core::trace::{
    derive, exception, Condition, DropReason, KeyValue, Link, Priority, SpanContext, SpanId, SpanKind, SpanRecord,
    Status, TraceFlags, TraceId, TraceState, START_UNKNOWN, UNSAMPLED_TRACE,
};
use tasker_telemetry_tests::collector::{Behaviour, Collector};
use tasker_telemetry_tests::sending::Sending;
use tasker_telemetry_tests::{until, DEADLINE};

fn names(prefix: &str, count: usize) -> BTreeMap<String, usize> {
    (0..count).map(|index| (format!("{prefix} {index}"), 1)).collect()
}

fn spans(sending: &Sending, prefix: &str, count: usize) -> BTreeMap<String, usize> {
    (0..count).for_each(|index| sending.span(format!("{prefix} {index}")));
    names(prefix, count)
}

fn wait_for(collector: &Collector, expected: &BTreeMap<String, usize>) {
    until("the spans to arrive", || {
        (collector.taken().len() >= expected.len()).then_some(())
    });
    assert_eq!(&collector.taken(), expected);
}

/// Where nobody listens.
fn nobody() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

#[test]
fn a_span_arrives_as_it_was_told() {
    let collector = Collector::start();
    let sending = Sending::with(
        otlp::Options {
            endpoint: Some(collector.url()),
            headers: Some(vec![("api-key".into(), "hunter2-hunter2".into())]),
            ..otlp::Options::default()
        },
        &[
            ("OTEL_RESOURCE_ATTRIBUTES", "team=a%20b"),
            ("OTEL_EXPORTER_OTLP_COMPRESSION", "gzip"),
        ],
    );
    let tracer = &sending.tracer;
    let state = TraceState::from_key_value([("vendor", "x")]).unwrap();
    let remote = SpanContext::new(TraceId::from(7), SpanId::from(8), TraceFlags::new(3), true, state);
    let mut span = tracer.start("GET /", SpanKind::Server, Some(&remote));
    assert_eq!(span.context().trace_id(), remote.trace_id());
    span.set_attribute("count", 1);
    span.set_attribute("count", 2);
    let error = exception("KeyError", "no such key", Some("a.rb:1\nb.rb:2"));
    span.add_event("exception", None, error);
    span.set_status(Status::error("failed"));
    span.add_link(Link::with_context(remote.clone()));
    let id = span.context().span_id();
    span.end(None);
    span.end(None);
    assert!(sending.flush());

    let request = &collector.requests()[0];
    assert_eq!(request.path, "/v1/traces");
    assert_eq!(request.headers["content-type"], "application/x-protobuf");
    assert_eq!(request.headers["content-encoding"], "gzip");
    assert_eq!(request.headers["api-key"], "hunter2-hunter2");
    assert_eq!(request.headers["host"], collector.url()[7..]);
    let resource = request.traces().resource_spans.remove(0).resource.unwrap();
    let text = format!("{resource:?}");
    for expected in [
        "service.name",
        "shop",
        "deployment.environment.name",
        "process.pid",
        "a b",
    ] {
        assert!(text.contains(expected), "{expected} in {text}");
    }
    let spans = request.spans();
    assert_eq!(spans.len(), 1);
    let span = &spans[0];
    assert_eq!(span.trace_id, TraceId::from(7).to_bytes());
    assert_eq!(span.span_id, id.to_bytes());
    assert_eq!(span.parent_span_id, SpanId::from(8).to_bytes());
    assert_eq!((span.name.as_str(), span.kind, span.flags), ("GET /", 2, 0x303));
    assert_eq!(span.trace_state, "vendor=x");
    assert!(span.end_time_unix_nano >= span.start_time_unix_nano);
    assert_eq!(span.attributes.len(), 1);
    assert_eq!(span.events[0].name, "exception");
    assert_eq!(span.events[0].attributes.len(), 3);
    assert_eq!(
        (span.links.len(), span.status.clone().unwrap().message),
        (1, "failed".to_owned())
    );
    assert_eq!(sending.totals.exported(), 1);
    assert!(!format!("{tracer:?} {:?}", tracer.stats()).contains("hunter2"));
}

#[test]
fn derived_spans_keep_their_ids_and_times() {
    let collector = Collector::start();
    let sending = Sending::to(&collector.url(), &[]);
    let identity = sending.tracer.identity().clone();
    let (task, step) = (derive::task(&identity, "1"), derive::step(&identity, "1", "2", "1"));
    let mut record = SpanRecord::new(task.trace_id, step, "step", 1_000_000_000, 3_000_000_000);
    record.parent_span_id = task.span_id;
    record.flags = TraceFlags::new(2);
    assert!(sending.tracer.emit(record, Priority::Normal));
    assert!(sending.flush());
    let span = collector.spans().remove(0);
    assert_eq!(span.trace_id, task.trace_id.to_bytes());
    assert_eq!(
        (span.parent_span_id, span.flags & 0xff),
        (task.span_id.to_bytes().to_vec(), 3)
    );
    assert_eq!(span.end_time_unix_nano - span.start_time_unix_nano, 2_000_000_000);
}

#[test]
fn thousands_arrive_once_over_one_connection() {
    let collector = Collector::start();
    let sending = Sending::to(&collector.url(), &[("OTEL_BSP_MAX_QUEUE_SIZE", "100000")]);
    let expected = spans(&sending, "span", 5_000);
    assert!(sending.flush());
    assert_eq!(collector.taken(), expected);
    assert_eq!(collector.connections(), 1);
    assert!(collector.requests().iter().all(|request| request.spans().len() <= 512));
    assert_eq!(
        (sending.totals.exported(), sending.tracer.stats().exported),
        (5_000, 5_000)
    );
    assert_eq!(sending.tracer.stats().state, Condition::Idle);
}

#[test]
fn nothing_runs_before_the_first_span() {
    let collector = Collector::start();
    let sending = Sending::to(&collector.url(), &[]);
    assert!(sending.flush());
    assert!(!sending.runtime.is_running());
    sending.span("first");
    assert!(sending.runtime.is_running());
    wait_for(&collector, &BTreeMap::from([("first".to_owned(), 1)]));
}

#[test]
fn a_collector_that_is_busy_is_left_alone_for_as_long_as_it_asks() {
    for status in [429, 503] {
        let collector = Collector::start();
        let sending = Sending::to(&collector.url(), &[]);
        collector.script([
            Behaviour::Answer(status, "retry-after: 2\r\n"),
            Behaviour::Answer(502, ""),
        ]);
        let expected = spans(&sending, "span", 3);
        until("the first attempt", || {
            sending
                .tracer
                .stats()
                .last_error
                .filter(|error| error.contains(&status.to_string()))
        });
        assert_eq!(sending.tracer.stats().state, Condition::Retrying);
        wait_for(&collector, &expected);
        let requests = collector.requests();
        assert!(requests[1].at - requests[0].at >= Duration::from_secs(2));
        assert_eq!(requests[0].body, requests[1].body, "the same spans under the same ids");
        assert_eq!(requests.len(), 3);
        assert!(
            requests[1].connection > requests[0].connection,
            "a new connection after an error"
        );
    }
}

#[test]
fn a_flush_does_not_wait_for_the_backoff() {
    let collector = Collector::start();
    let sending = Sending::to(&collector.url(), &[]);
    collector.script([Behaviour::Answer(503, "retry-after: 3600\r\n")]);
    let expected = spans(&sending, "span", 3);
    until("the first attempt", || sending.tracer.stats().retry_in);
    assert!(sending.flush());
    assert_eq!(collector.taken(), expected);
}

#[test]
fn a_collector_that_never_answers_holds_up_nobody() {
    let collector = Collector::start();
    collector.otherwise(Behaviour::Hang);
    let env = [
        ("OTEL_BSP_MAX_QUEUE_SIZE", "50"),
        ("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "10"),
        ("OTEL_EXPORTER_OTLP_TIMEOUT", "300"),
    ];
    let sending = Sending::to(&collector.url(), &env);
    spans(&sending, "span", 10);
    until("a request to hang", || collector.is_hanging().then_some(()));
    spans(&sending, "more", 200);
    let stats = sending.tracer.stats();
    assert!(stats.queued <= 60, "{stats:?}");
    assert!(!sending.flush_for(50));
    let begun = Instant::now();
    assert!(!sending.tracer.flush(DEADLINE * 10, &|| true));
    assert!(begun.elapsed() < DEADLINE, "a flush that is cancelled returns");
    until("the request to be given up", || {
        sending
            .tracer
            .stats()
            .last_error
            .filter(|error| error.contains("no answer within 0.3 s"))
    });
    collector.otherwise(Behaviour::Take);
    assert!(sending.flush());
    let taken = collector.spans().len() as u64;
    assert_eq!(sending.totals.dropped(DropReason::QueueFull), 210 - taken);
    assert_eq!(sending.totals.exported(), taken);
    assert_eq!(sending.tracer.stats().dropped["queue_full"], 210 - taken);
    assert!(collector.taken().values().all(|times| *times == 1));
}

#[test]
fn what_matters_most_is_kept_while_nobody_listens() {
    let address = nobody();
    let env = [
        ("OTEL_BSP_MAX_QUEUE_SIZE", "20"),
        ("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "1"),
    ];
    let sending = Sending::to(&format!("http://{address}"), &env);
    sending.span("first");
    until("the first to be refused", || sending.tracer.stats().retry_in);
    spans(&sending, "usual", 20);
    for index in 0..20 {
        let (trace, span) = (TraceId::from(9), SpanId::from(100 + index));
        let record = SpanRecord::new(trace, span, format!("critical {index}"), 1, 2);
        sending.tracer.emit(record, Priority::Critical);
    }
    assert_eq!(sending.totals.dropped(DropReason::QueueFull), 20);
    let collector = Collector::at(address);
    let mut expected = names("critical", 20);
    expected.insert("first".to_owned(), 1);
    assert!(sending.flush());
    assert_eq!(collector.taken(), expected);
}

#[test]
fn sending_resumes_by_itself() {
    let address = nobody();
    let sending = Sending::to(&format!("http://{address}"), &[]);
    let mut expected = spans(&sending, "refused", 3);
    until("a refusal", || {
        sending
            .tracer
            .stats()
            .last_error
            .filter(|error| error.contains("cannot connect"))
    });
    let collector = Collector::at(address);
    wait_for(&collector, &expected);

    let address = collector.stop();
    expected = spans(&sending, "restarted", 3);
    until("it to be missed", || sending.tracer.stats().retry_in);
    let collector = Collector::at(address);
    wait_for(&collector, &expected);
}

#[test]
fn a_connection_that_was_closed_meanwhile_is_no_failure() {
    let collector = Collector::start();
    let sending = Sending::to(&collector.url(), &[]);
    sending.span("one");
    assert!(sending.flush());
    collector.disconnect();
    sending.span("two");
    assert!(sending.flush());
    collector.script([Behaviour::TakeAndClose]);
    sending.span("three");
    sending.flush();
    sending.span("four");
    assert!(sending.flush());
    assert_eq!(collector.taken().values().sum::<usize>(), 4);
    assert_eq!(sending.tracer.stats().last_error, None);
}

#[test]
fn connections_that_break_in_the_middle_lose_nothing() {
    for behaviour in [Behaviour::HangUp, Behaviour::HangUpEarly, Behaviour::HangUpInAnswer] {
        let collector = Collector::start();
        let sending = Sending::to(&collector.url(), &[]);
        collector.script([behaviour.clone(), behaviour]);
        let expected = spans(&sending, "span", 40);
        wait_for(&collector, &expected);
        let ids: BTreeSet<Vec<u8>> = collector
            .requests()
            .iter()
            .flat_map(tasker_telemetry_tests::collector::Request::spans)
            .map(|span| span.span_id)
            .collect();
        assert_eq!(ids.len(), 40, "sent again under the same ids");
    }
}

#[test]
fn what_is_refused_for_good_is_dropped_and_told() {
    let collector = Collector::start();
    let sending = Sending::with(
        otlp::Options {
            endpoint: Some(collector.url().replace("//", "//bob:hunter2-hunter2@")),
            ..otlp::Options::default()
        },
        &[],
    );
    for status in [400, 401, 404] {
        collector.script([Behaviour::Answer(status, "")]);
        sending.span("refused");
        assert!(!sending.flush());
        let error = sending.tracer.stats().last_error.unwrap();
        assert!(error.contains(&status.to_string()), "{error}");
    }
    sending.span("taken");
    assert!(sending.flush());
    assert_eq!(collector.taken(), BTreeMap::from([("taken".to_owned(), 1)]));
    assert_eq!(sending.totals.dropped(DropReason::Rejected), 3);
    assert!(collector.requests()[0].headers["authorization"].starts_with("Basic "));
    assert!(!format!("{:?}", sending.tracer.stats()).contains("hunter2"));
}

#[test]
fn what_a_collector_took_in_part_is_counted() {
    let collector = Collector::start();
    let sending = Sending::to(&collector.url(), &[]);
    collector.script([Behaviour::Partly(2, "too old")]);
    spans(&sending, "span", 5);
    assert!(!sending.flush());
    assert_eq!(sending.totals.exported(), 3);
    assert_eq!(sending.totals.dropped(DropReason::Rejected), 2);
    assert_eq!(sending.tracer.stats().last_error.unwrap(), "2 rejected: too old");
}

fn unknown(collector: &Collector) -> Vec<bool> {
    let spans = collector.spans();
    spans
        .iter()
        .map(|span| span.attributes.iter().any(|attribute| attribute.key == START_UNKNOWN))
        .collect()
}

#[test]
fn a_span_without_a_start_waits_for_one() {
    let collector = Collector::start();
    let sending = Sending::to(&collector.url(), &[]);
    let record = |id: u64| SpanRecord::new(TraceId::from(1), SpanId::from(id), "step", 0, 5_000_000_000);
    sending.tracer.hold(1, record(1), Priority::Normal);
    assert_eq!(sending.tracer.stats().pending, 1);
    assert!(sending
        .tracer
        .complete(1, (3_000_000_000, 5_000_000_000), vec![KeyValue::new("rich", true)]));
    assert!(!sending.tracer.complete(1, (3_000_000_000, 5_000_000_000), Vec::new()));
    assert!(sending.flush());
    let span = collector.spans().remove(0);
    assert_eq!(span.end_time_unix_nano - span.start_time_unix_nano, 2_000_000_000);
    assert_eq!(unknown(&collector), [false]);

    sending.tracer.hold(2, record(2), Priority::Normal);
    until("it to go by itself", || (collector.spans().len() == 2).then_some(()));
    sending.tracer.hold(3, record(3), Priority::Normal);
    assert!(sending.flush());
    assert_eq!(unknown(&collector), [false, true, true]);
    assert_eq!(sending.tracer.stats().start_unknown, 2);
}

#[test]
fn a_critical_span_of_an_unsampled_trace_is_sent_and_marked() {
    let collector = Collector::start();
    let sending = Sending::to(&collector.url(), &[("OTEL_TRACES_SAMPLER", "always_off")]);
    sending.span("usual");
    let record = |id: u64| SpanRecord::new(TraceId::from(1), SpanId::from(id), format!("{id}"), 0, 1);
    assert!(!sending.tracer.emit(record(1), Priority::High));
    assert!(sending.tracer.emit(record(2), Priority::Critical));
    assert!(sending.flush());
    let spans = collector.spans();
    assert_eq!((spans.len(), spans[0].name.as_str(), spans[0].flags & 1), (1, "2", 0));
    assert_eq!(spans[0].attributes[0].key, UNSAMPLED_TRACE);
    assert_eq!(sending.tracer.stats().unsampled, 2);
}
