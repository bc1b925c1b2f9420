//! Spans whose start is not known yet: a richer duplicate of the event may tell it within a second.

use super::record::{Priority, SpanRecord, START_UNKNOWN};
use opentelemetry::KeyValue;
use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

/// How long one waits.
pub(super) const PATIENCE: Duration = Duration::from_secs(1);
/// Those that wait at once; the oldest goes when there are more.
const MOST: usize = 1024;

#[derive(Debug)]
struct Waiting {
    record: SpanRecord,
    priority: Priority,
    until: Instant,
}

/// What waits, by the caller's key.
#[derive(Debug, Default)]
pub(super) struct Pending {
    waiting: HashMap<u64, Waiting>,
    /// Keys in the order of their ends; a key that is gone or waits again stands there with another time.
    order: VecDeque<(Instant, u64)>,
}

/// A span whose waiting is over.
pub(super) type Over = (SpanRecord, Priority);

impl Pending {
    pub(super) fn len(&self) -> usize {
        self.waiting.len()
    }

    /// Lets a span wait. Answers the one that has to go for it: the one that had its key, or the oldest.
    pub(super) fn hold(&mut self, key: u64, record: SpanRecord, priority: Priority, now: Instant) -> Option<Over> {
        let until = now + PATIENCE;
        let waiting = Waiting {
            record,
            priority,
            until,
        };
        let mut out = self.waiting.insert(key, waiting).map(unknown);
        self.order.push_back((until, key));
        if self.waiting.len() > MOST {
            out = self.first().and_then(|(_, key)| self.remove(key)).map(unknown);
        }
        // What was completed leaves its place in the line; it is cleared away before the line outgrows what waits.
        if self.order.len() > 2 * MOST {
            let waiting = &self.waiting;
            self.order
                .retain(|(until, key)| waiting.get(key).is_some_and(|waiting| waiting.until == *until));
        }
        out
    }

    /// Takes out the one of that key, with what is known now. Who knows how long it took knows better when it ended, too.
    pub(super) fn complete(&mut self, key: u64, times: (i64, i64), attributes: Vec<KeyValue>) -> Option<Over> {
        let Waiting {
            mut record, priority, ..
        } = self.remove(key)?;
        (record.start, record.end) = times;
        for attribute in attributes {
            match record.attributes.iter_mut().find(|known| known.key == attribute.key) {
                Some(known) => known.value = attribute.value,
                None => record.attributes.push(attribute),
            }
        }
        Some((record, priority))
    }

    fn remove(&mut self, key: u64) -> Option<Waiting> {
        self.waiting.remove(&key)
    }

    /// When the first one's time is over, and its key.
    fn first(&mut self) -> Option<(Instant, u64)> {
        while let Some((until, key)) = self.order.front().copied() {
            if self.waiting.get(&key).is_some_and(|waiting| waiting.until == until) {
                return Some((until, key));
            }
            self.order.pop_front();
        }
        None
    }

    /// When to come back for [`Self::over`].
    pub(super) fn next(&mut self) -> Option<Instant> {
        self.first().map(|(until, _)| until)
    }

    /// Takes out those whose time is over.
    pub(super) fn over(&mut self, now: Instant) -> Vec<Over> {
        let mut over = Vec::new();
        while let Some((_, key)) = self.first().filter(|(until, _)| *until <= now) {
            over.extend(self.remove(key).map(unknown));
        }
        over
    }

    /// Takes out all as they are, with their keys, for another one to hold.
    pub(super) fn hand_over(&mut self) -> Vec<(u64, SpanRecord, Priority)> {
        let mut all: Vec<_> = self.waiting.drain().collect();
        self.order.clear();
        all.sort_by_key(|(_, waiting)| waiting.until);
        all.into_iter()
            .map(|(key, waiting)| (key, waiting.record, waiting.priority))
            .collect()
    }

