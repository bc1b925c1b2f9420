//! One draw for each event.

use crate::arena::fork;
use std::cell::Cell;
use std::hash::{BuildHasher, RandomState};
use std::time::SystemTime;

thread_local! {
    /// State of the generator, and the fork generation that it was seeded in: a child must not draw as its parent does.
    static STATE: Cell<(u64, u32)> = const { Cell::new((0, 0)) };
}

/// A share of all events.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sample {
    All,
    /// Those whose draw is below it.
    Below(u64),
}

impl Sample {
    /// `rate` is from 0 to 1.
    pub fn of(rate: f64) -> Self {
        if rate >= 1.0 {
            Self::All
        } else {
            // A cast stays within the range.
            Self::Below((rate * (u64::MAX as f64)) as u64)
        }
    }

    /// Whether the event at hand belongs to it.
    #[inline]
    pub fn draw(self) -> bool {
        match self {
            Self::All => true,
            Self::Below(0) => false,
            Self::Below(limit) => next() < limit,
        }
    }
}

/// xorshift64* (Vigna, "An experimental exploration of Marsaglia's xorshift generators, scrambled").
fn next() -> u64 {
    let drawn = STATE.try_with(|cell| {
        let (mut state, mut generation) = cell.get();
        if generation != fork::generation() {
            generation = fork::generation();
            state = seed(generation);
        }
        state ^= state >> 12;
        state ^= state << 25;
        state ^= state >> 27;
        cell.set((state, generation));
        state.wrapping_mul(0x2545_f491_4f6c_dd1d)
    });
    // A thread that is going away has no state any more.
    drawn.unwrap_or_else(|_| seed(0))
}

#[cold]
fn seed(generation: u32) -> u64 {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    // A child inherits its parent's hash keys.
    let differing = (now.map(|now| now.as_nanos()), std::process::id(), generation);
    let differing = (differing.0.unwrap_or_default(), differing.1, differing.2);
    RandomState::new().hash_one(differing) | 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_the_share_that_was_asked_for() {
        for rate in [0.0, 0.001, 0.1, 0.5, 0.9, 1.0] {
            let sample = Sample::of(rate);
            let kept = (0..100_000).filter(|_| sample.draw()).count() as f64 / 100_000.0;
            assert!((kept - rate).abs() < 0.01, "{kept} instead of {rate}");
        }
        assert_eq!(Sample::of(0.0), Sample::Below(0));
    }

    #[test]
    fn threads_draw_differently() {
        let draw = || (0..4).map(|_| next()).collect::<Vec<_>>();
        let other = std::thread::spawn(draw).join().unwrap();
        assert_ne!(draw(), other);
    }
}
