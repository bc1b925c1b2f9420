//! Notes that three processes make at once, in a table of which all that matters is one bucket.

use super::super::layout::Header;
use super::super::map::Mapping;
use super::super::notes::{Table, WORDS};
use super::super::place;
use super::game::{explore, World};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::Arc;

/// Keys of one bucket, of both kinds of notes.
static KEYS: std::sync::LazyLock<Vec<u64>> = std::sync::LazyLock::new(|| Table::keys_of_one_bucket(12));

const HOUR: u32 = 3600;

struct Process {
    map: Arc<Mapping>,
    start: u64,
    /// How often each key was found to be new, by anybody.
    firsts: Arc<Vec<AtomicUsize>>,
    added: Arc<AtomicU64>,
}

struct Memory(Vec<Process>);

impl World for Memory {
    type Process = Process;

    fn new(players: usize) -> Self {
        let map = Arc::new(place::memory(0).unwrap().map);
        let start = Header::of(&map).unwrap().reserve(8 * WORDS as u64).unwrap();
        let firsts: Arc<Vec<_>> = Arc::new(KEYS.iter().map(|_| AtomicUsize::new(0)).collect());
        let added = Arc::new(AtomicU64::new(0));
        let process = |_| Process {
            map: Arc::clone(&map),
            start,
            firsts: Arc::clone(&firsts),
            added: Arc::clone(&added),
        };
        Self((0..=players).map(process).collect())
    }

    fn process(&self, index: usize) -> &Process {
        &self.0[index]
    }

    fn conclude(&self) {
        for (key, firsts) in self.0[0].firsts.iter().enumerate() {
            let firsts = firsts.load(Ordering::SeqCst);
            assert!(firsts <= 1, "key {key} was new to {firsts} processes");
        }
        let added = self.0[0].added.load(Ordering::SeqCst);
        if added != 0 {
            assert_eq!(self.0[0].table().values().get(KEYS[0]), Some(added));
        }
    }
}

impl Process {
    fn table(&self) -> Table<'_> {
        Table::of(&self.map, self.start)
    }

    fn meet(&self, keys: std::ops::Range<usize>, now_s: u32) {
        for key in keys {
            if self.table().first(KEYS[key], now_s, HOUR) {
                self.firsts[key].fetch_add(1, Ordering::SeqCst);
            }
        }
    }

    fn add(&self, by: u64, now_s: u32) {
        self.table()
            .values()
            .update(KEYS[0], now_s, |sum| Some(sum.unwrap_or(0) + by));
        self.added.fetch_add(by, Ordering::SeqCst);
    }

    /// Makes the notes of both kinds full, with two oldest ones of equal age.
    fn fill(&self) {
        for (index, key) in KEYS.iter().rev().take(8).enumerate() {
            assert!(self.table().first(*key, 1000 + 4 * (index as u32 / 2), HOUR));
            self.table()
                .values()
                .update(*key, 1000 + 4 * (index as u32 / 2), |_| Some(1));
        }
    }
}

#[test]
fn a_key_is_new_to_one_of_three() {
    let meet = |process: &Process| process.meet(0..1, 2000);
    explore::<Memory>(&|_| {}, &[&meet, &meet, &meet]);
}

#[test]
fn keys_are_new_once_while_the_bucket_forgets_others() {
    // Clocks that disagree, one of them even with what stands there.
    let one = |process: &Process| process.meet(0..2, 2000);
    let other = |process: &Process| process.meet(0..2, 1990);
    let late = |process: &Process| process.meet(0..2, 10);
    explore::<Memory>(&Process::fill, &[&one, &other, &late]);
}

#[test]
fn a_key_that_expired_is_new_to_one_of_three() {
    // A clock that is behind may find that it did not expire.
    let meet = |process: &Process| process.meet(0..1, 10_000);
    let late = |process: &Process| process.meet(0..1, 9_000);
    let before = |process: &Process| assert!(process.table().first(KEYS[0], 5_500, HOUR));
    explore::<Memory>(&before, &[&meet, &meet, &late]);
    let before = |process: &Process| {
        process.fill();
        assert!(!process.table().first(KEYS[11], 1000, HOUR));
    };
    let all = |process: &Process| process.meet(10..12, 10_000);
    explore::<Memory>(&before, &[&all, &all, &all]);
}

#[test]
fn what_three_add_is_added() {
    let add = |process: &Process| process.add(1, 2000);
    let late = |process: &Process| process.add(10, 10);
    explore::<Memory>(&|_| {}, &[&add, &late, &add]);
    explore::<Memory>(&Process::fill, &[&add, &late, &add]);
}
