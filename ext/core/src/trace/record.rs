//! What is told of a span.

pub use crate::event::Priority;
use opentelemetry::trace::{Event, Link, SpanId, SpanKind, Status, TraceFlags, TraceId, TraceState};
use opentelemetry::KeyValue;
use std::borrow::Cow;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Marks a span of an unsampled trace that was sent for its priority alone.
pub const UNSAMPLED_TRACE: &str = "tasker_telemetry.unsampled_trace";
/// Marks a span whose start nobody told; it has its end's time.
pub const START_UNKNOWN: &str = "tasker_telemetry.start_unknown";

/// A span, as far as it is known. Times are nanoseconds since the epoch.
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
    pub(super) dropped: Dropped,
}

/// How much there was no room for already while it went on.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Dropped {
    pub attributes: u32,
    pub events: u32,
    pub links: u32,
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
            dropped: Dropped::default(),
        }
    }
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
