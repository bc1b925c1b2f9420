//! Named points inside registration, growth, set-aside, removal and folding at which a test stops or kills the process.
//!
//! Compiled to nothing without the feature `failpoints`.

/// Every point, in the order in which a series' life passes them.
pub const POINTS: [&str; 28] = [
    "open:before_create",
    "open:created",
    "open:linked",
    "open:aside_renamed",
    "attach:locked",
    "attach:written",
    "attach:attached",
    "grow:before",
    "grow:allocated",
    "register:scanned",
    "register:claimed",
    "register:reserved",
    "register:filled",
    "register:pending",
    "register:live",
    "remove:removing",
    "remove:removed",
    "expire:expiring",
    "expire:removing",
    "follow:displaced",
    "fold:moved",
    "fold:left",
    "fold:listed",
    "fold:registered",
    "fold:raised",
    "fold:noted",
    "fold:set",
    "notes:reserved",
];

/// Environment variable that arms a point: `<point>=<stop|kill>[@<n>]`, acting at its n-th passage (1 by default).
pub const VARIABLE: &str = "TASKER_TELEMETRY_FAILPOINT";

#[cfg(feature = "failpoints")]
pub(super) fn point(name: &str) {
    use std::sync::atomic::{AtomicU32, Ordering};
    static PASSED: AtomicU32 = AtomicU32::new(0);

    let Ok(armed) = std::env::var(VARIABLE) else { return };
    let Some((point, action)) = armed.split_once('=') else {
        return;
    };
    if point != name {
        return;
    }
    let (action, nth) = action.split_once('@').unwrap_or((action, "1"));
    if PASSED.fetch_add(1, Ordering::SeqCst) + 1 != nth.parse::<u32>().unwrap_or(1) {
        return;
    }
    let signal = if action == "kill" { libc::SIGKILL } else { libc::SIGSTOP };
    // SAFETY: signals this process only.
    unsafe { libc::kill(libc::getpid(), signal) };
}

#[cfg(not(feature = "failpoints"))]
#[inline(always)]
pub(super) fn point(_name: &str) {}
