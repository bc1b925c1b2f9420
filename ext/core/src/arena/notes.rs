//! A bounded memory of what happened, shared by all processes: 64-bit words in the arena that are found by a key.
//!
//! ```text
//! first   8192 buckets of 8 words: which keys were met
//! values  2048 buckets of 8 pairs: what was noted of a key
//! ```
//!
//! That is 768 KiB, taken from the arena when the first note is made. A bucket that is full forgets the note that was
//! made or changed longest ago, so that about the last 40 000 keys and 10 000 values are remembered.
//!
//! A word of `first`, and the first word of a pair, is a tag (40 bits of the key's hash) and a stamp (24 bits). What a
//! new note replaces is a function of what stands in the bucket: the first empty word, else the one with the oldest
//! stamp, the lowest index on ties. It is replaced by compare-and-swap from the word that was seen, and whoever loses
//! looks again. A new stamp is always younger than the one it replaces, so no word ever comes back, and a word that
//! changes only ever becomes a worse choice. So two processes that note one key at once either choose the same word, of
//! which one wins it, or the later one sees the earlier one's: a key is inserted exactly once while it is remembered.
//!
//! The second word of a pair is a value (51 bits) and a check (13 other bits of the hash), so that the value of a key
//! that had the pair before is not taken for this one's. Nothing waits, and a process that is killed anywhere leaves
//! nothing behind that others would trip over.
//!
//! When an arena is replaced, every process that leaves the old one carries its notes over; only what two processes
//! note of one key in the moment between, one in each file, is noted twice. Where there is no arena, because metrics
//! are off or its disk is full, each process has notes of its own, and a fork begins with a copy.

use super::fail;
use super::layout::{Header, UNIT};
use super::map::Mapping;
use super::notice::Level;
use super::registry::Registry;
use super::shared::Arena;
use super::step::step;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::Arc;

const WAYS: usize = 8;
const FIRST_BUCKETS: usize = 8192;
const VALUE_BUCKETS: usize = 2048;
const FIRST_WORDS: usize = FIRST_BUCKETS * WAYS;
pub(super) const WORDS: usize = FIRST_WORDS + VALUE_BUCKETS * WAYS * 2;
/// Bytes that the notes take in an arena.
pub(super) const SIZE: u64 = 8 * WORDS as u64;

const STAMP_BITS: u32 = 24;
const STAMPS: u64 = 1 << STAMP_BITS;
/// A stamp is in units of four seconds, so that stamps come round after two years.
const SECONDS_PER_STAMP: u32 = 4;
/// Stamps up to 48 days ahead are of the future (another process's clock, or a bucket that is written to faster than
/// time passes); all others are of the past.
const AHEAD: u64 = 1 << 20;

const CHECK_BITS: u32 = 13;
/// Values are below this.
const VALUES: u64 = 1 << (64 - CHECK_BITS);

