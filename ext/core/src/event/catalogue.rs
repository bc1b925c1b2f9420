//! The workflow engine's events.

use super::entry::{point, Entry};
use super::mapping::{Backends, Mapping, Priority};
use super::told::{Family, Outcome, Transition};

const TASK: &[&str] = &[
    "task_id",
    "task_name",
    "namespace",
    "from_state",
    "to_state",
    "transitioned_at",
];
const TASK_END: &[&str] = &[
    "task_id",
    "task_name",
    "namespace",
    "started_at",
    "completed_at",
    "total_execution_duration",
    "total_steps",
    "completed_steps",
    "failed_steps",
    "error_message",
    "transitioned_at",
];
const STEP: &[&str] = &[
    "task_id",
    "step_id",
    "step_name",
    "task_name",
    "namespace",
    "attempt_number",
    "retry_limit",
    "from_state",
    "to_state",
    "transitioned_at",
];
const STEP_END: &[&str] = &[
    "task_id",
    "step_id",
    "step_name",
    "task_name",
    "namespace",
    "attempt_number",
    "retry_limit",
    "started_at",
    "completed_at",
    "execution_duration",
    "error_message",
    "error_class",
    "transitioned_at",
];
const WORKFLOW: &[&str] = &["task_id", "step_ids", "step_count", "processing_mode", "reason"];
const WORKFLOW_END: &[&str] = &[
    "task_id",
    "processed_count",
    "successful_count",
    "final_status",
    "started_at",
    "duration",
];
const WORKFLOW_STEP: &[&str] = &["task_id", "step_id", "step_name", "attempt_number"];
const ENQUEUE: &[&str] = &[
    "task_id",
    "task_name",
    "job_id",
    "queue_name",
    "attempt",
    "correlation_id",
];
const BACKOFF: &[&str] = &[
    "task_id",
    "step_id",
    "step_name",
    "attempt_number",
    "backoff_seconds",
    "backoff_type",
];
const EXPORT: &[&str] = &[
    "correlation_id",
    "export_id",
    "format",
    "success",
    "metrics_count",
    "duration",
    "error",
];
const PLUGIN: &[&str] = &["plugin_name", "plugin_class"];
const ANY: &[&str] = &["task_id", "step_id", "duration"];

use Family::{Other, Step, StepObservation, Task, TaskObservation, Telemetry, Workflow};
use Outcome::{Cancelled, Completed, Failed};

