//! The rules for events, each as it is seen from outside.

mod durations;

use super::testing::{counted, events, float, map, observed, text, Map};
use super::*;
use crate::arena::Registry;
use std::sync::Arc;

const SECOND: i64 = 1_000_000_000;
const NOW: i64 = 1_800_000_000 * SECOND;

/// Publishes an event without a block, `after` seconds after `NOW`.
fn publish(events: &Events, name: &str, payload: &Map, after: i64) -> Facts {
    finish(events, name, payload, Times::at(NOW + after * SECOND))
}

fn finish(events: &Events, name: &str, payload: &Map, times: Times) -> Facts {
    let route = events.route(name);
    let told = events.finish(&route, payload, times);
    Facts {
        duplicate: told.duplicate,
        decision: told.decision,
        start: told.start_ns.map(|start| start.wrapping_sub(NOW)),
        end: told.end_ns.wrapping_sub(NOW),
        pending: told.pending,
        completes: told.completes,
        attempt: told.attempt.map(std::borrow::Cow::into_owned),
        step_name: told.names.step.map(std::borrow::Cow::into_owned),
    }
}

/// What is told, without what it borrows.
#[derive(Debug, Clone)]
struct Facts {
    duplicate: bool,
    decision: Decision,
    start: Option<i64>,
    end: i64,
    pending: Option<u64>,
    completes: Option<u64>,
    attempt: Option<String>,
    step_name: Option<String>,
}

fn step(id: i64) -> Map {
    Map::of([
        ("task_id", Value::Int(1)),
        ("step_id", Value::Int(id)),
        ("task_name", text("pack")),
        ("namespace", text("shop")),
        ("step_name", text("weigh")),
    ])
}

const STEP: [&str; 3] = ["pack", "shop", "weigh"];
const STEP_DONE: [&str; 4] = ["pack", "shop", "weigh", "completed"];
const STEP_FAILED: [&str; 4] = ["pack", "shop", "weigh", "failed"];

fn dropped(events: &Events, reason: &str) -> u64 {
    counted(events, "tasker_telemetry_dropped_events_total", &[reason])
}

fn degraded(events: &Events, reason: &str) -> u64 {
    counted(events, "tasker_telemetry_degraded_events_total", &[reason])
}

/// Two processes, as far as it is memory that tells them apart.
fn two_processes() -> (Events, Events) {
    let one = events();
    let registry: Arc<Registry> = Arc::clone(one.registry());
    (one, Events::new(registry))
}

#[test]
fn an_unmapped_event_is_nobodys() {
    let events = events();
    assert!(events.route("order.completed").is_silent());
    assert!(!publish(&events, "order.completed", &Map::default(), 0).decision.any());
    assert!(events.registry().find("order_completed_total").is_none());
}

#[test]
fn a_custom_event_is_counted_by_its_labels() {
    let events = events();
    map(&events, "order.completed", &["metrics", "traces"], &["status"]);
    let paid = Map::of([("order_id", Value::Int(7)), ("status", text("paid"))]);
    for _ in 0..3 {
        let told = publish(&events, "order.completed", &paid, 0);
        assert!(told.decision.metrics && told.decision.traces && !told.decision.logs && !told.duplicate);
        assert_eq!((told.start, told.end, told.pending), (None, 0, None));
    }
    publish(&events, "order.completed", &Map::of([("status", Value::Int(7))]), 0);
    publish(&events, "order.completed", &Map::default(), 0);
    let orders = |status| counted(&events, "order_completed_total", &[status]);
    assert_eq!((orders("paid"), orders("7"), orders("")), (3, 1, 1));
    // No duration was known, so nothing tells of durations.
    assert!(events.registry().find("order_duration_seconds").is_none());
    assert_eq!(degraded(&events, "unknown_start"), 0);
}

