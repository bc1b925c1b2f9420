//! What a process tells of its spans.

use super::settings::Settings;
use super::state::Shared;
use super::totals::DropReason;
use serde::Serialize;
use std::collections::BTreeMap;
use std::time::Instant;

/// What is going on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Condition {
    /// No spans are made.
    Disabled,
    /// Nothing waits.
    Idle,
    /// Spans wait or are on their way.
    Sending,
    /// The collector does not take them; they are tried again.
    Retrying,
    /// No span is taken any more.
    Shutdown,
}

/// What has become of this process's spans. Nothing in it is a secret.
#[derive(Debug, Clone, Serialize)]
#[non_exhaustive]
pub struct Stats {
    /// What is going on.
    pub state: Condition,
    /// Where spans go, without user info and query.
    pub endpoint: String,
    /// How they go there.
    pub protocol: &'static str,
    /// Spans that wait, with those on their way.
    pub queued: usize,
    /// How many may wait.
    pub queue_size: usize,
    /// Spans that wait for their start to be told.
    pub pending: usize,
    /// Spans that were taken.
    pub exported: u64,
    /// Spans that were dropped, by reason.
    pub dropped: BTreeMap<&'static str, u64>,
    /// Spans that sampling left out.
    pub unsampled: u64,
    /// Spans whose start nobody told.
    pub start_unknown: u64,
    /// Seconds until the collector is tried again.
    pub retry_in: Option<f64>,
    /// What went wrong last.
    pub last_error: Option<String>,
}

impl Stats {
    pub(super) fn of(settings: &Settings, shared: &Shared, unsampled: u64, closed: bool) -> Self {
        let sending = shared.batch.as_ref().map_or(0, |batch| batch.spans);
        let queued = shared.queue.len() + sending;
        let state = match (settings.enabled, closed, shared.not_before, queued) {
            (false, ..) => Condition::Disabled,
            (_, true, ..) => Condition::Shutdown,
            (_, _, Some(_), _) => Condition::Retrying,
            (_, _, _, 0) => Condition::Idle,
            _ => Condition::Sending,
        };
        Self {
            state,
            endpoint: settings.destination.endpoint(),
            protocol: settings.destination.protocol.name(),
            queued,
            queue_size: settings.queue_size,
            pending: shared.pending.len(),
            exported: shared.exported,
            dropped: DropReason::ALL
                .iter()
                .map(|reason| (reason.name(), shared.dropped[*reason as usize]))
                .collect(),
            unsampled,
            start_unknown: shared.start_unknown,
            retry_in: shared
                .not_before
                .map(|until| until.saturating_duration_since(Instant::now()).as_secs_f64()),
            last_error: shared.last_error.clone(),
        }
    }
}
