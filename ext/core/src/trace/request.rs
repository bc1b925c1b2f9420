//! What is sent: spans that are encoded already, within what is the same for all of them.

use super::encode::Encoded;
use crate::export::protobuf::begin;
use opentelemetry::InstrumentationScope;
use opentelemetry_proto::tonic::common::v1::InstrumentationScope as Scope;
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::transform::common::tonic::ResourceAttributesWithSchema;
use prost::encoding::{encoded_len_varint, message};

/// Bytes of a key of the fields below, all of which are the first or the second of their messages.
const KEY: usize = 1;

/// What the spans of a process have in common, encoded.
pub(super) struct Envelope {
    /// Field 1 of `ResourceSpans`.
    resource: Vec<u8>,
    /// Field 1 of `ScopeSpans`.
    scope: Vec<u8>,
}

impl Envelope {
    pub(super) fn new(resource: &opentelemetry_sdk::Resource, scope: &InstrumentationScope) -> Self {
        let attributes = ResourceAttributesWithSchema::from(resource).attributes.0;
        let resource = Resource {
            attributes,
            ..Resource::default()
        };
        let mut envelope = Self {
            resource: Vec::new(),
            scope: Vec::new(),
        };
        message::encode(1, &resource, &mut envelope.resource);
        message::encode(1, &Scope::from((scope, None)), &mut envelope.scope);
        envelope
    }

    /// Bytes of a request without spans, at most.
    pub(super) fn length(&self) -> usize {
        // Three lengths stand before what they are of.
        self.resource.len() + self.scope.len() + 3 * (KEY + 10)
    }

    /// Bytes that a span takes in a request.
    pub(super) fn room(span: &Encoded) -> usize {
        field_length(span.len())
    }

    /// A message `ExportTraceServiceRequest` with those spans.
    pub(super) fn request(&self, spans: &[Encoded]) -> Vec<u8> {
        let all: usize = spans.iter().map(Self::room).sum();
        let scope_spans = self.scope.len() + all;
        let resource_spans = self.resource.len() + field_length(scope_spans);
        let mut out = Vec::with_capacity(field_length(resource_spans));
        begin(1, resource_spans, &mut out);
        out.extend_from_slice(&self.resource);
        begin(2, scope_spans, &mut out);
        out.extend_from_slice(&self.scope);
        for span in spans {
            begin(2, span.len(), &mut out);
            out.extend_from_slice(span);
        }
        out
    }
}

fn field_length(length: usize) -> usize {
    KEY + encoded_len_varint(length as u64) + length
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trace::encode::encode;
    use crate::trace::testing::span_data;
    use crate::trace::{ids, Limits, SpanRecord};
    use opentelemetry::KeyValue;
    use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
    use opentelemetry_proto::transform::trace::tonic::group_spans_by_resource_and_scope;
    use prost::Message;

    #[test]
    fn a_request_reads_as_what_opentelemetrys_own_crates_make() {
        let resource = opentelemetry_sdk::Resource::builder_empty()
            .with_attribute(KeyValue::new("service.name", "shop"))
            .build();
        let scope = InstrumentationScope::builder("tasker_telemetry")
            .with_version("1")
            .build();
        for count in [1, 3, 400] {
            let records: Vec<_> = (0..count)
                .map(|number| SpanRecord::new(ids::trace_id(), ids::span_id(), format!("span {number}"), 1, 2))
                .collect();
            let limits = Limits::default();
            let encoded: Vec<_> = records.iter().map(|record| encode(record, &limits, |_| {})).collect();
            let request = Envelope::new(&resource, &scope).request(&encoded);
            assert_eq!(request.capacity(), request.len());
            let room: usize = encoded.iter().map(Envelope::room).sum();
            let envelope = Envelope::new(&resource, &scope);
            assert!(room < request.len() && request.len() <= room + envelope.length());
            let spans = records.iter().map(|record| span_data(record, &scope)).collect();
            let expected = group_spans_by_resource_and_scope(spans, &(&resource).into());
            let read = ExportTraceServiceRequest::decode(&*request).unwrap();
            assert_eq!(read.resource_spans, expected);
        }
    }
}
