//! What happened: events become metrics here, and are told to whoever makes spans and log lines of them.
//!
//! [`Events`] is the whole of it for one process. A name leads to a [`Route`], once: its mapping ([`Mapping`], by
//! [`pattern`] or from the catalogue) and the instruments that its events count into. At the end of an event the route
//! and the payload make a [`Told`]: whether it is a duplicate, when it began, which backends take it. What an event
//! counts is counted on the way.
//!
//! Payloads stay where they are: [`Payload`] asks for what is needed, by interned [`Key`]. No lock is held while it is
//! asked, since its owner may do anything to answer, publish another event included.

mod catalogue;
mod counts;
mod courses;
mod entry;
mod error;
mod events;
mod identity;
mod instant;
mod instruments;
mod key;
mod labels;
mod listing;
mod mapping;
mod memory;
pub mod pattern;
mod payload;
mod redact;
mod registered;
mod route;
mod router;
mod sampling;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
mod times;
mod told;
mod transitions;

pub use error::{Error, Result};
pub use events::Events;
pub(crate) use identity::{attempt, id};
pub use key::{intern, Key};
pub use listing::{Listed, ListedMetric};
pub use mapping::{Backends, Label, Mapping, Priority};
pub use payload::{ErrorInfo, Payload, Value};
pub use redact::{without_cut_url, Redactor, DEFAULT_FILTERS, DEFAULT_MASK};
pub use route::Route;
pub use times::TIMES;
pub use told::{Begun, Decision, Family, Kind, Names, Outcome, Times, Told, Transition};
