//! What was decided about names, so that it is not decided again for each attribute of each span.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::sync::atomic::{AtomicU64, Ordering};
use xxhash_rust::xxh3::xxh3_64_with_seed;

/// A power of two: 8 KiB in all.
const SLOTS: usize = 1024;
/// The lowest bits of a slot: that it is taken, and what was decided. The others are those of the hash.
const TAKEN: u64 = 2;
const YES: u64 = 1;

/// A table of hashes that is read and written without a lock: a fork may happen at any time, on any thread.
///
/// Names are known by 62 bits of a hash that no two processes share, so nobody can choose a name that is taken for
/// another.
pub(super) struct Known {
    seed: u64,
    slots: Box<[AtomicU64]>,
}

impl Default for Known {
    fn default() -> Self {
        Self {
            seed: RandomState::new().build_hasher().finish(),
            slots: (0..SLOTS).map(|_| AtomicU64::new(0)).collect(),
        }
    }
}

impl std::fmt::Debug for Known {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Known").finish_non_exhaustive()
    }
}

impl Known {
    /// The answer to the question that `salt` stands for about `name`.
    #[inline]
    pub fn ask(&self, name: &str, salt: u64, decide: impl FnOnce() -> bool) -> bool {
        let hash = xxh3_64_with_seed(name.as_bytes(), self.seed ^ salt);
        let marked = hash & !(TAKEN | YES) | TAKEN;
        let (first, second) = self.places(hash);
        for place in [first, second] {
            let slot = place.load(Ordering::Relaxed);
            if slot & !YES == marked {
                return slot & YES != 0;
            }
        }
        let yes = decide();
        second.store(first.load(Ordering::Relaxed), Ordering::Relaxed);
        first.store(marked | u64::from(yes), Ordering::Relaxed);
        yes
    }

    /// Two of them, so that two names in frequent use do not drive each other out.
    #[inline]
    fn places(&self, hash: u64) -> (&AtomicU64, &AtomicU64) {
        let index = (hash >> 32) as usize % SLOTS;
        (&self.slots[index], &self.slots[index ^ 1])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_what_was_decided_and_decides_once() {
        let known = Known::default();
        assert!(known.ask("a", 0, || true));
        assert!(!known.ask("b", 0, || false));
        assert!(known.ask("a", 0, || unreachable!()));
        assert!(!known.ask("b", 0, || unreachable!()));
        assert!(!known.ask("a", 1, || false), "another question");
    }

    #[test]
    fn is_right_however_many_names_there_are() {
        let known = Known::default();
        for _ in 0..2 {
            for number in 0..10_000 {
                assert_eq!(
                    known.ask(&format!("name{number}"), 0, || number % 3 == 0),
                    number % 3 == 0
                );
            }
        }
    }
}
