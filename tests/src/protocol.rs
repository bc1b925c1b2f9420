//! What a test and a worker say to each other: one JSON document a line.

use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// Where a sample goes.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum Target {
    /// Through a handle that [`Command::Bind`] has named.
    Bound(String),
    /// Through a metric and label values.
    Labels(String, Vec<String>),
}

/// The series of `metric` with these label values.
#[must_use]
pub fn labels(metric: &str, values: &[&str]) -> Target {
    Target::Labels(metric.to_owned(), values.iter().map(ToString::to_string).collect())
}

/// A handle that was bound under that name.
#[must_use]
pub fn bound(handle: &str) -> Target {
    Target::Bound(handle.to_owned())
}

/// Writes increments and observations by turns until it is told that there are enough, each noted in a ledger when it
/// has returned.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Burst {
    /// File of the ledger.
    pub ledger: PathBuf,
    /// Words of the ledger.
    pub words: usize,
    /// First word of this burst; each thread has two: increments and observations.
    pub row: usize,
    /// The word of the ledger that ends it when it is set.
    pub enough: usize,
    /// How many threads write.
    pub threads: usize,
    /// The counter, with one label.
    pub counter: String,
    /// The histogram, with one label.
    pub histogram: String,
    /// How many label values there are.
    pub variants: u64,
    /// Through bound handles.
    pub bound: bool,
}

/// Writes to ever new label sets, each of which adds an amount of its own ([`amount`]).
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Churn {
    /// File of the ledger.
    pub ledger: PathBuf,
    /// Words of the ledger.
    pub words: usize,
    /// First of three words: total of what returned, what is on its way, and the label value that comes next.
    pub row: usize,
    /// The counter, with one label.
    pub counter: String,
    /// First label value.
    pub first: u64,
    /// How many label values.
    pub sets: u64,
    /// Of how many in 64 the series is removed at once.
    pub removed: u64,
    /// What decides which are removed and which are written to again.
    pub seed: u64,
}

/// What a write to the label value `set` adds while label sets churn.
#[must_use]
pub fn amount(set: u64) -> u64 {
    set.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 40 | 1
}

/// Meets the keys from 0 on in an order of its own, and counts in a ledger, a word for each key, those that are new.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Meet {
    /// File of the ledger.
    pub ledger: PathBuf,
    /// How many keys.
    pub keys: usize,
    /// What decides the order.
    pub seed: u64,
}

/// What a worker is told to do.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum Command {
    /// Configures a new registry.
    Open {
        /// File of the arena; `None`: memory.
        arena: Option<PathBuf>,
        /// Name of the service.
        service: String,
        /// The cap.
        max_series: u32,
        /// Idle expiry in milliseconds.
        idle_expiry: Option<u64>,
        /// Whether threads record at once.
        parallel: bool,
        /// Default labels.
        default_labels: Vec<(String, String)>,
    },
    /// Declares a metric.
    Declare {
        /// Its name.
        name: String,
        /// Its help text.
        help: String,
        /// `counter`, `histogram`, or a gauge's aggregation.
        kind: String,
        /// Its labels.
        labels: Vec<String>,
        /// Bounds of a histogram.
        buckets: Vec<f64>,
    },
    /// Binds a handle to label values.
    Bind {
        /// Name of the handle.
        handle: String,
        /// Name of the metric.
        metric: String,
        /// Label values.
        values: Vec<String>,
    },
    /// Adds an integer to a counter, some times.
    Increment(Target, u64, u64),
    /// Adds a float to a counter or gauge.
    Adjust(Target, f64),
    /// Sets a gauge.
    Set(Target, f64),
    /// Observes a value.
    Observe(Target, f64),
    /// Reads a series.
    Value(Target),
    /// Removes a series.
    Remove(Target),
    /// Removes all series of a metric.
    Clear(String),
    /// Removes everything.
    ClearAll,
    /// Begins a scrape and keeps it unread.
    Hold,
    /// Reads what [`Command::Hold`] began, and lets go of it.
    ReadHeld,
    /// Takes a picture.
    Scrape,
    /// Renders a page.
    Page(String),
    /// Tells the state of metrics.
    Status,
    /// Tells what is to be logged, once.
    Notices,
    /// Forks; the child introduces itself on a new connection. With `true` it is in a new pid namespace.
    Fork(bool),
    /// Forks twice and leaves the terminal's session, as daemons do.
    Daemonise,
    /// Tells of an event, some times, and answers how many times it was the first to tell of its transition.
    Tell {
        /// Name of the event.
        name: String,
        /// Its payload.
        payload: Vec<(String, String)>,
        /// When, in milliseconds since the epoch.
        at: i64,
        /// How many times.
        times: u64,
    },
    /// See [`Burst`].
    Burst(Burst),
    /// See [`Churn`].
    Churn(Churn),
    /// See [`Meet`].
    Meet(Meet),
    /// Notes a value of a key.
    Note(u64, u64),
    /// Tells the value that was noted of a key.
    Noted(u64),
    /// Campaigns for an office, at an interval in milliseconds, and tells the token of the term that is held then.
    Campaign(String, u64),
    /// Tells whether the term of an office is still held.
    StillHeld(String),
    /// Resigns from an office.
    Resign(String),
    /// Arms a failpoint: `<point>=<stop|kill>`. Once in a process's life.
    Arm(String),
    /// Ends the process.
    Exit,
}

/// Floats as bits, because JSON has no infinities.
mod bits {
    use serde::{Deserialize, Deserializer, Serializer};

    #[allow(clippy::trivially_copy_pass_by_ref)]
    pub fn serialize<S: Serializer>(value: &f64, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u64(value.to_bits())
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
        u64::deserialize(deserializer).map(f64::from_bits)
    }
}

/// A value as it crosses.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Number {
    /// Integers and floats of a counter.
    Counter(u64, #[serde(with = "bits")] f64),
    /// Of a gauge.
    Gauge(#[serde(with = "bits")] f64),
    /// Observations by bucket, and their sum.
    Histogram(Vec<u64>, #[serde(with = "bits")] f64),
}

impl Number {
    /// A counter's total or a histogram's number of observations.
    ///
    /// # Panics
    /// For a gauge, which counts nothing.
    #[must_use]
    pub fn count(&self) -> u64 {
        match self {
            Self::Counter(int, _) => *int,
            Self::Histogram(buckets, _) => buckets.iter().sum(),
            Self::Gauge(value) => panic!("{value} is no count"),
        }
    }
}

/// A series as a picture shows it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Series {
    /// Name of its metric.
    pub name: String,
    /// Left by another release.
    pub superseded: bool,
    /// Labels as pages carry them.
    pub labels: Vec<(String, String)>,
    /// The value.
    pub value: Number,
}

impl Series {
    /// Value of a label; empty where there is none.
    #[must_use]
    pub fn label(&self, name: &str) -> &str {
        self.labels
            .iter()
            .find(|(label, _)| label == name)
            .map_or("", |(_, value)| value)
    }
}

/// What a worker answers.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum Reply {
    /// It is there; its pid as it sees it.
    Hello(u32),
    /// Done.
    Done,
    /// Pid of a child, as the parent sees it.
    Forked(u32),
    /// Whether, or how many.
    Count(u64),
    /// A value, if there is one.
    Value(Option<Number>),
    /// A number, if there is one.
    Number(Option<u64>),
    /// A picture.
    Picture(Vec<Series>),
    /// A page, a status or the like.
    Text(String),
    /// What went wrong.
    Failed(String),
}
