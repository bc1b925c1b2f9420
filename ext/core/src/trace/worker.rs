//! Sends what waits: batches, after a delay, again and again while the collector does not take them.

use super::batch::{Batch, Part};
use super::request::Envelope;
use super::resource;
use super::state::{Shared, State};
use super::totals::DropReason;
use super::tracer::Inner;
use crate::export::transports::otlp::{Answer, Client, Session};
use crate::runtime::{Work, Worker};
use std::collections::VecDeque;
use std::sync::{Arc, MutexGuard, Weak};
use std::time::{Duration, Instant};
use tokio::time::timeout;

/// How long a batch is tried; then it makes room for newer ones.
const LONGEST_TRY: Duration = Duration::from_secs(300);

/// The worker of a tracer.
pub(super) struct Sender {
    tracer: Weak<Inner>,
    client: Arc<Client>,
}

impl Sender {
    pub(super) fn new(tracer: &Arc<Inner>, client: Client) -> Self {
        Self {
            tracer: Arc::downgrade(tracer),
            client: Arc::new(client),
        }
    }
}

impl Worker for Sender {
    fn work(&self) -> Work {
        let (tracer, client) = (self.tracer.clone(), Arc::clone(&self.client));
        Box::pin(async move {
            let Some(tracer) = tracer.upgrade() else { return };
            let state = tracer.state();
            let resource = resource::resource(&tracer.settings.identity, &tracer.settings.resource_attributes);
            let mut sending = Sending {
                envelope: Envelope::new(&resource, &tracer.scope),
                session: client.session(),
                client: &client,
                tracer: &tracer,
                state: &state,
            };
            let waiting = wait_for_starts(&tracer, &state);
            while_it_runs(sending.run(), waiting).await;
            tracer.forget_worker();
        })
    }
}

/// Drives two futures at once until the first is over; the second never is.
async fn while_it_runs(one: impl std::future::Future<Output = ()>, other: impl std::future::Future<Output = ()>) {
    let (mut one, mut other) = (std::pin::pin!(one), std::pin::pin!(other));
    std::future::poll_fn(move |context| {
        let over = one.as_mut().poll(context);
        if over.is_pending() {
            let _ = other.as_mut().poll(context);
        }
        over
    })
    .await;
}

/// Sends spans without a start when they have waited long enough for one.
async fn wait_for_starts(tracer: &Arc<Inner>, state: &State) {
    loop {
        match tracer.release_pending(state, false) {
            Some(next) => {
                let rest = next.saturating_duration_since(Instant::now());
                let _ = timeout(rest, state.wake_pending.notified()).await;
            }
            None => state.wake_pending.notified().await,
        }
    }
}

struct Sending<'a> {
    tracer: &'a Arc<Inner>,
    state: &'a State,
    client: &'a Client,
    session: Session,
    envelope: Envelope,
}

