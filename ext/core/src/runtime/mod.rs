//! The one background runtime of a process, and how it survives forks.
//!
//! It is one thread that drives everything that waits for a network. It is started by the first thing to do, not before.
//! A fork copies only the forking thread: a runtime that is alive at that moment would be a corpse in the child. So:
//!
//! 1. [`Runtime::before_fork`] ends the thread. Ending drops every future at its next `await`, and with it sockets and
//!    requests in flight; workers keep what they have not delivered in a state of their own.
//! 2. [`Runtime::after_fork_parent`] starts it again; workers go on with what they kept.
//! 3. A child starts with nothing running, lazily. It is told apart by [`fork::generation`], so that a fork that bypassed
//!    the hooks is noticed as well: then what was copied is leaked, because to drop a runtime whose thread is gone hangs.
//!
//! The lock of `control` is never held while the thread is waited for: workers may ask for the runtime themselves.
//!
//! [`fork::generation`]: crate::arena::fork::generation

mod lock;
mod per_process;
mod random;
mod running;
mod thread;

use arc_swap::ArcSwap;
pub(crate) use lock::{Condvar, Mutex};
pub(crate) use per_process::PerProcess;
pub(crate) use random::with_random;
use running::Running;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};
use thread::Thread;

/// How long a fork waits for the thread. It ends at its next `await`, which is microseconds away unless a worker is
/// computing; a fork does not wait for ever for that.
const QUIESCE: Duration = Duration::from_millis(500);

/// How long no thread is asked for after there was none to be had.
const REFUSED: Duration = Duration::from_millis(250);

/// What a worker does.
pub type Work = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Something that goes on in the background.
pub trait Worker: Send + Sync {
    /// Begins its work, or begins it anew: what it returns is dropped at any `await`, and made again after a fork or a
    /// panic. So whatever is not to get lost stays outside of it.
    fn work(&self) -> Work;
}

/// What one process knows of its thread.
#[derive(Default)]
struct Control {
    thread: Option<Arc<Thread>>,
    /// Forks that are being prepared.
    forking: u32,
    /// Whether something is to be done.
    wanted: bool,
    /// When there was no thread to be had.
    refused: Option<Instant>,
    closed: bool,
}

/// The background runtime of a process and of the processes that it forks.
pub struct Runtime {
    control: PerProcess<Mutex<Control>>,
    workers: ArcSwap<Vec<Arc<dyn Worker>>>,
    running: Running,
}

impl std::fmt::Debug for Runtime {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Runtime")
            .field("running", &self.is_running())
            .finish_non_exhaustive()
    }
}

impl Runtime {
    /// A runtime that does not run yet.
    #[must_use]
    pub fn new() -> Arc<Self> {
        Arc::new(Self {
            control: PerProcess::new(Mutex::default()),
            workers: ArcSwap::default(),
            running: Running::default(),
        })
    }

    fn control(&self) -> Arc<Mutex<Control>> {
        self.control.get(Mutex::default)
    }

    /// Adds a worker, which begins when the runtime runs.
    pub fn add(&self, worker: &Arc<dyn Worker>) {
        self.workers.rcu(|workers| {
            let mut workers = Vec::clone(workers);
            workers.push(Arc::clone(worker));
            workers
        });
        self.restart();
    }

    /// Takes a worker away; what it was doing is dropped.
    pub fn remove(&self, worker: &Arc<dyn Worker>) {
        self.forget(worker);
        self.restart();
    }

    /// Takes a worker away that has ended, or never began.
    pub fn forget(&self, worker: &Arc<dyn Worker>) {
        self.workers.rcu(|workers| {
            let mut workers = Vec::clone(workers);
            workers.retain(|known| !Arc::ptr_eq(known, worker));
            workers
        });
    }

    /// Lets a thread that runs go on with other workers.
    fn restart(&self) {
        let control = self.control();
        let mut control = control.lock();
        let Some(thread) = &control.thread else { return };
        thread.stop();
        self.run(&mut control);
    }

