//! When things began, and which durations are still owed: in this process, and for all that share the arena.
//!
//! Of a course one thing is noted: when it began, until an end uses that up; then when it ended. So the time between an
//! attempt that failed and the next one is nobody's, and an end whose start was not told says so.

use super::memory::Memory;
use super::{instant, times};
use crate::arena::Notes;

/// 1 January 2020, in microseconds since the epoch: notes tell of the 35 years from here on.
const FROM: i64 = 1_577_836_800_000_000;
const MOST_MICROS: u64 = 1 << 50;
const ENDED: u64 = MOST_MICROS;
/// A start that was told late may be of a course that is over. Clocks and spellings of times differ by less.
const BEHIND_NS: i64 = instant::SECOND;
/// Where debts are noted, beside what else there is of a key.
const DEBT: u64 = 0x6465_6274_2121;
const OWED: u64 = 1;
const SETTLED: u64 = 0;

/// What is noted of a course, in nanoseconds since the epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Noted {
    Begun(i64),
    Ended(i64),
}

/// What a further start is to one that has not come to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Restart {
    /// Another attempt.
    Replaces,
    /// It goes on.
    Continues,
}

/// The courses of events that have a start and an end.
#[derive(Debug)]
pub(super) struct Courses<'m> {
    memory: &'m Memory,
    notes: Notes,
}

impl<'m> Courses<'m> {
    pub fn new(memory: &'m Memory, notes: Notes) -> Self {
        Self { memory, notes }
    }

    /// What all processes know.
    pub fn notes(&self) -> &Notes {
        &self.notes
    }

    /// Notes when a course began.
    pub fn start(&self, course: u64, at_ns: i64, restart: Restart, now_s: u32) {
        let comes_first = |start: i64| restart == Restart::Replaces || at_ns < start;
        let mut taken = false;
        if let Some(written) = Noted::Begun(at_ns).written() {
            self.notes.update_lasting(course, now_s, |noted| {
                taken = match noted.and_then(Noted::read) {
                    None => true,
                    Some(Noted::Ended(end)) => at_ns > end.saturating_sub(BEHIND_NS),
                    Some(Noted::Begun(start)) => comes_first(start),
                };
                taken.then_some(written)
            });
        } else {
            taken = self.memory.started(course).is_none_or(comes_first);
        }
        if taken {
            self.memory.start(course, at_ns);
        }
    }

    /// When the course began that ended at `end_ns`, as far as is known. That start is used up. What ended later than
    /// `now_ns`, by its payload, ended then.
    pub fn end(&self, course: u64, end_ns: i64, (now_ns, now_s): (i64, u32)) -> Option<i64> {
        let ended = end_ns.min(now_ns);
        let noted = self
            .notes
            .update_lasting(course, now_s, |noted| match noted.and_then(Noted::read) {
                // Of the next attempt.
                Some(Noted::Begun(start)) if start > end_ns => None,
                Some(Noted::Ended(before)) if before >= ended => None,
                _ => Noted::Ended(ended).written(),
            });
        let seen = self
            .memory
            .started(course)
            .filter(|start| times::can_last(*start, end_ns));
        if seen.is_some() {
            self.memory.end(course);
        }
        match noted.and_then(Noted::read) {
            // The note is of this process's own start, to the microsecond.
            Some(Noted::Begun(start)) if seen.is_some_and(|seen| seen.div_euclid(1000) == start.div_euclid(1000)) => {
                seen
            }
            // Another process has begun it since.
            Some(Noted::Begun(start)) if times::can_last(start, end_ns) => Some(start),
            // That start was used up, by whichever process told the end.
            Some(Noted::Ended(end)) => seen.filter(|start| *start > end),
            _ => seen,
        }
    }

    /// Notes whether an end is to be observed once its duration is known.
    pub fn owe(&self, end: u64, owed: bool, now_s: u32) {
        if owed {
            self.notes.set(end ^ DEBT, OWED, now_s);
        } else {
            let _ = self.settles_debt(end, now_s);
        }
    }

    /// Whether a duration is owed; `true` once, of all processes.
    pub fn settles_debt(&self, end: u64, now_s: u32) -> bool {
        let owed = |noted: Option<u64>| noted == Some(OWED);
        owed(
            self.notes
                .update(end ^ DEBT, now_s, |noted| owed(noted).then_some(SETTLED)),
        )
    }
}

impl Noted {
    fn read(value: u64) -> Option<Self> {
        let micros = i64::try_from(value % MOST_MICROS).ok()?.checked_add(FROM)?;
        let at_ns = micros.checked_mul(1000)?;
        Some(if value & ENDED == 0 {
            Self::Begun(at_ns)
        } else {
            Self::Ended(at_ns)
        })
    }

