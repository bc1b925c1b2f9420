//! When things began, and which durations are still owed: in this process, and for all that share the arena.

use super::memory::Memory;
use super::times;
use crate::arena::Notes;

/// 1 January 2020, in microseconds since the epoch: starts are noted in 51 bits from here on.
const FROM: i64 = 1_577_836_800_000_000;
/// Where starts and debts are noted, beside what else there is of a key.
const START: u64 = 0x7374_6172_7421;
const DEBT: u64 = 0x6465_6274_2121;
const OWED: u64 = 1;
const SETTLED: u64 = 0;

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

    /// Notes when a course began; a later start, of another attempt, takes its place.
    pub fn start(&self, course: u64, at_ns: i64, now_s: u32) {
        self.memory.start(course, at_ns);
        if let Ok(micros) = u64::try_from(at_ns / 1000 - FROM) {
            self.notes.set(course ^ START, micros, now_s);
        }
    }

    /// When a course began that ended at `end_ns`.
    pub fn started(&self, course: u64, end_ns: i64) -> Option<i64> {
        let seen = self.memory.started(course);
        let noted = self.notes.get(course ^ START).and_then(|micros| {
            let micros = i64::try_from(micros).ok()?.checked_add(FROM)?;
            micros.checked_mul(1000)
        });
        let start = match (seen, noted) {
            // The note is of this process's own start, to the microsecond.
            (Some(seen), Some(noted)) if seen.div_euclid(1000) == noted.div_euclid(1000) => Some(seen),
            // Another process has begun it since: the later one is what ended.
            (seen, noted) => [seen, noted]
                .into_iter()
                .flatten()
                .filter(|start| times::can_last(*start, end_ns))
                .max(),
        };
        start.filter(|start| times::can_last(*start, end_ns))
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

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_800_000_000_000_000_000;

    #[test]
    fn the_later_start_is_what_ended() {
        let notes = Notes::private();
        let (here, there) = (Memory::default(), Memory::default());
        let (here, there) = (Courses::new(&here, notes.clone()), Courses::new(&there, notes));
        here.start(7, NOW + 123, 0);
        assert_eq!(here.started(7, NOW + 5000), Some(NOW + 123));
        assert_eq!(there.started(7, NOW + 5000), Some(NOW));
        there.start(7, NOW + 9_000_000, 0);
        assert_eq!(here.started(7, NOW + 10_000_000), Some(NOW + 9_000_000));
        // Not what began after the end.
        assert_eq!(here.started(7, NOW + 5_000_000), Some(NOW + 123));
        assert_eq!(there.started(7, NOW + 5_000_000), None);
        assert_eq!(here.started(8, NOW), None);
        // Before 2020, in this process alone.
        here.start(9, 5, 0);
        assert_eq!((here.started(9, NOW), there.started(9, NOW)), (Some(5), None));
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
