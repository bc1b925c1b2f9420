//! The time of day, by one reading of a clock.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::LazyLock;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// How long the difference between the two clocks is taken for true. What somebody sets or an NTP daemon slews is
/// noticed that much later.
const TRUST: Duration = Duration::from_secs(1);

/// How often a wait looks whether what it waits for has come, or it is to be given up.
pub const LOOK: Duration = Duration::from_millis(10);

static ANCHOR: LazyLock<Instant> = LazyLock::new(Instant::now);
/// When the clocks were compared last, in nanoseconds since the anchor; `u64::MAX`: never.
static COMPARED: AtomicU64 = AtomicU64::new(u64::MAX);
/// What the time of day was at the anchor, in nanoseconds since the epoch.
static OFFSET: AtomicI64 = AtomicI64::new(0);

/// A point in time: of the clock that nobody sets, and of the one on the wall.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moment {
    since_anchor: u64,
    wall: i64,
}

impl Moment {
    /// This one.
    #[must_use]
    pub fn now() -> Self {
        let since_anchor = now();
        let compared = COMPARED.load(Ordering::Acquire);
        if compared == u64::MAX || since_anchor.saturating_sub(compared) > TRUST.as_nanos() as u64 {
            let wall = SystemTime::now().duration_since(UNIX_EPOCH);
            let wall = wall.map_or(0, |wall| wall.as_nanos() as i64);
            OFFSET.store(wall.saturating_sub(since_anchor as i64), Ordering::Relaxed);
            COMPARED.store(since_anchor, Ordering::Release);
        }
        Self {
            since_anchor,
            wall: OFFSET.load(Ordering::Relaxed).saturating_add(since_anchor as i64),
        }
    }

    /// Nanoseconds since the epoch.
    #[must_use]
    pub fn wall(self) -> i64 {
        self.wall
    }

    /// Nanoseconds that have passed since.
    #[must_use]
    pub fn elapsed(self) -> i64 {
        now().saturating_sub(self.since_anchor) as i64
    }
}

/// When a time from now is over. Whoever says that a wait may last for ever names a time that no clock can hold; a year is
/// as good.
#[must_use]
pub fn deadline(time: Duration) -> Instant {
    const YEAR: Duration = Duration::from_secs(365 * 86_400);
    Instant::now() + time.min(YEAR)
}

fn now() -> u64 {
    ANCHOR.elapsed().as_nanos() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deadline_is_as_far_as_it_is_asked_for_within_a_year() {
        let rest = |time| deadline(time).duration_since(Instant::now()).as_secs_f64();
        assert!((3500.0..=3600.0).contains(&rest(Duration::from_secs(3600))));
        assert!((31e6..32e6).contains(&rest(Duration::MAX)));
    }

    #[test]
    fn is_the_time_of_day_and_does_not_go_back() {
        let before = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos() as i64;
        let first = Moment::now();
        assert!((first.wall() - before).abs() < 5_000_000_000);
        assert!(first.elapsed() >= 0);
        assert!(Moment::now().since_anchor >= first.since_anchor);
    }
}
