//! The table of notes: 64-bit words that are found by a key, whichever process looks.
//!
//! ```text
//! first    8192 buckets of 8 words: which keys were met
//! values   2048 buckets of 8 pairs: what was noted of a key
//! lasting  2048 buckets of 16 pairs: what is to outlive thousands of those
//! ```
//!
//! That is 1.25 MiB, taken from the arena when the first note is made. A bucket that is full forgets the note that was
//! made or changed longest ago, so that about the last 40 000 keys, 10 000 values and 20 000 lasting values are
//! remembered.
//!
//! A word of `first`, and the first word of a pair, is a tag (40 bits of the key's hash) and a stamp (24 bits). What a
//! new note replaces is a function of what stands in the bucket: the first empty word, else the one with the oldest
//! stamp, the lowest index on ties. It is replaced by compare-and-swap from the word that was seen, and whoever loses
//! looks again. A new stamp is always younger than the one it replaces, so no word ever comes back, and a word that
//! changes only ever becomes a worse choice. So two processes that note one key at once either choose the same word, of
//! which one wins it, or the later one sees the earlier one's: a key is inserted exactly once while it is remembered.
//!
//! A key that was met too long ago counts as new: its word is replaced by a younger one of the same tag, by the same
//! rules, so that one of all who find it expired meets it anew.
//!
//! The second word of a pair is a value (51 bits) and a check (13 other bits of the hash), so that the value of a key
//! that had the pair before is not taken for this one's. Nothing waits, and a process that is killed anywhere leaves
//! nothing behind that others would trip over.

use crate::arena::map::Mapping;
use crate::arena::step::step;
use std::sync::atomic::{AtomicU64, Ordering};

const FIRST_BUCKETS: usize = 8192;
const FIRST_WAYS: usize = 8;
const VALUE_BUCKETS: usize = 2048;
const VALUE_WAYS: usize = 8;
const LASTING_WAYS: usize = 16;
const MOST_WAYS: usize = 16;
const FIRST_WORDS: usize = FIRST_BUCKETS * FIRST_WAYS;
const VALUE_WORDS: usize = VALUE_BUCKETS * VALUE_WAYS * 2;
const LASTING_WORDS: usize = VALUE_BUCKETS * LASTING_WAYS * 2;
pub(in crate::arena) const WORDS: usize = FIRST_WORDS + VALUE_WORDS + LASTING_WORDS;
/// Bytes that the notes take in an arena.
pub(in crate::arena) const SIZE: u64 = 8 * WORDS as u64;

const STAMP_BITS: u32 = 24;
const STAMPS: u64 = 1 << STAMP_BITS;
/// A stamp is in units of four seconds, so that stamps come round after two years.
const SECONDS_PER_STAMP: u32 = 4;
/// Stamps up to 48 days ahead are of the future (another process's clock, or a bucket that is written to faster than
/// time passes); all others are of the past.
const AHEAD: u64 = 1 << 20;

/// For notes that count however old they are.
pub(super) const FOR_EVER: u32 = u32::MAX;

const CHECK_BITS: u32 = 13;
/// Values are below this.
const VALUES: u64 = 1 << (64 - CHECK_BITS);

