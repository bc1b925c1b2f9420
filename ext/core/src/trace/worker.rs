//! Sends what waits: batches, after a delay, again and again while the collector does not take them.

use super::resource;
use super::state::{Batch, State};
use super::totals::DropReason;
use super::tracer::Inner;
use crate::export::transports::otlp::{Answer, Client, Session};
use crate::runtime::{Work, Worker};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::transform::common::tonic::ResourceAttributesWithSchema;
use opentelemetry_proto::transform::trace::tonic::group_spans_by_resource_and_scope;
use opentelemetry_sdk::trace::SpanData;
use prost::Message;
use std::sync::{Arc, Weak};
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
                resource: (&resource).into(),
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
    resource: ResourceAttributesWithSchema,
}

impl Sending<'_> {
    async fn run(&mut self) {
        while let Some((body, since)) = self.next_batch().await {
            if body.is_empty() {
                // Encoding it made this worker fail, and it would again.
                self.finish(
                    u64::MAX,
                    DropReason::Rejected,
                    Some("spans that cannot be encoded".to_owned()),
                );
                continue;
            }
            self.back_off().await;
            let answer = self.session.send(body).await;
            self.settle(answer, since);
        }
    }

    /// The batch that has not been taken yet, or a new one when it is due. `None` when there will be none any more.
    async fn next_batch(&mut self) -> Option<(bytes::Bytes, Instant)> {
        let mut due: Option<Instant> = None;
        loop {
            if let Some(batch) = self.batch(due) {
                return Some(batch);
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

    fn batch(&self, due: Option<Instant>) -> Option<(bytes::Bytes, Instant)> {
        let mut shared = self.state.shared.lock();
        if let Some(batch) = &shared.batch {
            return Some((batch.body.clone(), batch.since));
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
            body: bytes::Bytes::new(),
            spans: spans.len(),
            oldest,
            since: Instant::now(),
        });
        drop(shared);
        let body = self
            .client
            .prepare(&encode(spans.into_iter().map(|span| *span), &self.resource));
        let mut shared = self.state.shared.lock();
        let batch = shared.batch.as_mut()?;
        batch.body = body;
        Some((batch.body.clone(), batch.since))
    }

    fn settle(&self, answer: Answer, since: Instant) {
        match answer {
            Answer::Taken { rejected, error } => self.finish(rejected, DropReason::Rejected, error),
            Answer::Refused { error } => self.finish(u64::MAX, DropReason::Rejected, Some(error)),
            Answer::Retry { error, .. } if since.elapsed() > LONGEST_TRY => {
                self.finish(u64::MAX, DropReason::RetriesExhausted, Some(error));
            }
            Answer::Retry { error, after } => {
                self.state.tally.fail(error);
                let shared = &mut *self.state.shared.lock();
                shared.not_before = Some(Instant::now() + shared.backoff.next(after));
            }
        }
    }

    /// The batch has left; `lost` of its spans were not taken.
    fn finish(&self, lost: u64, reason: DropReason, error: Option<String>) {
        let mut shared = self.state.shared.lock();
        let Some(batch) = shared.batch.take() else { return };
        if reason != DropReason::RetriesExhausted {
            // The collector is there, whatever it thinks of these.
            shared.backoff.reset();
        }
        let spans = batch.spans as u64;
        let lost = lost.min(spans);
        // Before the lock is given back: a flush that waits for it looks at what was dropped.
        let tally = &self.state.tally;
        tally.export(spans - lost);
        tally.lose(reason, lost);
        if let Some(error) = error {
            tally.fail(error);
        }
        drop(shared);
        if spans > lost {
            self.tracer.totals.exported(spans - lost);
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

fn encode(spans: impl Iterator<Item = SpanData>, resource: &ResourceAttributesWithSchema) -> Vec<u8> {
    ExportTraceServiceRequest {
        resource_spans: group_spans_by_resource_and_scope(spans.collect(), resource),
    }
    .encode_to_vec()
}
