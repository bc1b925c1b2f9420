//! Integration tests of the core against real processes, files and servers.
//!
//! The tests steer processes of the program `worker` through a [`Stage`]: each [`Worker`], forked ones included, has a
//! socket of its own and answers one [`Reply`] to every [`Command`]. What happens is waited for with a deadline, never
//! by sleeping.

pub mod collector;
mod ledger;
pub mod protocol;
mod random;
pub mod sending;
mod stage;
mod until;
mod worker;

pub use ledger::Ledger;
pub use protocol::{Command, Number, Reply, Series, Target};
pub use random::Random;
pub use stage::Stage;
pub use until::{until, while_it_moves, DEADLINE};
pub use worker::{one_arena, tell, usual, Worker};
