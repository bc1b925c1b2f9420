//! Pushes metrics by OTLP at an interval. What is pushed, and whether this process is the one to push, is asked anew each
//! time: totals are cumulative, so a push that failed is made up for by the next one.

use super::transports::otlp::{self, Answer, Backoff, Client, Destination, Env, Error, Session, Signal};
use crate::clock::deadline;
use crate::runtime::{Condvar, Mutex, PerProcess, Runtime, Work, Worker};
use serde::Serialize;
use std::future::{poll_fn, Future};
use std::pin::{pin, Pin};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::task::Poll;
use std::time::{Duration, Instant};
use tokio::sync::Notify;
use tokio::time::{interval_at, timeout, MissedTickBehavior};

/// How often a wait looks whether it is to be given up.
const LOOK: Duration = Duration::from_millis(10);

/// Makes what is pushed.
pub trait Source: Send + Sync {
    /// Whether this process is the one to push. Asked a few times in each interval, in the runtime's thread, so it must
    /// not take long.
    fn is_elected(&self) -> bool;

    /// An encoded `ExportMetricsServiceRequest`; `None` where there is nothing to push.
    fn page(&self) -> Page;
}

/// A page in the making.
pub type Page = Pin<Box<dyn Future<Output = Option<Vec<u8>>> + Send>>;

/// How often in an interval it is looked who is to push: whoever stopped is replaced before two intervals are over.
const LOOKS: u32 = 4;

/// What the application has set; the rest is the environment's or the default.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Options {
    /// Whether metrics are pushed at all.
    pub enabled: Option<bool>,
    /// Where they go.
    pub otlp: otlp::Options,
    /// Seconds between two pushes.
    pub interval: Option<f64>,
}

/// What was understood.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Whether metrics are pushed at all.
    pub enabled: bool,
    /// Where they go.
    pub destination: Destination,
    /// Time between two pushes.
    pub interval: Duration,
}

impl Settings {
    /// What `options` say, completed by the environment.
    ///
    /// # Errors
    /// Which option or variable is wrong, its value and what is accepted.
    pub fn resolve(options: &Options, env: Env<'_>) -> otlp::Result<Self> {
        Ok(Self {
            enabled: options.enabled.unwrap_or(false) && !otlp::disabled(env),
            destination: Destination::resolve(&options.otlp, Signal::Metrics, env)?,
            interval: interval(options, env)?,
        })
    }
}

fn interval(options: &Options, env: Env<'_>) -> otlp::Result<Duration> {
    const NAME: &str = "OTEL_METRIC_EXPORT_INTERVAL";
    if let Some(seconds) = options.interval {
        return Some(seconds)
            .filter(|seconds| (0.1..=86_400.0).contains(seconds))
            .map(Duration::from_secs_f64)
            .ok_or_else(|| Error::Setting {
                option: "config.metrics.otlp.interval".to_owned(),
                value: seconds.to_string(),
                accepted: "seconds, from 0.1 to 86400",
            });
    }
    let Some(value) = otlp::variable(env, NAME) else {
        return Ok(Duration::from_secs(60));
    };
    let millis = value.parse().ok().filter(|millis| (100..=86_400_000).contains(millis));
    millis.map(Duration::from_millis).ok_or_else(|| Error::Setting {
        option: NAME.to_owned(),
        value,
        accepted: "milliseconds, from 100 to 86400000",
    })
}

/// What has become of this process's pushes. Nothing in it is a secret.
#[derive(Debug, Clone, Serialize)]
#[non_exhaustive]
pub struct Stats {
    /// Whether metrics are pushed at all.
    pub enabled: bool,
    /// Where they go, without user info.
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
    client: Arc<Client>,
    source: Box<dyn Source>,
    state: PerProcess<State>,
}

