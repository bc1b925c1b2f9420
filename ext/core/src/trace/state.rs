//! What waits to be sent in one process. A forked child begins with another one and never touches its parent's.

use super::batch::Batch;
use super::encode::Encoded;
use super::pending::Pending;
use super::queue::{Pushed, Queue};
use super::record::{Priority, SpanRecord};
use super::tally::Tally;
use crate::export::transports::otlp::Backoff;
use crate::runtime::{Condvar, Mutex};
use std::sync::Arc;
use std::time::Instant;
use tokio::sync::Notify;

/// What waits. One short lock, never held over anything that can block.
pub(super) struct Shared {
    pub(super) queue: Queue<Encoded>,
    /// Taken from the queue, not taken by the collector yet.
    pub(super) batch: Option<Batch>,
    pub(super) pending: Pending,
    /// Spans up to that number are wanted at once.
    pub(super) flush_until: u64,
    /// Whether a flush asks for an attempt before the backoff is over.
    pub(super) hurry: bool,
    /// Until when nothing is tried. Here, so that a fork does not cut the wait short.
    pub(super) not_before: Option<Instant>,
    pub(super) backoff: Backoff,
}

/// What waits, taken out of one process's state for another's.
#[derive(Default)]
pub(super) struct Load {
    pub(super) spans: Vec<(Encoded, Priority)>,
    pub(super) batch: Option<Batch>,
    pub(super) pending: Vec<(u64, SpanRecord, Priority)>,
}

/// What waits in one process, and how its worker is woken.
pub(super) struct State {
    pub(super) shared: Mutex<Shared>,
    /// Held while spans that waited for their start are put in line: a flush must not look in between, where they are
    /// neither here nor there. It comes before `shared`.
    pub(super) releasing: Mutex<()>,
    /// Told when a batch has left.
    pub(super) settled: Condvar,
    /// Told when there is something to send.
    pub(super) wake: Notify,
    /// Told when the first span waits for its start.
    pub(super) wake_pending: Notify,
    pub(super) batch_size: usize,
    /// The process's.
    pub(super) tally: Arc<Tally>,
}

impl State {
    pub(super) fn new(queue_size: usize, batch_size: usize, tally: Arc<Tally>) -> Self {
        Self {
            shared: Mutex::new(Shared {
                queue: Queue::new(queue_size),
                batch: None,
                pending: Pending::default(),
                flush_until: 0,
                hurry: false,
                not_before: None,
                backoff: Backoff::default(),
            }),
            releasing: Mutex::default(),
            settled: Condvar::new(),
            wake: Notify::new(),
            wake_pending: Notify::new(),
            batch_size,
            tally,
        }
    }

    /// Wakes the worker when a span that was put in line is a reason to.
    pub(super) fn pushed(&self, pushed: Pushed, length: usize) {
        // The first one starts the delay and a full batch ends it; the worker looks by itself in between.
        if pushed == Pushed::In && (length == 1 || length == self.batch_size) {
            self.wake.notify_one();
        }
    }
}

impl Shared {
    /// Takes out all that waits.
    pub(super) fn unload(&mut self) -> Load {
        Load {
            spans: self.queue.drain(),
            batch: self.batch.take(),
            pending: self.pending.hand_over(),
        }
    }

    /// Number of the oldest span that has not left.
    pub(super) fn oldest(&self) -> Option<u64> {
        let batch = self.batch.as_ref().map(|batch| batch.oldest);
        [batch, self.queue.oldest()].into_iter().flatten().min()
    }

    pub(super) fn is_flushing(&self) -> bool {
        self.oldest().is_some_and(|oldest| oldest <= self.flush_until)
    }

    /// Spans that wait, with those on their way.
    pub(super) fn waiting(&self) -> usize {
        self.queue.len() + self.batch.as_ref().map_or(0, |batch| batch.spans)
    }
}
