//! A span that the application began, and what is current.

use crate::error::{Error, Result};
use crate::helpers::arguments::Arguments;
use crate::helpers::guard::answering;
use crate::helpers::jump::Jump;
use crate::helpers::method::{class, define, define_recording};
use crate::helpers::payload::{asked, HashPayload};
use crate::helpers::text::text;
use crate::helpers::{exception, fiber, field, telemetry};
use magnus::rb_sys::AsRawValue;
use magnus::value::ReprValue;
use magnus::{function, IntoValue, Object, RHash, RModule, RString, Ruby, Value};
use parking_lot::Mutex;
use tasker_telemetry_core::trace::{self, Beginning, SpanContext, SpanKind, Status};

/// A piece of work in a trace. Any thread may tell of it and end it.
#[magnus::wrap(class = "TaskerTelemetry::Span", free_immediately, size)]
pub struct Span {
    /// Never held while Ruby runs.
    span: Mutex<trace::Span>,
    /// Where it is current.
    fiber: u64,
}

pub fn init(ruby: &Ruby, module: RModule, native: RModule) -> std::result::Result<(), magnus::Error> {
    let class = class::<Span>(ruby, module, "Span")?;
    define_recording(class, c"[]=", set_attribute);
    define_recording(class, c"set_attribute", set_attribute);
    define_recording(class, c"add_event", add_event);
    define_recording(class, c"record_exception", record_exception);
    define_recording(class, c"error!", fail);
    define_recording(class, c"name=", rename);
    define_recording(class, c"finish", finish);
    define(class, c"trace_id", |ruby, span: &Span, arguments| {
        arguments.expect_nothing()?;
        Ok(ruby.into_value(span.context().trace_id().to_string()))
    });
    define(class, c"span_id", |ruby, span: &Span, arguments| {
        arguments.expect_nothing()?;
        Ok(ruby.into_value(span.context().span_id().to_string()))
    });
    define(class, c"recording?", |ruby, span: &Span, arguments| {
        arguments.expect_nothing()?;
        Ok(ruby.into_value(span.span.lock().is_recording()))
    });
    define(class, c"traceparent", |ruby, span: &Span, arguments| {
        arguments.expect_nothing()?;
        Ok(ruby.into_value(trace::propagation::traceparent(&span.context())))
    });
    native.define_singleton_method("start_span", function!(start, -1))?;
    native.define_singleton_method("failed_span", function!(failed, 5))?;
    native.define_singleton_method("traces?", function!(enabled, 0))?;
    native.define_singleton_method("tracing?", function!(inside, 0))?;
    native.define_singleton_method("current_trace", function!(current, 0))?;
    native.define_singleton_method("trace_headers", function!(headers, 0))?;
    Ok(())
}

impl Span {
    fn context(&self) -> SpanContext {
        self.span.lock().context().clone()
    }
}

/// Begins a span, which is current in this fiber until it ends. The arguments are its name, its attributes (a Hash or
/// nil), its kind, and the traceparent and tracestate of its parent, where that is not the current span.
fn start(ruby: &Ruby, arguments: &[Value]) -> Result<Value> {
    answering(|| {
        let argument = |index: usize| arguments.get(index).copied().filter(|value| !value.is_nil());
        let words = |index| argument(index).map(|value| owned(ruby, value)).transpose();
        let tracing = telemetry().tracing();
        let name = words(0)?.unwrap_or_default();
        let kind = kind(words(2)?.as_deref().unwrap_or("internal"))?;
        let (traceparent, tracestate) = (words(3)?, words(4)?);
        let remote = traceparent.and_then(|parent| trace::propagation::extract(&parent, tracestate.as_deref()));
        let hash = argument(1)
            .and_then(RHash::from_value)
            .unwrap_or_else(|| ruby.hash_new());
        let attributes = HashPayload::new(ruby, hash, tracing.redactor());
        let fiber = fiber::number();
        let name = tracing.redactor().text(&name).into_owned();
        let span = tracing.start(name, kind, remote, fiber, &attributes);
        attributes.finish()?;
        let span = Mutex::new(span);
        Ok(ruby.obj_wrap(Span { span, fiber }).into_value_with(ruby))
    })
}

/// A span that is over: it began at that time, in nanoseconds since the epoch, and what it raised ends it. It was never
/// current.
fn failed(ruby: &Ruby, name: String, attributes: RHash, kind: String, began: i64, error: Value) -> Result<()> {
    answering(|| {
        let tracing = telemetry().tracing();
        let payload = HashPayload::new(ruby, attributes, tracing.redactor());
        let beginning = Beginning {
            at: Some(began),
            attributes: tracing.attributes().of(&payload),
            ..Beginning::default()
        };
        payload.finish()?;
        let around = tracing.current(fiber::number());
        let tracer = tracing.tracer();
        let mut span = tracer.start_with(name, self::kind(&kind)?, around.as_ref(), beginning);
        if exception::is(error.as_raw()) {
            let error = exception::read(ruby, error.as_raw())?;
            trace::fail(tracing.redactor(), &error, &mut span);
        }
        span.end(None);
        Ok(())
    })
}