/// In the order in which people want to read them.
pub(super) static BUILT_IN: &[Entry] = &[
    point("task.initialize_requested", Task, TASK, "A task was asked for").is(Transition::Initialized),
    point("task.start_requested", Task, TASK, "A task begins")
        .starts("task")
        .is(Transition::Started),
    point("task.completed", Task, TASK_END, "A task is done")
        .ends("task", Completed)
        .is(Transition::Completed),
    point("task.failed", Task, TASK_END, "A task failed")
        .ends("task", Failed)
        .is(Transition::Failed),
    point("task.retry_requested", Task, TASK, "A failed task is to be tried again").is(Transition::Retried),
    point("task.cancelled", Task, TASK_END, "A task was called off")
        .ends("task", Cancelled)
        .is(Transition::Cancelled),
    point("task.resolved_manually", Task, TASK, "A person settled a failed task").is(Transition::ResolvedManually),
    point(
        "task.before_transition",
        Task,
        TASK,
        "A task is about to change its state",
    )
    .beside()
    .to(Backends::TRACES),
    point("step.initialize_requested", Step, STEP, "A step was asked for").is(Transition::Initialized),
    point("step.execution_requested", Step, STEP, "A step begins")
        .starts("step")
        .is(Transition::Started),
    point(
        "step.before_handle",
        Step,
        STEP,
        "The handler of a step is about to run",
    )
    .beside()
    .to(Backends::TRACES),
    point("step.handle", Step, STEP, "The handler of a step runs")
        .beside()
        .to(Backends::TRACES),
    point("step.completed", Step, STEP_END, "A step is done")
        .ends("step", Completed)
        .is(Transition::Completed),
    point("step.failed", Step, STEP_END, "A step failed")
        .ends("step", Failed)
        .is(Transition::Failed),
    point("step.retry_requested", Step, STEP, "A failed step is to be tried again").is(Transition::Retried),
    point("step.cancelled", Step, STEP_END, "A step was called off")
        .ends("step", Cancelled)
        .is(Transition::Cancelled),
    point("step.resolved_manually", Step, STEP, "A person settled a failed step").is(Transition::ResolvedManually),
    point(
        "step.before_transition",
        Step,
        STEP,
        "A step is about to change its state",
    )
    .beside()
    .to(Backends::TRACES),
    point(
        "workflow.task_started",
        Workflow,
        WORKFLOW,
        "The engine takes a task up",
    )
    .starts("workflow.task"),
    point(
        "workflow.task_completed",
        Workflow,
        WORKFLOW_END,
        "The engine is done with a task",
    )
    .ends("workflow.task", Completed),
    point(
        "workflow.task_failed",
        Workflow,
        WORKFLOW_END,
        "The engine gave a task up",
    )
    .ends("workflow.task", Failed),
    point(
        "workflow.step_completed",
        Workflow,
        WORKFLOW_STEP,
        "The engine is done with a step",
    )
    .of_one_step(),
    point(
        "workflow.step_failed",
        Workflow,
        WORKFLOW_STEP,
        "A step failed in the engine",
    )
    .of_one_step(),
    point(
        "workflow.viable_steps_discovered",
        Workflow,
        WORKFLOW,
        "Steps were found that can run",
    ),
    point("workflow.no_viable_steps", Workflow, WORKFLOW, "No step can run now"),
    point(
        "workflow.orchestration_requested",
        Workflow,
        WORKFLOW,
        "A task is to be looked at",
    ),
    point(
        "workflow.task_finalization_started",
        Workflow,
        WORKFLOW,
        "The engine looks at what became of a task",
    )
    .starts("workflow.task_finalization"),
    point(
        "workflow.task_finalization_completed",
        Workflow,
        WORKFLOW_END,
        "The engine knows what became of a task",
    )
    .ends("workflow.task_finalization", Completed),
    point(
        "workflow.task_reenqueue_started",
        Workflow,
        WORKFLOW,
        "A task is being queued again",
    )
    .starts("workflow.task_reenqueue"),
    point(
        "workflow.task_reenqueue_requested",
        Workflow,
        WORKFLOW_END,
        "A task was queued again",
    )
    .ends("workflow.task_reenqueue", Completed),
    point(
        "workflow.task_reenqueue_failed",
        Workflow,
        WORKFLOW_END,
        "A task could not be queued again",
    )
    .ends("workflow.task_reenqueue", Failed),
    point(
        "workflow.task_reenqueue_delayed",
        Workflow,
        WORKFLOW,
        "A task was queued for later",
    ),
    point(
        "workflow.task_state_unclear",
        Workflow,
        WORKFLOW,
        "A task is in a state that tells nothing",
    ),
    point(
        "workflow.step_execution_failed",
        Workflow,
        WORKFLOW_STEP,
        "A step could not be run",
    )
    .of_one_step(),
    point(
        "workflow.viable_steps_batch_ready",
        Workflow,
        WORKFLOW,
        "A batch of steps can run",
    ),
    point(
        "workflow.steps_execution_started",
        Workflow,
        WORKFLOW,
        "A batch of steps begins",
    )
    .starts("workflow.steps_execution"),
    point(
        "workflow.steps_execution_completed",
        Workflow,
        WORKFLOW_END,
        "A batch of steps is done",
    )
    .ends("workflow.steps_execution", Completed),
    point(
        "observability.task.handle",
        TaskObservation,
        ANY,
        "The job of a task runs",
    )
    .to(Backends::TRACES),
    point(
        "observability.task.enqueue",
        TaskObservation,
        ENQUEUE,
        "A task was queued",
    )
    .to(Backends::METRICS)
    .by_job()
    .of(Priority::High),
    point(
        "observability.task.finalize",
        TaskObservation,
        ANY,
        "A task is being finalized",
    )
    .to(Backends::TRACES),
    point(
        "observability.step.handle",
        StepObservation,
        ANY,
        "A step is being handled",
    )
    .to(Backends::TRACES),
    point(
        "observability.step.find_viable",
        StepObservation,
        ANY,
        "Steps that can run are looked for",
    )
    .to(Backends::TRACES),
    point(
        "observability.step.backoff",
        StepObservation,
        BACKOFF,
        "A step waits before it is tried again",
    ),
    point("observability.step.skip", StepObservation, STEP, "A step was left out"),
    point(
        "observability.step.max_retries_reached",
        StepObservation,
        STEP,
        "A step will not be tried again",
    )
    .of(Priority::High),
    point(
        "tasker.telemetry.cache_synced",
        Telemetry,
        EXPORT,
        "Metrics were shared through the cache",
    ),
    point(
        "tasker.telemetry.export_requested",
        Telemetry,
        EXPORT,
        "An export was asked for",
    )
    .starts("export"),
    point(
        "tasker.telemetry.export_completed",
        Telemetry,
        EXPORT,
        "An export is done",
    )
    .ends("export", Completed),
    point("tasker.telemetry.export_failed", Telemetry, EXPORT, "An export failed").ends("export", Failed),
    point(
        "tasker.telemetry.plugin_registered",
        Telemetry,
        PLUGIN,
        "An exporter was registered",
    ),
    point(
        "tasker.telemetry.plugin_unregistered",
        Telemetry,
        PLUGIN,
        "An exporter was taken away",
    ),
    point("database.query_executed", Other, ANY, "A query was run").sampled(0.1),
    point("dependency.resolved", Other, ANY, "What a step waits for is there").to(Backends::TRACES),
    point("batch.step_execution", Other, ANY, "A batch of steps was run"),
    point("memory.spike_detected", Other, ANY, "Much memory is in use")
        .to(Backends::METRICS)
        .of(Priority::Critical),
    point("performance.slow_operation", Other, ANY, "Something took long").of(Priority::High),
];

