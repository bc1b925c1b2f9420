//! Pushes when it is time, while this process is the one to push.

use super::requests::{cut, points};
use super::{Inner, State};
use crate::export::transports::otlp::{Answer, Client, Session, SMALLEST};
use crate::runtime::{Work, Worker};
use bytes::Bytes;
use std::future::{poll_fn, Future};
use std::pin::pin;
use std::sync::{Arc, Weak};
use std::task::Poll;
use std::time::{Duration, Instant};
use tokio::time::{interval_at, timeout, MissedTickBehavior};

/// Bytes of a request, and so some thousands of data points at most: collectors that batch points may take a request of
/// more than fill two batches and drop the rest without a word, as rotel does with what is above 8192.
const REQUEST: usize = 256 << 10;

pub(super) struct Pusher {
    pub(super) inner: Weak<Inner>,
    pub(super) client: Arc<Client>,
}

/// What became of the requests of one push.
#[derive(Default)]
struct Sent {
    /// Whether one of them was refused for good, or could not be made.
    refused: bool,
    /// Data points that were not taken.
    rejected: u64,
    error: Option<String>,
    /// One of them may be taken later: how long the collector asked to wait.
    again: Option<Option<Duration>>,
}

impl Inner {
    /// Waits until a push is due, or asked for, or this process has become the one to push; up to which number it was
    /// asked for.
    async fn due(&self, state: &State, tried: u64) -> u64 {
        loop {
            let elected = self.source.campaign().is_some();
            let rest = {
                let mut shared = state.shared.lock();
                if elected && !shared.elected {
                    // Kept there, since a fork may cut the push off.
                    shared.next = shared.next.min(Instant::now());
                }
                shared.elected = elected;
                let rest = shared.next.saturating_duration_since(Instant::now());
                // What was asked for and failed waits for its time as all do.
                if rest.is_zero() || shared.asked > tried {
                    return shared.asked;
                }
                rest
            };
            let _ = timeout(rest.min(self.look()), state.wake.notified()).await;
        }
    }

    fn look(&self) -> Duration {
        self.source.pace(self.settings.interval)
    }

    /// Works as long as that term lasts: `None` when it is over. To ask is what keeps it, however long the work takes; and
    /// a process that was stopped meanwhile asks before it goes on.
    async fn during<T>(&self, term: u64, work: impl Future<Output = T>) -> Option<T> {
        if !self.source.holds(term) {
            return None;
        }
        let mut work = pin!(work);
        let mut looks = interval_at(tokio::time::Instant::now() + self.look(), self.look());
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        poll_fn(|context| {
            while looks.poll_tick(context).is_ready() {
                if self.source.campaign() != Some(term) {
                    return Poll::Ready(None);
                }
            }
            work.as_mut().poll(context).map(Some)
        })
        .await
    }

    /// `None` where it is another process's to push.
    async fn send(&self, client: &Client, session: &mut Session) -> Option<Sent> {
        loop {
            let term = self.source.campaign()?;
            if let Some(sent) = self.send_during(term, client, session).await {
                return Some(sent);
            }
            // Others may have pushed meanwhile, and higher totals than those of this page. Where it is this process's turn
            // again, it makes another one.
        }
    }

    /// Sends a page, in as many requests as it takes for each to be small enough. `None` when the term is over in which
    /// the page was asked for.
    async fn send_during(&self, term: u64, client: &Client, session: &mut Session) -> Option<Sent> {
        let mut sent = Sent::default();
        let Some(page) = self.during(term, self.source.page()).await? else {
            sent.refused = true;
            sent.error = Some("the page of metrics could not be made".to_owned());
            return Some(sent);
        };
        let mut waiting = cut(&Bytes::from(page), REQUEST);
        while let Some(message) = waiting.pop_front() {
            let body = client.prepare(&message);
            match self.during(term, session.send(body)).await? {
                Answer::Taken { rejected, error } => {
                    sent.rejected += rejected;
                    sent.error = error.or(sent.error);
                }
                Answer::TooLarge { error } => {
                    let halves = cut(&message, message.len() / 2);
                    if halves.len() > 1 && message.len() > SMALLEST {
                        halves.into_iter().rev().for_each(|half| waiting.push_front(half));
                    } else {
                        sent.refused = true;
                        sent.rejected += points(&message);
                        sent.error = Some(error);
                    }
                }
                // The other requests are not to suffer from what is wrong with this one.
                Answer::Refused { error } => {
                    sent.refused = true;
                    sent.error = Some(error);
                }
                Answer::Retry { error, after } => {
                    sent.error = Some(error);
                    sent.again = Some(after);
                    break;
                }
            }
        }
        Some(sent)
    }

    async fn push(&self, state: &State, client: &Arc<Client>) {
        let mut session = client.session();
        let mut tried = state.shared.lock().done;
        loop {
            tried = self.due(state, tried).await;
            let Some(sent) = self.send(client, &mut session).await else {
                self.settle(state, tried, true);
                continue;
            };
            let mut shared = state.shared.lock();
            shared.rejected += sent.rejected;
            shared.last_error = sent.error.or(shared.last_error.take());
            if let Some(after) = sent.again {
                shared.failed += 1;
                let wait = shared.backoff.next(after);
                // An interval that is shorter than the wait changes nothing: the collector asked for peace.
                shared.next = Instant::now() + wait;
                continue;
            }
            *(if sent.refused {
                &mut shared.failed
            } else {
                &mut shared.pushed
            }) += 1;
            drop(shared);
            self.settle(state, tried, !sent.refused && sent.rejected == 0);
        }
    }

    /// What was asked for until then is done, one way or the other.
    fn settle(&self, state: &State, done: u64, taken: bool) {
        let mut shared = state.shared.lock();
        shared.backoff.reset();
        shared.next = Instant::now() + self.settings.interval;
        shared.done = shared.done.max(done);
        shared.taken = taken;
        drop(shared);
        state.settled.notify_all();
    }
}

impl Worker for Pusher {
    fn work(&self) -> Work {
        let (inner, client) = (self.inner.clone(), Arc::clone(&self.client));
        Box::pin(async move {
            let Some(inner) = inner.upgrade() else { return };
            let state = inner.state();
            inner.push(&state, &client).await;
        })
    }
}
