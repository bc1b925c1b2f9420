use crate::metric::{Buckets, Descriptor, LabelKey, LabelValues};

/// A counter's total: integers are kept apart from floats, so that they stay exact beyond 2^53.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Count {
    /// Sum of all integer increments.
    pub int: u64,
    /// Sum of all float increments.
    pub float: f64,
}

impl Count {
    /// The total as one float; exact up to 2^53.
    #[must_use]
    pub fn as_f64(&self) -> f64 {
        self.int as f64 + self.float
    }

    /// The total as an integer, when the floats that were added come to one and it is below 2^64.
    #[must_use]
    pub fn as_integer(&self) -> Option<u64> {
        const EXACT: f64 = (1u64 << 53) as f64;
        // Most counters never see a float.
        if self.float == 0.0 {
            return Some(self.int);
        }
        let whole = self.float.fract() == 0.0 && (0.0..=EXACT).contains(&self.float);
        whole.then_some(())?;
        self.int.checked_add(self.float as u64)
    }
}

/// What a histogram has seen.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct HistogramValue {
    /// Observations per bucket, *not* cumulative; one more than there are bounds, the last being `+Inf`.
    pub buckets: Vec<u64>,
    /// Sum of the observed values.
    pub sum: f64,
}

impl HistogramValue {
    /// Number of observations: the total of the buckets, so that it can never disagree with `+Inf`.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.buckets.iter().fold(0, |total, bucket| total.wrapping_add(*bucket))
    }

    /// Cumulative counts beside their upper bounds, `+Inf` last.
    pub fn cumulative<'a>(&'a self, bounds: &'a Buckets) -> impl Iterator<Item = (f64, u64)> + 'a {
        let uppers = bounds.bounds().iter().copied().chain([f64::INFINITY]);
        let mut total = 0u64;
        uppers.zip(&self.buckets).map(move |(upper, bucket)| {
            total = total.wrapping_add(*bucket);
            (upper, total)
        })
    }
}

/// A point's value, by kind.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// Of a counter.
    Counter(Count),
    /// Of a gauge.
    Gauge(f64),
    /// Of a histogram.
    Histogram(HistogramValue),
}

/// One of the things that were counted, and the span in which it happened.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Exemplar {
    /// What was observed, or by how much a counter grew.
    pub value: f64,
    /// The trace.
    pub trace_id: [u8; 16],
    /// The span.
    pub span_id: [u8; 8],
    /// When, in nanoseconds since the Unix epoch.
    pub at: u64,
}

/// One series as it was read: labels, value, and when it came to be. Reused from point to point.
#[derive(Debug, PartialEq)]
pub struct Point {
    /// Default labels of the recording process: name, value, name, value…
    pub defaults: LabelKey,
    /// Values of the declared labels, in declared order.
    pub values: LabelKey,
    /// Value of the label `process`, on per-process series; else empty.
    pub process: String,
    /// The value.
    pub value: Value,
    /// When the series was registered, in nanoseconds since the Unix epoch.
    pub created_at: u64,
    /// The latest exemplar of a counter, under 0, or of each bucket of a histogram that has one, under its index; in
    /// ascending order.
    pub exemplars: Vec<(usize, Exemplar)>,
}

impl Point {
    /// An empty buffer.
    #[must_use]
    pub fn new() -> Self {
        Self {
            defaults: LabelKey::new(),
            values: LabelKey::new(),
            process: String::new(),
            value: Value::Gauge(0.0),
            created_at: 0,
            exemplars: Vec::new(),
        }
    }

    /// The exemplar of a counter, under 0, or of a bucket.
    #[must_use]
    pub fn exemplar(&self, index: usize) -> Option<&Exemplar> {
        // Nearly all points have none.
        let at = self.exemplars.binary_search_by_key(&index, |(at, _)| *at).ok()?;
        Some(&self.exemplars[at].1)
    }

    /// The labels as pages carry them: default labels, declared labels in declared order, `process`.
    pub fn labels<'a>(&'a self, descriptor: &'a Descriptor) -> impl Iterator<Item = (&'a str, &'a str)> {
        let mut defaults = LabelValues::new(self.defaults.as_bytes());
        let defaults = std::iter::from_fn(move || Some((defaults.next()?, defaults.next()?)));
        let values = LabelValues::new(self.values.as_bytes());
        let declared = descriptor.labels.iter().map(String::as_str).zip(values);
        let process = (!self.process.is_empty()).then_some(("process", self.process.as_str()));
        defaults.chain(declared).chain(process)
    }
}

impl Clone for Point {
    fn clone(&self) -> Self {
        let mut point = Self::new();
        point.clone_from(self);
        point
    }

    /// Reuses what is allocated.
    fn clone_from(&mut self, source: &Self) {
        self.defaults.clone_from(&source.defaults);
        self.values.clone_from(&source.values);
        self.process.clone_from(&source.process);
        match (&mut self.value, &source.value) {
            (Value::Histogram(to), Value::Histogram(from)) => {
                to.buckets.clone_from(&from.buckets);
                to.sum = from.sum;
            }
            (to, from) => *to = from.clone(),
        }
        self.created_at = source.created_at;
        self.exemplars.clone_from(&source.exemplars);
    }
}

impl Default for Point {
    fn default() -> Self {
        Self::new()
    }
}
