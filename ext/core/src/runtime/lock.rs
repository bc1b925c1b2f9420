//! Locks for threads that may hold them, or wait for them, while another thread forks.
//!
//! parking_lot keeps all who wait in one table of the process. A fork copies it as it is, and a child that finds a part of
//! it locked by a thread that it does not have waits for ever, whatever the lock. std's locks are words of their own: a
//! child that begins with fresh ones is free of what its parent was doing. So what is waited for without the lock that
//! lets one thread at a time record, and what the background takes, is one of these, inside of a
//! [`PerProcess`](super::PerProcess).

use std::sync::{MutexGuard, PoisonError};
use std::time::Duration;

/// A lock that a panic does not close.
#[derive(Debug, Default)]
pub(crate) struct Mutex<T>(std::sync::Mutex<T>);

impl<T> Mutex<T> {
    pub(crate) fn new(value: T) -> Self {
        Self(std::sync::Mutex::new(value))
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, T> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What is told to those who wait under a [`Mutex`].
#[derive(Debug, Default)]
pub(crate) struct Condvar(std::sync::Condvar);

impl Condvar {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// Waits until it is told, or the time is up; it may also return for no reason.
    pub(crate) fn wait_for<'a, T>(&self, guard: MutexGuard<'a, T>, time: Duration) -> MutexGuard<'a, T> {
        let waited = self.0.wait_timeout(guard, time);
        waited.unwrap_or_else(PoisonError::into_inner).0
    }

    /// As [`Self::wait_for`], for as long as it takes.
    pub(crate) fn wait<'a, T>(&self, guard: MutexGuard<'a, T>) -> MutexGuard<'a, T> {
        self.0.wait(guard).unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn notify_one(&self) {
        self.0.notify_one();
    }

    pub(crate) fn notify_all(&self) {
        self.0.notify_all();
    }
}
