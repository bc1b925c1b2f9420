//! When to try again.

use crate::runtime::with_random;
use rand::Rng;
use std::time::Duration;

const FIRST: Duration = Duration::from_millis(500);
const LONGEST: Duration = Duration::from_secs(30);
/// Longest wait that a server may ask for: what it asks in error must not silence a process for hours.
const LONGEST_ASKED: Duration = Duration::from_secs(60);

/// Doubles with each failure, with jitter, so that the processes that a collector has turned away do not come back
/// together.
#[derive(Debug, Default)]
pub struct Backoff {
    failures: u32,
}

impl Backoff {
    /// The wait after one more failure: at least as long as the server asked for, which has told others the same, and then
    /// a random time.
    pub fn next(&mut self, asked: Option<Duration>) -> Duration {
        let half = FIRST.saturating_mul(1 << self.failures.min(16)).min(LONGEST) / 2;
        self.failures += 1;
        let least = half.max(asked.unwrap_or_default().min(LONGEST_ASKED));
        least + half.mul_f64(with_random(|random| random.random_range(0.0..=1.0)))
    }

    /// Begins anew after a success.
    pub fn reset(&mut self) {
        self.failures = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doubles_up_to_its_longest_and_begins_anew() {
        let mut backoff = Backoff::default();
        for full in [0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0] {
            let wait = backoff.next(None).as_secs_f64();
            assert!((full / 2.0..=full).contains(&wait), "{wait} of {full}");
        }
        (0..100).for_each(|_| assert!(backoff.next(None) <= LONGEST));
        backoff.reset();
        assert!(backoff.next(None) <= FIRST);
    }

    #[test]
    fn waits_as_long_as_it_is_asked_to_within_reason() {
        for (asked, least) in [(7, Duration::from_secs(7)), (86_400, LONGEST_ASKED), (0, FIRST / 2)] {
            let first = || Backoff::default().next(Some(Duration::from_secs(asked)));
            let waits: Vec<Duration> = std::iter::repeat_with(first).take(100).collect();
            assert!(waits.iter().all(|wait| (least..=least + FIRST / 2).contains(wait)));
            // Who was turned away together does not come back together.
            let (soonest, last) = (waits.iter().min().unwrap(), waits.iter().max().unwrap());
            assert!(*last - *soonest > FIRST / 4, "{soonest:?} to {last:?}");
        }
        let mut backoff = Backoff::default();
        (0..9).for_each(|_| assert!(backoff.next(None) <= LONGEST));
        assert!(backoff.next(Some(Duration::ZERO)) >= LONGEST / 2);
    }
}
