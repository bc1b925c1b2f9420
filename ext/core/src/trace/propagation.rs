//! W3C Trace Context: `traceparent` and `tracestate`.

use opentelemetry::trace::{SpanContext, SpanId, TraceFlags, TraceId, TraceState};
use std::fmt::Write;
use std::str::FromStr;

/// Longest `tracestate` that is read; the specification asks for 512 characters at least.
const LONGEST_STATE: usize = 4096;
/// Flags that go on to others: sampled, and that the id is random (level 2).
const KNOWN_FLAGS: u8 = 0b11;

/// The remote context of the two headers; `None` for a `traceparent` that the specification calls invalid. A
/// `tracestate` that is invalid is dropped alone.
#[must_use]
pub fn extract(traceparent: &str, tracestate: Option<&str>) -> Option<SpanContext> {
    let (trace_id, span_id, flags) = parse(traceparent.trim_matches([' ', '\t']))?;
    let state = tracestate
        .filter(|state| !state.is_empty() && state.len() <= LONGEST_STATE)
        .and_then(|state| TraceState::from_str(state).ok())
        .unwrap_or_default();
    Some(SpanContext::new(trace_id, span_id, flags, true, state))
}

fn parse(text: &str) -> Option<(TraceId, SpanId, TraceFlags)> {
    let mut parts = text.split('-');
    let version = hex::<2>(parts.next()?)? as u8;
    let trace_id = hex::<32>(parts.next()?)?;
    let span_id = hex::<16>(parts.next()?)? as u64;
    let flags = hex::<2>(parts.next()?)? as u8;
    // A later version may have more parts; version 0 has none, and 255 is forbidden.
    if version == 0xff || trace_id == 0 || span_id == 0 || (version == 0 && parts.next().is_some()) {
        return None;
    }
    let flags = TraceFlags::new(flags & KNOWN_FLAGS);
    Some((TraceId::from(trace_id), SpanId::from(span_id), flags))
}

/// Exactly `N` lower-case hexadecimal digits.
fn hex<const N: usize>(text: &str) -> Option<u128> {
    if text.len() != N {
        return None;
    }
    text.bytes().try_fold(0u128, |value, byte| {
        let digit = match byte {
            b'0'..=b'9' => byte - b'0',
            b'a'..=b'f' => byte - b'a' + 10,
            _ => return None,
        };
        Some(value << 4 | u128::from(digit))
    })
}

/// `traceparent` of a context; `None` when it is not valid.
#[must_use]
pub fn traceparent(context: &SpanContext) -> Option<String> {
    if !context.is_valid() {
        return None;
    }
    let mut header = String::with_capacity(55);
    let flags = context.trace_flags().to_u8() & KNOWN_FLAGS;
    // Writing to a String does not fail.
    let _ = write!(header, "00-{}-{}-{flags:02x}", context.trace_id(), context.span_id());
    Some(header)
}

/// `tracestate` of a context; `None` when it has none.
#[must_use]
pub fn tracestate(context: &SpanContext) -> Option<String> {
    Some(context.trace_state().header()).filter(|state| !state.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const VALID: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    #[test]
    fn reads_what_the_specification_shows() {
        let context = extract(VALID, Some("congo=t61rcWkgMzE,rojo=00f067aa0ba902b7")).unwrap();
        assert_eq!(context.trace_id().to_string(), "0af7651916cd43dd8448eb211c80319c");
        assert_eq!(context.span_id().to_string(), "b7ad6b7169203331");
        assert!(context.is_sampled() && context.is_remote());
        assert_eq!(traceparent(&context).unwrap(), VALID);
        assert_eq!(tracestate(&context).unwrap(), "congo=t61rcWkgMzE,rojo=00f067aa0ba902b7");
    }

    #[test]
    fn refuses_what_is_invalid() {
        for text in [
            "",
            "00",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331",
            "00-00000000000000000000000000000000-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
            "00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-more",
            "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "0-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319g-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-1",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-0é",
        ] {
            assert!(extract(text, None).is_none(), "{text}");
        }
    }

    #[test]
    fn reads_later_versions_and_drops_flags_it_does_not_know() {
        let context = extract(
            "cc-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-ff-what-the-future",
            None,
        )
        .unwrap();
        assert_eq!(
            traceparent(&context).unwrap(),
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-03"
        );
    }

    #[test]
    fn a_bad_tracestate_is_dropped_alone() {
        let long = "a=".to_owned() + &"x".repeat(LONGEST_STATE);
        for state in ["", "no equals sign", long.as_str()] {
            let context = extract(VALID, Some(state)).unwrap();
            assert_eq!(tracestate(&context), None, "{state}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(trace in 1u128.., span in 1u64.., flags in 0u8..4) {
            let context = SpanContext::new(
                TraceId::from(trace), SpanId::from(span), TraceFlags::new(flags), true, TraceState::NONE,
            );
            prop_assert_eq!(extract(&traceparent(&context).unwrap(), None).unwrap(), context);
        }

        #[test]
        fn any_text_is_read_or_refused(text in ".*", state in ".*") {
            let _ = extract(&text, Some(&state));
        }
    }
}