/// The built-in event of that name.
pub(super) fn built_in(name: &str) -> Option<&'static Entry> {
    BUILT_IN.iter().find(|entry| entry.name == name)
}

/// What becomes of a registered event where nothing else is said.
pub(super) fn custom_mapping(name: &str) -> Mapping {
    Mapping::built_in(name, Backends::BOTH, 1.0, Priority::Normal)
}

/// How an event ended that the catalogue does not know, by its name.
pub(super) fn outcome_by_name(name: &str) -> Option<Outcome> {
    [Completed, Failed, Cancelled].into_iter().find(|outcome| {
        let entity = name
            .strip_suffix(outcome.name())
            .and_then(|rest| rest.strip_suffix('.'));
        entity.is_some_and(|entity| !entity.is_empty())
    })
}

#[cfg(test)]
mod tests {
    use super::super::told::Kind;
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn has_every_event_once() {
        let names: HashSet<_> = BUILT_IN.iter().map(|entry| entry.name).collect();
        assert_eq!(names.len(), BUILT_IN.len());
        let of = |prefix: &str| names.iter().filter(|name| name.starts_with(prefix)).count();
        assert_eq!(
            (
                of("task."),
                of("step."),
                of("workflow."),
                of("observability."),
                of("tasker.")
            ),
            (8, 10, 19, 8, 6)
        );
        assert!(BUILT_IN
            .iter()
            .all(|entry| !entry.description.is_empty() && !entry.payload_keys.is_empty()));
    }

    #[test]
    fn every_end_has_a_start() {
        for end in BUILT_IN.iter().filter(|entry| entry.kind == Kind::End) {
            let starts = |entry: &&Entry| entry.kind == Kind::Start && entry.course == end.course;
            assert_eq!(BUILT_IN.iter().filter(starts).count(), 1, "{}", end.name);
            assert!(end.outcome.is_some(), "{}", end.name);
        }
    }

    #[test]
    fn routes_are_those_of_the_reference() {
        let route = |name: &str| {
            let mapping = built_in(name).unwrap().mapping();
            (mapping.backends(), mapping.sample(), mapping.priority())
        };
        assert_eq!(route("step.failed"), (Backends::BOTH, 1.0, Priority::Normal));
        assert_eq!(
            route("database.query_executed"),
            (Backends::BOTH, 0.1, Priority::Normal)
        );
        assert_eq!(
            route("memory.spike_detected"),
            (Backends::METRICS, 1.0, Priority::Critical)
        );
        assert_eq!(
            route("observability.task.enqueue"),
            (Backends::METRICS, 1.0, Priority::High)
        );
        assert_eq!(route("step.before_handle"), (Backends::TRACES, 1.0, Priority::Normal));
    }

    #[test]
    fn outcomes_are_in_names() {
        assert_eq!(outcome_by_name("order.completed"), Some(Completed));
        assert_eq!(outcome_by_name("order.line.cancelled"), Some(Cancelled));
        assert_eq!(outcome_by_name("order_failed"), None);
        assert_eq!(outcome_by_name(".failed"), None);
        assert_eq!(outcome_by_name("failed"), None);
    }
}