impl Sending<'_> {
    async fn run(&mut self) {
        while let Some((part, since)) = self.next_part().await {
            let Some(part) = part else {
                // Encoding it made this worker fail, and it would again.
                self.give_up(DropReason::Rejected, "spans that cannot be encoded".to_owned());
                continue;
            };
            self.back_off().await;
            let answer = self.session.send(part.body.clone()).await;
            self.settle(answer, &part, since);
        }
    }

    /// The first part of the batch that has not been taken yet, or of a new one when it is due. `None` when there will be
    /// none any more.
    async fn next_part(&mut self) -> Option<(Option<Part>, Instant)> {
        let mut due: Option<Instant> = None;
        loop {
            if let Some(part) = self.part(due) {
                return Some(part);
            }
            if self.tracer.is_done(self.state) {
                return None;
            }
            let waiting = self.state.shared.lock().queue.len();
            due = (waiting > 0).then(|| due.unwrap_or_else(|| Instant::now() + self.tracer.settings.delay));
            match due {
                Some(due) => {
                    let rest = due.saturating_duration_since(Instant::now());
                    let _ = timeout(rest, self.state.wake.notified()).await;
                }
                None => self.state.wake.notified().await,
            }
        }
    }

    fn part(&self, due: Option<Instant>) -> Option<(Option<Part>, Instant)> {
        let mut shared = self.state.shared.lock();
        if let Some(batch) = &shared.batch {
            return Some((batch.parts.front().cloned(), batch.since));
        }
        let flushing = shared.is_flushing();
        let full = shared.queue.len() >= self.state.batch_size;
        if !flushing && !full && due.is_none_or(|due| Instant::now() < due) {
            return None;
        }
        let (spans, oldest) = shared.queue.take(self.state.batch_size, flushing);
        let oldest = oldest?;
        // Encoding takes its time, and recording does not wait for it. Nothing awaits until the batch is noted, so a
        // fork cannot come in between.
        shared.batch = Some(Batch {
            parts: VecDeque::new(),
            spans: spans.len(),
            oldest,
            since: Instant::now(),
        });
        drop(shared);
        let parts = Part::of(spans, &self.envelope, self.client);
        let mut shared = self.state.shared.lock();
        let batch = shared.batch.as_mut()?;
        batch.parts = parts;
        Some((batch.parts.front().cloned(), batch.since))
    }

    fn settle(&self, answer: Answer, part: &Part, since: Instant) {
        match answer {
            Answer::Taken { rejected, error } => self.finish(rejected, error),
            Answer::Refused { error } => self.finish(u64::MAX, Some(error)),
            Answer::TooLarge { error } => match part.halves(&self.envelope, self.client) {
                Some(halves) => self.replace(halves),
                None => self.finish(u64::MAX, Some(error)),
            },
            Answer::Retry { error, .. } if since.elapsed() > LONGEST_TRY => {
                self.give_up(DropReason::RetriesExhausted, error);
            }
            Answer::Retry { error, after } => {
                self.state.tally.fail(error);
                let shared = &mut *self.state.shared.lock();
                shared.not_before = Some(Instant::now() + shared.backoff.next(after));
            }
        }
    }

    /// The first part goes as several.
    fn replace(&self, parts: [Part; 2]) {
        let mut shared = self.state.shared.lock();
        let Some(batch) = &mut shared.batch else { return };
        batch.parts.pop_front();
        parts.into_iter().rev().for_each(|part| batch.parts.push_front(part));
    }

    /// The first part has left; `lost` of its spans were not taken.
    fn finish(&self, lost: u64, error: Option<String>) {
        let mut shared = self.state.shared.lock();
        let Some(batch) = &mut shared.batch else { return };
        let Some(part) = batch.parts.pop_front() else { return };
        batch.spans -= part.spans();
        batch.since = Instant::now();
        if batch.parts.is_empty() {
            shared.batch = None;
        }
        // The collector is there, whatever it thinks of these.
        shared.backoff.reset();
        if let Some(error) = error {
            self.state.tally.fail(error);
        }
        let spans = part.spans() as u64;
        let lost = lost.min(spans);
        self.count(shared, spans - lost, lost, DropReason::Rejected);
    }

    /// All that is left of the batch is dropped.
    fn give_up(&self, reason: DropReason, error: String) {
        let mut shared = self.state.shared.lock();
        let Some(batch) = shared.batch.take() else { return };
        self.state.tally.fail(error);
        self.count(shared, 0, batch.spans as u64, reason);
    }

    fn count(&self, shared: MutexGuard<'_, Shared>, taken: u64, lost: u64, reason: DropReason) {
        // Before the lock is given back: a flush that waits for it looks at what was dropped.
        self.state.tally.export(taken);
        self.state.tally.lose(reason, lost);
        drop(shared);
        if taken > 0 {
            self.tracer.totals.exported(taken);
        }
        if lost > 0 {
            self.tracer.totals.dropped(reason, lost);
        }
        self.state.settled.notify_all();
    }

    /// Waits after a failure, unless a flush asks for an attempt.
    async fn back_off(&self) {
        loop {
            let rest = {
                let mut shared = self.state.shared.lock();
                let until = shared.not_before.filter(|_| !shared.hurry);
                let rest = until.map_or(Duration::ZERO, |until| until.saturating_duration_since(Instant::now()));
                if rest.is_zero() {
                    shared.not_before = None;
                    shared.hurry = false;
                    return;
                }
                rest
            };
            let _ = timeout(rest, self.state.wake.notified()).await;
        }
    }
}