#[test]
fn a_registered_event_needs_no_mapping() {
    let events = events();
    assert!(events.route("cart.left").is_silent());
    events
        .register("cart.left", "A cart was left", &["cart_id".to_owned()])
        .unwrap();
    let told = publish(&events, "cart.left", &Map::default(), 0);
    assert!(told.decision.metrics && told.decision.traces);
    let metric = events.registry().find("cart_left_total").unwrap();
    assert_eq!(metric.descriptor().help, "A cart was left");
}

#[test]
fn labels_are_renamed_and_limited() {
    let events = events();
    let labels = vec![Label::new("status", "state", Some(2))];
    events.map(Mapping::new("order.*", &["metrics"], 1.0, "normal", labels, true).unwrap());
    for value in 0..10_000 {
        publish(&events, "order.seen", &Map::of([("status", Value::Int(value))]), 0);
    }
    publish(&events, "order.seen", &Map::default(), 0);
    let orders = |state| counted(&events, "order_seen_total", &[state]);
    assert_eq!(
        (orders("0"), orders("1"), orders("2"), orders("__other__"), orders("")),
        (1, 1, 0, 9998, 1)
    );
    assert_eq!(degraded(&events, "label_limit"), 9998);
    assert_eq!(
        events.registry().find("order_seen_total").unwrap().descriptor().labels,
        ["state"]
    );
}

#[test]
fn a_mapping_can_be_off() {
    let events = events();
    events.map(Mapping::new("task.*", &["metrics"], 1.0, "critical", Vec::new(), false).unwrap());
    assert!(
        !publish(&events, "task.completed", &Map::of([("task_id", Value::Int(1))]), 0)
            .decision
            .any()
    );
    assert!(events.registry().find("task_completed_total").is_none());
    // It is a transition nevertheless.
    assert!(publish(&events, "task.completed", &Map::of([("task_id", Value::Int(1))]), 0).duplicate);
}

#[test]
fn mapping_anew_keeps_the_labels_of_a_metric_and_says_so() {
    let events = events();
    map(&events, "order.seen", &["metrics"], &["status"]);
    let payload = Map::of([("status", text("paid")), ("plan", text("pro"))]);
    publish(&events, "order.seen", &payload, 0);
    map(&events, "order.seen", &["metrics"], &["plan"]);
    publish(&events, "order.seen", &payload, 0);
    assert_eq!(counted(&events, "order_seen_total", &["paid"]), 2);
    let notices = events.registry().take_notices();
    assert!(
        notices
            .iter()
            .any(|notice| notice.message.contains("keeps its labels [status]")),
        "{notices:?}"
    );
}

#[test]
fn a_name_that_is_taken_costs_only_the_metric() {
    use crate::metric::{Aggregation, Descriptor, Kind};
    let events = events();
    let gauge = Descriptor::new("order_seen_total", "", None, Kind::Gauge(Aggregation::Last), &[], None).unwrap();
    events.registry().declare(gauge).unwrap();
    map(&events, "order.seen", &["metrics", "traces"], &[]);
    map(&events, "tasker_telemetry.x", &["metrics"], &[]);
    for _ in 0..3 {
        assert!(publish(&events, "order.seen", &Map::default(), 0).decision.traces);
    }
    publish(&events, "tasker_telemetry.x", &Map::default(), 0);
    assert_eq!(degraded(&events, "metric_clash"), 4);
    let notices = events.registry().take_notices();
    let about = |name: &str| notices.iter().filter(|notice| notice.message.contains(name)).count();
    assert_eq!(
        (about("order_seen_total"), about("tasker_telemetry_x_total")),
        (1, 1),
        "{notices:?}"
    );
}

#[test]
fn an_own_declaration_with_other_buckets_is_used() {
    use crate::metric::{Descriptor, Kind};
    let events = events();
    let labels = ["outcome".to_owned()];
    let own = Descriptor::new(
        "order_duration_seconds",
        "",
        None,
        Kind::Histogram,
        &labels,
        Some(vec![1.0]),
    )
    .unwrap();
    events.registry().declare(own).unwrap();
    map(&events, "order.failed", &["metrics"], &[]);
    publish(&events, "order.failed", &Map::of([("duration", Value::Int(3))]), 0);
    assert_eq!(observed(&events, "order_duration_seconds", &["failed"]), (1, 3.0));
}

