//! The spans of events.

use super::attributes::Attributes;
use super::derive;
use super::encode::Writer;
use super::place::Place;
use super::record::{Priority, SpanRecord};
use super::span::{exception, Span};
use super::Tracer;
use crate::arena::Registry;
use crate::event::{ErrorInfo, Family, Kind, Outcome, Payload, Redactor, Told};
use opentelemetry::trace::{Event, Link, SpanContext, SpanId, Status, TraceFlags, TraceState};
use opentelemetry::KeyValue;
use std::borrow::Cow;
use xxhash_rust::xxh3::xxh3_64_with_seed;

/// Makes spans of events.
pub struct Story<'a> {
    /// Whom they are handed to.
    pub tracer: &'a Tracer,
    /// Makes what is told of them.
    pub attributes: &'a Attributes,
    /// Where all processes note what they have seen.
    pub registry: &'a Registry,
}

impl Story<'_> {
    /// Hands over the span of an event that was told, at its place; `around` is what it happened in.
    pub fn tell(&self, told: &Told<'_>, payload: &dyn Payload, place: Option<&Place>, around: Option<&SpanContext>) {
        if let (Some(key), Some(start)) = (told.completes, told.start_ns) {
            self.tracer
                .complete(key, (start, told.end_ns), self.attributes.of(payload));
        }
        let own = told.decision.traces && !(told.kind() == Kind::Start && told.task_id.is_some());
        let Some(place) = place.filter(|_| own) else { return };
        let priority = told.decision.priority;
        // What is left out need not be read first; it is handed over bare, to be counted.
        if !place.context.is_sampled() && priority != Priority::Critical {
            self.tracer.emit(bare(told, place), priority);
            return;
        }
        let mut record = self.record(told, payload, place, around);
        match told.pending {
            Some(key) => {
                record.attributes = self.attributes.of(payload);
                self.tracer.hold(key, record, priority);
            }
            None => {
                let told = |out: &mut Writer<'_>| self.attributes.write(payload, out);
                self.tracer.emit_told(record, priority, told);
            }
        }
    }

    fn record(
        &self,
        told: &Told<'_>,
        payload: &dyn Payload,
        place: &Place,
        around: Option<&SpanContext>,
    ) -> SpanRecord {
        let mut record = bare(told, place);
        record.name = name(told);
        record.parent_span_id = place.parent;
        record.parent_is_remote = place.parent_is_remote;
        record.trace_state = place.context.trace_state().clone();
        if place.is_whole {
            self.settle(told, &mut record);
        }
        // What asked for a task is in a trace of its own.
        if let Some(around) = around.filter(|around| place.is_whole && around.is_valid()) {
            if around.trace_id() != record.trace_id {
                record.links.push(Link::with_context(around.clone()));
            }
        }
        match payload.error() {
            Some(error) => self.fail(&error, &mut record),
            None if told.outcome() == Some(Outcome::Failed) => record.status = Status::error(""),
            None if told.outcome() == Some(Outcome::Completed) => record.status = Status::Ok,
            None => {}
        }
        record
    }

    /// A task that ended before, or an attempt that nobody numbered, must not get the same id twice: a further end is a
    /// span of its own. That of a task is linked to the first.
    fn settle(&self, told: &Told<'_>, record: &mut SpanRecord) {
        let task_id = told.task_id.as_deref().unwrap_or_default();
        let root = record.parent_span_id == SpanId::INVALID;
        let again = root
            && told
                .attempt
                .as_deref()
                .is_some_and(|attempt| attempt.parse().is_ok_and(|n: u64| n > 1));
        let key = xxh3_64_with_seed(&record.span_id.to_bytes(), u64::from_be_bytes(*b"rootspan"));
        if !again && self.registry.notes().first(key, told.now_s()) {
            return;
        }
        let end = told.end_ns.to_string();
        let which = [told.name(), told.attempt.as_deref().unwrap_or(&end)];
        let first = record.span_id;
        record.span_id = derive::further_end(self.tracer.identity(), task_id, &which);
        if root {
            let first = SpanContext::new(
                record.trace_id,
                first,
                TraceFlags::default().with_sampled(record.sampled == Some(true)),
                true,
                TraceState::NONE,
            );
            record.links.push(Link::with_context(first));
        }
    }

    fn fail(&self, error: &ErrorInfo<'_>, record: &mut SpanRecord) {
        let (message, attributes) = failure(self.attributes.redactor(), error);
        let at = super::system_time(record.end);
        record.events.push(Event::new("exception", at, attributes, 0));
        record.status = Status::error(message);
    }
}

/// Makes a span one that failed by that error.
pub fn fail(redactor: &Redactor, error: &ErrorInfo<'_>, span: &mut Span) {
    let (message, attributes) = failure(redactor, error);
    span.add_event("exception", None, attributes);
    span.set_status(Status::error(message));
}

/// An error's message and the attributes of its event, without what must not be shown.
fn failure(redactor: &Redactor, error: &ErrorInfo<'_>) -> (String, Vec<KeyValue>) {
    let message = redactor.text(&error.message).into_owned();
    let backtrace = (!error.backtrace.is_empty()).then(|| redactor.text(&error.backtrace.join("\n")).into_owned());
    let attributes = exception(&error.class, &message, backtrace.as_deref());
    (message, attributes)
}

fn bare(told: &Told<'_>, place: &Place) -> SpanRecord {
    let start = told.start_ns.unwrap_or(told.end_ns);
    let mut record = SpanRecord::new(
        place.context.trace_id(),
        place.context.span_id(),
        "",
        start,
        told.end_ns,
    );
    record.sampled = Some(place.context.is_sampled());
    record.flags = place.context.trace_flags();
    record
}

/// Few different ones: what is one of many stands in the attributes.
fn name(told: &Told<'_>) -> Cow<'static, str> {
    let named = |what: &'static str, name: &Option<Cow<'_, str>>| match name {
        Some(name) => Cow::Owned(format!("{what} {name}")),
        None => Cow::Borrowed(what),
    };
    match (told.family(), told.kind()) {
        (Family::Task, Kind::End) => named("task", &told.names.task),
        (Family::Step, Kind::End) => named("step", &told.names.step),
        _ => told.own_name(),
    }
}
