//! Spans that are too large for one request, or for the collector.

use std::collections::BTreeSet;
use tasker_telemetry_core::export::transports::otlp::{LARGEST, SMALLEST};
use tasker_telemetry_core::trace::{DropReason, SpanKind};
use tasker_telemetry_tests::collector::{Behaviour, Collector, Request};
use tasker_telemetry_tests::sending::Sending;

/// So many spans of a bit more than so many bytes, in one batch.
fn sending(collector: &Collector, count: usize, bytes: usize) -> Sending {
    let sending = Sending::to(&collector.url(), &[("OTEL_BSP_SCHEDULE_DELAY", "3600000")]);
    for number in 0..count {
        let mut span = sending.tracer.start(format!("span {number}"), SpanKind::Internal, None);
        span.set_attribute("text", "x".repeat(bytes));
        span.end(None);
    }
    sending
}

fn sizes(collector: &Collector) -> Vec<usize> {
    collector.requests().iter().map(|request| request.body.len()).collect()
}

/// All were taken, each once.
fn expect_all(collector: &Collector, sending: &Sending, count: usize) {
    assert_eq!(collector.taken().len(), count);
    assert!(collector.taken().values().all(|times| *times == 1));
    assert_eq!(sending.totals.exported(), count as u64);
    let ids: BTreeSet<Vec<u8>> = collector
        .requests()
        .iter()
        .flat_map(Request::spans)
        .map(|span| span.span_id)
        .collect();
    assert_eq!(ids.len(), count, "sent again under the same ids");
}

#[test]
fn a_batch_is_as_many_requests_as_it_takes() {
    let collector = Collector::start();
    // Two and a half times of what goes into one.
    let sending = sending(&collector, 500, LARGEST / 200);
    assert!(sending.flush());
    expect_all(&collector, &sending, 500);
    assert_eq!(collector.requests().len(), 3);
    assert!(sizes(&collector).iter().all(|bytes| *bytes <= LARGEST));
    assert_eq!(sending.tracer.stats().last_error, None);
}

#[test]
fn a_part_that_was_taken_is_not_sent_again() {
    let collector = Collector::start();
    collector.script([Behaviour::Take, Behaviour::Answer(503, ""), Behaviour::HangUp]);
    let sending = sending(&collector, 500, LARGEST / 200);
    sending.runtime.before_fork();
    sending.runtime.after_fork_parent();
    assert!(sending.flush());
    expect_all(&collector, &sending, 500);
    let requests = collector.requests();
    assert_eq!(requests.len(), 5);
    assert_eq!(requests[1].body, requests[3].body);
}

#[test]
fn a_collector_that_takes_less_gets_less_at_once() {
    let collector = Collector::start();
    collector.otherwise(Behaviour::AtMost(200_000));
    let sending = sending(&collector, 512, 2_000);
    assert!(sending.flush());
    expect_all(&collector, &sending, 512);
    assert_eq!(sending.totals.dropped(DropReason::Rejected), 0);
}

#[test]
fn what_is_no_matter_of_size_is_dropped_and_nobody_is_kept_waiting() {
    let collector = Collector::start();
    collector.otherwise(Behaviour::AtMost(10));
    let sending = sending(&collector, 512, 1_000);
    assert!(!sending.flush());
    assert_eq!(sending.totals.dropped(DropReason::Rejected), 512);
    assert!(sizes(&collector).iter().all(|bytes| *bytes > SMALLEST / 2));
    assert!(sending.tracer.stats().last_error.unwrap().contains("413"));
    collector.otherwise(Behaviour::Take);
    sending.span("next");
    assert!(sending.flush());
    assert_eq!(collector.taken().len(), 1);
}

#[test]
fn the_rest_of_a_batch_does_not_suffer_from_a_span_that_is_too_large() {
    let collector = Collector::start();
    collector.otherwise(Behaviour::AtMost(SMALLEST * 4));
    let sending = sending(&collector, 300, 300);
    let mut span = sending.tracer.start("large", SpanKind::Internal, None);
    for number in 0..30 {
        span.set_attribute(format!("text {number}"), "x".repeat(10_000));
    }
    span.end(None);
    assert!(!sending.flush());
    assert_eq!(sending.totals.dropped(DropReason::Rejected), 1);
    assert_eq!(sending.totals.exported(), 300);
    assert_eq!(collector.taken().len(), 300);
}
