//! The words in an arena by which its processes elect one of them, and what the arena knows of who may stand.

use super::layout::Header;
use super::process;
use super::registry::Registry;
use super::shared::Arena;
use super::step::step;
use super::sys;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::Arc;
use std::time::Duration;

/// The two words of one office. Reading and writing them takes no lock, so that a thread may do it while others fork.
pub(crate) struct Ballot {
    arena: Arc<Arena>,
    office: usize,
}

impl Registry {
    /// The words of an office in the arena, which is opened if need be; `None` where there is no arena.
    pub(crate) fn ballot(&self, office: usize) -> Option<Ballot> {
        let arena = {
            let _slow = self.slow();
            self.here()?
        };
        Some(Ballot { arena, office })
    }
}

/// Time since the machine booted: one clock for all its processes, which goes on while the machine sleeps.
pub(crate) fn boot_time() -> Duration {
    Duration::from_nanos(sys::boot_clock())
}

impl Ballot {
    fn word(&self, index: usize) -> Option<&AtomicU64> {
        step();
        Some(Header::of(&self.arena.map)?.office(self.office, index))
    }

    /// The first word: who holds the office.
    pub fn holder(&self) -> u64 {
        self.word(0).map_or(0, |word| word.load(Ordering::SeqCst))
    }

    /// Changes the first word; `false` when somebody else has changed it.
    pub fn change(&self, from: u64, to: u64) -> bool {
        self.word(0).is_some_and(|word| {
            word.compare_exchange(from, to, Ordering::SeqCst, Ordering::SeqCst)
                .is_ok()
        })
    }

    /// The second word: when the holder was last heard of.
    pub fn heard(&self) -> u64 {
        self.word(1).map_or(0, |word| word.load(Ordering::SeqCst))
    }

    /// Says that the holder is heard of.
    pub fn hear(&self, at: u64) {
        if let Some(word) = self.word(1) {
            word.store(at, Ordering::SeqCst);
        }
    }

    /// This process's slot and incarnation, unless it is a child that has not joined the arena, or the arena's file has
    /// been replaced.
    pub fn candidate(&self) -> Option<(u32, u64)> {
        let member = self.arena.member()?;
        (!self.arena.is_displaced()).then_some((member.slot, member.incarnation))
    }

    /// A number that is greater than any that was given to anybody before.
    pub fn number(&self) -> u64 {
        Header::of(&self.arena.map).map_or(0, |header| header.next_birth())
    }

    /// Whether the process lives that had slot `slot` when `number` was given.
    pub fn is_alive(&self, slot: u32, number: u64) -> bool {
        process::slot(&self.arena.map, slot).is_some_and(|slot| {
            let incarnation = slot.incarnation().load(Ordering::SeqCst);
            // Numbers only grow, so whoever has taken the slot since has a greater one.
            incarnation != 0 && incarnation < number && slot.held_by_other()
        })
    }
}
