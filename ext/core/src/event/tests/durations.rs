//! How long things took.

use super::*;

#[test]
fn durations_of_custom_events_have_their_outcome() {
    let events = events();
    map(&events, "order.*", &["metrics"], &["plan"]);
    let pro = Map::of([("plan", text("pro"))]);
    finish(&events, "order.completed", &pro, Times::around(NOW, NOW + 2 * SECOND));
    publish(&events, "order.failed", &pro.clone().with("duration", float(0.5)), 0);
    finish(&events, "order.shipped", &pro, Times::around(NOW, NOW + SECOND));
    assert_eq!(
        observed(&events, "order_duration_seconds", &["pro", "completed"]),
        (1, 2.0)
    );
    assert_eq!(
        observed(&events, "order_duration_seconds", &["pro", "failed"]),
        (1, 0.5)
    );
    assert_eq!(observed(&events, "order_shipped_duration_seconds", &["pro"]), (1, 1.0));
    assert_eq!(counted(&events, "order_completed_total", &["pro"]), 1);
}

#[test]
fn ends_of_one_entity_share_their_labels() {
    let events = events();
    map(&events, "order.completed", &["metrics"], &["plan"]);
    map(&events, "order.failed", &["metrics"], &["reason"]);
    let payload = Map::of([
        ("plan", text("pro")),
        ("reason", text("lost")),
        ("duration", float(1.0)),
    ]);
    publish(&events, "order.failed", &payload, 0);
    publish(&events, "order.completed", &payload, 0);
    let durations = |outcome| observed(&events, "order_duration_seconds", &["pro", "lost", outcome]);
    assert_eq!((durations("failed"), durations("completed")), ((1, 1.0), (1, 1.0)));
    assert_eq!(counted(&events, "order_failed_total", &["lost"]), 1);
}

#[test]
fn a_step_that_runs_two_seconds_shows_two_seconds() {
    // Where it is begun and ended, and what the end's payload tells.
    for (elsewhere, told) in [(false, false), (true, false), (false, true)] {
        let (one, other) = two_processes();
        if !told {
            publish(&one, "step.execution_requested", &step(7), 0);
            publish(&one, "step.execution_requested", &step(7), 1);
        }
        let mut payload = step(7).with("attempt_number", Value::Int(1));
        if told {
            payload = payload.with("execution_duration", float(2.0));
        }
        let ending = if elsewhere { &other } else { &one };
        let end = publish(ending, "step.completed", &payload, 2);
        assert_eq!((end.start, end.end, end.pending), (Some(0), 2 * SECOND, None));
        assert_eq!(end.attempt.as_deref(), Some("1"));
        assert_eq!(observed(&one, "step_duration_seconds", &STEP_DONE), (1, 2.0));
    }
}

#[test]
fn the_start_of_a_retry_takes_the_place_of_the_first() {
    let (one, other) = two_processes();
    for (name, after, process) in [
        ("step.execution_requested", 0, &one),
        ("step.failed", 10, &one),
        ("step.retry_requested", 11, &one),
        ("step.execution_requested", 20, &other),
    ] {
        publish(process, name, &step(7), after);
    }
    let end = publish(&one, "step.completed", &step(7), 23);
    assert_eq!((end.start, end.end), (Some(20 * SECOND), 23 * SECOND));
}

#[test]
fn the_wait_between_two_attempts_is_nobodys() {
    let (one, other) = two_processes();
    publish(&one, "step.execution_requested", &step(7), 0);
    let failed = publish(&other, "step.failed", &step(7), 1);
    assert_eq!((failed.start, failed.end), (Some(0), SECOND));
    // Of the next attempt only the end is told, by who has seen the start of the first.
    let completed = publish(&one, "step.completed", &step(7), 100);
    assert_eq!((completed.start, completed.pending.is_some()), (None, true));
    assert_eq!(degraded(&one, "unknown_start"), 1);
    assert_eq!(observed(&one, "step_duration_seconds", &STEP_FAILED), (1, 1.0));
    assert_eq!(observed(&one, "step_duration_seconds", &STEP_DONE), (0, 0.0));
}

