//! Everything in `tasker_telemetry` that is true without Ruby.
//!
//! Data flows one way: instrument → [`arena`] → [`snapshot`] → [`export::formats`].
//! [`metric`] says what is measured and is read by all of them; [`lease`] says which process may act for all.

#![deny(unsafe_code)]
#![cfg_attr(not(test), deny(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

pub mod arena;
pub mod export;
pub mod lease;
pub mod metric;
pub mod snapshot;
