//! Processes that take turns as a plan says: every plan of a single interruption, a grid of those of two, and hundreds
//! of those of more.
//!
//! The real code runs, on one thread for each process. At every look at or change of a word that decides something the
//! thread asks whether it may go on ([`step`]); a plan says after which steps another one goes on instead. So a plan
//! that fails fails each time.

mod game;
mod notes;
mod records;

pub(crate) use game::{explore, step, World};