#[test]
fn a_task_that_is_queued_again_goes_on() {
    let (one, other) = two_processes();
    let task = |at: i64| Map::of([("task_id", Value::Int(1))]).with("transitioned_at", Value::Time(NOW + at * SECOND));
    publish(&one, "task.start_requested", &task(0), 0);
    publish(&other, "task.start_requested", &task(50), 50);
    publish(&one, "task.completed", &task(60), 60);
    assert_eq!(
        observed(&one, "task_duration_seconds", &["", "", "completed"]),
        (1, 60.0)
    );
    // The process that began it may be dead, but not its attempt at a step.
    publish(
        &one,
        "step.execution_requested",
        &step(7).with("attempt", Value::Int(1)),
        100,
    );
    publish(
        &other,
        "step.execution_requested",
        &step(7).with("attempt", Value::Int(2)),
        150,
    );
    publish(&other, "step.completed", &step(7), 160);
    assert_eq!(observed(&one, "step_duration_seconds", &STEP_DONE), (1, 10.0));
}

#[test]
fn a_long_task_outlives_thousands_of_steps() {
    let (one, other) = two_processes();
    let task = Map::of([("task_id", Value::Int(1))]);
    publish(&one, "task.start_requested", &task, 0);
    for number in 0..5_000 {
        for name in [
            "step.initialize_requested",
            "step.before_transition",
            "step.execution_requested",
            "step.before_handle",
            "step.handle",
            "step.failed",
            "step.retry_requested",
        ] {
            let payload = Map::of([("step_id", Value::Int(number)), ("transitioned_at", Value::Int(number))]);
            publish(&one, name, &payload, 1);
        }
    }
    publish(&other, "task.completed", &task, 60);
    assert_eq!(
        observed(&one, "task_duration_seconds", &["", "", "completed"]),
        (1, 60.0)
    );
}

#[test]
fn an_end_waits_for_a_duplicate_that_knows_the_start() {
    let (one, other) = two_processes();
    let first = publish(&one, "step.completed", &step(7), 5);
    assert!(first.pending.is_some() && first.start.is_none());
    assert_eq!(degraded(&one, "unknown_start"), 1);
    // Poor ones change nothing.
    assert_eq!(publish(&other, "step.completed", &step(7), 5).completes, None);
    let rich = step(7).with("execution_duration", float(2.0));
    for process in [&other, &one, &other] {
        let told = publish(process, "step.completed", &rich, 5);
        assert_eq!(told.completes, first.pending);
        assert_eq!((told.start, told.decision.any()), (Some(3 * SECOND), false));
    }
    assert_eq!(observed(&one, "step_duration_seconds", &STEP_DONE), (1, 2.0));
    assert_eq!(counted(&one, "step_completed_total", &STEP), 1);
}

#[test]
fn notes_are_as_old_as_the_event_whatever_its_payload_says() {
    let events = events();
    let route = events.route("task.completed");
    for told_at in [-5_000_000_000, 5, 5_000_000_000] {
        let payload = Map::of([("task_id", Value::Int(told_at)), ("completed_at", Value::Int(told_at))]);
        let told = events.finish(&route, &payload, Times::at(NOW + 3 * SECOND));
        assert_eq!((told.end_ns, told.now_s()), (told_at * SECOND, 1_800_000_003));
    }
}

