//! Everything in `tasker_telemetry` that is true without Ruby.
//!
//! Data flows one way: instrument → [`arena`] → [`snapshot`] → [`export::formats`].
//! [`metric`] says what is measured and is read by all of them; [`lease`] says which process may act for all. Events come
//! in by [`event`], which counts them and tells [`trace`] of them; spans leave by [`export::transports`], driven by the
//! process's one [`runtime`]. [`telemetry`] is all of it.

#![deny(unsafe_code)]
#![cfg_attr(not(test), deny(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

pub mod arena;
mod clock;
pub mod event;
pub mod export;
pub mod lease;
pub mod metric;
pub mod pusher;
pub mod runtime;
pub mod snapshot;
pub mod telemetry;
pub mod trace;
