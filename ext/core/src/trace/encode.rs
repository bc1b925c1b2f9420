//! Spans as OTLP's Protobuf.
//!
//! A span is encoded where it ends. What waits is then small and one piece of memory: whoever sends it, on another
//! processor, neither reads nor frees dozens of small ones, and what the caller used is still in its cache for the next.
//!
//! Fields are those of `opentelemetry/proto/trace/v1/trace.proto` and `common/v1/common.proto`.

use crate::export::protobuf::begin;
use opentelemetry::trace::{Event, Link, SpanContext, SpanId, SpanKind, Status};
use opentelemetry::{Array, KeyValue, Value};
use opentelemetry_proto::tonic::trace::v1::{span, status, SpanFlags};
use opentelemetry_sdk::trace::SpanData;
use prost::encoding::{encode_key, encode_varint, WireType};
use std::cell::Cell;
use std::time::{SystemTime, UNIX_EPOCH};

/// Bytes of a buffer that is kept for the next span.
const KEPT: usize = 64 * 1024;

/// A message `Span`.
pub(super) type Encoded = Box<[u8]>;

thread_local! {
    /// Where spans are written, since their length is known at the end only.
    static BUFFER: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// Encodes a span.
pub(super) fn encode(data: &SpanData) -> Encoded {
    let mut out = BUFFER.try_with(Cell::take).unwrap_or_default();
    out.clear();
    span(data, &mut out);
    let encoded = Encoded::from(out.as_slice());
    if out.capacity() <= KEPT {
        let _ = BUFFER.try_with(|kept| kept.set(out));
    }
    encoded
}

fn span(data: &SpanData, out: &mut Vec<u8>) {
    let context = &data.span_context;
    identify(context, out);
    if data.parent_span_id != SpanId::INVALID {
        bytes(4, &data.parent_span_id.to_bytes(), out);
    }
    text(5, &data.name, out);
    number(6, kind(&data.span_kind) as u64, out);
    fixed64(7, nanos(data.start_time), out);
    fixed64(8, nanos(data.end_time), out);
    attributes(9, &data.attributes, out);
    number(10, data.dropped_attributes_count.into(), out);
    for event in &data.events.events {
        nested(11, out, |out| self::event(event, out));
    }
    number(12, data.events.dropped_count.into(), out);
    for link in &data.links.links {
        nested(13, out, |out| self::link(link, out));
    }
    number(14, data.links.dropped_count.into(), out);
    nested(15, out, |out| status(&data.status, out));
    fixed32(16, flags(context, data.parent_span_is_remote), out);
}

/// The first three fields of a span, and of a link.
fn identify(context: &SpanContext, out: &mut Vec<u8>) {
    bytes(1, &context.trace_id().to_bytes(), out);
    bytes(2, &context.span_id().to_bytes(), out);
    text(3, &context.trace_state().header(), out);
}

fn event(event: &Event, out: &mut Vec<u8>) {
    fixed64(1, nanos(event.timestamp), out);
    text(2, &event.name, out);
    attributes(3, &event.attributes, out);
    number(4, event.dropped_attributes_count.into(), out);
}

fn link(link: &Link, out: &mut Vec<u8>) {
    identify(&link.span_context, out);
    attributes(4, &link.attributes, out);
    number(5, link.dropped_attributes_count.into(), out);
    fixed32(6, flags(&link.span_context, link.span_context.is_remote()), out);
}

fn status(status: &Status, out: &mut Vec<u8>) {
    if let Status::Error { description } = status {
        text(2, description, out);
    }
    number(3, status::StatusCode::from(status) as u64, out);
}

fn kind(kind: &SpanKind) -> span::SpanKind {
    kind.clone().into()
}

/// Those of the W3C, and whether the one around it was in another process.
fn flags(context: &SpanContext, is_remote: bool) -> u32 {
    let remote = SpanFlags::ContextIsRemoteMask as u32;
    let known = SpanFlags::ContextHasIsRemoteMask as u32;
    u32::from(context.trace_flags().to_u8()) | known | if is_remote { remote } else { 0 }
}

fn nanos(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH)
        .map_or(0, |since| u64::try_from(since.as_nanos()).unwrap_or(u64::MAX))
}

