//! Waiting for what goes on in the background, and bringing it through forks.

use super::Telemetry;
use crate::clock::{deadline, LOOK};
use std::time::{Duration, Instant};

impl Telemetry {
    /// Sends what was recorded until now. Whether all of it was taken in time.
    ///
    /// Spans and metrics at once: where one's collector takes all the time, the other's has had as much.
    pub fn flush(&self, timeout: Duration, cancelled: &dyn Fn() -> bool) -> bool {
        let deadline = deadline(timeout);
        let push = self.push();
        let asked = push.as_ref().map(|push| push.ask());
        let sent = self.tracing.load_full().tracer.flush(timeout, cancelled);
        let rest = deadline.saturating_duration_since(Instant::now());
        let pushed = push
            .zip(asked)
            .is_none_or(|(push, asked)| push.wait(asked, rest, cancelled));
        pushed && sent
    }

    /// As [`Self::flush`]; then nothing is sent any more, and the background ends. When it is given up, all goes on.
    pub fn shutdown(&self, timeout: Duration, cancelled: &dyn Fn() -> bool) -> bool {
        let deadline = deadline(timeout);
        let rest = || deadline.saturating_duration_since(Instant::now());
        self.pusher.leave();
        let mut delivered = self.flush(timeout, cancelled);
        let push = self.push();
        if let Some(push) = &push {
            // Of processes that end at once, the last one is to push what all have counted.
            while self.pusher.another_leaves() {
                while self.pusher.another_leaves() && !rest().is_zero() && !cancelled() {
                    std::thread::sleep(LOOK);
                }
                delivered &= push.flush(rest(), cancelled);
                if rest().is_zero() || cancelled() {
                    break;
                }
            }
        }
        if cancelled() {
            return false;
        }
        // The thread first: to take one worker away is to begin the others anew, and would cut off what they send.
        let ended = self.runtime.shutdown(rest());
        if let Some(push) = push {
            push.stop();
            self.pusher.resign();
        }
        let kept = self.tracing.load_full().tracer.close();
        ended && kept && delivered
    }

    /// To be called before a fork: nothing may run in the background then.
    pub fn before_fork(&self) {
        self.runtime.before_fork();
    }

    /// To be called instead of [`Self::before_fork`] where only the child goes on: it takes over what waits.
    pub fn before_move(&self) {
        self.runtime.before_fork();
        self.tracing.load().tracer.move_out();
    }

    /// To be called after that in the process that goes on, which is the same one where it failed.
    pub fn after_move(&self) {
        self.runtime.after_fork_parent();
        self.tracing.load().tracer.move_in();
    }

    /// To be called after a fork, or one that failed, in the process that asked for it.
    pub fn after_fork_parent(&self) {
        self.runtime.after_fork_parent();
    }

    /// To be called in a child.
    pub fn after_fork_child(&self) {
        self.runtime.after_fork_child();
    }
}
