//! A tracer that sends to a test's collector, and what it counted.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, ThreadId};
use std::time::Duration;
use tasker_telemetry_core::export::transports::otlp;
use tasker_telemetry_core::runtime::Runtime;
use tasker_telemetry_core::trace::{DropReason, Options, Settings, SpanKind, Totals, Tracer};

/// Totals of a test.
#[derive(Debug, Default)]
pub struct Counted {
    exported: AtomicU64,
    dropped: [AtomicU64; 4],
    settled: Mutex<Vec<ThreadId>>,
}

impl Totals for Counted {
    fn settle(&self) {
        self.settled
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(thread::current().id());
    }

    fn exported(&self, spans: u64) {
        self.exported.fetch_add(spans, Ordering::SeqCst);
    }

    fn dropped(&self, reason: DropReason, spans: u64) {
        self.dropped[reason as usize].fetch_add(spans, Ordering::SeqCst);
    }
}

impl Counted {
    /// Spans that were taken.
    pub fn exported(&self) -> u64 {
        self.exported.load(Ordering::SeqCst)
    }

    /// The threads that got ready to count.
    pub fn settled_by(&self) -> Vec<ThreadId> {
        self.settled.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Spans that were dropped for that reason.
    pub fn dropped(&self, reason: DropReason) -> u64 {
        self.dropped[reason as usize].load(Ordering::SeqCst)
    }
}

/// A tracer with a runtime of its own.
pub struct Sending {
    /// Makes spans.
    pub tracer: Tracer,
    /// Sends them.
    pub runtime: Arc<Runtime>,
    /// What became of them.
    pub totals: Arc<Counted>,
}

impl Sending {
    /// A tracer that sends to `endpoint` after 20 ms, with these variables set.
    pub fn to(endpoint: &str, env: &[(&str, &str)]) -> Self {
        Self::with(
            otlp::Options {
                endpoint: Some(endpoint.to_owned()),
                ..otlp::Options::default()
            },
            env,
        )
    }

    /// As the settings say.
    ///
    /// # Panics
    /// When the settings are refused.
    pub fn with(otlp: otlp::Options, env: &[(&str, &str)]) -> Self {
        let options = Options {
            enabled: Some(true),
            otlp,
            service_name: "shop".to_owned(),
            environment: "test".to_owned(),
            ..Options::default()
        };
        let settings = Settings::resolve(&options, &|name| {
            let set = env.iter().find(|(known, _)| *known == name).map(|(_, value)| *value);
            set.or((name == "OTEL_BSP_SCHEDULE_DELAY").then_some("20"))
                .map(str::to_owned)
        })
        .expect("settings");
        let (runtime, totals) = (Runtime::new(), Arc::<Counted>::default());
        let tracer = Tracer::new(settings, &runtime, Arc::clone(&totals) as Arc<dyn Totals>).expect("certificates");
        Self {
            tracer,
            runtime,
            totals,
        }
    }

    /// A span of that name, begun and ended.
    pub fn span(&self, name: impl Into<String>) {
        self.tracer.start(name.into(), SpanKind::Internal, None).end(None);
    }

    /// Flushes as long as it takes. Whether all was delivered.
    pub fn flush(&self) -> bool {
        self.tracer.flush(crate::DEADLINE, &|| false)
    }

    /// Flushes for so many milliseconds.
    pub fn flush_for(&self, millis: u64) -> bool {
        self.tracer.flush(Duration::from_millis(millis), &|| false)
    }
}

impl Drop for Sending {
    fn drop(&mut self) {
        self.runtime.shutdown(crate::DEADLINE);
    }
}

/// Sends what waits, and takes no span from then on. Whether all was sent in time.
#[must_use]
pub fn shutdown(tracer: &Tracer, timeout: Duration) -> bool {
    let delivered = tracer.flush(timeout, &|| false);
    tracer.close() && delivered
}