    /// Takes out all.
    pub(super) fn all(&mut self) -> Vec<Over> {
        let order = std::mem::take(&mut self.order);
        let mut all: Vec<Over> = Vec::with_capacity(self.waiting.len());
        for (until, key) in order {
            if self.waiting.get(&key).is_some_and(|waiting| waiting.until == until) {
                all.extend(self.remove(key).map(unknown));
            }
        }
        all
    }
}

/// Nobody told its start: it has its end's time and says so.
fn unknown(waiting: Waiting) -> Over {
    let mut record = waiting.record;
    record.start = record.end;
    record.attributes.push(KeyValue::new(START_UNKNOWN, true));
    (record, waiting.priority)
}

#[cfg(test)]
mod tests {
    use super::*;
    use opentelemetry::trace::{SpanId, TraceId};

    fn record(end: i64) -> SpanRecord {
        SpanRecord::new(TraceId::from(1), SpanId::from(end as u64), "step", 0, end)
    }

    fn is_unknown(record: &SpanRecord) -> bool {
        record
            .attributes
            .iter()
            .any(|attribute| attribute.key.as_str() == START_UNKNOWN)
    }

    #[test]
    fn a_richer_duplicate_completes_it() {
        let (mut pending, now) = (Pending::default(), Instant::now());
        let mut poor = record(10);
        poor.attributes = vec![KeyValue::new("a", 1), KeyValue::new("b", 1)];
        assert!(pending.hold(7, poor, Priority::High, now).is_none());
        let more = vec![KeyValue::new("b", 2), KeyValue::new("c", 3)];
        let (done, priority) = pending.complete(7, (4, 11), more).unwrap();
        assert_eq!((done.start, done.end, priority), (4, 11, Priority::High));
        let expected = [KeyValue::new("a", 1), KeyValue::new("b", 2), KeyValue::new("c", 3)];
        assert_eq!(done.attributes, expected);
        assert!(pending.complete(7, (4, 11), Vec::new()).is_none());
        assert!(pending.over(now + PATIENCE).is_empty());
    }

    #[test]
    fn it_goes_by_itself_when_its_time_is_over() {
        let (mut pending, now) = (Pending::default(), Instant::now());
        pending.hold(1, record(10), Priority::Normal, now);
        pending.hold(2, record(20), Priority::Normal, now + PATIENCE / 2);
        assert_eq!(pending.next(), Some(now + PATIENCE));
        assert!(pending.over(now).is_empty());
        let over = pending.over(now + PATIENCE);
        assert_eq!(over.len(), 1);
        assert!(is_unknown(&over[0].0) && over[0].0.start == 10);
        assert_eq!(pending.next(), Some(now + PATIENCE / 2 + PATIENCE));
        assert_eq!(pending.all().len(), 1);
        assert_eq!((pending.len(), pending.next()), (0, None));
    }

    #[test]
    fn a_key_that_waits_again_lets_the_first_go() {
        let (mut pending, now) = (Pending::default(), Instant::now());
        pending.hold(1, record(10), Priority::Normal, now);
        let (first, _) = pending
            .hold(1, record(20), Priority::Normal, now + PATIENCE / 2)
            .unwrap();
        assert_eq!(first.end, 10);
        assert!(pending.over(now + PATIENCE).is_empty());
        assert_eq!(pending.over(now + 2 * PATIENCE).len(), 1);
    }

    #[test]
    fn it_is_bounded() {
        let (mut pending, now) = (Pending::default(), Instant::now());
        for key in 0..MOST as u64 {
            assert!(pending.hold(key, record(1), Priority::Normal, now).is_none());
        }
        assert!(pending.hold(u64::MAX, record(1), Priority::Normal, now).is_some());
        assert_eq!(pending.len(), MOST);
        for key in 0..10 * MOST as u64 {
            pending.hold(key, record(1), Priority::Normal, now);
            pending.complete(key, (0, 1), Vec::new());
        }
        assert!(pending.order.len() <= 2 * MOST + 1);
    }
}
