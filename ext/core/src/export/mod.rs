//! Where it goes: formats that turn a snapshot into bytes, transports that carry bytes away, and what pushes at an
//! interval.

pub mod formats;
pub mod handover;
pub(crate) mod protobuf;
pub mod push;
pub mod transports;
