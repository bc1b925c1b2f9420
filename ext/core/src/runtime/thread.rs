//! The thread of the runtime.

use super::lock::{Condvar, Mutex};
use super::Worker;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use tokio::sync::Notify;

/// How long a worker that panicked is left alone.
const REST: Duration = Duration::from_secs(1);

#[derive(Default)]
struct Ended {
    ended: Mutex<bool>,
    condition: Condvar,
}

/// A thread that drives workers until it is told to stop.
pub(super) struct Thread {
    stop: Arc<Notify>,
    stopping: AtomicBool,
    ended: Arc<Ended>,
    handle: Mutex<Option<JoinHandle<()>>>,
}

/// Says that the thread has ended, however it ended.
struct Guard(Arc<Ended>);

impl Drop for Guard {
    fn drop(&mut self) {
        *self.0.ended.lock() = true;
        self.0.condition.notify_all();
    }
}

impl Thread {
    pub(super) fn start(workers: Vec<Arc<dyn Worker>>, previous: Option<Arc<Self>>) -> io::Result<Self> {
        let (stop, ended) = (Arc::new(Notify::new()), Arc::<Ended>::default());
        let (stopped, guard) = (Arc::clone(&stop), Guard(Arc::clone(&ended)));
        let handle = std::thread::Builder::new()
            .name("tasker_telemetry".to_owned())
            .spawn(move || {
                let _guard = guard;
                if let Some(previous) = previous {
                    previous.wait(Duration::MAX);
                }
                drive(workers, &stopped);
            })?;
        Ok(Self {
            stop,
            stopping: AtomicBool::new(false),
            ended,
            handle: Mutex::new(Some(handle)),
        })
    }

    /// Asks it to end.
    pub(super) fn stop(&self) {
        self.stopping.store(true, Ordering::Relaxed);
        self.stop.notify_one();
    }

    /// Waits until it has dropped all that it was doing. Whether it did in time.
    pub(super) fn wait(&self, timeout: Duration) -> bool {
        let deadline = Instant::now().checked_add(timeout);
        let mut ended = self.ended.ended.lock();
        while !*ended {
            ended = match deadline.map(|deadline| deadline.saturating_duration_since(Instant::now())) {
                Some(Duration::ZERO) => return false,
                Some(rest) => self.ended.condition.wait_for(ended, rest),
                None => self.ended.condition.wait(ended),
            };
        }
        drop(ended);
        // All that is left to it is to leave.
        if let Some(handle) = self.handle.lock().take() {
            let _ = handle.join();
        }
        true
    }

    /// Whether it was asked to end, or has ended by itself.
    pub(super) fn is_over(&self) -> bool {
        self.stopping.load(Ordering::Relaxed) || *self.ended.ended.lock()
    }
}

fn drive(workers: Vec<Arc<dyn Worker>>, stop: &Notify) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .enable_time()
        .build();
    // A process without descriptors left: the next start tries again.
    let Ok(runtime) = runtime else { return };
    runtime.block_on(async {
        for worker in workers {
            tokio::spawn(keep(worker));
        }
        stop.notified().await;
    });
    // Dropped here: every task ends where it awaits, and sockets are closed.
}

/// Lets a worker work, again after it has panicked.
async fn keep(worker: Arc<dyn Worker>) {
    while let Err(failure) = tokio::spawn(worker.work()).await {
        if failure.is_cancelled() {
            return;
        }
        tokio::time::sleep(REST).await;
    }
}