    /// Starts it unless it runs. Whether it runs, or will as soon as a fork is over. To be called whenever there is
    /// something to do: where it runs, that costs next to nothing.
    #[inline]
    pub fn start(&self) -> bool {
        self.running.is_here() || self.start_again()
    }

    #[cold]
    fn start_again(&self) -> bool {
        let control = self.control();
        let mut control = control.lock();
        control.wanted = true;
        // Where no thread is to be had, to ask for one at each span would slow down what records them.
        let refused = control.refused.is_some_and(|at| at.elapsed() < REFUSED);
        if !self.running.is_here() && !refused {
            self.run(&mut control);
        }
        !control.closed && (self.running.is_here() || control.forking > 0)
    }

    /// Starts a thread, unless there is nothing to do or it must not be. It waits for the previous one to end, so that
    /// no worker runs twice.
    fn run(&self, control: &mut Control) {
        let workers = self.workers.load();
        if control.closed || control.forking > 0 || !control.wanted || workers.is_empty() {
            return;
        }
        // Without a thread, what waits goes on waiting, bounded, until the next one asks.
        let thread = Thread::start(&self.running, Vec::clone(&workers), control.thread.clone());
        control.refused = thread.is_err().then(Instant::now);
        control.thread = thread.ok().map(Arc::new).or(control.thread.take());
    }

    /// Ends the thread, so that a fork finds nothing running. Each call is to be followed by
    /// [`Self::after_fork_parent`] in this process, also when the fork failed.
    pub fn before_fork(&self) {
        let control = self.control();
        let thread = {
            let mut control = control.lock();
            control.forking += 1;
            control.thread.clone()
        };
        let Some(thread) = thread else { return };
        thread.stop();
        if thread.wait(QUIESCE) {
            control.lock().thread = None;
        }
    }

    /// Starts the thread again, if there is something to do.
    pub fn after_fork_parent(&self) {
        let control = self.control();
        let mut control = control.lock();
        control.forking = control.forking.saturating_sub(1);
        self.run(&mut control);
    }

    /// Begins a child with nothing running.
    pub fn after_fork_child(&self) {
        self.control();
    }

    /// Ends the thread for good, in this process. Whether it ended in time.
    pub fn shutdown(&self, timeout: Duration) -> bool {
        let control = self.control();
        let thread = {
            let mut control = control.lock();
            control.closed = true;
            control.thread.take()
        };
        thread.is_none_or(|thread| {
            thread.stop();
            thread.wait(timeout)
        })
    }

    /// Whether there is anything to do.
    #[must_use]
    pub fn has_workers(&self) -> bool {
        !self.workers.load().is_empty()
    }

