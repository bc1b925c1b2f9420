use std::ops::ControlFlow;
use std::time::{Duration, Instant};

/// How long anything may take that should be done at once. Long, because the machine may be busy; what hangs, hangs
/// for ever.
pub const DEADLINE: Duration = Duration::from_secs(30);

/// Polls until `probe` answers something.
///
/// # Panics
/// When that takes longer than [`DEADLINE`]; `what` says what was waited for.
pub fn until<T>(what: &str, mut probe: impl FnMut() -> Option<T>) -> T {
    while_it_moves(what, || probe().map_or(ControlFlow::Continue(()), ControlFlow::Break))
}

/// Polls until `probe` breaks. As long as it goes on it answers how far things have come, and the deadline begins again
/// whenever they move: much work takes long on a busy machine.
///
/// # Panics
/// When nothing moves for longer than [`DEADLINE`]; `what` says what was waited for.
pub fn while_it_moves<T, P: PartialEq>(what: &str, mut probe: impl FnMut() -> ControlFlow<T, P>) -> T {
    let (mut reached, mut since) = (None, Instant::now());
    loop {
        match probe() {
            ControlFlow::Break(found) => return found,
            ControlFlow::Continue(progress) if reached.as_ref() != Some(&progress) => {
                (reached, since) = (Some(progress), Instant::now());
            }
            ControlFlow::Continue(_) => {}
        }
        assert!(since.elapsed() < DEADLINE, "waited too long for {what}");
        std::thread::park_timeout(Duration::from_micros(500));
    }
}
