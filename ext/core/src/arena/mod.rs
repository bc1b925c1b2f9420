//! Where it is counted: one memory-mapped file per application and machine, shared by all its processes.
//!
//! From the bottom up: [`sys`] and [`map`] reach the file, [`layout`] and [`node`] say what stands where, [`process`]
//! knows who is alive, [`records`] finds and registers records without a lock and [`removal`] ends them, [`place`] makes
//! and finds the file, [`notes`] remembers what happened, [`shared`] is one mapped arena; [`Registry`], [`Metric`] and [`Series`] are what this process
//! declared and holds; [`Scrape`] takes the picture that all else reads. `docs/ARCHITECTURE.md` tells why it is as it is.
//!
//! This is the only module of the crate that may be unsafe.

#![allow(unsafe_code)]

pub(crate) mod ballot;
mod cells;
mod chain;
mod collections;
pub mod exemplar;
mod expiry;
pub mod fail;
mod fold;
pub mod fork;
mod home;
mod instrument;
#[cfg(test)]
pub(crate) mod interleavings;
mod layout;
mod map;
mod node;
mod notes;
mod notice;
mod own;
mod place;
mod process;
mod procfs;
mod reading;
mod recording;
mod records;
mod registry;
mod rejection;
mod removal;
mod schema;
mod scrape;
mod series;
mod settings;
mod shared;
mod status;
mod step;
mod sys;

pub use instrument::{Metric, OVERFLOW_LABEL};
pub use notes::Notes;
pub use notice::{Level, Notice};
pub use registry::{Quiescent, Registry, Threads};
pub use rejection::{Reason, Rejection, SpanOutcome};
pub use scrape::Scrape;
pub use series::Series;
pub use settings::{Error, Place, Settings};
pub use status::Status;

use crate::metric::Aggregation;

/// Two processes' values of a gauge as one.
fn aggregate(aggregation: Aggregation, a: f64, b: f64) -> f64 {
    match aggregation {
        Aggregation::Sum => a + b,
        Aggregation::Min => a.min(b),
        Aggregation::Max => a.max(b),
        Aggregation::Last | Aggregation::PerProcess => b,
    }
}
