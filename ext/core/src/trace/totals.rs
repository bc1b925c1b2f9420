//! Spans that were sent and that were not, for the pages that show it.

use crate::arena::{Registry, SpanOutcome};

/// Why a span was not sent: the label `reason` of `tasker_telemetry_dropped_spans_total`. What sampling leaves out is not
/// dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DropReason {
    /// The queue was full of what matters as much.
    QueueFull,
    /// The collector refused it for good.
    Rejected,
    /// The collector did not take it for too long.
    RetriesExhausted,
    /// The process ended before it could be sent.
    Shutdown,
}

impl DropReason {
    /// Every reason.
    pub const ALL: [Self; 4] = [Self::QueueFull, Self::Rejected, Self::RetriesExhausted, Self::Shutdown];

    /// The label's value.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.outcome().name()
    }

    fn outcome(self) -> SpanOutcome {
        match self {
            Self::QueueFull => SpanOutcome::QueueFull,
            Self::Rejected => SpanOutcome::Rejected,
            Self::RetriesExhausted => SpanOutcome::RetriesExhausted,
            Self::Shutdown => SpanOutcome::Shutdown,
        }
    }
}

/// Where the totals of all processes are kept. Called by any thread, with and without the GVL.
pub trait Totals: Send + Sync {
    /// Gets ready to count in this process. Called by a thread that records, under the lock that lets one do so at a time,
    /// when there is something to send.
    fn settle(&self) {}
    /// That many were sent and taken.
    fn exported(&self, spans: u64);
    /// That many were dropped.
    fn dropped(&self, reason: DropReason, spans: u64);
}

impl Totals for Registry {
    fn settle(&self) {
        self.settle_in();
    }

    fn exported(&self, spans: u64) {
        self.count_spans(SpanOutcome::Exported, spans);
    }

    fn dropped(&self, reason: DropReason, spans: u64) {
        self.count_spans(reason.outcome(), spans);
    }
}
