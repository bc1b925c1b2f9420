//! What listens to the buses of events: `start` and `finish`, as ActiveSupport calls them.

use crate::error::Result;
use crate::helpers::arguments::Arguments;
use crate::helpers::guard::answering;
use crate::helpers::jump::{call_with, Jump};
use crate::helpers::method::{class, define_recording};
use crate::helpers::payload::HashPayload;
use crate::helpers::text::with_name;
use crate::helpers::{fiber, telemetry};
use magnus::rb_sys::AsRawValue;
use magnus::value::ReprValue;
use magnus::{function, Module, Object, RHash, RModule, RString, Ruby, Value};
use std::cell::RefCell;
use tasker_telemetry_core::telemetry::{Done, Open};

/// Takes events in.
#[magnus::wrap(class = "TaskerTelemetry::Native::Subscriber", free_immediately, size)]
pub struct Subscriber;

/// An event whose end has not been told.
struct Frame {
    /// The payload is the same object at both ends, and on Ruby's stack in between.
    payload: usize,
    fiber: u64,
    open: Open,
}

/// Deeper than events nest. The ends of what is above were lost, since another subscriber raised at the beginning.
const DEEPEST: usize = 1024;

thread_local! {
    static FRAMES: RefCell<Vec<Frame>> = const { RefCell::new(Vec::new()) };
    /// Whether the event about to be published has a block, and its payload.
    static PUBLISHING: RefCell<(usize, bool)> = const { RefCell::new((0, false)) };
}

pub fn init(ruby: &Ruby, native: RModule) -> std::result::Result<(), magnus::Error> {
    let class = class::<Subscriber>(ruby, native, "Subscriber")?;
    define_recording(class, c"start", start);
    define_recording(class, c"finish", finish);
    native.const_set("SUBSCRIBER", ruby.obj_wrap(Subscriber))?;
    native.define_singleton_method("take_event", function!(take, 2))?;
    native.define_singleton_method("publishing", function!(publishing, 2))?;
    Ok(())
}

/// The event's name, its id, which is not needed, and its payload.
fn event(ruby: &Ruby, arguments: &Arguments<'_>) -> Option<(RString, RHash, usize)> {
    let name = RString::from_value(*arguments.positional.first()?)?;
    let payload = arguments
        .positional
        .get(2)
        .copied()
        .or(arguments.keywords.map(ReprValue::as_value))?;
    // Whoever publishes may hand over anything; what is no Hash has nothing to tell.
    let hash = RHash::from_value(payload).unwrap_or_else(|| ruby.hash_new());
    Some((name, hash, payload.as_raw() as usize))
}

fn start(ruby: &Ruby, _: &Subscriber, arguments: &Arguments<'_>) -> std::result::Result<(), Jump> {
    let Some((name, hash, payload)) = event(ruby, arguments) else {
        return Ok(());
    };
    let own_block = PUBLISHING.with_borrow(|(published, block)| (*published == payload).then_some(*block));
    let telemetry = telemetry();
    let tracing = telemetry.tracing();
    let reading = HashPayload::new(ruby, hash, tracing.redactor());
    let fiber = fiber::number();
    let open = with_name(name, |name| telemetry.begin(name, &reading, fiber, own_block));
    if let Some(open) = open.flatten() {
        FRAMES.with_borrow_mut(|frames| {
            if frames.len() >= DEEPEST {
                frames.drain(..DEEPEST / 2);
            }
            frames.push(Frame { payload, fiber, open });
        });
    }
    reading.finish()
}

fn finish(ruby: &Ruby, _: &Subscriber, arguments: &Arguments<'_>) -> std::result::Result<(), Jump> {
    let Some((name, hash, payload)) = event(ruby, arguments) else {
        return Ok(());
    };
    let Some(frame) = taken(payload) else { return Ok(()) };
    let telemetry = telemetry();
    let tracing = telemetry.tracing();
    let reading = HashPayload::new(ruby, hash, tracing.redactor());
    let done = telemetry.finish(frame.open, &reading);
    reading.finish()?;
    write(ruby, name, hash, done)
}

/// The frame of that payload. Those above it of the same fiber go with it: their ends will not be told.
fn taken(payload: usize) -> Option<Frame> {
    FRAMES.with_borrow_mut(|frames| {
        let index = frames.iter().rposition(|frame| frame.payload == payload)?;
        if index + 1 < frames.len() {
            let fiber = frames[index].fiber;
            let above = frames.split_off(index + 1);
            frames.extend(above.into_iter().filter(|frame| frame.fiber != fiber));
            return Some(frames.remove(index));
        }
        frames.pop()
    })
}

/// An event that happens now. Answers whether anybody took it.
fn take(ruby: &Ruby, name: RString, payload: Value) -> Result<bool> {
    answering(|| {
        let hash = RHash::from_value(payload).unwrap_or_else(|| ruby.hash_new());
        let telemetry = telemetry();
        let tracing = telemetry.tracing();
        let reading = HashPayload::new(ruby, hash, tracing.redactor());
        let fiber = fiber::number();
        let Some(done) = with_name(name, |name| telemetry.take(name, &reading, fiber)) else {
            return Ok(false);
        };
        reading.finish()?;
        let taken = done.taken;
        write(ruby, name, hash, done)?;
        Ok(taken)
    })
}

/// Told before an event is published by `TaskerTelemetry.instrument`, which knows whether there is a block.
fn publishing(payload: Value, block: bool) {
    PUBLISHING.set((payload.as_raw() as usize, block));
}

/// Hands an event to the log, which is Ruby's.
fn write(ruby: &Ruby, name: RString, payload: RHash, done: Done) -> std::result::Result<(), Jump> {
    let Some(line) = done.line else { return Ok(()) };
    let (trace_id, span_id) = match line.context {
        Some(context) => (
            Some(context.trace_id().to_string()),
            Some(context.span_id().to_string()),
        ),
        None => (None, None),
    };
    let objects = [
        name.as_value(),
        payload.as_value(),
        ruby.into_value(trace_id),
        ruby.into_value(span_id),
        ruby.into_value(line.duration),
        ruby.into_value(line.end_ns),
    ];
    call_with(c"log_event", objects.map(AsRawValue::as_raw))?;
    Ok(())
}
