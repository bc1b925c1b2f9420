//! Who may: leases and elections.
//!
//! An [`Election`] gives an office of an arena (say, pushing its metrics) to one of the processes that share it, for as
//! long as that process lives and is heard of. Nothing waits for anybody: a candidate looks, and either takes the office
//! by one compare-and-swap or does not.

mod election;
#[cfg(test)]
mod simulation;

pub use election::{Election, Office, Term};
