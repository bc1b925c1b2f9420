//! Why a sample was not counted.

use crate::metric::Descriptor;

/// A sample that was refused. Its text names the metric, the value and what is accepted.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Rejection {
    /// Labels that are not the declared ones.
    #[error("{metric} takes the labels [{declared}]; {problem}")]
    Labels {
        /// Name of the metric.
        metric: String,
        /// The declared labels.
        declared: String,
        /// Which are missing, which are unknown.
        problem: String,
    },
    /// A value that the instrument does not take.
    #[error("{metric} cannot take {value}: {rule}")]
    Value {
        /// Name of the metric.
        metric: String,
        /// The value as given.
        value: String,
        /// What is accepted.
        rule: &'static str,
    },
}

/// Why a sample was dropped: the label `reason` of `tasker_telemetry_dropped_samples_total`. The numbers are cells of
/// the arena's header and never change their meaning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(usize)]
pub enum Reason {
    /// The labels were not the declared ones.
    WrongLabels = 0,
    /// NaN, infinite, negative where only growth is, or no number at all.
    InvalidValue = 1,
    /// The arena could not grow.
    ArenaFull = 2,
    /// The arena could not be opened or is damaged.
    ArenaUnavailable = 3,
    /// The native code failed, and the failure was caught.
    Panic = 4,
}

impl Reason {
    /// Every reason.
    pub const ALL: [Self; 5] = [
        Self::WrongLabels,
        Self::InvalidValue,
        Self::ArenaFull,
        Self::ArenaUnavailable,
        Self::Panic,
    ];

    /// The label's value.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::WrongLabels => "wrong_labels",
            Self::InvalidValue => "invalid_value",
            Self::ArenaFull => "arena_full",
            Self::ArenaUnavailable => "arena_unavailable",
            Self::Panic => "panic",
        }
    }
}

/// What became of a span: a cell of the header, as [`Reason`] is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(usize)]
pub enum SpanOutcome {
    /// It was sent and taken.
    Exported = 9,
    /// The queue was full of what matters as much.
    QueueFull = 10,
    /// The collector refused it for good.
    Rejected = 11,
    /// The collector did not take it for too long.
    RetriesExhausted = 12,
    /// The process ended before it could be sent.
    Shutdown = 13,
}

impl SpanOutcome {
    /// Every outcome but the good one.
    pub(super) const DROPPED: [Self; 4] = [Self::QueueFull, Self::Rejected, Self::RetriesExhausted, Self::Shutdown];

    /// Value of the label `reason` of `tasker_telemetry_dropped_spans_total`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Exported => "exported",
            Self::QueueFull => "queue_full",
            Self::Rejected => "rejected",
            Self::RetriesExhausted => "retries_exhausted",
            Self::Shutdown => "shutdown",
        }
    }
}

/// Header cell that counts label values that were cut.
pub(super) const CUT_LABELS: usize = 8;
/// Number of header cells for what was dropped or cut.
pub(super) const DROPPED_CELLS: usize = 16;

impl Rejection {
    /// A refusal of labels `given` to the metric of `descriptor`.
    pub(super) fn labels(descriptor: &Descriptor, given: &[&str]) -> Self {
        let missing: Vec<&str> = descriptor
            .labels
            .iter()
            .map(String::as_str)
            .filter(|label| !given.contains(label))
            .collect();
        let unknown: Vec<&str> = given
            .iter()
            .copied()
            .filter(|label| !descriptor.labels.iter().any(|known| known == label))
            .collect();
        let mut problems = Vec::new();
        if !missing.is_empty() {
            problems.push(format!("missing: {}", missing.join(", ")));
        }
        if !unknown.is_empty() {
            problems.push(format!("unknown: {}", unknown.join(", ")));
        }
        if problems.is_empty() {
            problems.push("a label was given twice".to_owned());
        }
        Self::Labels {
            metric: descriptor.name.clone(),
            declared: descriptor.labels.join(", "),
            problem: problems.join("; "),
        }
    }

    /// A refusal of a value.
    #[must_use]
    pub fn value(metric: &str, value: impl std::fmt::Display, rule: &'static str) -> Self {
        Self::Value {
            metric: metric.to_owned(),
            value: value.to_string(),
            rule,
        }
    }

    /// Under which reason it is counted.
    #[must_use]
    pub fn reason(&self) -> Reason {
        match self {
            Self::Labels { .. } => Reason::WrongLabels,
            Self::Value { .. } => Reason::InvalidValue,
        }
    }
}
