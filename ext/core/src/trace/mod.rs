//! How it went: spans, from their ids to the queue that the background runtime sends.
//!
//! From the bottom up: [`ids`] and [`mod@derive`] name spans, [`propagation`] reads and writes the W3C headers, [`Sampler`]
//! and [`Limits`] say what is kept, [`SpanRecord`] and [`Span`] are spans that are over and that have begun, [`Contexts`]
//! knows which are current, [`Attributes`] are made of payloads, the queue bounds what waits, encoded, the worker sends it,
//! and [`Tracer`] is all of it.
//!
//! A fork leaves the parent's spans to the parent: the child goes on with an empty queue, under [`Contexts`] that still
//! name the parent's spans as those around its own.

mod attributes;
mod batch;
mod common;
mod contexts;
pub mod derive;
mod encode;
pub mod ids;
mod limits;
mod lineage;
mod pending;
mod place;
pub mod propagation;
mod queue;
mod record;
mod request;
mod resource;
mod sampling;
mod settings;
mod span;
mod state;
mod stats;
mod story;
mod tally;
#[cfg(test)]
mod testing;
mod totals;
mod tracer;
mod worker;

pub use attributes::Attributes;
pub use contexts::Contexts;
pub use limits::Limits;
pub use place::Place;
pub use record::{system_time, Priority, SpanRecord, START_UNKNOWN, UNSAMPLED_TRACE};
pub use resource::shared as shared_resource;
pub use sampling::{Root, Sampler};
pub use settings::{described, Options, Settings};
pub use span::{exception, Span};
pub use stats::{Condition, Stats};
pub use story::{fail, Story};
pub use totals::{DropReason, Totals};
pub use tracer::{Beginning, Tracer};

pub use opentelemetry::trace::{Event, Link, SpanContext, SpanId, SpanKind, Status, TraceFlags, TraceId, TraceState};
pub use opentelemetry::{Array, Key, KeyValue, StringValue, Value};