#[test]
fn one_draw_is_for_all_backends() {
    let events = events();
    let all = ["metrics", "traces", "logs"];
    events.map(Mapping::new("order.seen", &all, 0.1, "high", Vec::new(), true).unwrap());
    let mut kept = 0;
    for _ in 0..100_000 {
        let decision = publish(&events, "order.seen", &Map::default(), 0).decision;
        assert!(decision.metrics == decision.traces && decision.traces == decision.logs);
        kept += u64::from(decision.metrics);
    }
    assert!((9_000..=11_000).contains(&kept), "{kept}");
    assert_eq!(counted(&events, "order_seen_total", &[]), kept);
    assert_eq!(dropped(&events, "sampled_out"), 100_000 - kept);
}

#[test]
fn what_is_critical_is_never_sampled_out() {
    let events = events();
    events.map(Mapping::new("order.*", &["logs"], 0.0, "critical", Vec::new(), true).unwrap());
    events.map(Mapping::new("cart.*", &["logs"], 0.0, "high", Vec::new(), true).unwrap());
    for _ in 0..100 {
        let decision = publish(&events, "order.lost", &Map::default(), 0).decision;
        assert!(decision.logs && decision.priority == Priority::Critical);
        assert!(!publish(&events, "cart.lost", &Map::default(), 0).decision.any());
    }
}

#[test]
fn a_sampled_transition_is_drawn_for_once() {
    let events = events();
    events.map(Mapping::new("task.*", &["metrics"], 0.1, "normal", Vec::new(), true).unwrap());
    for task in 0..20_000 {
        let payload = Map::of([("task_id", Value::Int(task)), ("transitioned_at", Value::Int(task))]);
        (0..3).for_each(|_| drop(publish(&events, "task.completed", &payload, 0)));
    }
    let kept = counted(&events, "task_completed_total", &["", ""]);
    assert!((1_700..=2_300).contains(&kept), "{kept}");
}

#[test]
fn every_event_of_the_catalogue_counts_once_for_one_transition() {
    for (poor_first, marked) in [(true, true), (false, true), (true, false), (false, false)] {
        let events = events();
        let names: Vec<String> = events.list().into_iter().map(|event| event.name).collect();
        map(&events, "*", &["metrics"], &[]);
        let ids = [
            ("task_id", Value::Int(1)),
            ("step_id", Value::Int(2)),
            ("correlation_id", text("c")),
        ];
        let poor = Map::of(ids.clone());
        let rich = if marked {
            step(2)
                .with("correlation_id", text("c"))
                .with("attempt_number", Value::Int(1))
                .with("transitioned_at", Value::Time(NOW))
        } else {
            step(2).with("correlation_id", text("c"))
        };
        let told = if poor_first {
            [&poor, &rich, &rich]
        } else {
            [&rich, &poor, &rich]
        };
        for name in &names {
            let duplicates = told.map(|payload| publish(&events, name, payload, 0).duplicate);
            let known = events.route(name).family() != Family::Other;
            assert_eq!(duplicates, [false, known, known], "{name}");
        }
    }
}

#[test]
fn a_transition_counts_once_however_its_time_is_spelled() {
    let events = events();
    for task in 0..200 {
        // To the microsecond, with the rest of a clock's nanoseconds.
        let nanos = NOW + task * 1_234_567_000 + 321;
        let payload = |time| Map::of([("task_id", Value::Int(task)), ("transitioned_at", time)]);
        let iso = crate::event::instant::print(nanos);
        publish(&events, "task.completed", &payload(Value::Time(nanos)), task);
        publish(&events, "task.completed", &payload(float(nanos as f64 / 1e9)), task);
        publish(
            &events,
            "task.completed",
            &payload(text(&format!("{}Z", &iso[..23]))),
            task,
        );
        publish(&events, "task.retry_requested", &payload(Value::Time(nanos)), task);
        publish(
            &events,
            "task.completed",
            &payload(text(&format!("{}Z", &iso[..23]))),
            task,
        );
    }
    assert_eq!(counted(&events, "task_completed_total", &["", ""]), 200);
}

