//! How a tracer goes on under other settings: another one takes over, and this one sends what it has.

use super::{Inner, Tracer};
use crate::export::transports::otlp;
use crate::trace::settings::Settings;
use crate::trace::state::State;
use std::sync::atomic::Ordering;
use std::sync::Arc;

impl Tracer {
    /// A tracer for other settings that goes on where this one stands: what is current stays so. Once it is in use, this
    /// one is to [retire](Self::retire).
    ///
    /// # Errors
    /// As [`Self::new`].
    pub fn succeed(&self, settings: Settings) -> otlp::Result<Self> {
        let Inner {
            runtime,
            totals,
            common,
            ..
        } = &*self.inner;
        let successor = Self::with(settings, runtime, Arc::clone(totals), Arc::clone(common))?;
        // A process that has shut down stays so.
        successor.inner.closed.store(self.inner.is_closed(), Ordering::SeqCst);
        Ok(successor)
    }

    /// Hands over to a tracer that [succeeds](Self::succeed) this one. What waits here is still sent where it was to go;
    /// spans that are open, or wait for their start, go the successor's way.
    pub fn retire(&self, successor: &Self) {
        let state = self.state();
        if !successor.is_enabled() {
            self.inner.release_pending(&state, true);
        }
        if self.inner.successor.set(successor.clone()).is_err() {
            return;
        }
        if self.inner.is_closed() {
            successor.close();
        }
        let pending = state.shared.lock().pending.hand_over();
        for (key, record, priority) in pending {
            successor.hold(key, record, priority);
        }
        let mut predecessors = Vec::clone(&self.inner.predecessors.load());
        predecessors.push(self.clone());
        successor.inner.predecessors.rcu(|others| {
            let all = others.iter().chain(&predecessors);
            all.filter(|one| !one.is_drained()).cloned().collect::<Vec<_>>()
        });
        // Its worker goes when it has nothing left to do; without a thread there is nothing.
        state.wake.notify_one();
        if self.is_drained() {
            self.inner.forget_worker();
        }
    }

    /// Whether nothing waits.
    pub(super) fn is_drained(&self) -> bool {
        self.state().shared.lock().oldest().is_none()
    }

    /// This one, after those before it that may have something to send.
    pub(super) fn line(&self) -> Vec<Self> {
        let mut line = Vec::clone(&self.inner.predecessors.load());
        line.push(self.clone());
        line
    }
}

impl Inner {
    /// Whether another tracer takes the spans, and nothing is left to send here. Then nothing will be.
    pub(in crate::trace) fn is_done(&self, state: &State) -> bool {
        let shared = state.shared.lock();
        self.successor.get().is_some() && shared.oldest().is_none()
    }

    /// The runtime need not begin it again.
    pub(in crate::trace) fn forget_worker(&self) {
        if let Some(worker) = self.worker.get() {
            self.runtime.forget(worker);
        }
    }
}
