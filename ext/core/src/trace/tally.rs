//! What has become of a process's spans, whichever of its tracers had them.

use super::totals::DropReason;
use crate::runtime::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

/// Counts of one process. Tracers that take each other's place share them.
#[derive(Debug, Default)]
pub(super) struct Tally {
    exported: AtomicU64,
    dropped: [AtomicU64; DropReason::ALL.len()],
    unsampled: AtomicU64,
    start_unknown: AtomicU64,
    last_error: Mutex<Option<String>>,
}

impl Tally {
    /// Spans were taken.
    pub(super) fn export(&self, spans: u64) {
        self.exported.fetch_add(spans, Ordering::Relaxed);
    }

    /// Spans were dropped.
    pub(super) fn lose(&self, reason: DropReason, spans: u64) {
        self.dropped[reason as usize].fetch_add(spans, Ordering::Relaxed);
    }

    /// Sampling left one out.
    pub(super) fn leave_out(&self) {
        self.unsampled.fetch_add(1, Ordering::Relaxed);
    }

    /// Nobody told the start of spans that were sent.
    pub(super) fn miss_starts(&self, spans: u64) {
        self.start_unknown.fetch_add(spans, Ordering::Relaxed);
    }

    /// Something went wrong.
    pub(super) fn fail(&self, error: String) {
        *self.last_error.lock() = Some(error);
    }

    pub(super) fn exported(&self) -> u64 {
        self.exported.load(Ordering::Relaxed)
    }

    pub(super) fn dropped(&self, reason: DropReason) -> u64 {
        self.dropped[reason as usize].load(Ordering::Relaxed)
    }

    /// All that was dropped, whatever the reason.
    pub(super) fn all_dropped(&self) -> u64 {
        self.dropped.iter().map(|spans| spans.load(Ordering::Relaxed)).sum()
    }

    pub(super) fn unsampled(&self) -> u64 {
        self.unsampled.load(Ordering::Relaxed)
    }

    pub(super) fn start_unknown(&self) -> u64 {
        self.start_unknown.load(Ordering::Relaxed)
    }

    pub(super) fn last_error(&self) -> Option<String> {
        self.last_error.lock().clone()
    }
}
