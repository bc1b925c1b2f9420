//! The thread of the runtime.

use super::lock::{Condvar, Mutex};
use super::running::Running;
use super::Worker;
use std::io;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use tokio::sync::Notify;

/// How long a worker that panicked is left alone.
const REST: Duration = Duration::from_secs(1);
/// How often a thread asks again for the descriptors that it needs, in a process that has none left.
const SHORTAGE: Duration = Duration::from_millis(250);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Going,
    Stopping,
    Ended,
}

/// How far a thread is.
struct Course {
    phase: Mutex<Phase>,
    changed: Condvar,
    /// The same as [`Phase::Stopping`], for those who wait in the runtime.
    stop: Notify,
    running: Running,
    number: u64,
}

impl Course {
    fn go_to(&self, phase: Phase) {
        self.running.ended(self.number);
        let mut current = self.phase.lock();
        if *current != Phase::Ended {
            *current = phase;
        }
        drop(current);
        self.stop.notify_one();
        self.changed.notify_all();
    }

    /// Waits for so long at most. Whether it is to go on.
    fn goes_on_after(&self, time: Duration) -> bool {
        let deadline = Instant::now() + time;
        let mut phase = self.phase.lock();
        while *phase == Phase::Going {
            let rest = deadline.saturating_duration_since(Instant::now());
            if rest.is_zero() {
                return true;
            }
            phase = self.changed.wait_for(phase, rest);
        }
        false
    }
}

/// A thread that drives workers until it is told to stop.
pub(super) struct Thread {
    course: Arc<Course>,
    handle: Mutex<Option<JoinHandle<()>>>,
}

/// Says that the thread has ended, however it ended.
struct Guard(Arc<Course>);

impl Drop for Guard {
    fn drop(&mut self) {
        self.0.go_to(Phase::Ended);
    }
}

impl Thread {
    /// Starts one, which `running` tells of from now on. It waits for the previous one to end.
    pub(super) fn start(
        running: &Running,
        workers: Vec<Arc<dyn Worker>>,
        previous: Option<Arc<Self>>,
    ) -> io::Result<Self> {
        let course = Arc::new(Course {
            phase: Mutex::new(Phase::Going),
            changed: Condvar::new(),
            stop: Notify::new(),
            running: running.clone(),
            number: running.begin(),
        });
        // Made here, so that a thread that cannot be made has ended as well.
        let guard = Guard(Arc::clone(&course));
        let handle = std::thread::Builder::new()
            .name("tasker_telemetry".to_owned())
            .spawn(move || {
                if let Some(previous) = previous {
                    previous.wait(Duration::MAX);
                }
                drive(workers, &guard.0);
            })?;
        Ok(Self {
            course,
            handle: Mutex::new(Some(handle)),
        })
    }

    /// Asks it to end.
    pub(super) fn stop(&self) {
        self.course.go_to(Phase::Stopping);
    }

    /// Waits until it has dropped all that it was doing. Whether it did in time.
    pub(super) fn wait(&self, timeout: Duration) -> bool {
        let deadline = Instant::now().checked_add(timeout);
        let changed = &self.course.changed;
        let mut phase = self.course.phase.lock();
        while *phase != Phase::Ended {
            phase = match deadline.map(|deadline| deadline.saturating_duration_since(Instant::now())) {
                Some(Duration::ZERO) => return false,
                Some(rest) => changed.wait_for(phase, rest),
                None => changed.wait(phase),
            };
        }
        drop(phase);
        // All that is left to it is to leave.
        if let Some(handle) = self.handle.lock().take() {
            let _ = handle.join();
        }
        true
    }
}

fn drive(workers: Vec<Arc<dyn Worker>>, course: &Course) {
    let mut build = tokio::runtime::Builder::new_current_thread();
    build.enable_io().enable_time();
    let runtime = loop {
        match build.build() {
            Ok(runtime) => break runtime,
            // The application has all descriptors that there may be. It will give some back.
            Err(_) if course.goes_on_after(SHORTAGE) => {}
            Err(_) => return,
        }
    };
    runtime.block_on(async {
        for worker in workers {
            tokio::spawn(keep(worker));
        }
        course.stop.notified().await;
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