fn attributes(field: u32, attributes: &[KeyValue], out: &mut Vec<u8>) {
    for attribute in attributes {
        nested(field, out, |out| {
            text(1, attribute.key.as_str(), out);
            nested(2, out, |out| value(&attribute.value, out));
        });
    }
}

/// A message `AnyValue`. It is a choice, so what is empty or zero is written as well.
fn value(value: &Value, out: &mut Vec<u8>) {
    match value {
        Value::String(text) => chosen_bytes(1, text.as_str().as_bytes(), out),
        Value::Bool(value) => chosen_number(2, u64::from(*value), out),
        Value::I64(value) => chosen_number(3, *value as u64, out),
        Value::F64(value) => fixed64(4, value.to_bits(), out),
        Value::Array(list) => nested(5, out, |out| array(list, out)),
        // What the crate may come to know says how it is printed.
        other => chosen_bytes(1, other.as_str().as_bytes(), out),
    }
}

fn array(array: &Array, out: &mut Vec<u8>) {
    match array {
        Array::Bool(all) => each(all, out, |value| Value::Bool(*value)),
        Array::I64(all) => each(all, out, |value| Value::I64(*value)),
        Array::F64(all) => each(all, out, |value| Value::F64(*value)),
        Array::String(all) => each(all, out, |value| Value::String(value.clone())),
        _ => {}
    }
}

fn each<T>(all: &[T], out: &mut Vec<u8>, one: impl Fn(&T) -> Value) {
    for item in all {
        nested(1, out, |out| value(&one(item), out));
    }
}

fn chosen_bytes(field: u32, bytes: &[u8], out: &mut Vec<u8>) {
    begin(field, bytes.len(), out);
    out.extend_from_slice(bytes);
}

fn chosen_number(field: u32, number: u64, out: &mut Vec<u8>) {
    encode_key(field, WireType::Varint, out);
    encode_varint(number, out);
}

fn number(field: u32, number: u64, out: &mut Vec<u8>) {
    if number != 0 {
        chosen_number(field, number, out);
    }
}

fn text(field: u32, text: &str, out: &mut Vec<u8>) {
    bytes(field, text.as_bytes(), out);
}

fn bytes(field: u32, bytes: &[u8], out: &mut Vec<u8>) {
    if !bytes.is_empty() {
        chosen_bytes(field, bytes, out);
    }
}

fn fixed64(field: u32, number: u64, out: &mut Vec<u8>) {
    encode_key(field, WireType::SixtyFourBit, out);
    out.extend_from_slice(&number.to_le_bytes());
}

fn fixed32(field: u32, number: u32, out: &mut Vec<u8>) {
    encode_key(field, WireType::ThirtyTwoBit, out);
    out.extend_from_slice(&number.to_le_bytes());
}

/// Writes a message inside of another. Its length stands before it, and is nearly always one byte.
fn nested(field: u32, out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) {
    encode_key(field, WireType::LengthDelimited, out);
    let at = out.len();
    out.push(0);
    write(out);
    let length = out.len() - at - 1;
    if length < 0x80 {
        out[at] = length as u8;
        return;
    }
    let mut prefix = Vec::with_capacity(5);
    encode_varint(length as u64, &mut prefix);
    out.splice(at..=at, prefix);
}

#[cfg(test)]
mod tests {
    use super::*;
    use opentelemetry::trace::{TraceFlags, TraceId, TraceState};
    use opentelemetry::InstrumentationScope;
    use opentelemetry_proto::tonic::trace::v1::Span;
    use opentelemetry_sdk::trace::{SpanEvents, SpanLinks};
    use proptest::prelude::*;
    use prost::Message;
    use std::time::Duration;

