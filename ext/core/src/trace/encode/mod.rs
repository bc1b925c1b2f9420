//! Spans as OTLP's Protobuf.
//!
//! A span is encoded where it ends, cut down to its limits. What waits is then small and one piece of memory: whoever
//! sends it, on another processor, neither reads nor frees dozens of small ones, and what the caller used is still in its
//! cache for the next. What a payload tells of it is written from the payload as it is read.
//!
//! Fields are those of `opentelemetry/proto/trace/v1/trace.proto` and `common/v1/common.proto`.

mod attributes;
mod fields;

use super::limits::Limits;
use super::record::SpanRecord;
use attributes::within;
use fields::{bytes, fixed32, fixed64, nested, number, text};
use opentelemetry::trace::{Event, Link, SpanId, SpanKind, Status, TraceFlags, TraceId, TraceState};
use opentelemetry_proto::tonic::trace::v1::{span, status, SpanFlags};
use std::cell::Cell;
use std::time::{SystemTime, UNIX_EPOCH};

pub(super) use attributes::{EncodedKey, Writer};

/// Bytes of a buffer that is kept for the next span.
const KEPT: usize = 64 * 1024;

/// A message `Span`.
pub(super) type Encoded = Box<[u8]>;

thread_local! {
    /// Where spans are written, since their length is known at the end only. It is taken out meanwhile, because what is
    /// read may itself make spans.
    static BUFFER: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// Encodes a span; `told` writes the attributes that it does not have of itself.
pub(super) fn encode(span: &SpanRecord, limits: &Limits, told: impl FnOnce(&mut Writer<'_>)) -> Encoded {
    let mut out = BUFFER.try_with(Cell::take).unwrap_or_default();
    out.clear();
    write(span, limits, told, &mut out);
    let encoded = Encoded::from(out.as_slice());
    if out.capacity() <= KEPT {
        let _ = BUFFER.try_with(|kept| kept.set(out));
    }
    encoded
}

fn write(span: &SpanRecord, limits: &Limits, told: impl FnOnce(&mut Writer<'_>), out: &mut Vec<u8>) {
    let flags = span.flags.with_sampled(span.sampled == Some(true));
    identify(span.trace_id, span.span_id, &span.trace_state, out);
    if span.parent_span_id != SpanId::INVALID {
        bytes(4, &span.parent_span_id.to_bytes(), out);
    }
    text(5, limits.text(&span.name), out);
    number(6, kind(&span.kind) as u64, out);
    fixed64(7, since_epoch(span.start), out);
    fixed64(8, since_epoch(span.end.max(span.start)), out);
    let mut attributes = Writer::new(9, limits, limits.attributes, out);
    attributes.add_all(&span.attributes);
    told(&mut attributes);
    let dropped = attributes.dropped();
    number(10, (span.dropped.attributes + dropped).into(), out);
    for event in span.events.iter().take(limits.events) {
        nested(11, out, |out| self::event(event, limits, out));
    }
    number(
        12,
        (span.dropped.events + over(span.events.len(), limits.events)).into(),
        out,
    );
    for link in span.links.iter().take(limits.links) {
        nested(13, out, |out| self::link(link, limits, out));
    }
    number(
        14,
        (span.dropped.links + over(span.links.len(), limits.links)).into(),
        out,
    );
    nested(15, out, |out| status(&span.status, limits, out));
    fixed32(16, self::flags(flags, span.parent_is_remote), out);
}

/// The first three fields of a span, and of a link.
fn identify(trace_id: TraceId, span_id: SpanId, state: &TraceState, out: &mut Vec<u8>) {
    bytes(1, &trace_id.to_bytes(), out);
    bytes(2, &span_id.to_bytes(), out);
    // Hardly any trace has one, and its header is a text of its own.
    if *state != TraceState::NONE {
        text(3, &state.header(), out);
    }
}

fn event(event: &Event, limits: &Limits, out: &mut Vec<u8>) {
    fixed64(1, nanos(event.timestamp), out);
    text(2, &event.name, out);
    let dropped = within(3, limits, &event.attributes, out);
    number(4, (event.dropped_attributes_count + dropped).into(), out);
}

fn link(link: &Link, limits: &Limits, out: &mut Vec<u8>) {
    let context = &link.span_context;
    identify(context.trace_id(), context.span_id(), context.trace_state(), out);
    let dropped = within(4, limits, &link.attributes, out);
    number(5, (link.dropped_attributes_count + dropped).into(), out);
    fixed32(6, flags(context.trace_flags(), context.is_remote()), out);
}

fn status(status: &Status, limits: &Limits, out: &mut Vec<u8>) {
    if let Status::Error { description } = status {
        text(2, limits.text(description), out);
    }
    number(3, status::StatusCode::from(status) as u64, out);
}

fn kind(kind: &SpanKind) -> span::SpanKind {
    kind.clone().into()
}

/// Those of the W3C, and whether the one around it was in another process.
fn flags(flags: TraceFlags, is_remote: bool) -> u32 {
    let remote = SpanFlags::ContextIsRemoteMask as u32;
    let known = SpanFlags::ContextHasIsRemoteMask as u32;
    u32::from(flags.to_u8()) | known | if is_remote { remote } else { 0 }
}

fn nanos(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH)
        .map_or(0, |since| u64::try_from(since.as_nanos()).unwrap_or(u64::MAX))
}

/// OTLP knows no time before the epoch.
fn since_epoch(nanos: i64) -> u64 {
    nanos.try_into().unwrap_or(0)
}

fn over(length: usize, limit: usize) -> u32 {
    length.saturating_sub(limit) as u32
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trace::record::Dropped;
    use crate::trace::testing::span_data;
    use opentelemetry::trace::SpanContext;
    use opentelemetry::{Array, InstrumentationScope, KeyValue, Value};
    use opentelemetry_proto::tonic::trace::v1::Span;
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
        fn any_record()(
            (context, sampled) in (any_context(), any::<bool>()),
            (parent, parent_is_remote, kind, name) in (any::<u64>(), any::<bool>(), any_kind(), ".{0,200}"),
            (start, length, status) in (any::<u32>(), any::<u32>(), any_status()),
            attributes in any_attributes(),
            events in proptest::collection::vec((".{0,9}", any_time(), any_attributes(), 0_u32..3), 0..3),
            links in proptest::collection::vec((any_context(), any_attributes()), 0..3),
            dropped in 0_u32..200,
        ) -> SpanRecord {
            let (start, length) = (i64::from(start) * 1_000_000_007, i64::from(length) * 1_009);
            let event = |(name, at, attributes, dropped)| Event::new::<String>(name, at, attributes, dropped);
            SpanRecord {
                parent_span_id: SpanId::from(parent % 3),
                parent_is_remote,
                sampled: Some(sampled),
                flags: context.trace_flags(),
                trace_state: context.trace_state().clone(),
                kind,
                attributes,
                events: events.into_iter().map(event).collect(),
                links: links.into_iter().map(|(context, all)| Link::new(context, all, 1)).collect(),
                status,
                dropped: Dropped { attributes: dropped, events: dropped / 2, links: dropped / 3 },
                ..SpanRecord::new(context.trace_id(), context.span_id(), name, start, start + length)
            }
        }
    }

    const UNLIMITED: Limits = Limits {
        attributes: usize::MAX,
        value_length: usize::MAX,
        events: usize::MAX,
        links: usize::MAX,
        nested_attributes: usize::MAX,
    };

    fn read(record: &SpanRecord, limits: &Limits) -> Span {
        Span::decode(&*encode(record, limits, |_| {})).unwrap()
    }

    proptest! {
        /// Against what OpenTelemetry's own crates make of it.
        #[test]
        fn a_span_reads_as_the_one_that_it_was(record in any_record()) {
            let scope = InstrumentationScope::default();
            prop_assert_eq!(read(&record, &UNLIMITED), Span::from(span_data(&record, &scope)));
        }
    }

    #[test]
    fn a_span_is_cut_to_its_limits() {
        let limits = Limits {
            attributes: 2,
            value_length: 4,
            events: 1,
            links: 0,
            nested_attributes: 1,
        };
        let texts = Value::Array(Array::String(vec!["value".into(), "é_é".into()]));
        let all = || {
            vec![
                KeyValue::new("a", "value"),
                KeyValue::new("b", texts.clone()),
                KeyValue::new("c", 1),
            ]
        };
        let record = SpanRecord {
            attributes: all(),
            events: vec![Event::new("one", UNIX_EPOCH, all(), 0), Event::with_name("two")],
            links: vec![Link::with_context(SpanContext::NONE)],
            status: Status::error("message"),
            dropped: Dropped {
                attributes: 5,
                events: 6,
                links: 7,
            },
            ..SpanRecord::new(TraceId::from(1), SpanId::from(2), "a long name", 10, 5)
        };
        let cut = Value::Array(Array::String(vec!["valu".into(), "é_".into()]));
        let kept = vec![KeyValue::new("a", "valu"), KeyValue::new("b", cut)];
        let expected = SpanRecord {
            events: vec![Event::new("one", UNIX_EPOCH, kept[..1].to_vec(), 2)],
            attributes: kept,
            links: Vec::new(),
            status: Status::error("mess"),
            dropped: Dropped {
                attributes: 6,
                events: 7,
                links: 8,
            },
            ..SpanRecord::new(TraceId::from(1), SpanId::from(2), "a lo", 10, 10)
        };
        assert_eq!(read(&record, &limits), read(&expected, &UNLIMITED));
    }

    #[test]
    fn what_is_told_has_the_room_that_the_record_left() {
        let limits = Limits {
            attributes: 2,
            value_length: 3,
            ..UNLIMITED
        };
        let mut record = SpanRecord::new(TraceId::from(1), SpanId::from(2), "one", 1, 2);
        record.attributes = vec![KeyValue::new("a", 1)];
        let told = encode(&record, &limits, |out| {
            for key in ["b", "c"] {
                out.add(&EncodedKey::new(key), &crate::event::Value::Text("long".into()));
            }
        });
        let told = Span::decode(&*told).unwrap();
        record.attributes.push(KeyValue::new("b", "lon"));
        record.dropped.attributes = 1;
        assert_eq!(told, read(&record, &UNLIMITED));
    }
}
