//! Whether a transition was told before, by whichever process.
//!
//! The engine tells one transition two or three times, the poorest payload sometimes first. What tells two transitions
//! of one name apart is a *mark*: the attempt, or the transition's own time. A mark that was met is a duplicate's. An
//! event without a new mark is a duplicate when the last transition of its task or step was of the same name, and the
//! two have no kind of mark in common, so that nothing says they differ. So `failed`, `retry_requested`, `failed` is
//! two failures.
//!
//! All of it stands in [`Notes`], which all processes share. Of one transition that several threads or processes tell
//! at once, exactly one is taken for the first:
//!
//! - of those that carry an attempt, the one that [`Notes::first`] says;
//! - the note of a time says with which attempt it came, so that the first of an attempt does not take a time that a
//!   duplicate of its own noted meanwhile for another's;
//! - of those that have no mark in common, the one that changes the note of the last transition first.
//!
//! Events that only accompany transitions (`before_handle`) are told apart in the same way, but what was last is, for
//! each of them, the transition that it accompanied.

use super::identity::{chain, Marks};
use crate::arena::Notes;
use xxhash_rust::xxh3::xxh3_64_with_seed;

/// An event, to be told apart from others of its name.
#[derive(Debug, Clone, Copy)]
pub(super) struct Event<'a> {
    /// What it is about.
    pub entity: u64,
    pub name: &'a str,
    pub marks: Marks,
    /// Of an event that is no transition, what is to be the same in a duplicate.
    pub beside: Option<u64>,
}

/// What is noted of the last transition, in 51 bits: its name (15), how many there were (6), which marks are known (2)
/// and 14 bits of each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Last(u64);

const NAME_BITS: u32 = 15;
const COUNT_BITS: u32 = 6;
const MARK_BITS: u32 = 14;
const ATTEMPT_KNOWN: u64 = 1 << (NAME_BITS + COUNT_BITS);
const TIME_KNOWN: u64 = ATTEMPT_KNOWN << 1;
const MARKS_AT: u32 = NAME_BITS + COUNT_BITS + 2;
const NAME: u64 = (1 << NAME_BITS) - 1;
const MARK: u64 = (1 << MARK_BITS) - 1;
/// A time that came without an attempt.
const ALONE: u64 = 0;

impl Last {
    fn new(name: u64, count: u64) -> Self {
        Self((name & NAME) | ((count % (1 << COUNT_BITS)) << NAME_BITS))
    }

    fn name(self) -> u64 {
        self.0 & NAME
    }

    fn count(self) -> u64 {
        self.0 >> NAME_BITS & ((1 << COUNT_BITS) - 1)
    }

    fn attempt(self) -> Option<u64> {
        (self.0 & ATTEMPT_KNOWN != 0).then_some(self.0 >> MARKS_AT & MARK)
    }

    fn time(self) -> Option<u64> {
        (self.0 & TIME_KNOWN != 0).then_some(self.0 >> (MARKS_AT + MARK_BITS) & MARK)
    }

    /// With those marks that it lacks.
    fn with(mut self, marks: &Marks) -> Self {
        if let (None, Some(attempt)) = (self.attempt(), marks.attempt) {
            self.0 |= ATTEMPT_KNOWN | (attempt & MARK) << MARKS_AT;
        }
        if let (None, Some(time)) = (self.time(), marks.time) {
            self.0 |= TIME_KNOWN | (time & MARK) << (MARKS_AT + MARK_BITS);
        }
        self
    }

    /// Whether the two have a kind of mark in common.
    fn is_comparable(self, marks: &Marks) -> bool {
        (self.attempt().is_some() && marks.attempt.is_some()) || (self.time().is_some() && marks.time.is_some())
    }

    /// Whether the two have an equal mark.
    fn is_same(self, marks: &Marks) -> bool {
        let equal = |known: Option<u64>, mark: Option<u64>| known.is_some() && known == mark.map(|mark| mark & MARK);
        equal(self.attempt(), marks.attempt) || equal(self.time(), marks.time)
    }
}

/// Notes the event and answers whether it is the first to tell of its transition.
pub(super) fn is_first(notes: &Notes, event: Event<'_>, now_s: u32) -> bool {
    let last_key = event.entity ^ 0x6c61_7374;
    let named = chain(event.entity, event.name);
    let (named, scope, name) = match event.beside {
        None => (named, last_key, chain(3, event.name)),
        Some(like) => {
            let named = named ^ like.rotate_left(1);
            let last = notes.get(last_key).map_or(0, |last| {
                let last = Last(last);
                last.name() | last.count() << NAME_BITS
            });
            (named, named ^ 0x6c61_7374, xxh3_64_with_seed(&last.to_le_bytes(), 4))
        }
    };
    let name = name & NAME;
    let unmet = meets_first(notes, named, &event.marks, now_s);
    let mut first = false;
    notes.update(scope, now_s, |last| {
        let last = last.map(Last);
        let same = last.filter(|last| last.name() == name);
        // Whoever met a mark before is a duplicate; who did not may still be one of the last transition.
        first = unmet && same.is_none_or(|last| last.is_comparable(&event.marks));
        if first {
            let count = last.map_or(0, |last| last.count() + 1);
            return Some(Last::new(name, count).with(&event.marks).0);
        }
        // A duplicate of an earlier transition says nothing of the last one.
        let last = same.filter(|last| unmet || last.is_same(&event.marks))?;
        let richer = last.with(&event.marks);
        (richer != last).then_some(richer.0)
    });
    first
}

/// Notes the event's marks, and answers whether it is the first with each of them.
fn meets_first(notes: &Notes, named: u64, marks: &Marks, now_s: u32) -> bool {
    let won = marks.attempt.is_none_or(|attempt| notes.first(named ^ attempt, now_s));
    let Some(time) = marks.time else { return won };
    let owner = marks.attempt.map_or(ALONE, |attempt| attempt >> 13 | 1);
    let noted = notes.update(named ^ time, now_s, |owner_noted| {
        owner_noted.is_none().then_some(owner)
    });
    won && noted.is_none_or(|noted| noted == owner && owner != ALONE)
}