    fn any_value() -> impl Strategy<Value = Value> {
        prop_oneof![
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<i32>().prop_map(|number| Value::from(f64::from(number) / 7.0)),
            ".{0,300}".prop_map(Value::from),
            proptest::collection::vec(any::<i64>(), 0..5).prop_map(|all| Value::Array(all.into())),
            proptest::collection::vec(any::<bool>(), 0..5).prop_map(|all| Value::Array(all.into())),
            proptest::collection::vec("[a-z]{0,9}", 0..5)
                .prop_map(|all| Value::Array(Array::String(all.into_iter().map(Into::into).collect()))),
        ]
    }

    fn any_attributes() -> impl Strategy<Value = Vec<KeyValue>> {
        proptest::collection::vec((".{0,20}", any_value()), 0..6)
            .prop_map(|all| all.into_iter().map(|(key, value)| KeyValue::new(key, value)).collect())
    }

    fn any_context() -> impl Strategy<Value = SpanContext> {
        (any::<u128>(), any::<u64>(), any::<u8>(), any::<bool>(), any::<bool>()).prop_map(
            |(trace, span, flags, remote, state)| {
                let state = if state {
                    TraceState::from_key_value([("vendor", "value")]).unwrap()
                } else {
                    TraceState::NONE
                };
                SpanContext::new(
                    TraceId::from(trace),
                    SpanId::from(span),
                    TraceFlags::new(flags),
                    remote,
                    state,
                )
            },
        )
    }

    fn any_status() -> impl Strategy<Value = Status> {
        prop_oneof![
            Just(Status::Unset),
            Just(Status::Ok),
            Just(Status::error("")),
            Just(Status::error("it broke")),
        ]
    }

    fn any_kind() -> impl Strategy<Value = SpanKind> {
        prop_oneof![
            Just(SpanKind::Internal),
            Just(SpanKind::Server),
            Just(SpanKind::Client),
            Just(SpanKind::Producer),
            Just(SpanKind::Consumer),
        ]
    }

    fn any_time() -> impl Strategy<Value = SystemTime> {
        any::<u32>().prop_map(|seconds| UNIX_EPOCH + Duration::new(seconds.into(), seconds % 1_000_000_000))
    }

    prop_compose! {
        fn any_span()(
            context in any_context(),
            (parent, remote, kind, name) in (any::<u64>(), any::<bool>(), any_kind(), ".{0,200}"),
            (start, end, status) in (any_time(), any_time(), any_status()),
            attributes in any_attributes(),
            events in proptest::collection::vec((".{0,9}", any_time(), any_attributes(), 0_u32..3), 0..3),
            links in proptest::collection::vec((any_context(), any_attributes()), 0..3),
            dropped in 0_u32..200,
        ) -> SpanData {
            let mut data = SpanData {
                span_context: context,
                parent_span_id: SpanId::from(parent % 3),
                parent_span_is_remote: remote,
                span_kind: kind,
                name: name.into(),
                start_time: start,
                end_time: end,
                attributes,
                dropped_attributes_count: dropped,
                events: SpanEvents::default(),
                links: SpanLinks::default(),
                status,
                instrumentation_scope: InstrumentationScope::default(),
            };
            let event = |(name, at, attributes, dropped)| Event::new::<String>(name, at, attributes, dropped);
            data.events.events = events.into_iter().map(event).collect();
            data.events.dropped_count = dropped / 2;
            data.links.links = links.into_iter().map(|(context, all)| Link::new(context, all, 1)).collect();
            data.links.dropped_count = dropped / 3;
            data
        }
    }

    proptest! {
        /// Against what OpenTelemetry's own crates make of it.
        #[test]
        fn a_span_reads_as_the_one_that_it_was(data in any_span()) {
            let read = Span::decode(&*encode(&data)).unwrap();
            prop_assert_eq!(read, Span::from(data));
        }
    }
}
