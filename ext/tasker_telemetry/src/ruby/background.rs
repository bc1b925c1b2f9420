//! What goes on in the background: waiting for it, and how it survives a fork.

use crate::error::Result;
use crate::helpers::guard::{answering, caught};
use crate::helpers::nogvl::without_gvl;
use crate::helpers::value::serialized;
use crate::helpers::{registry, telemetry};
use crate::ruby::subscriber;
use magnus::{function, Object, RModule, Value};
use std::time::{Duration, Instant};

pub fn init(native: RModule) -> std::result::Result<(), magnus::Error> {
    native.define_singleton_method("flush", function!(flush, 1))?;
    native.define_singleton_method("shutdown", function!(shutdown, 1))?;
    native.define_singleton_method("before_fork", function!(before_fork, 0))?;
    native.define_singleton_method("before_move", function!(before_move, 0))?;
    native.define_singleton_method("after_move", function!(after_move, 0))?;
    native.define_singleton_method("after_fork_parent", function!(after_fork_parent, 0))?;
    native.define_singleton_method("after_fork_child", function!(after_fork_child, 0))?;
    native.define_singleton_method("trace_stats", function!(stats, 0))?;
    Ok(())
}

/// Seconds of a year. Nobody waits for longer, and clocks do not go on for ever.
const LONGEST: f64 = 366.0 * 24.0 * 3600.0;

/// Waits without the GVL, for so many seconds at most. A signal is acted upon at once; if it does not raise, waiting
/// goes on for what is left of the time.
fn waiting(seconds: f64, wait: impl Fn(Duration, &dyn Fn() -> bool) -> bool + Send + Sync) -> Result<bool> {
    answering(|| {
        // In a process that ends before its thread has come to that, what is pushed last would be nobody's.
        telemetry().stand();
        // What is no time at all stays so.
        let seconds = if seconds > LONGEST { LONGEST } else { seconds };
        let timeout = Duration::try_from_secs_f64(seconds).unwrap_or(Duration::ZERO);
        let deadline = Instant::now() + timeout;
        loop {
            let rest = deadline.saturating_duration_since(Instant::now());
            let (delivered, interrupted) = without_gvl(|cancelled| {
                let delivered = wait(rest, &|| cancelled.get());
                (delivered, cancelled.get())
            })?;
            if delivered || !interrupted || rest.is_zero() {
                return Ok(delivered);
            }
        }
    })
}

fn flush(seconds: f64) -> Result<bool> {
    waiting(seconds, |timeout, cancelled| telemetry().flush(timeout, cancelled))
}

/// However the wait ends, by its time or by what Ruby raises in it, it was for the last time.
fn shutdown(seconds: f64) -> Result<bool> {
    let delivered = waiting(seconds, |timeout, cancelled| telemetry().shutdown(timeout, cancelled));
    caught(|| telemetry().shutdown(Duration::ZERO, &|| false));
    delivered
}

/// Nothing that happens here may keep the application from forking.
fn before_fork() {
    caught(|| telemetry().before_fork());
    caught(|| registry().prepare_fork());
}

/// As `before_fork`, where only the child goes on.
fn before_move() {
    caught(|| telemetry().before_move());
    caught(|| registry().prepare_fork());
}

fn after_move() {
    caught(|| telemetry().after_move());
}

fn after_fork_parent() {
    caught(|| telemetry().after_fork_parent());
}

fn after_fork_child() {
    caught(subscriber::after_fork_child);
    caught(|| telemetry().after_fork_child());
}

fn stats() -> Result<Value> {
    answering(|| serialized(&telemetry().tracing().tracer().stats()))
}
