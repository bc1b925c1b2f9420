//! Where the span of an event stands.
//!
//! What an event tells of a task or step has a place that follows from its ids: the task's trace, with the task itself at
//! its root, the attempts at its steps below it, and whatever else happened to them beside these. So the processes that
//! work on a task need not know of each other. Any other event stands inside the span that is current where it happens.
//!
//! The place is known when the event begins, since what happens in the meantime refers to it: spans inside of it, lines
//! of the log, exemplars. So an event that will have no span of its own, because it only says that something begins, or
//! was told before, or is left out, has the place of one that was sent or will be.

use super::derive::{self, Derived};
use super::{ids, Story};
use crate::event::{attempt, id, Begun, Family, Key, Kind, Payload, Route};
use opentelemetry::trace::{SpanContext, SpanId, TraceFlags, TraceId, TraceState};

/// Where a span stands.
#[derive(Debug, Clone)]
pub struct Place {
    pub(super) context: SpanContext,
    pub(super) parent: SpanId,
    pub(super) parent_is_remote: bool,
    /// Whether the span is the task or the attempt, rather than something that happened to it.
    pub(super) is_whole: bool,
    inside: Inside,
}

/// What is current while an event goes on.
#[derive(Debug, Clone, Copy)]
enum Inside {
    Itself,
    /// The task, whose root that is.
    Task(SpanId),
    /// What is current anyway.
    Around,
}

impl Place {
    /// The span that tells of the event.
    #[must_use]
    pub fn context(&self) -> &SpanContext {
        &self.context
    }

    /// The span that is to be current while the event goes on; `None` for what is so already.
    #[must_use]
    pub fn inside_id(&self) -> Option<SpanId> {
        match self.inside {
            Inside::Itself => Some(self.context.span_id()),
            Inside::Task(root) => Some(root),
            Inside::Around => None,
        }
    }

    /// The same with its trace.
    #[must_use]
    pub fn inside(&self) -> Option<SpanContext> {
        let context = &self.context;
        match self.inside {
            Inside::Itself => Some(context.clone()),
            Inside::Task(root) => Some(SpanContext::new(
                context.trace_id(),
                root,
                context.trace_flags(),
                false,
                TraceState::NONE,
            )),
            Inside::Around => None,
        }
    }
}

impl Story<'_> {
    /// Where the span of an event will stand. `begun` is what was decided at its beginning; the default without a block,
    /// in which nothing can happen.
    #[must_use]
    pub fn place(&self, route: &Route, payload: &dyn Payload, begun: Begun, around: Option<&SpanContext>) -> Place {
        let task_id = (route.family() != Family::Other)
            .then(|| id(payload, Key::TASK_ID))
            .flatten();
        match task_id {
            Some(task_id) => self.derived(route, payload, begun, &task_id),
            None => self.nested(begun, around),
        }
    }

    fn derived(&self, route: &Route, payload: &dyn Payload, begun: Begun, task_id: &str) -> Place {
        let identity = self.tracer.identity();
        let root = derive::task(identity, task_id);
        let step = || id(payload, Key::STEP_ID).or_else(|| id(payload, Key::STEP_NAME));
        match (route.family(), route.kind()) {
            (Family::Task, Kind::Start) => self.task(root, Inside::Itself),
            (Family::Task, Kind::End) if begun.is_left_out() => self.task(root, Inside::Around),
            (Family::Task, Kind::End) => self.task(root, Inside::Itself),
            (Family::Step, kind @ (Kind::Start | Kind::End)) => match step() {
                Some(step) => {
                    let attempt = attempt(payload).unwrap_or_default();
                    let left_out = kind == Kind::End && begun.is_left_out();
                    Place {
                        is_whole: true,
                        ..self.part(root, derive::step(identity, task_id, &step, &attempt), left_out)
                    }
                }
                None if kind == Kind::Start => self.task(root, Inside::Itself),
                None => self.part(root, ids::span_id(), begun.is_left_out()),
            },
            // What it begins has no place that could be known.
            (_, Kind::Start) => self.task(root, Inside::Itself),
            (family, _) => {
                let step = step();
                let of_step = matches!(family, Family::Step | Family::StepObservation);
                let marks = if of_step && step.is_none() {
                    Vec::new()
                } else {
                    route.marks(payload)
                };
                if marks.is_empty() {
                    // Of those that nothing tells apart only the first has a span.
                    return self.part(root, ids::span_id(), begun.is_left_out() || begun.is_duplicate());
                }
                let step = step.unwrap_or_default();
                let which: Vec<&str> = [route.name(), &step]
                    .into_iter()
                    .chain(marks.iter().map(|mark| &**mark))
                    .collect();
                self.part(root, derive::point(identity, task_id, &which), begun.is_left_out())
            }
        }
    }

    /// The task itself.
    fn task(&self, root: Derived, inside: Inside) -> Place {
        Place {
            context: self.context(root.trace_id, root.span_id, None),
            parent: SpanId::INVALID,
            parent_is_remote: false,
            is_whole: true,
            inside,
        }
    }

    /// A span of the task; one that is `missing` is not sent.
    fn part(&self, root: Derived, span_id: SpanId, missing: bool) -> Place {
        Place {
            context: self.context(root.trace_id, span_id, None),
            parent: root.span_id,
            // Who tells the task's end may be another process.
            parent_is_remote: true,
            is_whole: false,
            inside: if missing {
                Inside::Task(root.span_id)
            } else {
                Inside::Itself
            },
        }
    }

    fn nested(&self, begun: Begun, around: Option<&SpanContext>) -> Place {
        let around = around.filter(|around| around.is_valid());
        let trace_id = around.map_or_else(ids::trace_id, SpanContext::trace_id);
        let missing = begun.is_left_out() || begun.is_duplicate();
        Place {
            context: self.context(trace_id, ids::span_id(), around),
            parent: around.map_or(SpanId::INVALID, SpanContext::span_id),
            parent_is_remote: around.is_some_and(SpanContext::is_remote),
            is_whole: false,
            inside: if missing { Inside::Around } else { Inside::Itself },
        }
    }

    fn context(&self, trace_id: TraceId, span_id: SpanId, around: Option<&SpanContext>) -> SpanContext {
        let sampled = self.tracer.sampled(trace_id, around);
        SpanContext::new(
            trace_id,
            span_id,
            around
                .map_or(TraceFlags::default(), SpanContext::trace_flags)
                .with_sampled(sampled),
            false,
            around.map_or(TraceState::NONE, |around| around.trace_state().clone()),
        )
    }
}
