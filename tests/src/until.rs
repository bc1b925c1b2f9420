use std::time::{Duration, Instant};

/// How long anything may take that should be done at once. Long, because the machine may be busy; what hangs, hangs
/// for ever.
pub const DEADLINE: Duration = Duration::from_secs(30);

/// Polls until `probe` answers something.
///
/// # Panics
/// When that takes longer than [`DEADLINE`]; `what` says what was waited for.
pub fn until<T>(what: &str, mut probe: impl FnMut() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(found) = probe() {
            return found;
        }
        assert!(begun.elapsed() < DEADLINE, "waited too long for {what}");
        std::thread::park_timeout(Duration::from_micros(500));
    }
}
