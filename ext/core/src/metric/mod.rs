//! What is measured: descriptors, label schemas, buckets and the rules for names.

mod buckets;
mod descriptor;
mod labels;
pub mod naming;

pub use buckets::{Buckets, DEFAULT_BUCKETS};
pub use descriptor::{Aggregation, Descriptor, Kind};
pub use labels::{LabelKey, LabelValues, MAX_LABEL_BYTES};

/// Why a declaration was refused. Every message names the option, the value and what is accepted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The metric name breaks the data model's grammar.
    #[error("metric name {0:?} is not valid: it must match [a-zA-Z_:][a-zA-Z0-9_:]*")]
    MetricName(String),
    /// The metric name is one that the gem itself prints.
    #[error("metric name {0:?} is not valid: names that begin with \"tasker_telemetry_\" are the gem's own")]
    ReservedMetricName(String),
    /// The label name breaks the data model's grammar, or is one that the exposition itself uses.
    #[error("label {label:?} of metric {metric:?} is not valid: {rule}")]
    LabelName {
        /// Name of the metric being declared.
        metric: String,
        /// The label that was refused.
        label: String,
        /// What is accepted.
        rule: &'static str,
    },
    /// The same label twice.
    #[error("label {label:?} of metric {metric:?} is declared twice; every label of a metric must be distinct")]
    DuplicateLabel {
        /// Name of the metric being declared.
        metric: String,
        /// The repeated label.
        label: String,
    },
    /// Bucket bounds are empty, not finite, or repeated.
    #[error("buckets {buckets} of metric {metric:?} are not valid: {rule}")]
    Buckets {
        /// Name of the metric being declared.
        metric: String,
        /// The bounds as given.
        buckets: String,
        /// What is accepted.
        rule: &'static str,
    },
    /// The declaration is larger than any that is meant.
    #[error("metric {metric:?} cannot be declared: {limit}")]
    TooLarge {
        /// The beginning of the name of the metric being declared.
        metric: String,
        /// What is accepted.
        limit: &'static str,
    },
    /// OpenMetrics wants the unit to be the name's suffix.
    #[error("unit {unit:?} of metric {metric:?} is not valid: the name must end with _{unit} (before _total)")]
    Unit {
        /// Name of the metric being declared.
        metric: String,
        /// The unit as given.
        unit: String,
    },
    /// A metric of that name exists with another schema.
    #[error("metric {name:?} is already declared as {existing}; this declaration has {given}")]
    Conflict {
        /// The contested name.
        name: String,
        /// Schema of the metric that exists.
        existing: String,
        /// Schema that was given.
        given: String,
    },
    /// Two metrics would print samples of the same name (`x_count` beside a histogram `x`).
    #[error("metric {name:?} cannot be declared: metric {other:?} already prints samples named {sample:?}")]
    SampleClash {
        /// The name being declared.
        name: String,
        /// The metric that already prints that sample name.
        other: String,
        /// The sample name in question.
        sample: String,
    },
}

/// Result of a declaration.
pub type Result<T> = std::result::Result<T, Error>;