/// Ends loops that only endless interference could keep going.
const ATTEMPTS: usize = 1000;

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
        self.table().first(key, now_s)
    }

    /// Whether `key` was met, as far as is remembered. Notes nothing.
    #[must_use]
    pub fn seen(&self, key: u64) -> bool {
        self.table().seen(key)
    }

    /// Notes a value of `key`. Only its lower 51 bits are kept.
    pub fn set(&self, key: u64, value: u64, now_s: u32) {
        self.table().update(key, now_s, |_| Some(value));
    }

    /// The value that was noted of `key` last, as far as it is remembered.
    #[must_use]
    pub fn get(&self, key: u64) -> Option<u64> {
        self.table().get(key)
    }

    /// Changes the value of `key` to what `f` makes of it, and answers the one that it was made of. `f` may be called
    /// more than once; where it answers `None` the value stays.
    pub fn update(&self, key: u64, now_s: u32, f: impl FnMut(Option<u64>) -> Option<u64>) -> Option<u64> {
        self.table().update(key, now_s, f)
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

/// What finds a key: all bits of its hash, each used once.
#[derive(Clone, Copy)]
struct Key {
    hash: u64,
}

impl Key {
    fn of(key: u64) -> Self {
        // The finalizer of splitmix64: one to one, so that two keys differ in some bit.
        let mut hash = key.wrapping_add(0x9E37_79B9_7F4A_7C15);
        hash = (hash ^ hash >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        hash = (hash ^ hash >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
        Self {
            hash: hash ^ hash >> 31,
        }
    }

    /// Never 0, which is what an empty word has.
    fn tag(self) -> u64 {
        (self.hash >> STAMP_BITS).max(1)
    }

    fn first_bucket(self) -> usize {
        self.hash as usize % FIRST_BUCKETS
    }

    fn value_bucket(self) -> usize {
        self.hash as usize % VALUE_BUCKETS
    }

    /// Never 0 either. Of the bits that neither the tag nor the bucket of the value has.
    fn check(self) -> u64 {
        (self.hash >> (STAMP_BITS - CHECK_BITS) & ((1 << CHECK_BITS) - 1)).max(1)
    }
}

const _: () = assert!(VALUE_BUCKETS == 1 << (STAMP_BITS - CHECK_BITS));

/// A tag and a stamp.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Note(u64);

impl Note {
    fn new(tag: u64, stamp: u64) -> Self {
        Self((tag << STAMP_BITS) | (stamp % STAMPS))
    }

    fn tag(self) -> u64 {
        self.0 >> STAMP_BITS
    }

    fn stamp(self) -> u64 {
        self.0 % STAMPS
    }

    /// How old it is, from a moment in the future on, so that notes of the future are young as well.
    fn age(self, now: u64) -> u64 {
        now.wrapping_add(AHEAD).wrapping_sub(self.stamp()) % STAMPS
    }

    /// A note that takes this one's place: younger, whatever the clock says.
    fn replaced_by(self, tag: u64, now: u64) -> Self {
        if self.0 == 0 || self.age(now) > AHEAD {
            Self::new(tag, now)
        } else {
            Self::new(tag, self.stamp() + 1)
        }
    }
}

fn stamp_of(now_s: u32) -> u64 {
    u64::from(now_s / SECONDS_PER_STAMP) % STAMPS
}

/// The words of one bucket, every `stride`-th of a slice.
#[derive(Clone, Copy)]
struct Bucket<'a> {
    words: &'a [AtomicU64],
    stride: usize,
}

impl<'a> Bucket<'a> {
    fn notes(self) -> impl Iterator<Item = (usize, Note)> + 'a {
        self.words.iter().step_by(self.stride).enumerate().map(|(way, word)| {
            step();
            (way, Note(word.load(Ordering::SeqCst)))
        })
    }

    fn find(self, tag: u64) -> Option<(usize, Note)> {
        self.notes().find(|(_, note)| note.tag() == tag)
    }

    /// What a new note is to replace.
    fn victim(found: &[Note; WAYS], now: u64) -> usize {
        let empty = found.iter().position(|note| note.0 == 0);
        empty.unwrap_or_else(|| {
            // The first of the oldest.
            (1..WAYS).fold(0, |oldest, way| {
                if found[way].age(now) > found[oldest].age(now) {
                    way
                } else {
                    oldest
                }
            })
        })
    }

    fn replace(self, way: usize, from: Note, to: Note) -> bool {
        step();
        self.words.get(way * self.stride).is_some_and(|word| {
            word.compare_exchange(from.0, to.0, Ordering::SeqCst, Ordering::SeqCst)
                .is_ok()
        })
    }

    /// The value beside a note, where there are values.
    fn value(self, way: usize) -> Option<&'a AtomicU64> {
        (self.stride == 2).then(|| self.words.get(2 * way + 1)).flatten()
    }

    /// Whether a note can be made without forgetting another.
    fn has_room(self) -> bool {
        self.notes().any(|(_, note)| note.0 == 0)
    }

    /// Inserts `tag` unless it is there; where it was inserted, and how, as `Some`. `None` for an answer of no use: the
    /// table is not there, or others never let this process in.
    fn insert(self, tag: u64, now: u64) -> Option<(usize, bool)> {
        for _ in 0..ATTEMPTS {
            let mut found = [Note(0); WAYS];
            let mut there = None;
            for (way, note) in self.notes() {
                if note.tag() == tag {
                    there = Some(way);
                    break;
                }
                *found.get_mut(way)? = note;
            }
            if let Some(way) = there {
                return Some((way, false));
            }
            let way = Self::victim(&found, now);
            let value = self.value(way);
            let stale = value.map(|value| value.load(Ordering::SeqCst));
            if self.replace(way, found[way], found[way].replaced_by(tag, now)) {
                // The check alone would let one stale value in 8192 pass for the new key's. Whoever has changed it
                // meanwhile has noted the new key's, or else the check has to tell.
                if let (Some(value), Some(stale)) = (value, stale) {
                    step();
                    let _ = value.compare_exchange(stale, 0, Ordering::SeqCst, Ordering::SeqCst);
                }
                return Some((way, true));
            }
        }
        None
    }
}