    /// `None` for what is out of reach.
    fn written(self) -> Option<u64> {
        let (at_ns, flag) = match self {
            Self::Begun(at_ns) => (at_ns, 0),
            Self::Ended(at_ns) => (at_ns, ENDED),
        };
        let micros = u64::try_from(at_ns.div_euclid(1000) - FROM).ok()?;
        (micros < MOST_MICROS).then_some(micros | flag)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: i64 = instant::SECOND;
    const NOW: i64 = 1_800_000_000 * SECOND;

    /// Two processes.
    fn courses(memories: &[Memory; 2]) -> [Courses<'_>; 2] {
        let notes = Notes::private();
        [0, 1].map(|index| Courses::new(&memories[index], notes.clone()))
    }

    fn start(courses: &Courses<'_>, course: u64, at_ns: i64) {
        courses.start(course, at_ns, Restart::Replaces, 0);
    }

    fn end(courses: &Courses<'_>, course: u64, end_ns: i64) -> Option<i64> {
        courses.end(course, end_ns, (i64::MAX, 0))
    }

    #[test]
    fn the_later_start_is_what_ended() {
        let memories = Default::default();
        let [here, there] = courses(&memories);
        for course in 0..3 {
            start(&here, course, NOW + 123);
        }
        assert_eq!(end(&here, 0, NOW + 5000), Some(NOW + 123));
        assert_eq!(end(&there, 1, NOW + 5000), Some(NOW));
        start(&there, 2, NOW + 9_000_000);
        // Not what began after the end.
        assert_eq!(end(&there, 2, NOW + 5_000_000), None);
        assert_eq!(end(&here, 2, NOW + 5_000_000), Some(NOW + 123));
        assert_eq!(end(&here, 2, NOW + 10_000_000), Some(NOW + 9_000_000));
        assert_eq!(end(&here, 3, NOW), None);
        // Before 2020, in this process alone.
        start(&here, 9, 5);
        assert_eq!((end(&there, 9, NOW), end(&here, 9, 9)), (None, None));
        start(&here, 10, 5);
        assert_eq!((end(&here, 10, 9), end(&here, 10, 12)), (Some(5), None));
    }

    #[test]
    fn an_end_uses_its_start_up() {
        let memories = Default::default();
        let [here, there] = courses(&memories);
        start(&here, 1, NOW);
        assert_eq!(end(&there, 1, NOW + 1), Some(NOW));
        // This process remembers a start, but it was another end's.
        assert_eq!(end(&here, 1, NOW + 100 * SECOND), None);
        start(&there, 1, NOW + 200 * SECOND);
        assert_eq!(end(&here, 1, NOW + 201 * SECOND), Some(NOW + 200 * SECOND));
    }

    #[test]
    fn a_start_that_is_told_late_begins_nothing() {
        let memories = Default::default();
        let [here, there] = courses(&memories);
        assert_eq!(end(&here, 1, NOW + 5 * SECOND), None);
        start(&there, 1, NOW);
        assert_eq!(end(&there, 1, NOW + 100 * SECOND), None);
        // A little before the end may be a matter of clocks.
        start(&there, 1, NOW + 100 * SECOND - 1000);
        assert_eq!(end(&here, 1, NOW + 101 * SECOND), Some(NOW + 100 * SECOND - 1000));
        // What is to end in the future ended now, so that what begins tomorrow is known.
        assert_eq!(here.end(1, NOW + 5000 * SECOND, (NOW + 102 * SECOND, 0)), None);
        start(&there, 1, NOW + 103 * SECOND);
        assert_eq!(end(&here, 1, NOW + 104 * SECOND), Some(NOW + 103 * SECOND));
    }

    #[test]
    fn what_goes_on_keeps_its_first_start() {
        let memories = Default::default();
        let [here, there] = courses(&memories);
        // Known to all, and before 2020 to one.
        for (course, from, other) in [(1, NOW, &there), (2, 0, &here)] {
            here.start(course, from, Restart::Continues, 0);
            other.start(course, from + 50 * SECOND, Restart::Continues, 0);
            assert_eq!(end(other, course, from + 60 * SECOND), Some(from));
            other.start(course, from + 70 * SECOND, Restart::Continues, 0);
            assert_eq!(end(&here, course, from + 80 * SECOND), Some(from + 70 * SECOND));
        }
    }

    #[test]
    fn a_debt_is_settled_once() {
        let memory = Memory::default();
        let courses = Courses::new(&memory, Notes::private());
        assert!(!courses.settles_debt(7, 0));
        courses.owe(7, true, 0);
        assert!(courses.settles_debt(7, 0));
        assert!(!courses.settles_debt(7, 0));
        courses.owe(7, true, 0);
        courses.owe(7, false, 0);
        assert!(!courses.settles_debt(7, 0));
    }
}
