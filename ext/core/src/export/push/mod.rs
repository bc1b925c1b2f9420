//! Pushes metrics by OTLP at an interval. What is pushed, and whether this process is the one to push, is asked anew each
//! time: totals are cumulative, so a push that failed is made up for by the next one.

mod requests;
mod settings;

use super::transports::otlp::{self, Answer, Backoff, Client, Session, SMALLEST};
use crate::clock::deadline;
use crate::runtime::{Condvar, Mutex, PerProcess, Runtime, Work, Worker};
use bytes::Bytes;
use requests::{cut, points};
use serde::Serialize;
pub use settings::{Options, Settings};
use std::future::{poll_fn, Future};
use std::pin::{pin, Pin};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::task::Poll;
use std::time::{Duration, Instant};
use tokio::sync::Notify;
use tokio::time::{interval_at, timeout, MissedTickBehavior};

/// Bytes of a request, and so some thousands of data points at most: collectors that batch points may take a request of
/// more than fill two batches and drop the rest without a word, as rotel does with what is above 8192.
const REQUEST: usize = 256 << 10;

/// How often a wait looks whether it is to be given up.
const LOOK: Duration = Duration::from_millis(10);

/// Makes what is pushed.
pub trait Source: Send + Sync {
    /// The number of the term in which this process is the one to push, which no other term has; `None` where another
    /// process is. Asked a few times in each interval, in the runtime's thread, so it must not take long; to ask is what
    /// keeps a term.
    fn campaign(&self) -> Option<u64>;

    /// Whether the term of that number is still this process's.
    fn holds(&self, term: u64) -> bool;

    /// An encoded `ExportMetricsServiceRequest`; `None` where it cannot be made.
    fn page(&self) -> Page;
}

/// A page in the making.
pub type Page = Pin<Box<dyn Future<Output = Option<Vec<u8>>> + Send>>;

/// How often in an interval it is looked who is to push: whoever stopped is replaced before two intervals are over.
const LOOKS: u32 = 4;

/// What has become of this process's pushes. Nothing in it is a secret.
#[derive(Debug, Clone, Serialize)]
#[non_exhaustive]
pub struct Stats {
    /// Whether metrics are pushed at all.
    pub enabled: bool,
    /// Where they go, without user info and query.
    pub endpoint: String,
    /// How they go there.
    pub protocol: &'static str,
    /// Seconds between two pushes.
    pub interval: f64,
    /// Pushes that were taken.
    pub pushed: u64,
    /// Attempts that were not.
    pub failed: u64,
    /// Data points that the collector refused while it took the rest.
    pub rejected: u64,
    /// What went wrong last.
    pub last_error: Option<String>,
}

/// Of one process.
struct State {
    shared: Mutex<Shared>,
    settled: Condvar,
    wake: Notify,
}

struct Shared {
    /// When the next push is due. Here, so that forks do not put it off for ever.
    next: Instant,
    /// Pushes that were asked for, and up to which of them that was done.
    asked: u64,
    done: u64,
    /// Whether what was asked for last was taken.
    taken: bool,
    /// Whether this process was the one to push when it last looked.
    elected: bool,
    backoff: Backoff,
    pushed: u64,
    failed: u64,
    rejected: u64,
    last_error: Option<String>,
}

struct Inner {
    settings: Settings,
    source: Box<dyn Source>,
    state: PerProcess<State>,
}

/// Pushes metrics from a process and the processes that it forks.
pub struct Push {
    inner: Arc<Inner>,
    runtime: Arc<Runtime>,
    /// Nothing where metrics are not pushed.
    worker: Option<Arc<dyn Worker>>,
    stopped: AtomicBool,
}

impl std::fmt::Debug for Push {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Push")
            .field("settings", &self.inner.settings)
            .finish_non_exhaustive()
    }
}

/// A push that was asked for.
#[derive(Debug, Clone, Copy)]
pub struct Asked(u64);

