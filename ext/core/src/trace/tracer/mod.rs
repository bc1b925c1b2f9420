//! Makes spans, and hands them to the process's runtime.

mod flushing;
mod moving;
mod succession;

use crate::arena::fork;
use crate::clock::Moment;
use crate::export::transports::otlp;
use crate::runtime::{Mutex, PerProcess, Runtime, Worker};
use crate::trace::common::Common;
use crate::trace::contexts::Contexts;
use crate::trace::derive::Identity;
use crate::trace::encode::{encode, Encoded, Writer};
use crate::trace::ids;
use crate::trace::limits::Limits;
use crate::trace::queue::Pushed;
use crate::trace::record::{Priority, SpanRecord, UNSAMPLED_TRACE};
use crate::trace::settings::Settings;
use crate::trace::span::{Recording, Span};
use crate::trace::state::{Load, Shared, State};
use crate::trace::stats::{Stats, Waiting};
use crate::trace::totals::{DropReason, Totals};
use crate::trace::worker::Sender;
use arc_swap::ArcSwap;
use opentelemetry::trace::{SpanContext, SpanId, SpanKind, TraceFlags, TraceId, TraceState};
use opentelemetry::{InstrumentationScope, KeyValue};
use std::borrow::Cow;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, MutexGuard, OnceLock};
use std::time::Instant;

pub(in crate::trace) struct Inner {
    pub(in crate::trace) settings: Settings,
    pub(in crate::trace) scope: InstrumentationScope,
    common: Arc<Common>,
    state: PerProcess<State>,
    runtime: Arc<Runtime>,
    pub(in crate::trace) totals: Arc<dyn Totals>,
    /// No span is taken any more.
    closed: AtomicBool,
    /// What sends; nothing where traces are off.
    worker: OnceLock<Arc<dyn Worker>>,
    /// Who takes the spans that end from now on: the application has changed its mind. Set before the lock of the state
    /// is taken once more, so that who looks for it under that lock never adds to what nobody sends.
    successor: OnceLock<Tracer>,
    /// Those before this one that may still have something to send.
    predecessors: ArcSwap<Vec<Tracer>>,
    /// What waits, while this process becomes another one. Taken by the thread that does that, and by no other.
    moving: Mutex<Load>,
}

/// The tracer of a process and of the processes that it forks. Cloning it is cheap.
#[derive(Clone)]
pub struct Tracer {
    pub(in crate::trace) inner: Arc<Inner>,
}

impl std::fmt::Debug for Tracer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tracer")
            .field("settings", &self.inner.settings)
            .finish_non_exhaustive()
    }
}

/// What a span may begin with besides its name.
#[derive(Debug, Default)]
pub struct Beginning {
    /// When it began, in nanoseconds since the epoch; now by default.
    pub at: Option<i64>,
    /// What a full queue does with it.
    pub priority: Priority,
    /// What is known of it already.
    pub attributes: Vec<KeyValue>,
}

/// Who puts a span in line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum By {
    /// A thread that records, and holds whatever lets one do so at a time.
    Recording,
    /// The background, or one that waits for it.
    Other,
}

impl Tracer {
    /// A tracer that sends through `runtime`. No thread is started before the first span.
    ///
    /// # Errors
    /// When the certificates that the settings name cannot be used.
    pub fn new(settings: Settings, runtime: &Arc<Runtime>, totals: Arc<dyn Totals>) -> otlp::Result<Self> {
        Self::with(settings, runtime, totals, Arc::default())
    }

    fn with(
        settings: Settings,
        runtime: &Arc<Runtime>,
        totals: Arc<dyn Totals>,
        common: Arc<Common>,
    ) -> otlp::Result<Self> {
        let client = settings
            .enabled
            .then(|| otlp::Client::new(settings.destination.clone()));
        let client = client.transpose()?;
        let state = PerProcess::new(State::new(settings.queue_size, settings.batch_size, common.tally()));
        let inner = Arc::new(Inner {
            settings,
            scope: InstrumentationScope::builder("tasker_telemetry")
                .with_version(env!("CARGO_PKG_VERSION"))
                .build(),
            common,
            state,
            runtime: Arc::clone(runtime),
            totals,
            closed: AtomicBool::new(false),
            worker: OnceLock::new(),
            successor: OnceLock::new(),
            predecessors: ArcSwap::default(),
            moving: Mutex::default(),
        });
        if let Some(client) = client {
            let worker: Arc<dyn Worker> = Arc::new(Sender::new(&inner, client));
            runtime.add(inner.worker.get_or_init(|| worker));
        }
        Ok(Self { inner })
    }

