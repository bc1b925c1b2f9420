//! Spans under one configuration.

use super::Settings;
use crate::arena::exemplar::{self, TraceRef};
use crate::arena::Registry;
use crate::event::{Payload, Redactor};
use crate::export::transports::otlp;
use crate::runtime::Runtime;
use crate::trace::{self, Attributes, Beginning, Span, SpanContext, SpanId, SpanKind, Story, Tracer};
use std::borrow::Cow;
use std::sync::Arc;

/// Spans under one configuration.
#[derive(Debug)]
pub struct Tracing {
    pub(super) settings: Settings,
    pub(super) tracer: Tracer,
    pub(super) attributes: Attributes,
}

impl Tracing {
    /// As long as nothing was configured.
    pub(super) fn new(runtime: &Arc<Runtime>, registry: &Arc<Registry>) -> otlp::Result<Self> {
        let settings = Settings::default();
        let (_, traces) = settings.resolve(&|_| None)?;
        Ok(Self {
            attributes: Attributes::new(settings.filter.redactor()?),
            tracer: Tracer::new(traces, runtime, Arc::clone(registry) as Arc<dyn trace::Totals>)?,
            settings,
        })
    }

    pub(super) fn story<'a>(&'a self, registry: &'a Registry) -> Story<'a> {
        Story {
            tracer: &self.tracer,
            attributes: &self.attributes,
            registry,
        }
    }

    /// Who makes the spans.
    #[must_use]
    pub fn tracer(&self) -> &Tracer {
        &self.tracer
    }

    /// What makes attributes of what is told.
    #[must_use]
    pub fn attributes(&self) -> &Attributes {
        &self.attributes
    }

    /// What must not be shown.
    #[must_use]
    pub fn redactor(&self) -> &Redactor {
        self.attributes.redactor()
    }

    /// The current span of a fiber.
    #[must_use]
    pub fn current(&self, fiber: u64) -> Option<SpanContext> {
        self.tracer.contexts().current(fiber)
    }

    /// Begins a span that is current in its fiber until [`Self::end`]: inside `remote` if that is given, else inside the
    /// span that is current.
    pub fn start(
        &self,
        name: impl Into<Cow<'static, str>>,
        kind: SpanKind,
        remote: Option<SpanContext>,
        fiber: u64,
        attributes: &dyn Payload,
    ) -> Span {
        let around = remote.or_else(|| self.current(fiber));
        let attributes = if self.tracer.is_enabled() {
            self.attributes.of(attributes)
        } else {
            Vec::new()
        };
        let beginning = Beginning {
            attributes,
            ..Beginning::default()
        };
        let span = self.tracer.start_with(name, kind, around.as_ref(), beginning);
        if span.context().is_valid() {
            self.enter(fiber, span.context().clone());
        }
        span
    }

    /// Ends a span.
    pub fn end(&self, span: &mut Span, fiber: u64) {
        self.leave(fiber, span.context().span_id());
        span.end(None);
    }

    /// Makes a span the current one of the fiber that runs.
    pub(super) fn enter(&self, fiber: u64, context: SpanContext) {
        exemplar::set_current(reference(&context));
        self.tracer.contexts().push(fiber, context);
    }

    /// The opposite of [`Self::enter`]. Another fiber than the one that runs may end a span of its own; what is current
    /// here stays.
    pub(super) fn leave(&self, fiber: u64, span: SpanId) {
        if let Some(current) = self.tracer.contexts().pop(fiber, span) {
            exemplar::set_current(current.as_ref().and_then(reference));
        }
    }
}

/// What an exemplar says of a span; one that is not sent has none.
pub(super) fn reference(context: &SpanContext) -> Option<TraceRef> {
    (context.is_valid() && context.is_sampled()).then(|| TraceRef {
        trace_id: context.trace_id().to_bytes(),
        span_id: context.span_id().to_bytes(),
    })
}
