//! Whether a transition was told before, by whichever process.
//!
//! The engine tells one transition two or three times, the poorest payload sometimes first. What tells two transitions
//! of one name apart is a *mark*: the attempt, or the transition's own time. A mark that was met is a duplicate's. An
//! event without a new mark is a duplicate when the last transition of its task or step was of the same name, and the
//! two have no kind of mark in common, so that nothing says they differ. So `failed`, `retry_requested`, `failed` is
//! two failures. An attempt is met for an hour: the notes outlive a database that is made anew, in which the same task
//! has the same attempts again.
//!
//! All of it stands in [`Notes`], which all processes share. Of one transition that several threads or processes tell
//! at once, exactly one is taken for the first:
//!
//! - of those that carry an attempt, the one that [`Notes::first`] says;
//! - the note of a time says with which attempt it came, so that the first of an attempt does not take a time that a
//!   duplicate of its own noted meanwhile for another's;
//! - of those that have no mark in common, the one that changes the note of the last transition first;
//! - one whose mark another telling has added to that note in the meantime is none.
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
/// How many seconds an attempt is known by its number. Notes outlive databases, in which ids begin again.
const ATTEMPTS_LAST_S: u32 = 3600;
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
    let before = notes.get(scope).map(Last);
    let unmet = meets_first(notes, named, &event.marks, now_s);
    let mut first = false;
    notes.update(scope, now_s, |last| {
        let last = last.map(Last);
        let same = last.filter(|last| last.name() == name);
        // Meanwhile a duplicate may have told that the last transition has this one's mark too. What stood there before
        // this event noted its marks cannot be its own: that so few bits are equal would be chance.
        let is_other =
            |last: Last| last.is_comparable(&event.marks) && (Some(last) == before || !last.is_same(&event.marks));
        // Whoever met a mark before is a duplicate; who did not may still be one of the last transition.
        first = unmet && same.is_none_or(is_other);
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
    let Some(time) = marks.time else {
        return marks
            .attempt
            .is_none_or(|attempt| is_new(notes, named ^ attempt, now_s));
    };
    let won = marks.attempt.is_none_or(|attempt| {
        // A time that was noted before the attempt is noted is not that of a duplicate that came in between. If it came
        // with this attempt, that has expired since.
        let unknown = notes.get(named ^ time).is_none();
        is_new(notes, named ^ attempt, now_s) && unknown
    });
    let owner = marks.attempt.map_or(ALONE, |attempt| attempt >> 13 | 1);
    let noted = notes.update(named ^ time, now_s, |owner_noted| {
        owner_noted.is_none().then_some(owner)
    });
    won && noted.is_none_or(|noted| noted == owner && owner != ALONE)
}

fn is_new(notes: &Notes, attempt: u64, now_s: u32) -> bool {
    notes.first_within(ATTEMPTS_LAST_S, attempt, now_s)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arena::interleavings::{explore, World};
    use proptest::prelude::*;
    use std::collections::{HashMap, HashSet};
    use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
    use std::sync::{Barrier, LazyLock};

    fn marks(attempt: Option<u64>, time: Option<u64>) -> Marks {
        // Spread over all bits, as hashes are.
        let spread = |seed: u64| move |mark: u64| xxh3_64_with_seed(&mark.to_le_bytes(), seed);
        Marks {
            attempt: attempt.map(spread(10)),
            time: time.map(spread(11)),
        }
    }

    fn tell(notes: &Notes, name: &str, marks: Marks) -> bool {
        let event = Event {
            entity: 7,
            name,
            marks,
            beside: None,
        };
        is_first(notes, event, 0)
    }

    fn beside(notes: &Notes, name: &str, like: u64, marks: Marks) -> bool {
        let event = Event {
            entity: 7,
            name,
            marks,
            beside: Some(like),
        };
        is_first(notes, event, 0)
    }

    #[test]
    fn without_marks_only_what_lies_between_tells_two_apart() {
        let notes = Notes::private();
        let told = [
            "failed",
            "failed",
            "failed",
            "retry",
            "retry",
            "failed",
            "failed",
            "completed",
        ];
        let first = told.map(|name| tell(&notes, name, Marks::default()));
        assert_eq!(first, [true, false, false, true, false, true, false, true]);
    }

    #[test]
    fn a_mark_that_was_met_is_a_duplicates() {
        let notes = Notes::private();
        assert!(tell(&notes, "failed", marks(Some(1), None)));
        assert!(tell(&notes, "retry", marks(Some(1), None)));
        // Late, and with a time that nobody told before.
        assert!(!tell(&notes, "failed", marks(Some(1), Some(100))));
        // So the time is known as well.
        assert!(!tell(&notes, "failed", marks(None, Some(100))));
        assert!(tell(&notes, "failed", marks(Some(2), None)));
        assert!(!tell(&notes, "failed", marks(Some(2), Some(200))));
        assert!(tell(&notes, "failed", marks(None, Some(201))));
    }

    #[test]
    fn an_attempt_is_met_for_an_hour_and_a_time_for_ever() {
        let notes = Notes::private();
        let tell = |marks, now_s| {
            let event = Event {
                entity: 7,
                name: "failed",
                marks,
                beside: None,
            };
            is_first(&notes, event, now_s)
        };
        let hour = ATTEMPTS_LAST_S + 4;
        assert!(tell(marks(Some(1), Some(100)), 0));
        assert!(!tell(marks(Some(1), None), 3_000));
        assert!(tell(marks(Some(1), None), hour));
        assert!(!tell(marks(Some(1), Some(101)), hour));
        // The time is known as well by now.
        for now_s in [2 * hour, 3 * hour] {
            assert!(!tell(marks(Some(1), Some(101)), now_s));
            assert!(!tell(marks(None, Some(100)), now_s));
        }
        assert!(tell(marks(Some(1), Some(102)), 4 * hour));
        assert!(!tell(marks(Some(1), Some(103)), 4 * hour));
        // Without marks there is no telling.
        assert!(!tell(Marks::default(), 9 * hour));
    }

    #[test]
    fn marks_of_different_kinds_do_not_tell_two_apart() {
        let notes = Notes::private();
        assert!(tell(&notes, "failed", marks(None, None)));
        assert!(!tell(&notes, "failed", marks(Some(1), None)));
        assert!(!tell(&notes, "failed", marks(None, Some(100))));
        // Now both kinds are known, and these differ.
        assert!(tell(&notes, "failed", marks(Some(2), None)));
        assert!(!tell(&notes, "failed", marks(None, Some(200))));
        assert!(tell(&notes, "failed", marks(Some(3), Some(300))));
    }

    #[test]
    fn what_accompanies_a_transition_is_told_once_for_each() {
        let notes = Notes::private();
        let none = Marks::default();
        assert!(tell(&notes, "started", none));
        assert!(beside(&notes, "before_handle", 0, none));
        assert!(!beside(&notes, "before_handle", 0, none));
        assert!(beside(&notes, "before_transition", 1, none));
        assert!(beside(&notes, "before_transition", 2, none));
        assert!(!beside(&notes, "before_transition", 1, none));
        // It does not come between two tellings of one transition.
        assert!(!tell(&notes, "started", none));
        assert!(tell(&notes, "failed", none));
        assert!(tell(&notes, "started", none));
        assert!(beside(&notes, "before_handle", 0, none));
        assert!(!beside(&notes, "before_handle", 0, marks(Some(2), None)));
    }

    #[test]
    fn entities_and_names_are_kept_apart() {
        let notes = Notes::private();
        for entity in [7, 8] {
            for name in ["completed", "failed"] {
                let event = Event {
                    entity,
                    name,
                    marks: marks(Some(1), Some(1)),
                    beside: None,
                };
                assert!(is_first(&notes, event, 0));
                assert!(!is_first(&notes, event, 0));
            }
        }
    }

    #[test]
    fn no_two_names_of_the_catalogue_look_alike() {
        let names = super::super::catalogue::BUILT_IN.iter();
        let hashes: HashSet<_> = names.clone().map(|entry| chain(3, entry.name) & NAME).collect();
        assert_eq!(hashes.len(), names.len());
    }

    #[test]
    fn attempts_next_to_each_other_do_not_look_alike() {
        let hashes: Vec<_> = (0..100_u32)
            .map(|attempt| chain(1, &attempt.to_string()) & MARK)
            .collect();
        let distinct = |near: &[u64]| near.iter().collect::<HashSet<_>>().len() == near.len();
        assert!(hashes.windows(5).all(distinct));
    }

    #[test]
    fn of_racing_duplicates_exactly_one_is_first() {
        let kinds = [
            marks(Some(1), None),
            marks(Some(1), Some(1)),
            marks(None, Some(1)),
            marks(None, None),
            marks(Some(1), Some(1)),
            marks(Some(1), None),
        ];
        for round in 0..300_u64 {
            let notes = Notes::private();
            assert!(tell(&notes, "started", Marks::default()));
            let (first, barrier) = (AtomicUsize::new(0), Barrier::new(4));
            std::thread::scope(|scope| {
                for thread in 0..4 {
                    let (notes, first, barrier) = (&notes, &first, &barrier);
                    let told = kinds[((round >> (thread % 3)) as usize + thread) % kinds.len()];
                    scope.spawn(move || {
                        barrier.wait();
                        first.fetch_add(usize::from(tell(notes, "failed", told)), Ordering::Relaxed);
                    });
                }
            });
            assert_eq!(first.load(Ordering::Relaxed), 1, "round {round}");
        }
    }

    /// One transition of a task that began, told by three.
    struct Tellings {
        entity: u64,
        firsts: AtomicUsize,
    }

    /// Fresh notes are large, and entities are told apart anyway.
    static NOTES: LazyLock<Notes> = LazyLock::new(Notes::private);
    static ENTITIES: AtomicU64 = AtomicU64::new(0);

    impl World for Tellings {
        type Process = Self;

        fn new(_: usize) -> Self {
            let number = ENTITIES.fetch_add(1, Ordering::Relaxed);
            // Before anything is forgotten.
            if number % 1_000 == 0 {
                NOTES.clear();
            }
            Self {
                entity: chain(number, "task"),
                firsts: AtomicUsize::new(0),
            }
        }

        fn process(&self, _: usize) -> &Self {
            self
        }

        fn conclude(&self) {
            assert_eq!(self.firsts.load(Ordering::Relaxed), 1);
        }
    }

    impl Tellings {
        fn tell(&self, name: &str, marks: Marks) -> bool {
            let event = Event {
                entity: self.entity,
                name,
                marks,
                beside: None,
            };
            is_first(&NOTES, event, 0)
        }
    }

    #[test]
    fn whatever_comes_in_between_one_of_three_tellings_is_first() {
        let (attempt, time, both) = (marks(Some(1), None), marks(None, Some(1)), marks(Some(1), Some(1)));
        for told in [[time, attempt, both], [Marks::default(), attempt, time]] {
            let parts = told.map(|marks| {
                move |tellings: &Tellings| {
                    let first = tellings.tell("failed", marks);
                    tellings.firsts.fetch_add(usize::from(first), Ordering::Relaxed);
                }
            });
            explore::<Tellings>(
                &|before| assert!(before.tell("started", both)),
                &[&parts[0], &parts[1], &parts[2]],
            );
        }
    }

    /// The rules as they are written, over everything that was ever told.
    #[derive(Default)]
    struct Model {
        met: HashSet<(u8, bool, u64)>,
        /// Name and marks of the last transition, as far as they were told.
        last: Option<(u8, [Option<u64>; 2])>,
    }

    impl Model {
        fn is_first(&mut self, name: u8, marks: [Option<u64>; 2]) -> bool {
            let given: Vec<_> = marks
                .iter()
                .enumerate()
                .filter_map(|(kind, mark)| mark.map(|mark| (name, kind == 1, mark)))
                .collect();
            let met = given.iter().any(|mark| self.met.contains(mark));
            self.met.extend(&given);
            let same = self.last.filter(|(last, _)| *last == name).map(|(_, last)| last);
            let common = |last: [Option<u64>; 2]| last.iter().zip(marks).any(|(a, b)| a.is_some() && b.is_some());
            let equal = |last: [Option<u64>; 2]| last.iter().zip(marks).any(|(a, b)| a.is_some() && *a == b);
            let first = !met && same.is_none_or(common);
            if first {
                self.last = Some((name, marks));
            } else if let Some(last) = same.filter(|last| !met || equal(*last)) {
                self.last = Some((name, [last[0].or(marks[0]), last[1].or(marks[1])]));
            }
            first
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]

        /// Failing sequences are shrunk and printed, with their seed.
        #[test]
        fn tells_apart_what_the_rules_say(
            told in proptest::collection::vec(
                (0..3_u64, 0..3_u8, proptest::option::of(0..4_u64), proptest::option::of(0..4_u64)), 1..40)
        ) {
            thread_local! {
                // Fresh notes are large, and entities are told apart anyway.
                static NOTES: (Notes, std::cell::Cell<u64>) = (Notes::private(), std::cell::Cell::new(0));
            }
            let (notes, run) = NOTES.with(|(notes, run)| (notes.clone(), run.replace(run.get() + 1)));
            let mut models: HashMap<u64, Model> = HashMap::new();
            for (entity, name, attempt, time) in told {
                let event = Event {
                    entity: chain(run, &entity.to_string()),
                    name: ["failed", "retry", "completed"][usize::from(name)],
                    marks: marks(attempt, time),
                    beside: None,
                };
                let expected = models.entry(entity).or_default().is_first(name, [attempt, time]);
                prop_assert_eq!(is_first(&notes, event, run as u32 * 4), expected, "{:?}", event);
            }
        }
    }
}