    /// Begins a span inside `parent`, or a trace of its own.
    #[must_use]
    pub fn start(&self, name: impl Into<Cow<'static, str>>, kind: SpanKind, parent: Option<&SpanContext>) -> Span {
        self.start_with(name, kind, parent, Beginning::default())
    }

    /// As [`Self::start`], with more known from the beginning.
    #[must_use]
    pub fn start_with(
        &self,
        name: impl Into<Cow<'static, str>>,
        kind: SpanKind,
        parent: Option<&SpanContext>,
        beginning: Beginning,
    ) -> Span {
        let parent = parent.filter(|parent| parent.is_valid());
        let Beginning {
            at,
            priority,
            mut attributes,
        } = beginning;
        let mut span = Span {
            tracer: self.clone(),
            context: SpanContext::NONE,
            recording: None,
            priority,
            generation: fork::generation(),
        };
        if !self.is_enabled() {
            // What came in goes on to others as it is.
            span.context = parent.cloned().unwrap_or(SpanContext::NONE);
            return span;
        }
        let trace_id = parent.map_or_else(ids::trace_id, SpanContext::trace_id);
        let sampled = self.sampled(trace_id, parent);
        let trace_state = parent.map_or(TraceState::NONE, |parent| parent.trace_state().clone());
        let flags = parent.map_or(TraceFlags::default(), SpanContext::trace_flags);
        let flags = flags.with_sampled(sampled);
        span.context = SpanContext::new(trace_id, ids::span_id(), flags, false, trace_state);
        if !self.is_kept(sampled, priority, &mut attributes) {
            return span;
        }
        let began = at.is_none().then(Moment::now);
        let start = at.or(began.map(Moment::wall)).unwrap_or_default();
        let context = &span.context;
        span.recording = Some(Recording {
            record: Box::new(SpanRecord {
                parent_span_id: parent.map_or(SpanId::INVALID, SpanContext::span_id),
                parent_is_remote: parent.is_some_and(SpanContext::is_remote),
                sampled: Some(sampled),
                flags,
                trace_state: context.trace_state().clone(),
                kind,
                attributes,
                ..SpanRecord::new(trace_id, context.span_id(), name, start, start)
            }),
            began,
        });
        span
    }

    /// Sends a span that is already over. Whether it is kept by sampling.
    pub fn emit(&self, record: SpanRecord, priority: Priority) -> bool {
        self.emit_by(By::Recording, record, priority, |_| {})
    }

