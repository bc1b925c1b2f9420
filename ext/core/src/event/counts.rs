//! What became of events otherwise than asked for, counted where everybody sees it.

use crate::arena::{Registry, Series};
use crate::metric::{Descriptor, Kind, LabelKey};
use std::sync::{Arc, OnceLock};

/// What an event did not get.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unmet {
    /// It was dropped: its transition had been told before.
    Duplicate,
    /// It was dropped: the draw went against it.
    SampledOut,
    /// It went without a duration: nobody knows when it began.
    UnknownStart,
    /// A label's value was replaced, because the label has as many as it may have.
    LabelLimit,
    /// It was not counted: the metric's name is taken by another one.
    MetricClash,
}

const ALL: [(Unmet, &str, &str); 5] = [
    (Unmet::Duplicate, DROPPED, "duplicate"),
    (Unmet::SampledOut, DROPPED, "sampled_out"),
    (Unmet::UnknownStart, DEGRADED, "unknown_start"),
    (Unmet::LabelLimit, DEGRADED, "label_limit"),
    (Unmet::MetricClash, DEGRADED, "metric_clash"),
];

/// Counter of events that nobody took.
const DROPPED: &str = "tasker_telemetry_dropped_events_total";
/// Counter of events that were taken, but not as asked for.
const DEGRADED: &str = "tasker_telemetry_degraded_events_total";

/// The counters.
#[derive(Debug)]
pub(super) struct Counts {
    registry: Arc<Registry>,
    series: OnceLock<[Option<Arc<Series>>; 5]>,
}

impl Counts {
    pub fn new(registry: Arc<Registry>) -> Self {
        Self {
            registry,
            series: OnceLock::new(),
        }
    }

    /// Counts `by` times.
    #[inline]
    pub fn add(&self, what: Unmet, by: u64) {
        if by == 0 {
            return;
        }
        let series = self.series.get_or_init(|| self.declare());
        if let Some(series) = &series[what as usize] {
            series.increment_int(by);
        }
    }

    #[cold]
    fn declare(&self) -> [Option<Arc<Series>>; 5] {
        let counter = |name: &str, help: &str| {
            let descriptor = Descriptor {
                name: name.to_owned(),
                help: help.to_owned(),
                unit: None,
                kind: Kind::Counter,
                labels: vec!["reason".to_owned()],
                buckets: None,
            };
            self.registry.declare_own(descriptor).ok()
        };
        let dropped = counter(
            DROPPED,
            "Events that became neither metric nor span nor log line, by reason",
        );
        let degraded = counter(DEGRADED, "Events that were taken, but lack something, by reason");
        ALL.map(|(_, name, reason)| {
            let metric = if name == DROPPED { &dropped } else { &degraded };
            metric.as_ref().map(|metric| metric.series(&LabelKey::of([reason])))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_reason_stands_at_its_number() {
        for (index, (what, ..)) in ALL.iter().enumerate() {
            assert_eq!(*what as usize, index);
        }
    }
}