#[test]
fn times_centuries_apart_make_no_duration() {
    let events = events();
    let centuries = step(7)
        .with("started_at", text("1700-01-01T00:00:00Z"))
        .with("completed_at", text("2200-01-01T00:00:00Z"));
    let told = publish(&events, "step.completed", &centuries, 0);
    assert_eq!((told.start, told.pending.is_some()), (None, true));
    assert_eq!(degraded(&events, "unknown_start"), 1);
    assert!(events.registry().find("step_duration_seconds").is_none());
    // The extremes of what there is room for, as starts and as ends.
    let extremes = [i64::MIN, i64::MIN + 1, -1, 0, i64::MAX - 1, i64::MAX];
    for (index, (start, end)) in extremes
        .iter()
        .flat_map(|start| extremes.map(|end| (*start, end)))
        .enumerate()
    {
        let payload = |at| step(100 + index as i64).with("transitioned_at", Value::Time(at));
        publish(&events, "step.execution_requested", &payload(start), 0);
        publish(&events, "step.completed", &payload(end), 0);
    }
    let (count, sum) = observed(&events, "step_duration_seconds", &STEP_DONE);
    assert!(count > 0 && sum >= 0.0, "{count} {sum}");
}

#[test]
fn a_known_duration_is_observed_once() {
    let events = events();
    let rich = step(7).with("execution_duration", float(2.0));
    (0..3).for_each(|_| drop(publish(&events, "step.completed", &rich, 5)));
    assert_eq!(observed(&events, "step_duration_seconds", &STEP_DONE), (1, 2.0));
}

#[test]
fn the_end_inside_the_block_of_its_start_finds_it() {
    let events = events();
    let route = events.route("step.execution_requested");
    let begun = events.start(&route, &step(7), NOW);
    let end = publish(&events, "step.completed", &step(7), 2);
    assert_eq!(end.start, Some(0));
    let times = Times {
        begun,
        ..Times::around(NOW, NOW + 3 * SECOND)
    };
    let told = finish(&events, "step.execution_requested", &step(7), times);
    assert!(!told.duplicate);
    assert_eq!((told.start, told.end), (Some(0), 0));
    // It is still the last transition.
    assert!(publish(&events, "step.completed", &step(7), 2).duplicate);
    assert_eq!(counted(&events, "step_started_total", &STEP), 1);
}

#[test]
fn a_workflow_has_its_own_starts_and_names() {
    let events = events();
    let task = Map::of([("task_id", Value::Int(1))]);
    publish(&events, "workflow.task_started", &task, 0);
    publish(&events, "workflow.steps_execution_started", &task, 1);
    publish(&events, "workflow.steps_execution_completed", &task, 2);
    publish(&events, "workflow.task_failed", &task, 5);
    assert_eq!(
        observed(&events, "workflow_task_failed_duration_seconds", &[]),
        (1, 5.0)
    );
    assert_eq!(
        observed(&events, "workflow_steps_execution_completed_duration_seconds", &[]),
        (1, 1.0)
    );
    let export = Map::of([("export_id", text("e"))]);
    publish(&events, "tasker.telemetry.export_requested", &export, 0);
    publish(&events, "tasker.telemetry.export_completed", &export, 1);
    assert_eq!(
        observed(&events, "tasker_telemetry_export_completed_duration_seconds", &[]),
        (1, 1.0)
    );
}

#[test]
fn a_point_is_as_long_as_its_block() {
    let events = events();
    map(&events, "observability.*", &["metrics"], &[]);
    let payload = step(7).with("started_at", Value::Time(NOW - 100 * SECOND));
    let told = publish(&events, "observability.step.backoff", &payload, 0);
    assert_eq!((told.start, told.end), (None, 0));
    let told = finish(
        &events,
        "observability.step.handle",
        &payload,
        Times::around(NOW, NOW + SECOND),
    );
    assert_eq!((told.start, told.end), (Some(0), SECOND));
    assert_eq!(
        observed(&events, "observability_step_handle_duration_seconds", &[]),
        (1, 1.0)
    );
    let payload = Map::of([("correlation_id", text("a")), ("duration", float(1.5))]);
    let told = publish(&events, "tasker.telemetry.cache_synced", &payload, 0);
    assert_eq!((told.start, told.end), (Some(-SECOND * 3 / 2), 0));
    assert_eq!(degraded(&events, "unknown_start"), 0);
}
