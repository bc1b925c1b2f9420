//! What becomes of spans when a process ends, and who may count it.

use std::net::TcpListener;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use tasker_telemetry_core::trace::{Condition, DropReason, Priority, SpanId, SpanKind, SpanRecord, TraceId};
use tasker_telemetry_tests::collector::{Behaviour, Collector};
use tasker_telemetry_tests::sending::{shutdown, Sending};
use tasker_telemetry_tests::{until, DEADLINE};

const LATER: (&str, &str) = ("OTEL_BSP_SCHEDULE_DELAY", "3600000");

#[test]
fn shutting_down_is_bounded_and_counts_what_is_lost() {
    let collector = Collector::start();
    collector.otherwise(Behaviour::Hang);
    let sending = Sending::to(&collector.url(), &[("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "2")]);
    (0..5).for_each(|_| sending.span("span"));
    let begun = Instant::now();
    assert!(!shutdown(&sending.tracer, Duration::from_millis(100)));
    assert!(sending.runtime.shutdown(DEADLINE));
    assert!(begun.elapsed() < DEADLINE);
    sending.span("late");
    assert_eq!(sending.totals.dropped(DropReason::Shutdown), 5);
    assert_eq!(sending.tracer.stats().state, Condition::Shutdown);
    assert!(!sending.runtime.is_running());
}

#[test]
fn what_ends_while_the_tracer_shuts_down_is_counted() {
    for _ in 0..50 {
        // Where nobody listens any more.
        let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let sending = Sending::to(&format!("http://{nobody}"), &[LATER]);
        let (tracer, going) = (&sending.tracer, &AtomicUsize::new(0));
        let recorded: usize = std::thread::scope(|scope| {
            let tell = move |held: bool| {
                let mut recorded = 0;
                going.fetch_add(1, Ordering::SeqCst);
                while tracer.is_enabled() {
                    let mut span = tracer.start("span", SpanKind::Internal, None);
                    recorded += usize::from(span.is_recording());
                    span.end(None);
                    if held {
                        let id = SpanId::from(recorded as u64 + 1);
                        tracer.hold(
                            recorded as u64,
                            SpanRecord::new(TraceId::from(1), id, "held", 0, 1),
                            Priority::Normal,
                        );
                        recorded += 1;
                    }
                }
                recorded
            };
            let threads = [false, true, true].map(|held| scope.spawn(move || tell(held)));
            until("all to record", || (going.load(Ordering::SeqCst) == 3).then_some(()));
            tracer.close();
            threads.map(|thread| thread.join().unwrap()).iter().sum()
        });
        let stats = tracer.stats();
        assert_eq!((stats.queued, stats.pending), (0, 0));
        assert_eq!(stats.dropped.values().sum::<u64>() as usize, recorded);
    }
}

#[test]
fn shutting_down_sends_what_waits() {
    let collector = Collector::start();
    let sending = Sending::to(&collector.url(), &[LATER]);
    (0..5).for_each(|_| sending.span("span"));
    let record = SpanRecord::new(TraceId::from(1), SpanId::from(1), "held", 0, 1);
    sending.tracer.hold(1, record, Priority::Normal);
    // However long it may take.
    assert!(shutdown(&sending.tracer, Duration::MAX));
    assert_eq!(
        collector.taken(),
        [("held".to_owned(), 1), ("span".to_owned(), 5)].into()
    );
}

#[test]
fn only_who_records_gets_ready_to_count() {
    let collector = Collector::start();
    let sending = Sending::to(&collector.url(), &[LATER]);
    let hold = |key| {
        let record = SpanRecord::new(TraceId::from(1), SpanId::from(key), "held", 0, 1);
        sending.tracer.hold(key, record, Priority::Normal);
    };
    hold(1);
    // By the background.
    until("its time to be over", || {
        (sending.tracer.stats().queued == 1).then_some(())
    });
    hold(2);
    std::thread::scope(|scope| assert!(scope.spawn(|| sending.flush()).join().unwrap()));
    assert_eq!(collector.taken(), [("held".to_owned(), 2)].into());
    let here = std::thread::current().id();
    assert_eq!(sending.totals.settled_by(), [here, here]);
    sending.span("span");
    assert_eq!(sending.totals.settled_by(), [here, here, here]);
}
