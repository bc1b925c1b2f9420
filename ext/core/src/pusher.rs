//! Who pushes the metrics of an arena, and where the pages come from.

use crate::arena::Registry;
use crate::export::handover::Handover;
use crate::export::push::{Page, Source};
use crate::lease::{Election, Office, Term};
use crate::runtime::{Mutex, PerProcess};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::Arc;
use std::time::Duration;

/// One of the processes of an arena, which is elected, pushes its metrics. Its pages are made by a thread of the process
/// that [waits](Self::wait) for orders; without one the process does not stand for election.
pub struct Pusher {
    handover: Arc<Handover>,
    interval: AtomicU64,
    /// A child holds no office of its parent's.
    standing: PerProcess<Mutex<Standing>>,
}

impl std::fmt::Debug for Pusher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pusher").finish_non_exhaustive()
    }
}

impl Default for Pusher {
    fn default() -> Self {
        Self {
            handover: Arc::default(),
            interval: AtomicU64::new(0),
            standing: PerProcess::new(Mutex::default()),
        }
    }
}

#[derive(Debug, Default)]
struct Standing {
    election: Option<Election>,
    term: Option<Term>,
}

impl Pusher {
    /// How often there is a push, which decides when a silent process is replaced.
    pub fn every(&self, interval: Duration) {
        self.interval.store(interval.as_nanos() as u64, Ordering::Relaxed);
    }

    fn standing(&self) -> Arc<Mutex<Standing>> {
        self.standing.get(Mutex::default)
    }

    /// Waits for an order, for `limit` at most, and gives up when `cancelled` says so. Answers its number.
    pub fn wait(&self, limit: Duration, cancelled: &dyn Fn() -> bool) -> Option<u64> {
        self.handover.wait(limit, cancelled)
    }

    /// Stands for election. To be called now and then, under the lock that lets one thread at a time record: the arena
    /// may have been replaced, and a child has to join it first.
    pub fn stand(&self, registry: &Registry) {
        let standing = self.standing();
        let mut standing = standing.lock();
        if standing.election.as_ref().is_none_or(Election::is_over) {
            standing.election = Election::new(registry, Office::Push);
            standing.term = None;
        }
    }

    /// Hands over the page of an order; `None` where it could not be made.
    pub fn give(&self, number: u64, page: Option<Vec<u8>>) {
        self.handover.give(number, page);
    }

    /// Gives the office up, so that another process takes it at once.
    pub fn resign(&self) {
        self.handover.leave();
        let term = self.standing().lock().term.take();
        if let Some(term) = term {
            term.resign();
        }
    }
}

impl Source for Arc<Pusher> {
    fn is_elected(&self) -> bool {
        if !self.handover.is_attended() {
            return false;
        }
        let interval = Duration::from_nanos(self.interval.load(Ordering::Relaxed));
        let standing = self.standing();
        let mut standing = standing.lock();
        standing.term = standing
            .election
            .as_ref()
            .and_then(|election| election.campaign(interval));
        standing.term.is_some()
    }

    fn page(&self) -> Page {
        let handover = Arc::clone(&self.handover);
        Box::pin(async move { handover.ask().await })
    }
}
