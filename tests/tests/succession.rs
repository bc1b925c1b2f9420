//! A tracer that goes on under other settings: what waits goes where it was to go, all else the new way.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tasker_telemetry_core::export::transports::otlp;
use tasker_telemetry_core::trace::{
    DropReason, Options, Priority, Settings, SpanId, SpanKind, SpanRecord, TraceId, Tracer,
};
use tasker_telemetry_tests::collector::{Behaviour, Collector};
use tasker_telemetry_tests::sending::{shutdown, Sending};
use tasker_telemetry_tests::{until, DEADLINE};

const LATER: (&str, &str) = ("OTEL_BSP_SCHEDULE_DELAY", "3600000");

fn settings(collector: Option<&Collector>) -> Settings {
    let options = Options {
        enabled: Some(collector.is_some()),
        otlp: otlp::Options {
            endpoint: collector.map(Collector::url),
            ..otlp::Options::default()
        },
        ..Options::default()
    };
    Settings::resolve(&options, &|name| (name == LATER.0).then(|| LATER.1.to_owned())).unwrap()
}

/// Goes on with another collector, or with none.
fn change(tracer: &Tracer, collector: Option<&Collector>) -> Tracer {
    let fresh = tracer.succeed(settings(collector)).unwrap();
    tracer.retire(&fresh);
    fresh
}

fn span(tracer: &Tracer, name: &str) {
    tracer.start(name.to_owned(), SpanKind::Internal, None).end(None);
}

fn once<const N: usize>(names: [&str; N]) -> BTreeMap<String, usize> {
    names.map(|name| (name.to_owned(), 1)).into()
}

fn held(name: &'static str) -> SpanRecord {
    SpanRecord::new(TraceId::from(1), SpanId::from(1), name, 0, 1)
}

#[test]
fn each_collector_gets_what_was_recorded_for_it() {
    let (first, second) = (Collector::start(), Collector::start());
    let sending = Sending::to(&first.url(), &[LATER]);
    let old = &sending.tracer;
    let mut open = old.start("open", SpanKind::Internal, None);
    old.contexts().push(1, open.context().clone());
    span(old, "before");
    old.hold(7, held("held"), Priority::Normal);
    let fresh = change(old, Some(&second));
    assert_eq!(fresh.contexts().current(1).as_ref(), Some(open.context()));
    span(&fresh, "after");
    span(old, "late");
    open.end(None);
    assert!(fresh.complete(7, (0, 1), Vec::new()));
    assert!(fresh.flush(DEADLINE, &|| false));
    assert_eq!(first.taken(), once(["before"]));
    assert_eq!(second.taken(), once(["after", "held", "late", "open"]));
}

#[test]
fn what_is_told_of_spans_is_told_of_those_of_all_settings() {
    let (first, second) = (Collector::start(), Collector::start());
    let sending = Sending::to(&first.url(), &[LATER]);
    span(&sending.tracer, "sent");
    assert!(sending.flush());
    first.otherwise(Behaviour::Hang);
    span(&sending.tracer, "waits");
    let fresh = change(&sending.tracer, Some(&second));
    span(&fresh, "waits too");
    let stats = fresh.stats();
    assert_eq!(
        (stats.exported, stats.queued, stats.endpoint),
        (1, 2, second.url() + "/v1/traces")
    );
    assert!(!shutdown(&fresh, Duration::from_millis(10)));
    let again = change(&fresh, Some(&first)).stats();
    assert_eq!((again.exported + again.dropped["shutdown"], again.queued), (3, 0));
}

#[test]
fn a_change_while_the_process_shuts_down_opens_nothing() {
    let collector = Collector::start();
    let sending = Sending::to(&collector.url(), &[LATER]);
    let fresh = sending.tracer.succeed(settings(Some(&collector))).unwrap();
    sending.tracer.close();
    sending.tracer.retire(&fresh);
    assert!(!fresh.is_enabled());
    let sending = Sending::to(&collector.url(), &[LATER]);
    let fresh = change(&sending.tracer, Some(&collector));
    sending.tracer.close();
    assert!(!fresh.is_enabled());
}

#[test]
fn what_waits_outlasts_forks_and_many_changes() {
    let collector = Collector::start();
    let sending = Sending::to(&collector.url(), &[LATER]);
    let mut tracers = vec![sending.tracer.clone()];
    let names = ["0", "1", "2", "3", "4"];
    for name in names {
        let last = tracers.last().unwrap();
        span(last, name);
        tracers.push(change(last, Some(&collector)));
        sending.runtime.before_fork();
        sending.runtime.after_fork_parent();
    }
    assert!(tracers.last().unwrap().flush(DEADLINE, &|| false));
    assert_eq!(collector.taken(), once(names));
    assert_eq!(sending.totals.exported(), 5);
}

#[test]
fn one_that_hangs_holds_up_no_other() {
    let (first, second) = (Collector::start(), Collector::start());
    first.otherwise(Behaviour::Hang);
    let sending = Sending::to(&first.url(), &[]);
    span(&sending.tracer, "before");
    let fresh = change(&sending.tracer, Some(&second));
    span(&fresh, "after");
    let begun = Instant::now();
    assert!(!fresh.flush(Duration::from_millis(500), &|| false));
    assert!(begun.elapsed() < DEADLINE);
    until("the other to arrive", || {
        (second.taken() == once(["after"])).then_some(())
    });
    assert!(!shutdown(&fresh, Duration::from_millis(10)));
    assert_eq!(sending.totals.dropped(DropReason::Shutdown), 1);
}

#[test]
fn traces_that_are_switched_off_send_what_waits_and_nothing_else() {
    let collector = Collector::start();
    let sending = Sending::to(&collector.url(), &[LATER]);
    let mut open = sending.tracer.start("open", SpanKind::Internal, None);
    span(&sending.tracer, "before");
    sending.tracer.hold(7, held("held"), Priority::Normal);
    let fresh = change(&sending.tracer, None);
    open.end(None);
    assert!(fresh.flush(DEADLINE, &|| false));
    assert_eq!(collector.taken(), once(["before", "held"]));
    assert_eq!(sending.totals.dropped(DropReason::Shutdown), 1);
}

#[test]
fn a_tracer_with_nothing_to_send_leaves_no_worker_behind() {
    let collector = Collector::start();
    let sending = Sending::to(&collector.url(), &[]);
    let old = Arc::new(sending.tracer.clone());
    let fresh = change(&old, None);
    assert!(fresh.flush(DEADLINE, &|| false));
    assert!(
        !sending.runtime.start() && !sending.runtime.is_running(),
        "there is nothing to do"
    );
    let again = change(&fresh, Some(&collector));
    span(&again, "span");
    assert!(again.flush(DEADLINE, &|| false));
    let last = change(&again, None);
    until("its worker to go", || (!sending.runtime.has_workers()).then_some(()));
    assert!(shutdown(&last, DEADLINE));
    let closed = change(&last, Some(&collector));
    assert!(!closed.is_enabled(), "what was shut down stays so");
}
