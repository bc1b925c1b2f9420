//! The garbage collections of this process, and where the arena wants them.

use super::fork;
use super::process::Slot;
use std::sync::atomic::{AtomicPtr, AtomicU32, AtomicU64, Ordering};

/// Totals of this process, kept here until it has a slot, and there afterwards.
#[derive(Default)]
pub(super) struct Collections {
    runs: AtomicU64,
    nanos: AtomicU64,
    /// The slot's `gc_runs`, with `gc_nanos` behind it; null while there is none.
    cells: AtomicPtr<AtomicU64>,
    /// Fork generation whose totals these are.
    generation: AtomicU32,
}

impl Collections {
    /// Takes the totals. Takes no lock and allocates nothing: a collection may be running.
    pub fn record(&self, runs: u64, nanos: u64) {
        self.runs.store(runs, Ordering::Relaxed);
        self.nanos.store(nanos, Ordering::Relaxed);
        if self.generation.swap(fork::generation(), Ordering::Relaxed) != fork::generation() {
            // The cells are the parent's.
            self.forget();
        }
        let cells = self.cells.load(Ordering::Acquire);
        if !cells.is_null() {
            // SAFETY: two cells of a slot, in an arena that stays mapped while this is set.
            unsafe {
                (*cells).store(runs, Ordering::Relaxed);
                (*cells.add(1)).store(nanos, Ordering::Relaxed);
            }
        }
    }

    /// Goes on in `slot`, which is this process's.
    pub fn move_to(&self, slot: &Slot<'_>) {
        if self.generation.swap(fork::generation(), Ordering::Relaxed) == fork::generation() {
            slot.gc_runs()
                .store(self.runs.load(Ordering::Relaxed), Ordering::Relaxed);
            slot.gc_nanos()
                .store(self.nanos.load(Ordering::Relaxed), Ordering::Relaxed);
        }
        self.cells
            .store(std::ptr::from_ref(slot.gc_runs()).cast_mut(), Ordering::Release);
    }

    /// Lets go of the slot, before its arena may be unmapped.
    pub fn forget(&self) {
        self.cells.store(std::ptr::null_mut(), Ordering::Release);
    }
}