struct Pusher {
    inner: Weak<Inner>,
    client: Arc<Client>,
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

impl Push {
    /// Pushes through `runtime` what `source` makes, from [`Self::start`] on.
    ///
    /// # Errors
    /// When the certificates that the settings name cannot be used.
    pub fn new(settings: Settings, runtime: &Arc<Runtime>, source: Box<dyn Source>) -> otlp::Result<Self> {
        let client = settings.enabled.then(|| Client::new(settings.destination.clone()));
        let client = client.transpose()?;
        let inner = Arc::new(Inner {
            state: PerProcess::new(State::new(settings.interval)),
            settings,
            source,
        });
        let worker = client.map(|client| -> Arc<dyn Worker> {
            Arc::new(Pusher {
                inner: Arc::downgrade(&inner),
                client: Arc::new(client),
            })
        });
        if let Some(worker) = &worker {
            runtime.add(worker);
        }
        Ok(Self {
            inner,
            runtime: Arc::clone(runtime),
            worker,
            stopped: AtomicBool::new(false),
        })
    }

    /// Starts to push from this process, if it is the one to push. To be called in each process that counts: a child has
    /// no thread before.
    pub fn start(&self) {
        if self.goes_on() {
            self.runtime.start();
        }
    }

    /// Whether metrics are pushed at all, and will be.
    #[must_use]
    pub fn goes_on(&self) -> bool {
        self.inner.settings.enabled && !self.stopped.load(Ordering::Relaxed)
    }

    /// Pushes now. Whether it was taken, or is not this process's to push. It waits as
    /// [`Tracer::flush`](crate::trace::Tracer::flush) does.
    pub fn flush(&self, timeout: Duration, cancelled: &dyn Fn() -> bool) -> bool {
        let asked = self.ask();
        self.wait(asked, timeout, cancelled)
    }

    /// Asks for a push, for [`Self::wait`] to wait for.
    pub fn ask(&self) -> Asked {
        if !self.goes_on() {
            return Asked(0);
        }
        let state = self.inner.state();
        let asked = {
            let mut shared = state.shared.lock();
            shared.asked += 1;
            shared.asked
        };
        state.wake.notify_one();
        self.runtime.start();
        Asked(asked)
    }

    /// Waits for a push. Whether it was taken, or is not this process's to push.
    pub fn wait(&self, Asked(asked): Asked, timeout: Duration, cancelled: &dyn Fn() -> bool) -> bool {
        if !self.goes_on() {
            return !self.inner.settings.enabled;
        }
        let state = self.inner.state();
        let deadline = deadline(timeout);
        if !self.runtime.start() {
            return false;
        }
        let mut shared = state.shared.lock();
        while shared.done < asked {
            let rest = deadline.saturating_duration_since(Instant::now());
            if rest.is_zero() || cancelled() {
                return false;
            }
            shared = state.settled.wait_for(shared, rest.min(LOOK));
        }
        shared.taken
    }

    /// Looks at once who is the one to push: it may be this process from now on.
    pub fn look(&self) {
        self.inner.state().wake.notify_one();
    }

    /// Pushes for the last time.
    pub fn shutdown(&self, timeout: Duration, cancelled: &dyn Fn() -> bool) -> bool {
        let taken = self.flush(timeout, cancelled);
        self.stop();
        taken
    }

    /// Pushes no more.
    pub fn stop(&self) {
        self.stopped.store(true, Ordering::Relaxed);
        if let Some(worker) = &self.worker {
            self.runtime.remove(worker);
        }
    }

    /// What has become of this process's pushes.
    #[must_use]
    pub fn stats(&self) -> Stats {
        let (state, settings) = (self.inner.state(), &self.inner.settings);
        let shared = state.shared.lock();
        Stats {
            enabled: settings.enabled,
            endpoint: settings.destination.endpoint(),
            protocol: settings.destination.protocol.name(),
            interval: settings.interval.as_secs_f64(),
            pushed: shared.pushed,
            failed: shared.failed,
            rejected: shared.rejected,
            last_error: shared.last_error.clone(),
        }
    }
}

impl Drop for Push {
    /// Or it would go on beside the one that took its place.
    fn drop(&mut self) {
        self.stop();
    }
}

impl State {
    fn new(interval: Duration) -> Self {
        Self {
            shared: Mutex::new(Shared {
                next: Instant::now() + interval,
                asked: 0,
                done: 0,
                taken: true,
                elected: false,
                backoff: Backoff::default(),
                pushed: 0,
                failed: 0,
                rejected: 0,
                last_error: None,
            }),
            settled: Condvar::new(),
            wake: Notify::new(),
        }
    }
}

impl Inner {
    fn state(&self) -> Arc<State> {
        self.state.get(|| State::new(self.settings.interval))
    }

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
        self.settings.interval / LOOKS
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