/// All words of the notes.
#[derive(Clone, Copy)]
pub(super) struct Table<'a>(&'a [AtomicU64]);

impl<'a> Table<'a> {
    /// An empty one where the file does not reach so far.
    pub fn of(map: &'a Mapping, start: u64) -> Self {
        Self(map.words(start, WORDS).unwrap_or(&[]))
    }

    fn first_bucket(self, index: usize) -> Bucket<'a> {
        let at = index * WAYS;
        Bucket {
            words: self.0.get(at..at + WAYS).unwrap_or(&[]),
            stride: 1,
        }
    }

    fn value_bucket(self, index: usize) -> Bucket<'a> {
        let at = FIRST_WORDS + index * WAYS * 2;
        Bucket {
            words: self.0.get(at..at + WAYS * 2).unwrap_or(&[]),
            stride: 2,
        }
    }

    pub fn first(self, key: u64, now_s: u32) -> bool {
        let key = Key::of(key);
        let bucket = self.first_bucket(key.first_bucket());
        // What cannot be noted counts as new: something counted twice is better than something never counted.
        bucket
            .insert(key.tag(), stamp_of(now_s))
            .is_none_or(|(_, inserted)| inserted)
    }

    fn seen(self, key: u64) -> bool {
        let key = Key::of(key);
        self.first_bucket(key.first_bucket()).find(key.tag()).is_some()
    }

    pub fn get(self, key: u64) -> Option<u64> {
        let key = Key::of(key);
        let bucket = self.value_bucket(key.value_bucket());
        for _ in 0..ATTEMPTS {
            let (way, _) = bucket.find(key.tag())?;
            step();
            let word = bucket.words.get(2 * way + 1)?.load(Ordering::SeqCst);
            step();
            let now = Note(bucket.words.get(2 * way)?.load(Ordering::SeqCst));
            if now.tag() == key.tag() {
                return value_in(word, key);
            }
        }
        None
    }

    pub fn update(self, key: u64, now_s: u32, mut f: impl FnMut(Option<u64>) -> Option<u64>) -> Option<u64> {
        let (key, now) = (Key::of(key), stamp_of(now_s));
        let bucket = self.value_bucket(key.value_bucket());
        for _ in 0..ATTEMPTS {
            let Some((way, note)) = bucket.find(key.tag()) else {
                f(None)?;
                bucket.insert(key.tag(), now)?;
                continue;
            };
            let cell = bucket.words.get(2 * way + 1)?;
            step();
            let word = cell.load(Ordering::SeqCst);
            step();
            let current = Note(bucket.words.get(2 * way)?.load(Ordering::SeqCst));
            if current.tag() != key.tag() {
                continue;
            }
            let value = value_in(word, key);
            let Some(new) = f(value) else { return value };
            // First it becomes young, so that it is not forgotten just when it is changed. Whoever else makes it young
            // does as well.
            if note.age(now) > AHEAD && !bucket.replace(way, note, Note::new(key.tag(), now)) {
                let current = Note(bucket.words.get(2 * way)?.load(Ordering::SeqCst));
                if current.tag() != key.tag() {
                    continue;
                }
            }
            step();
            let new = ((new % VALUES) << CHECK_BITS) | key.check();
            if cell
                .compare_exchange(word, new, Ordering::SeqCst, Ordering::SeqCst)
                .is_ok()
            {
                return value;
            }
        }
        None
    }

    /// Notes what `other` has and this one has not, as far as there is room.
    fn take_over(self, other: &Table<'_>) {
        for index in 0..FIRST_BUCKETS {
            let bucket = self.first_bucket(index);
            for (_, note) in other.first_bucket(index).notes().filter(|(_, note)| note.0 != 0) {
                if bucket.has_room() {
                    bucket.insert(note.tag(), note.stamp());
                }
            }
        }
        for index in 0..VALUE_BUCKETS {
            let (bucket, theirs) = (self.value_bucket(index), other.value_bucket(index));
            for (way, note) in theirs.notes().filter(|(_, note)| note.0 != 0) {
                let Some(value) = theirs.words.get(2 * way + 1).filter(|_| bucket.has_room()) else {
                    continue;
                };
                let inserted = bucket
                    .insert(note.tag(), note.stamp())
                    .filter(|(_, inserted)| *inserted);
                if let Some(cell) = inserted.and_then(|(way, _)| bucket.words.get(2 * way + 1)) {
                    let _ = cell.compare_exchange(0, value.load(Ordering::SeqCst), Ordering::SeqCst, Ordering::SeqCst);
                }
            }
        }
    }
}

