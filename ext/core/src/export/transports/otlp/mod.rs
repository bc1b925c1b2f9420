//! OTLP over HTTP/protobuf and gRPC.

mod answer;
mod backoff;
mod client;
mod connection;
mod destination;
mod dns;
mod endpoint;
mod error;
mod resolve;
mod source;
mod trust;

pub use answer::Answer;
pub use backoff::Backoff;
pub use client::{Client, Session, LARGEST, SMALLEST};
pub(crate) use destination::pairs;
pub use destination::{Destination, Options, Protocol};
pub use error::{Error, Result};
pub use source::{disabled, Env, Signal};
pub(crate) use source::{variable, NOTHING};
