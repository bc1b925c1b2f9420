//! Which process goes on with what another one began.

use crate::arena::fork;
use std::sync::atomic::{AtomicU32, Ordering};

/// What moved from one process to another, by their generations. All tracers of a process share one.
#[derive(Debug, Default)]
pub(super) struct Lineage {
    from: AtomicU32,
    home: AtomicU32,
}

impl Lineage {
    /// This process is about to become another one.
    pub(super) fn leave(&self) {
        self.from.store(fork::generation(), Ordering::Relaxed);
    }

    /// This is the one that it has become.
    pub(super) fn arrive(&self) {
        self.home.store(fork::generation(), Ordering::Relaxed);
    }

    /// Whether what was begun in the process of that generation is this process's to end.
    pub(super) fn owns(&self, generation: u32) -> bool {
        let now = fork::generation();
        generation == now
            || (self.home.load(Ordering::Relaxed) == now && self.from.load(Ordering::Relaxed) == generation)
    }
}
