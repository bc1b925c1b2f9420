//! When an event began and ended.

use super::instant;
use super::key::Key;
use super::payload::Payload;
use super::told::Times;

/// An own time from which on an event was published around a block, where nobody can say.
const BLOCK: i64 = 1_000_000;

/// Payload keys of durations in seconds, the one that is meant first.
const DURATIONS: [Key; 3] = [Key::DURATION, Key::EXECUTION_DURATION, Key::TOTAL_EXECUTION_DURATION];

/// All payload keys that say when an event happened, or how long it took.
pub const TIMES: [Key; 6] = [
    Key::COMPLETED_AT,
    Key::TRANSITIONED_AT,
    Key::STARTED_AT,
    DURATIONS[0],
    DURATIONS[1],
    DURATIONS[2],
];

/// When what an event tells of was over: what the payload says, else when it was published.
pub(super) fn end(payload: &dyn Payload, times: &Times) -> i64 {
    if !payload.tells_times() {
        return times.end_ns;
    }
    told(payload, Key::COMPLETED_AT)
        .or_else(|| told(payload, Key::TRANSITIONED_AT))
        .unwrap_or(times.end_ns)
}

/// When it happened, for what has no length: what the payload says, else when it was published.
pub(super) fn moment(payload: &dyn Payload, published_ns: i64) -> i64 {
    told(payload, Key::TRANSITIONED_AT).unwrap_or(published_ns)
}

/// When it began, by the payload. What cannot be is passed over.
pub(super) fn start(payload: &dyn Payload, end_ns: i64) -> Option<i64> {
    if !payload.tells_times() {
        return None;
    }
    told(payload, Key::STARTED_AT)
        .filter(|start| can_last(*start, end_ns))
        .or_else(|| {
            DURATIONS
                .iter()
                .find_map(|key| before(end_ns, payload.get(*key)?.number()?))
        })
}

/// When it began, by the payload's own duration alone.
pub(super) fn duration(payload: &dyn Payload, end_ns: i64) -> Option<i64> {
    before(end_ns, payload.get(Key::DURATION)?.number()?)
}

/// When it began, by the block that it was published around.
pub(super) fn block(times: &Times, end_ns: i64) -> Option<i64> {
    let own = times
        .own_block
        .unwrap_or(times.end_ns.saturating_sub(times.start_ns) >= BLOCK);
    (own && can_last(times.start_ns, end_ns)).then_some(times.start_ns)
}

/// Whether something may have begun and ended then. Payloads may bring any two times, even centuries apart, whose
/// difference there is no room for.
pub(super) fn can_last(start_ns: i64, end_ns: i64) -> bool {
    end_ns.checked_sub(start_ns).is_some_and(|length| length >= 0)
}

fn told(payload: &dyn Payload, key: Key) -> Option<i64> {
    payload.get(key)?.instant()
}

fn before(end_ns: i64, seconds: f64) -> Option<i64> {
    let nanos = instant::of_seconds(seconds).filter(|nanos| *nanos >= 0)?;
    end_ns.checked_sub(nanos)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::testing::{float, text, Map};
    use crate::event::Value;

    const END: i64 = 100 * instant::SECOND;

    #[test]
    fn the_end_is_what_the_payload_says_first() {
        let times = Times::at(END);
        let both = Map::of([("completed_at", Value::Time(7)), ("transitioned_at", Value::Time(9))]);
        assert_eq!(end(&both, &times), 7);
        assert_eq!(
            end(&Map::of([("transitioned_at", text("1970-01-01T00:00:01Z"))]), &times),
            instant::SECOND
        );
        assert_eq!(end(&Map::of([("completed_at", text("soon"))]), &times), END);
        assert_eq!(end(&Map::default(), &times), END);
    }

    #[test]
    fn the_start_is_told_or_reckoned_from_the_duration() {
        let began = |payload: &Map| start(payload, END);
        let second = instant::SECOND;
        assert_eq!(
            began(&Map::of([("started_at", Value::Int(98)), ("duration", float(50.0))])),
            Some(98 * second)
        );
        assert_eq!(began(&Map::of([("duration", float(1.5))])), Some(END - second * 3 / 2));
        assert_eq!(began(&Map::of([("execution_duration", text("2"))])), Some(98 * second));
        assert_eq!(
            began(&Map::of([("total_execution_duration", Value::Int(0))])),
            Some(END)
        );
        // A start after the end is none, nor is a time that never was.
        assert_eq!(
            began(&Map::of([("started_at", Value::Int(101)), ("duration", float(3.0))])),
            Some(97 * second)
        );
        // Nor is one so long ago that nobody can say how long.
        let long_ago = Map::of([("started_at", Value::Time(i64::MIN)), ("duration", float(3.0))]);
        assert_eq!(start(&long_ago, i64::MAX), Some(i64::MAX - 3 * second));
        assert_eq!(start(&long_ago, i64::MIN), Some(i64::MIN));
        assert_eq!(start(&Map::of([("duration", float(3.0))]), i64::MIN + second), None);
        for nonsense in [
            float(f64::NAN),
            float(-1.0),
            float(f64::INFINITY),
            float(1e30),
            text("long"),
        ] {
            assert_eq!(began(&Map::of([("duration", nonsense)])), None);
        }
        assert_eq!(began(&Map::default()), None);
    }

    #[test]
    fn the_block_counts_when_there_was_one() {
        let times = |own_block, start_ns| Times {
            own_block,
            start_ns,
            ..Times::at(END)
        };
        assert_eq!(block(&times(Some(true), END - 5), END), Some(END - 5));
        assert_eq!(block(&times(Some(false), END - BLOCK), END), None);
        assert_eq!(block(&times(None, END - BLOCK), END), Some(END - BLOCK));
        assert_eq!(block(&times(None, END - BLOCK + 1), END), None);
        assert_eq!(block(&times(Some(true), END - 5), END - 6), None);
        assert_eq!(block(&times(Some(true), i64::MIN), END), None);
    }
}
