//! OTLP over HTTP/protobuf and gRPC.

mod answer;
mod backoff;
mod client;
mod connection;
mod destination;
mod dns;
mod error;
mod resolve;
mod trust;

pub use answer::Answer;
pub use backoff::Backoff;
pub use client::{Client, Session, LARGEST, SMALLEST};
pub use destination::{disabled, Destination, Env, Options, Protocol, Signal};
pub(crate) use destination::{pairs, variable, NOTHING};
pub use error::{Error, Result};