/// Ends loops that only endless interference could keep going.
const ATTEMPTS: usize = 1000;

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

    /// Whether it is no older than `seconds`.
    fn is_within(self, seconds: u32, now: u64) -> bool {
        seconds == FOR_EVER || self.age(now) <= AHEAD + u64::from(seconds / SECONDS_PER_STAMP)
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
    fn victim(found: &[Note], now: u64) -> usize {
        let empty = found.iter().position(|note| note.0 == 0);
        empty.unwrap_or_else(|| {
            // The first of the oldest.
            (1..found.len()).fold(0, |oldest, way| {
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

    /// Inserts `tag` unless it is there and no older than `seconds`; where it was inserted, and how, as `Some`. `None`
    /// for an answer of no use: the table is not there, or others never let this process in.
    fn insert(self, tag: u64, now: u64, seconds: u32) -> Option<(usize, bool)> {
        for _ in 0..ATTEMPTS {
            let mut found = [Note(0); MOST_WAYS];
            let mut there = None;
            let mut ways = 0;
            for (way, note) in self.notes() {
                if note.tag() == tag {
                    there = Some((way, note));
                    break;
                }
                *found.get_mut(way)? = note;
                ways = way + 1;
            }
            if let Some((way, note)) = there {
                if note.is_within(seconds, now) {
                    return Some((way, false));
                }
                if self.replace(way, note, Note::new(tag, now)) {
                    return Some((way, true));
                }
                continue;
            }
            let found = &found[..ways];
            let way = Self::victim(found, now);
            let value = self.value(way);
            let stale = value.map(|value| value.load(Ordering::SeqCst));
            let oldest = *found.get(way)?;
            if self.replace(way, oldest, oldest.replaced_by(tag, now)) {
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
pub(in crate::arena) struct Table<'a>(pub(super) &'a [AtomicU64]);

impl<'a> Table<'a> {
    /// An empty one where the file does not reach so far.
    pub fn of(map: &'a Mapping, start: u64) -> Self {
        Self(map.words(start, WORDS).unwrap_or(&[]))
    }

    fn first_bucket(self, index: usize) -> Bucket<'a> {
        let at = index * FIRST_WAYS;
        Bucket {
            words: self.0.get(at..at + FIRST_WAYS).unwrap_or(&[]),
            stride: 1,
        }
    }

    pub fn values(self) -> Pairs<'a> {
        Pairs {
            words: self.0.get(FIRST_WORDS..FIRST_WORDS + VALUE_WORDS).unwrap_or(&[]),
            ways: VALUE_WAYS,
        }
    }

    pub fn lasting(self) -> Pairs<'a> {
        Pairs {
            words: self.0.get(FIRST_WORDS + VALUE_WORDS..).unwrap_or(&[]),
            ways: LASTING_WAYS,
        }
    }

    /// Whether `key` was not met in the last `seconds`.
    pub fn first(self, key: u64, now_s: u32, seconds: u32) -> bool {
        let key = Key::of(key);
        let bucket = self.first_bucket(key.first_bucket());
        // What cannot be noted counts as new: something counted twice is better than something never counted.
        bucket
            .insert(key.tag(), stamp_of(now_s), seconds)
            .is_none_or(|(_, inserted)| inserted)
    }

    /// Notes what `other` has and this one has not, as far as there is room.
    pub fn take_over(self, other: &Table<'_>) {
        for index in 0..FIRST_BUCKETS {
            let bucket = self.first_bucket(index);
            for (_, note) in other.first_bucket(index).notes().filter(|(_, note)| note.0 != 0) {
                if bucket.has_room() {
                    bucket.insert(note.tag(), note.stamp(), FOR_EVER);
                }
            }
        }
        self.values().take_over(other.values());
        self.lasting().take_over(other.lasting());
    }
}

/// The part of a table that has values beside its notes.
#[derive(Clone, Copy)]
pub(in crate::arena) struct Pairs<'a> {
    words: &'a [AtomicU64],
    ways: usize,
}

impl<'a> Pairs<'a> {
    fn bucket(self, index: usize) -> Bucket<'a> {
        let words = self.ways * 2;
        let at = index * words;
        Bucket {
            words: self.words.get(at..at + words).unwrap_or(&[]),
            stride: 2,
        }
    }

    pub fn get(self, key: u64) -> Option<u64> {
        let key = Key::of(key);
        let bucket = self.bucket(key.value_bucket());
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
        let bucket = self.bucket(key.value_bucket());
        for _ in 0..ATTEMPTS {
            let Some((way, note)) = bucket.find(key.tag()) else {
                f(None)?;
                bucket.insert(key.tag(), now, FOR_EVER)?;
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

    fn take_over(self, other: Pairs<'_>) {
        for index in 0..VALUE_BUCKETS {
            let (bucket, theirs) = (self.bucket(index), other.bucket(index));
            for (way, note) in theirs.notes().filter(|(_, note)| note.0 != 0) {
                let Some(value) = theirs.words.get(2 * way + 1).filter(|_| bucket.has_room()) else {
                    continue;
                };
                let inserted = bucket
                    .insert(note.tag(), note.stamp(), FOR_EVER)
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
    pub fn seen(self, key: u64) -> bool {
        let key = Key::of(key);
        self.first_bucket(key.first_bucket()).find(key.tag()).is_some()
    }

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
    use super::*;

    #[test]
    fn an_old_note_makes_room_before_a_young_one_even_within_one_second() {
        let words: Vec<AtomicU64> = (0..FIRST_WAYS).map(|_| AtomicU64::new(0)).collect();
        let bucket = Bucket {
            words: &words,
            stride: 1,
        };
        for tag in 1..=100 {
            assert_eq!(
                bucket.insert(tag, 5, FOR_EVER).map(|(_, inserted)| inserted),
                Some(true)
            );
            let oldest = (tag + 1).saturating_sub(FIRST_WAYS as u64).max(1);
            assert!((oldest..=tag).all(|tag| bucket.find(tag).is_some()), "{tag}");
        }
    }

    #[test]
    fn a_key_that_was_met_too_long_ago_is_new_once() {
        let words: Vec<AtomicU64> = (0..WORDS).map(|_| AtomicU64::new(0)).collect();
        let table = Table(&words);
        assert!(table.first(7, 1_000, 3_600));
        assert!(!table.first(7, 4_600, 3_600));
        // To four seconds.
        assert!(table.first(7, 4_604, 3_600));
        assert!(!table.first(7, 4_604, 3_600));
        assert!(!table.first(7, 1_000_000, FOR_EVER));
        // By a clock that is behind.
        assert!(!table.first(7, 10, 3_600));
    }

    #[test]
    fn what_lasts_outlives_thousands_of_others() {
        let words: Vec<AtomicU64> = (0..WORDS).map(|_| AtomicU64::new(0)).collect();
        let table = Table(&words);
        let note = |pairs: Pairs<'_>, key| assert_eq!(pairs.update(key, 1, |_| Some(key)), None);
        (0..1_000).for_each(|key| note(table.lasting(), key));
        (1_000..101_000).for_each(|key| {
            note(table.values(), key);
            table.first(key, 1, FOR_EVER);
        });
        (101_000..111_000).for_each(|key| note(table.lasting(), key));
        assert!((0..1_000).all(|key| table.lasting().get(key) == Some(key)));
        assert_eq!(table.values().get(1), None);
    }
}
