//! What is told about one event to those who make spans and lines of it.

use super::instant;
use super::mapping::Priority;
use super::route::Route;
use serde::Serialize;
use std::borrow::Cow;

/// What an event is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Family {
    /// A task of the workflow engine.
    Task,
    /// A step of a task.
    Step,
    /// The engine's way through a task.
    Workflow,
    /// What the engine does for a task.
    TaskObservation,
    /// What the engine does for a step.
    StepObservation,
    /// This library's own exports.
    Telemetry,
    /// Anything else.
    Other,
}

/// Where in a course of events one stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// Something begins, and another event will tell its end.
    Start,
    /// Something has ended.
    End,
    /// Something happened.
    Point,
}

/// How something ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// Well.
    Completed,
    /// Not well.
    Failed,
    /// Before it was done.
    Cancelled,
}

impl Outcome {
    /// The label's value.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }
}

/// What a task or step went through.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Transition {
    /// It was made.
    Initialized,
    /// It began.
    Started,
    /// It is done.
    Completed,
    /// It failed.
    Failed,
    /// It is to be tried again.
    Retried,
    /// It was called off.
    Cancelled,
    /// A person settled it.
    ResolvedManually,
}

/// Who takes this very event. Drawn once, for all of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Decision {
    /// It is counted; it has been, by the time that this is told.
    pub metrics: bool,
    /// It becomes a span.
    pub traces: bool,
    /// It becomes a line of the log.
    pub logs: bool,
    /// How dear it is.
    pub priority: Priority,
}

impl Decision {
    /// Whether anybody does.
    #[must_use]
    pub fn any(self) -> bool {
        self.metrics || self.traces || self.logs
    }
}

/// What is decided at the beginning of an event that was published around a block, and remembered until its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Begun {
    /// Whether it is the first to tell of its transition, where that is known so early.
    pub(super) first: Option<bool>,
    /// What was drawn for it.
    pub(super) drawn: Option<bool>,
}

impl Begun {
    /// Whether the same transition was told before; then there will be no span.
    #[must_use]
    pub fn is_duplicate(self) -> bool {
        self.first == Some(false)
    }

    /// Whether nobody will take it, as it was drawn.
    #[must_use]
    pub fn is_left_out(self) -> bool {
        self.drawn == Some(false)
    }
}

/// When an event was published, in nanoseconds since the epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Times {
    /// The beginning of the block that it was published around; without one, as `end_ns`.
    pub start_ns: i64,
    /// The end.
    pub end_ns: i64,
    /// Whether it was published around a block; `None` where that cannot be known.
    pub own_block: Option<bool>,
    /// What [`super::Events::start`] answered; the default where there was no start.
    pub begun: Begun,
}

impl Times {
    /// When it was published, in seconds since the epoch, for how old a note is.
    pub(super) fn now_s(&self) -> u32 {
        instant::whole_seconds(self.end_ns)
    }

    /// An event without a block.
    #[must_use]
    pub fn at(nanos: i64) -> Self {
        Self {
            start_ns: nanos,
            end_ns: nanos,
            own_block: Some(false),
            begun: Begun::default(),
        }
    }

    /// An event around a block.
    #[must_use]
    pub fn around(start_ns: i64, end_ns: i64) -> Self {
        Self {
            start_ns,
            end_ns,
            own_block: Some(true),
            begun: Begun::default(),
        }
    }
}

/// Names of a task or step, from the payload or from an earlier one.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Names<'e> {
    /// `task_name`
    pub task: Option<Cow<'e, str>>,
    /// `namespace`
    pub namespace: Option<Cow<'e, str>>,
    /// `step_name`
    pub step: Option<Cow<'e, str>>,
}

/// One event, as the makers of spans and log lines are to see it.
#[derive(Debug, Clone)]
pub struct Told<'e> {
    pub(super) route: &'e Route,
    /// Who takes it. Nobody takes a duplicate.
    pub decision: Decision,
    /// The task, where the catalogue knows the event.
    pub task_id: Option<Cow<'e, str>>,
    /// The step, where the catalogue knows the event.
    pub step_id: Option<Cow<'e, str>>,
    /// Which attempt, where the catalogue knows the event and the payload tells.
    pub attempt: Option<Cow<'e, str>>,
    /// Names, where the catalogue knows the event.
    pub names: Names<'e>,
    /// When it began, in nanoseconds since the epoch; `None` when that is unknown.
    pub start_ns: Option<i64>,
    /// When it ended, in nanoseconds since the epoch.
    pub end_ns: i64,
    pub(super) published_ns: i64,
    /// The same transition was told before.
    pub duplicate: bool,
    /// Set for an end whose start is unknown: its span is to wait, for a second at most, for a duplicate that
    /// [completes](Self::completes) this key.
    pub pending: Option<u64>,
    /// Set for a duplicate that knows the start: the key of the span that may be waiting for it.
    pub completes: Option<u64>,
}

impl<'e> Told<'e> {
    /// An event that nobody takes.
    pub(super) fn nothing(route: &'e Route, times: &Times) -> Self {
        Self {
            route,
            decision: route.decision(false),
            task_id: None,
            step_id: None,
            attempt: None,
            names: Names::default(),
            start_ns: None,
            end_ns: times.end_ns,
            published_ns: times.end_ns,
            duplicate: false,
            pending: None,
            completes: None,
        }
    }

    /// The event's name.
    #[must_use]
    pub fn name(&self) -> &str {
        self.route.name()
    }

    /// The event's name, without a copy where it can be.
    #[must_use]
    pub fn own_name(&self) -> Cow<'static, str> {
        self.route.own_name()
    }

    /// What it is about.
    #[must_use]
    pub fn family(&self) -> Family {
        self.route.family()
    }

    /// Where in the course of events it stands.
    #[must_use]
    pub fn kind(&self) -> Kind {
        self.route.kind()
    }

    /// What the task or step went through.
    #[must_use]
    pub fn transition(&self) -> Option<Transition> {
        self.route.transition()
    }

    /// How it ended.
    #[must_use]
    pub fn outcome(&self) -> Option<Outcome> {
        self.route.outcome()
    }

    /// When it was published, in seconds since the epoch, for how old a note is.
    #[must_use]
    pub fn now_s(&self) -> u32 {
        instant::whole_seconds(self.published_ns)
    }

    /// How long it took, in seconds.
    #[must_use]
    pub fn duration(&self) -> Option<f64> {
        let nanos = self.start_ns.and_then(|start| self.end_ns.checked_sub(start));
        nanos.map(|nanos| nanos as f64 / 1e9)
    }
}
