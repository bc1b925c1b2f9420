//! Where it goes: formats that turn a snapshot into bytes.

pub mod formats;