#[test]
fn two_failures_and_one_retry_are_two_and_one() {
    for marked in [false, true] {
        let (one, other) = two_processes();
        let mut payload = step(7);
        for (name, times, process) in [
            ("step.execution_requested", 3, &one),
            ("step.failed", 3, &one),
            ("step.retry_requested", 2, &other),
            ("step.execution_requested", 3, &one),
            ("step.failed", 3, &one),
        ] {
            if marked && name == "step.execution_requested" {
                let attempt = 1 + counted(&one, "step_started_total", &STEP) as i64;
                payload = step(7).with("attempt_number", Value::Int(attempt));
            }
            (0..times).for_each(|_| drop(publish(process, name, &payload, 0)));
        }
        let steps = |what: &str| counted(&one, &format!("step_{what}_total"), &STEP);
        assert_eq!((steps("started"), steps("failed"), steps("retried")), (2, 2, 1));
        assert_eq!(dropped(&one, "duplicate"), 9);
    }
}

#[test]
fn custom_events_are_never_duplicates() {
    let events = events();
    map(&events, "order.*", &["metrics"], &[]);
    let payload = Map::of([("task_id", Value::Int(1)), ("transitioned_at", Value::Int(1))]);
    (0..3).for_each(|_| assert!(!publish(&events, "order.seen", &payload, 0).duplicate));
    // Nor is what tells of nothing in particular.
    (0..3).for_each(|_| assert!(!publish(&events, "task.completed", &Map::default(), 0).duplicate));
    assert_eq!(counted(&events, "task_completed_total", &["", ""]), 3);
}

#[test]
fn a_poor_payload_is_filled_from_what_was_told_before() {
    let events = events();
    publish(&events, "step.execution_requested", &step(7), 0);
    let poor = Map::of([("step_id", Value::Int(7))]);
    let told = publish(&events, "step.failed", &poor, 3);
    assert_eq!(told.step_name.as_deref(), Some("weigh"));
    publish(&events, "step.failed", &step(7), 3);
    assert_eq!(counted(&events, "step_failed_total", &STEP), 1);
    assert_eq!(observed(&events, "step_duration_seconds", &STEP_FAILED), (1, 3.0));
    // Another step of the task is known by the task.
    publish(
        &events,
        "step.failed",
        &Map::of([("task_id", Value::Int(1)), ("step_id", Value::Int(8))]),
        3,
    );
    assert_eq!(counted(&events, "step_failed_total", &["pack", "shop", ""]), 1);
}

#[test]
fn a_mapping_adds_labels_to_a_tasks_own() {
    let events = events();
    map(&events, "task.failed", &["metrics"], &["queue", "task_name"]);
    let payload = Map::of([
        ("task_id", Value::Int(1)),
        ("task_name", text("pack")),
        ("queue", text("fast")),
    ]);
    publish(
        &events,
        "task.failed",
        &payload.clone().with("duration", Value::Int(4)),
        0,
    );
    assert_eq!(counted(&events, "task_failed_total", &["pack", "", "fast"]), 1);
    assert_eq!(
        observed(&events, "task_duration_seconds", &["pack", "", "fast", "failed"]),
        (1, 4.0)
    );
    publish(
        &events,
        "task.completed",
        &payload.with("total_execution_duration", Value::Int(2)),
        0,
    );
    assert_eq!(
        observed(&events, "task_duration_seconds", &["pack", "", "fast", "completed"]),
        (1, 2.0)
    );
}

