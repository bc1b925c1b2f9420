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
    /// A child holds no office of its parent's. While the lock is held, an arena may be opened; nobody else is waited for.
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
    /// The arena's id, and the election in it.
    election: Option<(String, Election)>,
    term: Option<Term>,
    /// Whether what is pushed next may be the last.
    leaving: bool,
}

impl Standing {
    /// Gives the office up, so that another process takes it at once.
    fn resign(&mut self) {
        self.election = None;
        if let Some(term) = self.term.take() {
            term.resign();
        }
    }
}

impl Pusher {
    /// How often there is a push, which decides when a silent process is replaced.
    pub fn every(&self, interval: Duration) {
        self.interval.store(interval.as_nanos() as u64, Ordering::Relaxed);
    }

    fn standing(&self) -> Arc<Mutex<Standing>> {
        self.standing.get(Mutex::default)
    }

    /// Says that there is a thread that waits for orders, or will be before long.
    pub fn attend(&self) {
        self.handover.attend();
    }

    /// Stands for election, where pages can be made. To be called now and then, under the lock that lets one thread at a
    /// time record: the arena may have been replaced, and a child has to join it first. Whether it did not before.
    pub fn stand(&self, registry: &Registry) -> bool {
        if !self.handover.is_attended() {
            return false;
        }
        let standing = self.standing();
        let mut standing = standing.lock();
        let there = registry.arena_id();
        let stands = |(id, election): &(String, Election)| there.as_ref() == Some(id) && !election.is_over();
        if standing.election.as_ref().is_some_and(stands) {
            return false;
        }
        standing.resign();
        let election = Election::new(registry, Office::Push);
        standing.election = election.and_then(|election| Some((registry.arena_id()?, election)));
        standing.election.is_some()
    }

    /// Waits for an order, for `limit` at most, and gives up when `cancelled` says so, which it is asked at first and
    /// after each [`Self::wake`]. Answers its number.
    pub fn wait(&self, limit: Duration, cancelled: &dyn Fn() -> bool) -> Option<u64> {
        self.handover.wait(limit, cancelled)
    }

    /// Has a wait ask whether it is to be given up.
    pub fn wake(&self) {
        self.handover.wake();
    }

    /// Hands over the page of an order; `None` where it could not be made.
    pub fn give(&self, number: u64, page: Option<Vec<u8>>) {
        self.handover.give(number, page);
    }

    /// Says that the process is about to resign. What others count until they see that is in what it pushes after this.
    pub fn leave(&self) {
        let standing = self.standing();
        let mut standing = standing.lock();
        standing.leaving = true;
        if let Some(term) = &standing.term {
            term.leave();
        }
    }

    /// Whether another process pushes which is about to resign: its last push may lack what this one has counted.
    #[must_use]
    pub fn another_leaves(&self) -> bool {
        let standing = self.standing();
        let standing = standing.lock();
        standing
            .election
            .as_ref()
            .is_some_and(|(_, election)| election.another_leaves())
    }

    /// Gives the office up, so that another process takes it at once, and stands for it no more until there is a thread
    /// again that makes pages.
    pub fn resign(&self) {
        self.handover.leave();
        self.standing().lock().resign();
    }
}

impl Source for Arc<Pusher> {
    fn pace(&self, interval: Duration) -> Duration {
        Election::pace(interval)
    }

    fn campaign(&self) -> Option<u64> {
        if !self.handover.is_attended() {
            return None;
        }
        let interval = Duration::from_nanos(self.interval.load(Ordering::Relaxed));
        let standing = self.standing();
        let mut standing = standing.lock();
        let campaign = |(_, election): &(String, Election)| election.campaign(interval);
        standing.term = standing.election.as_ref().and_then(campaign);
        if let Some(term) = standing.term.as_ref().filter(|_| standing.leaving) {
            term.leave();
        }
        standing.term.as_ref().map(Term::token)
    }

    fn holds(&self, term: u64) -> bool {
        let standing = self.standing();
        let standing = standing.lock();
        let own = standing.term.as_ref().filter(|own| own.token() == term);
        own.is_some_and(Term::still_held)
    }

    fn page(&self) -> Page {
        let handover = Arc::clone(&self.handover);
        Box::pin(async move { handover.ask().await })
    }
}