    /// The same of a span more of which is told than its record holds: `told` writes these attributes.
    pub(in crate::trace) fn emit_told(
        &self,
        record: SpanRecord,
        priority: Priority,
        told: impl FnOnce(&mut Writer<'_>),
    ) -> bool {
        self.emit_by(By::Recording, record, priority, told)
    }

    fn emit_by(&self, by: By, mut record: SpanRecord, priority: Priority, told: impl FnOnce(&mut Writer<'_>)) -> bool {
        if !self.inner.settings.enabled {
            return false;
        }
        let sampled = record.sampled.unwrap_or_else(|| self.sampled(record.trace_id, None));
        if !self.is_kept(sampled, priority, &mut record.attributes) {
            return false;
        }
        record.sampled = Some(sampled);
        self.enqueue_by(by, encode(&record, self.limits(), told), priority);
        true
    }

    /// Lets a span whose start is not known wait up to a second for [`Self::complete`]; then it is sent as it is, with
    /// the attribute `tasker_telemetry.start_unknown`. Flushing and shutting down send it at once.
    pub fn hold(&self, key: u64, record: SpanRecord, priority: Priority) {
        let state = self.state();
        let mut shared = state.shared.lock();
        if let Some(successor) = self.inner.successor.get() {
            drop(shared);
            return successor.hold(key, record, priority);
        }
        if !self.is_enabled() {
            drop(shared);
            return self.inner.refuse(&state);
        }
        let over = shared.pending.hold(key, record, priority, Instant::now());
        let first = shared.pending.len() == 1;
        drop(shared);
        if first {
            state.wake_pending.notify_one();
            // Now, since others put it in line.
            self.inner.totals.settle();
        }
        self.inner.runtime.start();
        if let Some((record, priority)) = over {
            state.tally.miss_starts(1);
            self.emit(record, priority);
        }
    }

    /// Sends a span that waits under that key, with its start, its end and what else is known now. Whether there was
    /// one.
    pub fn complete(&self, key: u64, times: (i64, i64), attributes: Vec<KeyValue>) -> bool {
        let state = self.state();
        let mut shared = state.shared.lock();
        if let Some(successor) = self.inner.successor.get() {
            drop(shared);
            return successor.complete(key, times, attributes);
        }
        let Some((record, priority)) = shared.pending.complete(key, times, attributes) else {
            return false;
        };
        drop(shared);
        self.emit(record, priority);
        true
    }

    /// Whether the spans of a trace are sent.
    #[must_use]
    pub fn sampled(&self, trace_id: TraceId, parent: Option<&SpanContext>) -> bool {
        self.inner.settings.sampler.sampled(trace_id, parent)
    }

    /// The spans that are current.
    #[must_use]
    pub fn contexts(&self) -> &Contexts {
        &self.inner.common.contexts
    }

    /// What ids are derived within.
    #[must_use]
    pub fn identity(&self) -> &Identity {
        &self.inner.settings.identity
    }

    /// The settings in force.
    #[must_use]
    pub fn settings(&self) -> &Settings {
        &self.inner.settings
    }

    /// Whether spans are taken.
    #[must_use]
    pub fn is_enabled(&self) -> bool {
        self.inner.settings.enabled && !self.inner.is_closed()
    }

    pub(in crate::trace) fn limits(&self) -> &Limits {
        &self.inner.settings.limits
    }

    /// Whether a span is kept. One that is kept for its priority alone is marked.
    fn is_kept(&self, sampled: bool, priority: Priority, attributes: &mut Vec<KeyValue>) -> bool {
        if !sampled && priority == Priority::Critical {
            attributes.insert(0, KeyValue::new(UNSAMPLED_TRACE, true));
            return true;
        }
        if !sampled {
            self.state().tally.leave_out();
        }
        sampled
    }

    /// Puts a span in line.
    pub(in crate::trace) fn enqueue(&self, span: Encoded, priority: Priority) {
        self.enqueue_by(By::Recording, span, priority);
    }

    fn enqueue_by(&self, by: By, span: Encoded, priority: Priority) {
        let state = self.state();
        let shared = state.shared.lock();
        if let Some(successor) = self.inner.successor.get() {
            drop(shared);
            return successor.enqueue_by(by, span, priority);
        }
        // Asked here, since whoever closes it empties it under this lock.
        if !self.is_enabled() {
            drop(shared);
            return self.inner.refuse(&state);
        }
        if self.push(&state, shared, span, priority) && by == By::Recording {
            self.inner.totals.settle();
        }
    }

    /// Whether it is the first in line.
    fn push(&self, state: &State, mut shared: MutexGuard<'_, Shared>, span: Encoded, priority: Priority) -> bool {
        let pushed = shared.queue.push(span, priority);
        let length = shared.queue.len();
        if pushed != Pushed::In {
            state.tally.lose(DropReason::QueueFull, 1);
        }
        drop(shared);
        state.pushed(pushed, length);
        if pushed != Pushed::In {
            self.inner.totals.dropped(DropReason::QueueFull, 1);
        }
        self.inner.runtime.start();
        length == 1
    }

    /// What has become of this process's spans, also of those that go where settings before these said.
    #[must_use]
    pub fn stats(&self) -> Stats {
        let mut waiting = Waiting::default();
        for one in self.line() {
            waiting.add(&one.state().shared.lock());
        }
        Stats::of(
            &self.inner.settings,
            &waiting,
            &self.inner.common.tally(),
            self.inner.is_closed(),
        )
    }

    /// This process's state.
    fn state(&self) -> Arc<State> {
        self.inner.state()
    }
}

impl Inner {
    /// Whether no span is taken any more. Under the lock of the state it stays so until that is given back.
    fn is_closed(&self) -> bool {
        self.closed.load(Ordering::SeqCst)
    }

    /// This process's state: a child that has been forked since begins with an empty one.
    pub(in crate::trace) fn state(&self) -> Arc<State> {
        self.state
            .get(|| State::new(self.settings.queue_size, self.settings.batch_size, self.common.tally()))
    }

    /// Drops a span that came too late.
    fn refuse(&self, state: &State) {
        state.tally.lose(DropReason::Shutdown, 1);
        self.totals.dropped(DropReason::Shutdown, 1);
    }
}