#[cfg(test)]
impl Table<'_> {
    /// Keys whose notes stand in one bucket.
    pub fn keys_of_one_bucket(count: usize) -> Vec<u64> {
        let same = |key: &u64| Key::of(*key).first_bucket() == Key::of(0).first_bucket();
        (0..).filter(same).take(count).collect()
    }
}

fn value_in(word: u64, key: Key) -> Option<u64> {
    (word % (1 << CHECK_BITS) == key.check()).then_some(word >> CHECK_BITS)
}

#[cfg(test)]
mod tests {
    use super::super::{Settings, Threads};
    use super::*;
    use proptest::prelude::*;
    use std::collections::HashMap;

    fn registry(settings: Settings) -> Arc<Registry> {
        let registry = Registry::new(Threads::Serialized);
        registry.configure(settings).unwrap();
        registry
    }

    fn in_memory() -> Arc<Registry> {
        registry(Settings {
            place: super::super::Place::Memory,
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
            assert!(!notes.seen(7));
            assert!(notes.first(7, 100));
            assert!(!notes.first(7, 200));
            assert!(notes.seen(7));
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
        let remembered = |keys: std::ops::Range<u64>| keys.filter(|key| notes.seen(*key)).count();
        assert!(remembered(0..50_000) < 100);
        assert!(remembered(170_000..200_000) > 29_000);
    }

    #[test]
    fn an_old_note_makes_room_before_a_young_one_even_within_one_second() {
        let words: Vec<AtomicU64> = (0..WAYS).map(|_| AtomicU64::new(0)).collect();
        let bucket = Bucket {
            words: &words,
            stride: 1,
        };
        for tag in 1..=100 {
            assert_eq!(bucket.insert(tag, 5).map(|(_, inserted)| inserted), Some(true));
            let oldest = (tag + 1).saturating_sub(WAYS as u64).max(1);
            assert!((oldest..=tag).all(|tag| bucket.find(tag).is_some()), "{tag}");
        }
    }

    #[test]
    fn stamps_may_come_round() {
        let notes = Notes::private();
        let last = SECONDS_PER_STAMP * (STAMPS as u32 - 1);
        for now in [last - 1_000_000, last, 0, 4, 1_000_000] {
            assert!(notes.first(u64::from(now), now));
            notes.set(u64::from(now), 5, now);
        }
        assert!(notes.seen(u64::from(last)));
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
        assert!((0..5_000).all(|key| new.seen(key)));
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
