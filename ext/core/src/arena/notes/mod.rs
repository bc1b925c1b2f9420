//! A bounded memory of what happened, shared by all processes: what was met, and values by key.
//!
//! [`table`] is how notes are made and forgotten; here is where they are.
//!
//! When an arena is replaced, every process that leaves the old one carries its notes over; only what two processes
//! note of one key in the moment between, one in each file, is noted twice. Where there is no arena, because metrics
//! are off or its disk is full, each process has notes of its own, and a fork begins with a copy.

mod table;

use super::fail;
use super::layout::{Header, UNIT};
use super::map::Mapping;
use super::notice::Level;
use super::registry::Registry;
use super::shared::Arena;
use super::step::step;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::Arc;
use table::FOR_EVER;
pub(super) use table::{Table, SIZE, WORDS};

/// The memory of what happened. Cheap to clone; to be asked for anew ([`Registry::notes`]) rather than kept, because the
/// arena that it is in may be replaced.
#[derive(Clone)]
pub struct Notes(Place);

#[derive(Clone)]
enum Place {
    Shared { arena: Arc<Arena>, start: u64 },
    Private(Arc<[AtomicU64]>),
}

impl std::fmt::Debug for Notes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Notes")
            .field("shared", &self.is_shared())
            .finish_non_exhaustive()
    }
}

impl Notes {
    /// Notes of this process alone.
    #[must_use]
    pub fn private() -> Self {
        Self(Place::Private((0..WORDS).map(|_| AtomicU64::new(0)).collect()))
    }

    /// The notes in `arena`, made if there are none yet; `None` where its disk is full.
    fn shared(arena: &Arc<Arena>) -> Option<Self> {
        let start = place_in(&arena.map)?;
        Some(Self(Place::Shared {
            arena: Arc::clone(arena),
            start,
        }))
    }

    /// Whether other processes see them.
    #[must_use]
    pub fn is_shared(&self) -> bool {
        matches!(self.0, Place::Shared { .. })
    }

    fn table(&self) -> Table<'_> {
        match &self.0 {
            Place::Shared { arena, start } => Table::of(&arena.map, *start),
            Place::Private(words) => Table(words),
        }
    }

    /// Notes that `key` was met; `true` for exactly one caller of all processes, as long as the key is remembered.
    #[must_use]
    pub fn first(&self, key: u64, now_s: u32) -> bool {
        self.table().first(key, now_s, FOR_EVER)
    }

    /// The same, where a key that was met more than so many seconds ago is to count as new, which notes it anew.
    #[must_use]
    pub fn first_within(&self, seconds: u32, key: u64, now_s: u32) -> bool {
        self.table().first(key, now_s, seconds)
    }

    /// Notes a value of `key`. Only its lower 51 bits are kept.
    pub fn set(&self, key: u64, value: u64, now_s: u32) {
        self.update(key, now_s, |_| Some(value));
    }

    /// The value that was noted of `key` last, as far as it is remembered.
    #[must_use]
    pub fn get(&self, key: u64) -> Option<u64> {
        self.table().values().get(key)
    }

    /// Changes the value of `key` to what `f` makes of it, and answers the one that it was made of. `f` may be called
    /// more than once; where it answers `None` the value stays.
    pub fn update(&self, key: u64, now_s: u32, f: impl FnMut(Option<u64>) -> Option<u64>) -> Option<u64> {
        self.table().values().update(key, now_s, f)
    }

    /// As [`Self::update`], of values that other notes do not push out.
    pub fn update_lasting(&self, key: u64, now_s: u32, f: impl FnMut(Option<u64>) -> Option<u64>) -> Option<u64> {
        self.table().lasting().update(key, now_s, f)
    }

    /// Forgets everything, in all processes.
    pub fn clear(&self) {
        self.table().0.iter().for_each(|word| word.store(0, Ordering::SeqCst));
    }
}

impl Registry {
    /// The notes of all processes that share the arena, which is opened if need be; those of this process alone where
    /// there is none, or where its disk is full.
    pub fn notes(&self) -> Notes {
        let arena = match self.current().filter(|_| self.is_enabled()) {
            Some(arena) => Some(arena),
            None => {
                let _slow = self.slow();
                self.ready()
            }
        };
        let shared = arena.filter(|arena| !arena.lacks_notes()).and_then(|arena| {
            let notes = Notes::shared(&arena);
            if notes.is_none() {
                arena.set_lacks_notes();
                let message = "events are told apart in this process only: the arena's disk is full";
                self.notice(Level::Error, message.to_owned());
            }
            notes
        });
        shared.unwrap_or_else(|| self.private_notes.get_or_init(Notes::private).clone())
    }
}

/// Carries the notes of an arena over to the one that has taken its place.
pub(super) fn carry(from: &Arc<Arena>, to: &Arc<Arena>) {
    let Some(start) = place_of(&from.map) else { return };
    let Some(fresh) = Notes::shared(to) else { return };
    fresh.table().take_over(&Table::of(&from.map, start));
}

/// Where the notes are in an arena that has some.
pub(super) fn place_of(map: &Mapping) -> Option<u64> {
    let units = Header::of(map)?.notes().load(Ordering::Acquire);
    (units != 0).then_some(u64::from(units) * UNIT)
}

