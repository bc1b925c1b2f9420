//! What tests of this module share.

use super::record::{system_time, SpanRecord};
use opentelemetry::trace::SpanContext;
use opentelemetry::InstrumentationScope;
use opentelemetry_sdk::trace::{SpanData, SpanEvents, SpanLinks};

/// A span as OpenTelemetry's own crates have it.
pub(super) fn span_data(record: &SpanRecord, scope: &InstrumentationScope) -> SpanData {
    let mut data = SpanData {
        span_context: SpanContext::new(
            record.trace_id,
            record.span_id,
            record.flags.with_sampled(record.sampled == Some(true)),
            false,
            record.trace_state.clone(),
        ),
        parent_span_id: record.parent_span_id,
        parent_span_is_remote: record.parent_is_remote,
        span_kind: record.kind.clone(),
        name: record.name.clone(),
        start_time: system_time(record.start),
        end_time: system_time(record.end),
        attributes: record.attributes.clone(),
        dropped_attributes_count: record.dropped.attributes,
        events: SpanEvents::default(),
        links: SpanLinks::default(),
        status: record.status.clone(),
        instrumentation_scope: scope.clone(),
    };
    data.events.events = record.events.clone();
    data.events.dropped_count = record.dropped.events;
    data.links.links = record.links.clone();
    data.links.dropped_count = record.dropped.links;
    data
}
