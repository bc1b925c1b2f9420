//! Having sent what waits, for now and for good.

use super::{By, Inner, Tracer};
use crate::clock::{deadline, LOOK};
use crate::trace::state::State;
use crate::trace::totals::DropReason;
use std::sync::atomic::Ordering;
use std::sync::Arc;
use std::time::{Duration, Instant};

impl Tracer {
    /// Sends all that was handed over until now, a backoff notwithstanding. Whether all of it was taken in time.
    ///
    /// It waits for `timeout` at most, and gives up when `cancelled` says so, which it asks every ten milliseconds.
    pub fn flush(&self, timeout: Duration, cancelled: &dyn Fn() -> bool) -> bool {
        let deadline = deadline(timeout);
        let line = self.line();
        // All are asked before any is waited for: one that hangs takes nothing from the others.
        let asked: Vec<_> = line.iter().map(Self::ask).collect();
        let mut delivered = true;
        for asked in asked.into_iter().flatten() {
            delivered &= asked.wait(deadline, cancelled);
        }
        self.inner.predecessors.rcu(|predecessors| {
            let rest = predecessors.iter().filter(|one| !one.is_drained());
            rest.cloned().collect::<Vec<_>>()
        });
        delivered
    }

    /// Has all that was handed over until now sent at once. `None` where there is nothing.
    fn ask(&self) -> Option<Asked<'_>> {
        let state = self.state();
        self.inner.release_pending(&state, true);
        let mut shared = state.shared.lock();
        shared.oldest()?;
        let until = shared.queue.last();
        let dropped = state.tally.all_dropped();
        shared.flush_until = shared.flush_until.max(until);
        shared.hurry = true;
        drop(shared);
        state.wake.notify_one();
        Some(Asked {
            tracer: self,
            state,
            until,
            dropped,
        })
    }

    /// Takes no span any more, and drops those that wait, which are counted. The runtime goes on until it is shut down
    /// itself. Whether none waited.
    pub fn close(&self) -> bool {
        let lost = self.line().iter().filter(|one| !one.close_alone()).count();
        // One that is taking over just now.
        lost == 0 && self.inner.successor.get().is_none_or(Self::close)
    }

    fn close_alone(&self) -> bool {
        self.inner.closed.store(true, Ordering::SeqCst);
        let state = self.state();
        let mut shared = state.shared.lock();
        let pending = shared.pending.all().len();
        let lost = pending + shared.queue.clear() + shared.batch.take().map_or(0, |batch| batch.spans);
        state.tally.lose(DropReason::Shutdown, lost as u64);
        drop(shared);
        if lost > 0 {
            self.inner.totals.dropped(DropReason::Shutdown, lost as u64);
        }
        if let Some(worker) = self.inner.worker.get() {
            self.inner.runtime.remove(worker);
        }
        lost == 0
    }
}

/// What a flush waits for.
struct Asked<'t> {
    tracer: &'t Tracer,
    state: Arc<State>,
    /// Number of the last span that it is about.
    until: u64,
    /// What had been dropped before.
    dropped: u64,
}

impl Asked<'_> {
    /// Whether all of it was taken in time.
    fn wait(&self, deadline: Instant, cancelled: &dyn Fn() -> bool) -> bool {
        let mut shared = self.state.shared.lock();
        while shared.oldest().is_some_and(|oldest| oldest <= self.until) {
            let rest = deadline.saturating_duration_since(Instant::now());
            if rest.is_zero() || cancelled() {
                return false;
            }
            // Here as well: there may be no thread to be had at first.
            self.tracer.inner.runtime.start();
            shared = self.state.settled.wait_for(shared, rest.min(LOOK));
        }
        self.state.tally.all_dropped() == self.dropped
    }
}

impl Inner {
    /// Puts spans in line whose time for a start is over; all of them when a flush asks.
    pub(in crate::trace) fn release_pending(self: &Arc<Self>, state: &State, all: bool) -> Option<Instant> {
        let _releasing = state.releasing.lock();
        let mut shared = state.shared.lock();
        let over = if all {
            shared.pending.all()
        } else {
            shared.pending.over(Instant::now())
        };
        let next = shared.pending.next();
        drop(shared);
        state.tally.miss_starts(over.len() as u64);
        let tracer = Tracer {
            inner: Arc::clone(self),
        };
        for (record, priority) in over {
            tracer.emit_by(By::Other, record, priority, |_| {});
        }
        next
    }
}
