//! What is told of a span whose ids and times are already known.

use super::limits::Limits;
pub use crate::event::Priority;
use opentelemetry::trace::{Event, Link, SpanContext, SpanId, SpanKind, Status, TraceFlags, TraceId, TraceState};
use opentelemetry::{InstrumentationScope, KeyValue};
use opentelemetry_sdk::trace::{SpanData, SpanEvents, SpanLinks};
use std::borrow::Cow;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Marks a span of an unsampled trace that was sent for its priority alone.
pub const UNSAMPLED_TRACE: &str = "tasker_telemetry.unsampled_trace";
/// Marks a span whose start nobody told; it has its end's time.
pub const START_UNKNOWN: &str = "tasker_telemetry.start_unknown";

/// A span that is over. Times are nanoseconds since the epoch.
#[derive(Debug, Clone)]
pub struct SpanRecord {
    /// Its trace.
    pub trace_id: TraceId,
    /// Its own id.
    pub span_id: SpanId,
    /// The id of the span around it; `SpanId::INVALID` for a root.
    pub parent_span_id: SpanId,
    /// Whether the parent was in another process.
    pub parent_is_remote: bool,
    /// Whether the trace is kept; `None`: as its id tells.
    pub sampled: Option<bool>,
    /// What else the trace's flags say.
    pub flags: TraceFlags,
    /// W3C `tracestate` to pass on.
    pub trace_state: TraceState,
    /// What it did.
    pub name: Cow<'static, str>,
    /// On which side of a call it was.
    pub kind: SpanKind,
    /// When it began.
    pub start: i64,
    /// When it was over.
    pub end: i64,
    /// What is known of it.
    pub attributes: Vec<KeyValue>,
    /// What happened in it.
    pub events: Vec<Event>,
    /// Spans that it has to do with.
    pub links: Vec<Link>,
    /// How it went.
    pub status: Status,
}

impl SpanRecord {
    /// A root span of that identity, internal, without anything else.
    #[must_use]
    pub fn new(trace_id: TraceId, span_id: SpanId, name: impl Into<Cow<'static, str>>, start: i64, end: i64) -> Self {
        Self {
            trace_id,
            span_id,
            parent_span_id: SpanId::INVALID,
            parent_is_remote: false,
            sampled: None,
            flags: TraceFlags::default(),
            trace_state: TraceState::NONE,
            name: name.into(),
            kind: SpanKind::Internal,
            start,
            end,
            attributes: Vec::new(),
            events: Vec::new(),
            links: Vec::new(),
            status: Status::Unset,
        }
    }

    pub(super) fn into_data(self, sampled: bool, limits: &Limits, scope: &InstrumentationScope) -> SpanData {
        let mut data = SpanData {
            span_context: SpanContext::new(
                self.trace_id,
                self.span_id,
                self.flags.with_sampled(sampled),
                false,
                self.trace_state,
            ),
            parent_span_id: self.parent_span_id,
            parent_span_is_remote: self.parent_is_remote,
            span_kind: self.kind,
            name: self.name,
            start_time: system_time(self.start),
            end_time: system_time(self.end.max(self.start)),
            attributes: self.attributes,
            dropped_attributes_count: 0,
            events: SpanEvents::default(),
            links: SpanLinks::default(),
            status: self.status,
            instrumentation_scope: scope.clone(),
        };
        data.events.events = self.events;
        data.links.links = self.links;
        limit(&mut data, limits);
        data
    }
}

/// Cuts a span down to its limits.
pub(super) fn limit(data: &mut SpanData, limits: &Limits) {
    if data.name.len() > limits.value_length {
        data.name = Cow::Owned(limits.text(std::mem::take(&mut data.name).into_owned()));
    }
    data.dropped_attributes_count += limits.attributes(&mut data.attributes, limits.attributes);
    data.events.dropped_count += keep(&mut data.events.events, limits.events);
    for event in &mut data.events.events {
        event.dropped_attributes_count += limits.attributes(&mut event.attributes, limits.nested_attributes);
    }
    data.links.dropped_count += keep(&mut data.links.links, limits.links);
    for link in &mut data.links.links {
        link.dropped_attributes_count += limits.attributes(&mut link.attributes, limits.nested_attributes);
    }
    if let Status::Error { description } = &mut data.status {
        if description.len() > limits.value_length {
            *description = Cow::Owned(limits.text(std::mem::take(description).into_owned()));
        }
    }
}

fn keep<T>(list: &mut Vec<T>, limit: usize) -> u32 {
    let dropped = list.len().saturating_sub(limit);
    list.truncate(limit);
    dropped as u32
}

/// Nanoseconds since the epoch as a time.
#[must_use]
pub fn system_time(nanos: i64) -> SystemTime {
    let distance = Duration::from_nanos(nanos.unsigned_abs());
    if nanos < 0 {
        UNIX_EPOCH.checked_sub(distance).unwrap_or(UNIX_EPOCH)
    } else {
        UNIX_EPOCH + distance
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_is_cut_to_its_limits() {
        let limits = Limits {
            attributes: 1,
            value_length: 4,
            events: 1,
            links: 0,
            nested_attributes: 1,
        };
        let pair = || vec![KeyValue::new("a", "value"), KeyValue::new("b", "value")];
        let mut record = SpanRecord::new(TraceId::from(1), SpanId::from(2), "a long name", 10, 5);
        record.attributes = pair();
        record.events = vec![Event::new("one", UNIX_EPOCH, pair(), 0), Event::with_name("two")];
        record.links = vec![Link::with_context(SpanContext::NONE)];
        record.status = Status::error("message");
        let data = record.into_data(true, &limits, &InstrumentationScope::builder("test").build());
        assert_eq!(data.name, "a lo");
        assert_eq!(data.attributes, [KeyValue::new("a", "valu")]);
        assert_eq!(data.dropped_attributes_count, 1);
        assert_eq!((data.events.len(), data.events.dropped_count), (1, 1));
        assert_eq!(data.events[0].dropped_attributes_count, 1);
        assert_eq!((data.links.len(), data.links.dropped_count), (0, 1));
        assert_eq!(data.status, Status::error("mess"));
        assert_eq!((data.start_time, data.end_time), (system_time(10), system_time(10)));
    }
}
