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
//! Lock order: `control` only; no worker runs under it.

mod random;
mod thread;

use crate::arena::fork;
use arc_swap::ArcSwap;
use parking_lot::Mutex;
pub(crate) use random::with_random;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;
use thread::Thread;

/// How long a fork waits for the thread. It ends at its next `await`, which is microseconds away unless a worker is
/// computing; a fork does not wait for ever for that.
const QUIESCE: Duration = Duration::from_millis(500);

/// What a worker does.
pub type Work = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Something that goes on in the background.
pub trait Worker: Send + Sync {
    /// Begins its work, or begins it anew: what it returns is dropped at any `await`, and made again after a fork or a
    /// panic. So whatever is not to get lost stays outside of it.
    fn work(&self) -> Work;
}

/// Of one process, not of its children.
struct Process {
    generation: u32,
    control: Mutex<Control>,
}

#[derive(Default)]
struct Control {
    thread: Option<Thread>,
    /// Forks that are being prepared.
    forking: u32,
    /// Whether something is to be done.
    wanted: bool,
    closed: bool,
}

impl Process {
    fn new() -> Self {
        Self {
            generation: fork::generation(),
            control: Mutex::default(),
        }
    }
}

/// The background runtime of a process and of the processes that it forks.
pub struct Runtime {
    process: ArcSwap<Process>,
    workers: ArcSwap<Vec<Arc<dyn Worker>>>,
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
        fork::watch();
        Arc::new(Self {
            process: ArcSwap::from_pointee(Process::new()),
            workers: ArcSwap::default(),
        })
    }

    /// This process's part.
    fn process(&self) -> Arc<Process> {
        let process = self.process.load();
        if process.generation == fork::generation() {
            return Arc::clone(&process);
        }
        let fresh = Arc::new(Process::new());
        let previous = self.process.compare_and_swap(&process, Arc::clone(&fresh));
        if !Arc::ptr_eq(&previous, &process) {
            return Arc::clone(&previous);
        }
        // The parent's thread does not exist here: nothing of it may be waited for or dropped.
        std::mem::forget(Arc::clone(&process));
        fresh
    }

    /// Adds a worker, which begins when the runtime runs.
    pub fn add(&self, worker: Arc<dyn Worker>) {
        self.workers.rcu(|workers| {
            let mut workers = Vec::clone(workers);
            workers.push(Arc::clone(&worker));
            workers
        });
        self.restart();
    }

    /// Takes a worker away; what it was doing is dropped.
    pub fn remove(&self, worker: &Arc<dyn Worker>) {
        self.workers.rcu(|workers| {
            let mut workers = Vec::clone(workers);
            workers.retain(|known| !Arc::ptr_eq(known, worker));
            workers
        });
        self.restart();
    }

    fn restart(&self) {
        let process = self.process();
        let mut control = process.control.lock();
        if let Some(thread) = control.thread.take() {
            thread.stop();
            self.run(&mut control, Some(thread));
        }
    }

    /// Starts it unless it runs. Whether it runs, or will as soon as a fork is over.
    pub fn start(&self) -> bool {
        let process = self.process();
        let mut control = process.control.lock();
        control.wanted = true;
        if control.closed {
            return false;
        }
        // It ends by itself where the process has no descriptors left for it.
        if control.forking == 0 && control.thread.as_ref().is_none_or(Thread::has_ended) {
            self.run(&mut control, None);
        }
        control.thread.is_some() || control.forking > 0
    }

    /// Starts the thread; it waits for `previous` to end, so that no worker runs twice.
    fn run(&self, control: &mut Control, previous: Option<Thread>) {
        // Without a thread what waits goes on waiting, bounded, until the next one asks.
        control.thread = Thread::start(Vec::clone(&self.workers.load()), previous).ok();
    }

    /// Ends the thread, so that a fork finds nothing running. Each call is to be followed by
    /// [`Self::after_fork_parent`] in this process, also when the fork failed.
    pub fn before_fork(&self) {
        let process = self.process();
        let mut control = process.control.lock();
        control.forking += 1;
        if let Some(thread) = &control.thread {
            thread.stop();
            if thread.wait(QUIESCE) {
                control.thread = None;
            }
        }
    }

    /// Starts the thread again, if there is something to do.
    pub fn after_fork_parent(&self) {
        let process = self.process();
        let mut control = process.control.lock();
        control.forking = control.forking.saturating_sub(1);
        if control.forking == 0 && control.wanted && !control.closed {
            let previous = control.thread.take();
            self.run(&mut control, previous);
        }
    }

    /// Begins a child with nothing running.
    pub fn after_fork_child(&self) {
        self.process();
    }

    /// Ends the thread for good, in this process. Whether it ended in time.
    pub fn shutdown(&self, timeout: Duration) -> bool {
        let process = self.process();
        let thread = {
            let mut control = process.control.lock();
            control.closed = true;
            control.thread.take()
        };
        thread.is_none_or(|thread| {
            thread.stop();
            thread.wait(timeout)
        })
    }

    /// Whether the thread exists.
    #[must_use]
    pub fn is_running(&self) -> bool {
        self.process().control.lock().thread.is_some()
    }
}