    /// Whether there is a thread that was not told to end.
    #[must_use]
    pub fn is_running(&self) -> bool {
        self.running.is_here()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Instant;

    #[derive(Default)]
    struct Counting {
        begun: Arc<AtomicUsize>,
        dropped: Arc<AtomicUsize>,
        panics: bool,
    }

    struct Dropped(Arc<AtomicUsize>);

    impl Drop for Dropped {
        fn drop(&mut self) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    impl Worker for Counting {
        fn work(&self) -> Work {
            let (begun, dropped) = (Arc::clone(&self.begun), Dropped(Arc::clone(&self.dropped)));
            let panics = self.panics;
            Box::pin(async move {
                let _dropped = dropped;
                begun.fetch_add(1, Ordering::SeqCst);
                assert!(!panics, "as the test wants");
                std::future::pending::<()>().await;
            })
        }
    }

    fn eventually(what: impl Fn() -> bool) {
        let deadline = Instant::now() + Duration::from_secs(20);
        while !what() {
            assert!(Instant::now() < deadline);
            std::thread::yield_now();
        }
    }

    fn counts(worker: &Counting) -> (usize, usize) {
        (
            worker.begun.load(Ordering::SeqCst),
            worker.dropped.load(Ordering::SeqCst),
        )
    }

    #[test]
    fn has_no_thread_before_it_is_asked_for_or_without_work() {
        let runtime = Runtime::new();
        runtime.start();
        assert!(!runtime.is_running());
        let runtime = Runtime::new();
        runtime.add(&(Arc::new(Counting::default()) as Arc<dyn Worker>));
        assert!(!runtime.is_running());
        runtime.before_fork();
        runtime.after_fork_parent();
        assert!(!runtime.is_running());
        assert!(runtime.start() && runtime.is_running());
        assert!(runtime.shutdown(Duration::from_secs(20)));
        assert!(!runtime.start() && !runtime.is_running());
    }

    #[test]
    fn ends_for_a_fork_and_begins_anew() {
        let runtime = Runtime::new();
        let worker = Arc::new(Counting::default());
        runtime.add(&(Arc::clone(&worker) as Arc<dyn Worker>));
        runtime.start();
        eventually(|| counts(&worker) == (1, 0));
        runtime.before_fork();
        assert_eq!(counts(&worker), (1, 1));
        assert!(!runtime.is_running());
        assert!(runtime.start(), "promised for later");
        assert!(!runtime.is_running());
        runtime.before_fork();
        runtime.after_fork_parent();
        assert!(!runtime.is_running(), "the other fork goes on");
        runtime.after_fork_parent();
        eventually(|| counts(&worker) == (2, 1));
        assert!(runtime.shutdown(Duration::from_secs(20)));
        assert_eq!(counts(&worker), (2, 2));
    }

    #[test]
    fn workers_come_and_go_while_it_runs() {
        let runtime = Runtime::new();
        let (one, two) = (Arc::new(Counting::default()), Arc::new(Counting::default()));
        let (dyn_one, dyn_two) = (one.clone() as Arc<dyn Worker>, two.clone() as Arc<dyn Worker>);
        runtime.add(&dyn_one);
        runtime.start();
        eventually(|| counts(&one) == (1, 0));
        runtime.add(&dyn_two);
        eventually(|| counts(&one) == (2, 1) && counts(&two) == (1, 0));
        runtime.remove(&dyn_one);
        eventually(|| counts(&one) == (2, 2) && counts(&two) == (2, 1));
        runtime.remove(&dyn_two);
        eventually(|| counts(&two) == (2, 2));
        assert!(!runtime.is_running());
        runtime.add(&dyn_two);
        eventually(|| counts(&two) == (3, 2));
        assert!(runtime.shutdown(Duration::from_secs(20)));
    }

    #[test]
    fn a_worker_that_panics_begins_anew() {
        let runtime = Runtime::new();
        let worker = Arc::new(Counting {
            panics: true,
            ..Counting::default()
        });
        runtime.add(&(Arc::clone(&worker) as Arc<dyn Worker>));
        runtime.start();
        eventually(|| counts(&worker).0 >= 2);
        assert!(runtime.shutdown(Duration::from_secs(20)));
    }

    #[test]
    fn a_worker_that_computes_does_not_hold_a_fork_up_for_ever() {
        struct Busy(Arc<Mutex<()>>, Arc<AtomicUsize>);
        impl Worker for Busy {
            fn work(&self) -> Work {
                let (lock, begun) = (Arc::clone(&self.0), Arc::clone(&self.1));
                Box::pin(async move {
                    begun.fetch_add(1, Ordering::SeqCst);
                    drop(lock.lock());
                    std::future::pending::<()>().await;
                })
            }
        }
        let (lock, begun) = (Arc::new(Mutex::new(())), Arc::new(AtomicUsize::new(0)));
        let runtime = Runtime::new();
        runtime.add(&(Arc::new(Busy(Arc::clone(&lock), Arc::clone(&begun))) as Arc<dyn Worker>));
        let held = lock.lock();
        runtime.start();
        eventually(|| begun.load(Ordering::SeqCst) == 1);
        runtime.before_fork();
        runtime.after_fork_parent();
        assert_eq!(begun.load(Ordering::SeqCst), 1, "the next one waits for it");
        drop(held);
        eventually(|| begun.load(Ordering::SeqCst) == 2);
        assert!(runtime.shutdown(Duration::from_secs(20)));
    }
}
