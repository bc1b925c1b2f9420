//! Whether the thread of the runtime runs, for those who ask at each span.

use crate::arena::fork;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::Arc;

const NUMBER_BITS: u32 = 32;

/// The generation of the process whose thread runs, and the thread's number: generation 0 is nobody's. A child copies it
/// and finds that its parent's thread is not its own.
#[derive(Debug, Clone, Default)]
pub(super) struct Running(Arc<AtomicU64>);

impl Running {
    /// Whether a thread of this process runs that was not told to end.
    pub(super) fn is_here(&self) -> bool {
        self.0.load(Ordering::Relaxed) >> NUMBER_BITS == u64::from(fork::generation())
    }

    /// Says that one runs from now on, instead of any other. To be called by one thread at a time. Answers its number, for
    /// [`Self::ended`].
    pub(super) fn begin(&self) -> u64 {
        let number = (self.0.load(Ordering::Relaxed) as u32).wrapping_add(1);
        let running = u64::from(fork::generation()) << NUMBER_BITS | u64::from(number);
        self.0.store(running, Ordering::Relaxed);
        running
    }

    /// Says that one has ended, or is about to; does nothing when another runs instead.
    pub(super) fn ended(&self, running: u64) {
        let number = u64::from(running as u32);
        let _ = self
            .0
            .compare_exchange(running, number, Ordering::Relaxed, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_one_that_was_replaced_says_nothing() {
        let running = Running::default();
        assert!(!running.is_here());
        let first = running.begin();
        let second = running.begin();
        running.ended(first);
        assert!(running.is_here());
        running.ended(second);
        assert!(!running.is_here());
        assert_ne!(running.begin(), second);
    }
}