/// Where the notes are, reserved by whoever comes first.
fn place_in(map: &Mapping) -> Option<u64> {
    if let Some(start) = place_of(map) {
        return Some(start);
    }
    let header = Header::of(map)?;
    let start = header.reserve(SIZE).ok()?;
    let units = u32::try_from(start / UNIT).ok()?;
    fail::point("notes:reserved");
    step();
    match header
        .notes()
        .compare_exchange(0, units, Ordering::AcqRel, Ordering::Acquire)
    {
        Ok(_) => Some(start),
        Err(faster) => {
            header.give_back(start, SIZE);
            Some(u64::from(faster) * UNIT)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arena::{Settings, Threads};
    use proptest::prelude::*;
    use std::collections::HashMap;

    fn registry(settings: Settings) -> Arc<Registry> {
        let registry = Registry::new(Threads::Serialized);
        registry.configure(settings).unwrap();
        registry
    }

    fn in_memory() -> Arc<Registry> {
        registry(Settings {
            place: crate::arena::Place::Memory,
            ..Settings::default()
        })
    }

    #[test]
    fn a_new_key_never_has_the_value_of_one_that_it_replaces() {
        let notes = Notes::private();
        for key in 0..400_000 {
            let before = notes.update(key, key as u32 / 100, |_| Some(key));
            assert_eq!(before, None, "{key}");
        }
    }

    #[test]
    fn says_once_that_a_key_is_new() {
        for notes in [in_memory().notes(), Notes::private()] {
            assert!(!notes.table().seen(7));
            assert!(notes.first(7, 100));
            assert!(!notes.first(7, 200));
            assert!(notes.table().seen(7));
            notes.clear();
            assert!(notes.first(7, 100));
        }
    }

    #[test]
    fn are_private_where_metrics_are_off() {
        let registry = registry(Settings {
            enabled: false,
            ..Settings::default()
        });
        assert!(!registry.notes().is_shared());
        assert!(registry.notes().first(1, 1));
        assert!(!registry.notes().first(1, 1));
        assert!(in_memory().notes().is_shared());
    }

    #[test]
    fn share_one_place_in_the_arena() {
        let registry = in_memory();
        assert!(registry.notes().first(1, 1));
        let length = registry.current().unwrap().map.length();
        assert!(!registry.notes().first(1, 1));
        assert_eq!(registry.current().unwrap().map.length(), length);
    }

    #[test]
    fn remember_tens_of_thousands_and_forget_the_oldest_first() {
        let notes = Notes::private();
        for key in 0..200_000u64 {
            assert!(notes.first(key, key as u32 / 1000));
        }
        let remembered = |keys: std::ops::Range<u64>| keys.filter(|key| notes.table().seen(*key)).count();
        assert!(remembered(0..50_000) < 100);
        assert!(remembered(170_000..200_000) > 29_000);
    }

    #[test]
    fn stamps_may_come_round() {
        let notes = Notes::private();
        // The last second before they do.
        let last = (1 << 26) - 4;
        for now in [last - 1_000_000, last, 0, 4, 1_000_000] {
            assert!(notes.first(u64::from(now), now));
            notes.set(u64::from(now), 5, now);
        }
        assert!(notes.table().seen(u64::from(last)));
        assert_eq!(notes.get(u64::from(last)), Some(5));
    }

    #[test]
    fn an_update_that_leaves_the_value_notes_nothing() {
        let notes = Notes::private();
        assert_eq!(notes.update(1, 1, |_| None), None);
        assert_eq!(notes.get(1), None);
        notes.set(1, 9, 1);
        assert_eq!(notes.update(1, 1, |_| None), Some(9));
        assert_eq!(notes.get(1), Some(9));
    }

    #[test]
    fn are_carried_over_to_the_arena_that_takes_the_place() {
        let (old, new) = (Notes::private(), Notes::private());
        for key in 0..5_000 {
            assert!(old.first(key, 1));
            old.set(key, key, 1);
        }
        assert!(new.first(1, 2));
        new.set(1, 77, 2);
        new.table().take_over(&old.table());
        new.table().take_over(&old.table());
        assert!((0..5_000).all(|key| new.table().seen(key)));
        assert_eq!(new.get(1), Some(77));
        let kept = |notes: &Notes| (2..5_000).filter(|key| notes.get(*key) == Some(*key)).count();
        assert_eq!(kept(&new), kept(&old));
    }

    proptest! {
        #[test]
        fn answer_as_a_map_does_or_have_forgotten(
            steps in prop::collection::vec((0u64..400, 0u64..1 << 51, 0u32..100, any::<bool>()), 0..600)
        ) {
            let notes = Notes::private();
            let mut model: HashMap<u64, u64> = HashMap::new();
            for (key, value, now, update) in steps {
                prop_assert_eq!(notes.get(key), model.get(&key).copied());
                if update {
                    let before = notes.update(key, now, |before| Some(before.unwrap_or(0) ^ value));
                    prop_assert_eq!(before, model.get(&key).copied());
                    *model.entry(key).or_default() ^= value;
                } else {
                    notes.set(key, value, now);
                    model.insert(key, value);
                }
            }
        }
    }
}
