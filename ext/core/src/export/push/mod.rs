//! Pushes metrics by OTLP at an interval. What is pushed, and whether this process is the one to push, is asked anew each
//! time: totals are cumulative, so a push that failed is made up for by the next one.

mod requests;
mod settings;
mod worker;

use super::transports::otlp::{self, Backoff, Client};
use crate::clock::{deadline, LOOK};
use crate::runtime::{Condvar, Mutex, PerProcess, Runtime, Worker};
use serde::Serialize;
pub use settings::{Options, Settings};
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::Notify;
use worker::Pusher;

/// Makes what is pushed.
pub trait Source: Send + Sync {
    /// The number of the term in which this process is the one to push, which no other term has; `None` where another
    /// process is. Asked a few times in each interval, in the runtime's thread, so it must not take long; to ask is what
    /// keeps a term.
    fn campaign(&self) -> Option<u64>;

    /// How often to ask, where there is a push in each interval: often enough for whoever stopped to be replaced in time.
    fn pace(&self, interval: Duration) -> Duration;

    /// Whether the term of that number is still this process's.
    fn holds(&self, term: u64) -> bool;

    /// An encoded `ExportMetricsServiceRequest`; `None` where it cannot be made.
    fn page(&self) -> Page;
}

/// A page in the making.
pub type Page = Pin<Box<dyn Future<Output = Option<Vec<u8>>> + Send>>;

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
}
