//! Why a mapping or a registration was refused.

use std::borrow::Cow;

/// Every message names the option, the value and what is accepted.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The pattern is none.
    #[error("event {0:?} cannot be mapped: a name or pattern has 1 to 255 bytes")]
    Pattern(String),
    /// No such backend.
    #[error("backend {given:?} of event {pattern:?} is not known; accepted: metrics, traces, logs")]
    Backend {
        /// The pattern being mapped.
        pattern: String,
        /// The backend as given.
        given: String,
    },
    /// No backend at all.
    #[error(
        "event {0:?} has no backends; accepted: at least one of metrics, traces, logs (enabled: false turns it off)"
    )]
    NoBackends(String),
    /// No rate.
    #[error("sample {given} of event {pattern:?} is not valid; accepted: a number from 0 to 1")]
    Sample {
        /// The pattern being mapped.
        pattern: String,
        /// The rate as given.
        given: f64,
    },
    /// No such priority.
    #[error("priority {given:?} of event {pattern:?} is not known; accepted: low, normal, high, critical")]
    Priority {
        /// The pattern being mapped.
        pattern: String,
        /// The priority as given.
        given: String,
    },
    /// Not a label.
    #[error("label {label:?} of event {pattern:?} is not valid: {rule}")]
    Label {
        /// The pattern being mapped.
        pattern: String,
        /// The label as given.
        label: String,
        /// What is accepted.
        rule: &'static str,
    },
    /// A custom event's name is none.
    #[error("event {name:?} cannot be registered: {rule}")]
    Name {
        /// The name as given.
        name: String,
        /// What is accepted.
        rule: Cow<'static, str>,
    },
}

/// Result of a mapping or a registration.
pub type Result<T> = std::result::Result<T, Error>;
