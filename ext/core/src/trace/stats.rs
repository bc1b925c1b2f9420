//! What a process tells of its spans.

use super::settings::Settings;
use super::state::Shared;
use super::tally::Tally;
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

/// What waits in the tracers of a process, the newest one last.
#[derive(Debug, Default)]
pub(super) struct Waiting {
    queued: usize,
    pending: usize,
    not_before: Option<Instant>,
}

impl Waiting {
    pub(super) fn add(&mut self, shared: &Shared) {
        self.queued += shared.waiting();
        self.pending += shared.pending.len();
        self.not_before = shared.not_before.or(self.not_before);
    }
}

impl Stats {
    pub(super) fn of(settings: &Settings, waiting: &Waiting, tally: &Tally, closed: bool) -> Self {
        let state = match (settings.enabled, closed, waiting.not_before, waiting.queued) {
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
            queued: waiting.queued,
            queue_size: settings.queue_size,
            pending: waiting.pending,
            exported: tally.exported(),
            dropped: DropReason::ALL
                .iter()
                .map(|reason| (reason.name(), tally.dropped(*reason)))
                .collect(),
            unsampled: tally.unsampled(),
            start_unknown: tally.start_unknown(),
            retry_in: waiting
                .not_before
                .map(|until| until.saturating_duration_since(Instant::now()).as_secs_f64()),
            last_error: tally.last_error(),
        }
    }
}