/// A `to_s` that raises has nothing to say.
fn owned(ruby: &Ruby, value: Value) -> std::result::Result<String, Jump> {
    Ok(text(ruby, value)?.unwrap_or_default())
}

fn kind(name: &str) -> Result<SpanKind> {
    Ok(match name {
        "internal" => SpanKind::Internal,
        "server" => SpanKind::Server,
        "client" => SpanKind::Client,
        "producer" => SpanKind::Producer,
        "consumer" => SpanKind::Consumer,
        other => {
            return Err(Error::Argument(format!(
                "a span's kind cannot be {other:?}; accepted: internal, server, client, producer, consumer"
            )))
        }
    })
}

fn set_attribute(ruby: &Ruby, this: &Span, arguments: &Arguments<'_>) -> std::result::Result<(), Jump> {
    let [name, value] = arguments.positional else {
        return Ok(());
    };
    if !this.span.lock().is_recording() {
        return Ok(());
    }
    let tracing = telemetry().tracing();
    let name = owned(ruby, *name)?;
    let value = asked(ruby, &name, value.as_raw())?;
    let Some(value) = field::read(ruby, &name, value, tracing.redactor())? else {
        return Ok(());
    };
    let attribute = tracing.attributes().one(&name, value);
    this.span.lock().set_attribute(attribute.key, attribute.value);
    Ok(())
}

fn add_event(ruby: &Ruby, this: &Span, arguments: &Arguments<'_>) -> std::result::Result<(), Jump> {
    let Some(name) = arguments.positional.first() else {
        return Ok(());
    };
    if !this.span.lock().is_recording() {
        return Ok(());
    }
    let tracing = telemetry().tracing();
    let name = tracing.redactor().text(&owned(ruby, *name)?).into_owned();
    let given = arguments.positional.get(1).and_then(|value| RHash::from_value(*value));
    let attributes = match given.or(arguments.keywords) {
        Some(hash) => {
            let payload = HashPayload::new(ruby, hash, tracing.redactor());
            let attributes = tracing.attributes().of(&payload);
            payload.finish()?;
            attributes
        }
        None => Vec::new(),
    };
    this.span.lock().add_event(name, None, attributes);
    Ok(())
}

/// The span has failed by that exception.
fn record_exception(ruby: &Ruby, this: &Span, arguments: &Arguments<'_>) -> std::result::Result<(), Jump> {
    let Some(given) = arguments
        .positional
        .first()
        .filter(|given| exception::is(given.as_raw()))
    else {
        return Ok(());
    };
    if !this.span.lock().is_recording() {
        return Ok(());
    }
    let tracing = telemetry().tracing();
    let error = exception::read(ruby, given.as_raw())?;
    trace::fail(tracing.redactor(), &error, &mut this.span.lock());
    Ok(())
}

/// The span has failed, with a message or without.
fn fail(ruby: &Ruby, this: &Span, arguments: &Arguments<'_>) -> std::result::Result<(), Jump> {
    let message = match arguments.positional.first() {
        Some(message) if !message.is_nil() => owned(ruby, *message)?,
        _ => String::new(),
    };
    let message = telemetry().tracing().redactor().text(&message).into_owned();
    this.span.lock().set_status(Status::error(message));
    Ok(())
}

fn rename(ruby: &Ruby, this: &Span, arguments: &Arguments<'_>) -> std::result::Result<(), Jump> {
    let [name] = arguments.positional else { return Ok(()) };
    let name = telemetry().tracing().redactor().text(&owned(ruby, *name)?).into_owned();
    this.span.lock().set_name(name);
    Ok(())
}

fn finish(_: &Ruby, this: &Span, _: &Arguments<'_>) -> std::result::Result<(), Jump> {
    telemetry().tracing().end(&mut this.span.lock(), this.fiber);
    Ok(())
}

fn enabled() -> bool {
    telemetry().tracing().tracer().is_enabled()
}

fn here() -> Option<SpanContext> {
    telemetry().tracing().current(fiber::number())
}

fn inside() -> bool {
    here().is_some()
}

/// Ids of the current span, and whether its trace is kept.
fn current(_: &Ruby) -> Option<(String, String, bool)> {
    here().map(|context| {
        (
            context.trace_id().to_string(),
            context.span_id().to_string(),
            context.is_sampled(),
        )
    })
}

/// W3C's traceparent and tracestate.
fn headers(ruby: &Ruby) -> Option<(Option<RString>, Option<RString>)> {
    let context = here()?;
    let written = |text: Option<String>| text.map(|text| ruby.str_new(&text));
    Some((
        written(trace::propagation::traceparent(&context)),
        written(trace::propagation::tracestate(&context)),
    ))
}
