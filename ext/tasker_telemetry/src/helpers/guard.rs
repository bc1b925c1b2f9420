//! Panics stop here: they are counted, kept as notices, and never reach Ruby, where they would be a `fatal` that no
//! `rescue` catches.

use super::registry;
use crate::error::{Error, Result};
use std::panic::{catch_unwind, set_hook, AssertUnwindSafe};
use std::sync::{Mutex, TryLockError};

/// Messages that are kept until they are logged; of more than these only the count is known.
const KEPT: usize = 16;

static MESSAGES: Mutex<Vec<String>> = Mutex::new(Vec::new());

/// Keeps the message of a panic, with its place in the source, instead of printing it.
pub fn install() {
    set_hook(Box::new(|panic| {
        let message = format!("{panic}; the call was abandoned");
        with_messages(|messages| {
            if messages.len() < KEPT {
                messages.push(message);
            }
        });
    }));
}

/// What panicked since the last call.
pub fn take_messages() -> Vec<String> {
    with_messages(std::mem::take).unwrap_or_default()
}

/// Never waits: a child that was forked while another thread held the lock would wait for ever.
fn with_messages<T>(body: impl FnOnce(&mut Vec<String>) -> T) -> Option<T> {
    match MESSAGES.try_lock() {
        Ok(mut messages) => Some(body(&mut messages)),
        Err(TryLockError::Poisoned(poisoned)) => Some(body(&mut poisoned.into_inner())),
        Err(TryLockError::WouldBlock) => None,
    }
}

/// Runs `body`; `None` when it panicked, which has been counted.
pub fn caught<T>(body: impl FnOnce() -> T) -> Option<T> {
    catch_unwind(AssertUnwindSafe(body))
        .map_err(|_| registry().panicked())
        .ok()
}

/// Runs the body of a method that answers something: a panic becomes a `NativeError`.
pub fn answering<T>(body: impl FnOnce() -> Result<T>) -> Result<T> {
    caught(body).unwrap_or(Err(Error::Native(
        "the native side panicked; the panic was counted and logged".into(),
    )))
}
