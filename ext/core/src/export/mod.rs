//! Where it goes: formats that turn a snapshot into bytes, and transports that carry bytes away.

pub mod formats;
pub mod transports;