#[test]
fn forgetting_makes_everything_new() {
    let events = events();
    publish(&events, "step.completed", &step(7), 0);
    assert!(publish(&events, "step.completed", &step(7), 0).duplicate);
    events.forget();
    assert!(!publish(&events, "step.completed", &step(7), 0).duplicate);
}

#[test]
fn nothing_is_counted_where_metrics_are_off() {
    let events = events();
    let settings = crate::arena::Settings {
        place: crate::arena::Place::Memory,
        enabled: false,
        ..Default::default()
    };
    events.registry().configure(settings).unwrap();
    assert!(!publish(&events, "step.completed", &step(7), 0).duplicate);
    assert!(publish(&events, "step.completed", &step(7), 0).duplicate);
    assert!(events.registry().find("step_completed_total").is_none());
}

#[test]
fn a_payload_may_publish_an_event_to_answer() {
    struct Nested<'e>(&'e Events);
    impl Payload for Nested<'_> {
        fn get(&self, key: Key) -> Option<Value<'_>> {
            map(self.0, "inner.seen", &["metrics"], &["status"]);
            publish(self.0, "inner.seen", &Map::of([("status", text("inside"))]), 0);
            (key.name() == "status").then(|| text("outside"))
        }

        fn for_each(&self, _: &mut dyn FnMut(&str, Value<'_>)) {}
    }
    let events = events();
    map(&events, "outer.seen", &["metrics"], &["status"]);
    let route = events.route("outer.seen");
    let _ = events.finish(&route, &Nested(&events), Times::at(NOW));
    assert_eq!(counted(&events, "outer_seen_total", &["outside"]), 1);
    assert!(counted(&events, "inner_seen_total", &["inside"]) > 0);
    let route = events.route("step.completed");
    let _ = events.finish(&route, &Nested(&events), Times::at(NOW));
}

#[test]
fn the_metrics_of_events_are_bounded() {
    let events = events();
    map(&events, "*", &["metrics"], &[]);
    for name in 0..1_100 {
        publish(&events, &format!("e{name}.seen"), &Map::default(), 0);
    }
    assert!(events.registry().find("e999_seen_total").is_some());
    assert!(events.registry().find("e1000_seen_total").is_none());
    assert_eq!(degraded(&events, "metric_clash"), 100);
    let notices = events.registry().take_notices();
    let about = |what: &str| notices.iter().filter(|notice| notice.message.contains(what)).count();
    assert_eq!(
        (about("no more than 1000 metrics"), about("_seen_total")),
        (1, 0),
        "{notices:?}"
    );
    // Nor do more names than notices are remembered bring it back.
    (1_100..1_200).for_each(|name| drop(publish(&events, &format!("e{name}.seen"), &Map::default(), 0)));
    assert_eq!(events.registry().take_notices(), []);
}

#[test]
fn names_that_cannot_be_counted_fill_no_log() {
    let events = events();
    map(&events, "tasker_telemetry.*", &["metrics"], &[]);
    let mut told = 0;
    for round in 0..20 {
        for name in 0..100 {
            publish(
                &events,
                &format!("tasker_telemetry.e{round}.e{name}"),
                &Map::default(),
                0,
            );
        }
        told += events.registry().take_notices().len();
    }
    assert_eq!(told, 17);
    assert_eq!(degraded(&events, "metric_clash"), 2_000);
}

#[test]
fn counts_exactly_while_others_map() {
    let events = events();
    map(&events, "order.*", &["metrics"], &["status"]);
    let payload = Map::of([("status", text("paid"))]);
    std::thread::scope(|scope| {
        for _ in 0..10 {
            scope.spawn(|| (0..2_000).for_each(|_| drop(publish(&events, "order.seen", &payload, 0))));
        }
        for round in 0..200 {
            map(&events, "order.*", &["metrics", "logs"], &["status"]);
            map(&events, &format!("cart.{round}"), &["logs"], &[]);
        }
    });
    assert_eq!(counted(&events, "order_seen_total", &["paid"]), 20_000);
}