/// Pushes metrics from a process and the processes that it forks.
pub struct Push {
    inner: Arc<Inner>,
    runtime: Arc<Runtime>,
    worker: Arc<dyn Worker>,
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

struct Pusher(Weak<Inner>);

impl Push {
    /// Pushes through `runtime` what `source` makes, from [`Self::start`] on.
    ///
    /// # Errors
    /// When the certificates that the settings name cannot be used.
    pub fn new(settings: Settings, runtime: &Arc<Runtime>, source: Box<dyn Source>) -> otlp::Result<Self> {
        let client = Arc::new(Client::new(settings.destination.clone())?);
        let inner = Arc::new(Inner {
            state: PerProcess::new(State::new(settings.interval)),
            settings,
            client,
            source,
        });
        let worker: Arc<dyn Worker> = Arc::new(Pusher(Arc::downgrade(&inner)));
        if inner.settings.enabled {
            runtime.add(&worker);
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
        self.runtime.remove(&self.worker);
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
            let elected = self.source.is_elected();
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

    /// Works as long as this process is the one to push: `None` when it is no longer. To ask is what keeps it the one,
    /// however long the work takes; and a process that was stopped meanwhile asks before it goes on.
    async fn elected<T>(&self, work: impl Future<Output = T>) -> Option<T> {
        if !self.source.is_elected() {
            return None;
        }
        let mut work = pin!(work);
        let mut looks = interval_at(tokio::time::Instant::now() + self.look(), self.look());
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        poll_fn(|context| {
            while looks.poll_tick(context).is_ready() {
                if !self.source.is_elected() {
                    return Poll::Ready(None);
                }
            }
            work.as_mut().poll(context).map(Some)
        })
        .await
    }

    /// `None` where there is nothing to push, or it is another process's to push.
    async fn send(&self, session: &mut Session) -> Option<Answer> {
        let body = self.elected(self.source.page()).await??;
        self.elected(session.send(self.client.prepare(&body))).await
    }

    async fn push(&self, state: &State, session: &mut Session) {
        let mut tried = state.shared.lock().done;
        loop {
            tried = self.due(state, tried).await;
            let Some(answer) = self.send(session).await else {
                self.settle(state, tried, true);
                continue;
            };
            let mut shared = state.shared.lock();
            match answer {
                Answer::Taken { rejected, error } => {
                    shared.pushed += 1;
                    shared.rejected += rejected;
                    shared.last_error = error.or(shared.last_error.take());
                    drop(shared);
                    self.settle(state, tried, true);
                }
                Answer::Refused { error } => {
                    shared.failed += 1;
                    shared.last_error = Some(error);
                    drop(shared);
                    self.settle(state, tried, false);
                }
                Answer::Retry { error, after } => {
                    shared.failed += 1;
                    shared.last_error = Some(error);
                    let wait = shared.backoff.next(after);
                    // An interval that is shorter than the wait changes nothing: the collector asked for peace.
                    shared.next = Instant::now() + wait;
                }
            }
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
        let inner = self.0.clone();
        Box::pin(async move {
            let Some(inner) = inner.upgrade() else { return };
            let state = inner.state();
            let mut session = inner.client.session();
            inner.push(&state, &mut session).await;
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_interval_is_the_applications_or_the_environments() {
        let resolve = |interval, value: &str| {
            let options = Options {
                interval,
                ..Options::default()
            };
            let value = value.to_owned();
            Settings::resolve(&options, &move |name| {
                (name == "OTEL_METRIC_EXPORT_INTERVAL").then(|| value.clone())
            })
            .map(|settings| settings.interval)
            .map_err(|error| error.to_string())
        };
        assert_eq!(resolve(None, ""), Ok(Duration::from_secs(60)));
        assert_eq!(resolve(None, "1500"), Ok(Duration::from_millis(1500)));
        assert_eq!(resolve(Some(0.5), "1500"), Ok(Duration::from_millis(500)));
        assert!(resolve(None, "soon")
            .unwrap_err()
            .starts_with("OTEL_METRIC_EXPORT_INTERVAL cannot be \"soon\""));
        assert!(resolve(Some(f64::NAN), "")
            .unwrap_err()
            .starts_with("config.metrics.otlp.interval"));
    }
}
