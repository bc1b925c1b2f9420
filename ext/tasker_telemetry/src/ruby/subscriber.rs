//! What listens to the buses of events: `start`, `finish` and `publish`, as ActiveSupport calls them.

use crate::error::Result;
use crate::helpers::arguments::Arguments;
use crate::helpers::guard::answering;
use crate::helpers::held::{self, Held, Stack};
use crate::helpers::jump::{ask, call_with, Jump};
use crate::helpers::method::{class, define_recording};
use crate::helpers::payload::HashPayload;
use crate::helpers::text::with_name;
use crate::helpers::value::event_name;
use crate::helpers::{fiber, field, telemetry};
use crate::ruby::events::routed;
use magnus::gc::Marker;
use magnus::rb_sys::AsRawValue;
use magnus::value::ReprValue;
use magnus::{function, DataTypeFunctions, Module, Object, RArray, RHash, RModule, RString, Ruby, Value};
use rb_sys::VALUE;
use std::cell::Cell;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tasker_telemetry_core::telemetry::{Done, Open, Tracing};
use tasker_telemetry_core::trace::{self, SpanId};

/// Takes events in.
#[derive(magnus::TypedData)]
#[magnus(class = "TaskerTelemetry::Native::Subscriber", free_immediately, size, mark)]
pub struct Subscriber;

impl DataTypeFunctions for Subscriber {
    fn mark(&self, marker: &Marker) {
        held::mark(marker);
    }
}

/// An event whose end has not been told.
struct Frame {
    /// The payload is the same object at both ends.
    payload: VALUE,
    fiber: u64,
    open: Open,
    /// The foreign span around it, which is ours for as long as it lasts.
    joined: Option<SpanId>,
}

/// Deeper than events nest. The ends of what is above were lost, since another subscriber raised at the beginning.
const DEEPEST: usize = 1024;

/// Whether another library makes spans too.
static BESIDE_ANOTHER: AtomicBool = AtomicBool::new(false);

/// No payload.
const NOTHING: (VALUE, bool) = (0, false);

thread_local! {
    static FRAMES: Stack<Frame> = Stack::new();
    /// The payload of the event about to be published, and whether that has a block. It is on Ruby's stack until then.
    static PUBLISHING: Cell<(VALUE, bool)> = const { Cell::new(NOTHING) };
}

impl Held for Frame {
    fn object(&self) -> VALUE {
        self.payload
    }
}

pub fn init(ruby: &Ruby, native: RModule) -> std::result::Result<(), magnus::Error> {
    let class = class::<Subscriber>(ruby, native, "Subscriber")?;
    define_recording(class, c"start", start);
    define_recording(class, c"finish", finish);
    define_recording(class, c"publish", publish);
    native.const_set("SUBSCRIBER", ruby.obj_wrap(Subscriber))?;
    native.define_singleton_method("take_event", function!(take, 2))?;
    native.define_singleton_method("join_foreign", function!(join_foreign, 0))?;
    native.define_singleton_method("publishing", function!(publishing, 3))?;
    Ok(())
}

/// The event's name, its id, which is not needed, and its payload.
fn event(ruby: &Ruby, arguments: &Arguments<'_>) -> Option<(RString, RHash, VALUE)> {
    let name = event_name(*arguments.positional.first()?)?;
    let payload = arguments
        .positional
        .get(2)
        .copied()
        .or(arguments.keywords.map(ReprValue::as_value))?;
    // Whoever publishes may hand over anything; what is no Hash has nothing to tell.
    let hash = RHash::from_value(payload).unwrap_or_else(|| ruby.hash_new());
    Some((name, hash, payload.as_raw()))
}

fn start(ruby: &Ruby, _: &Subscriber, arguments: &Arguments<'_>) -> std::result::Result<(), Jump> {
    let Some((name, hash, payload)) = event(ruby, arguments) else {
        return Ok(());
    };
    let (published, block) = PUBLISHING.replace(NOTHING);
    let own_block = (published == payload).then_some(block);
    let telemetry = telemetry();
    let tracing = telemetry.tracing();
    let reading = HashPayload::new(ruby, hash, tracing.redactor());
    let fiber = fiber::number();
    let joined = join(name, &tracing, fiber)?;
    let open = with_name(name, |name| telemetry.begin(&tracing, name, &reading, fiber, own_block));
    if let Some(open) = open.flatten() {
        with_frames(|frames| {
            if frames.len() >= DEEPEST {
                frames
                    .drain(..DEEPEST / 2)
                    .for_each(|frame| telemetry.abandon(&frame.open));
            }
            frames.push(Frame {
                payload,
                fiber,
                open,
                joined,
            });
        });
    } else {
        part(&tracing, fiber, joined);
    }
    reading.finish()
}

/// Makes the current span of another library current here, where none of ours is and the event is routed.
fn join(name: RString, tracing: &Tracing, fiber: u64) -> std::result::Result<Option<SpanId>, Jump> {
    let asked = BESIDE_ANOTHER.load(Ordering::Relaxed)
        && tracing.tracer().is_enabled()
        && tracing.current(fiber).is_none()
        && routed(name);
    if !asked {
        return Ok(None);
    }
    let Some(pair) = RArray::from_value(ask(c"foreign_trace")?) else {
        return Ok(None);
    };
    let word = |index| -> Option<String> { pair.entry::<Option<String>>(index).ok().flatten() };
    let context = word(0).and_then(|parent| trace::propagation::extract(&parent, word(1).as_deref()));
    let Some(context) = context else { return Ok(None) };
    let span = context.span_id();
    tracing.tracer().contexts().push(fiber, context);
    Ok(Some(span))
}

/// Leaves what was joined.
fn part(tracing: &Tracing, fiber: u64, joined: Option<SpanId>) {
    if let Some(span) = joined {
        tracing.tracer().contexts().pop(fiber, span);
    }
}

/// Told once another library that makes spans is loaded.
fn join_foreign() {
    BESIDE_ANOTHER.store(true, Ordering::Relaxed);
}

fn finish(ruby: &Ruby, _: &Subscriber, arguments: &Arguments<'_>) -> std::result::Result<(), Jump> {
    let Some((name, hash, payload)) = event(ruby, arguments) else {
        return Ok(());
    };
    let Some(frame) = taken(payload) else { return Ok(()) };
    let telemetry = telemetry();
    let tracing = telemetry.tracing();
    let reading = HashPayload::new(ruby, hash, tracing.redactor());
    let done = telemetry.finish(&tracing, &frame.open, &reading);
    part(&tracing, frame.fiber, frame.joined);
    reading.finish()?;
    write(ruby, name, hash, done)
}

/// `body` must not call Ruby.
fn with_frames<T>(body: impl FnOnce(&mut Vec<Frame>) -> T) -> T {
    FRAMES.with(|frames| frames.with(body))
}

/// In a child that was forked: no other thread will tell the end of anything.
pub fn after_fork_child() {
    FRAMES.with(Stack::survive);
}

/// The frame of that payload. Those above it of the same fiber go with it: their ends will not be told.
fn taken(payload: VALUE) -> Option<Frame> {
    with_frames(|frames| {
        let index = frames.iter().rposition(|frame| frame.payload == payload)?;
        if index + 1 < frames.len() {
            let fiber = frames[index].fiber;
            for frame in frames.split_off(index + 1) {
                if frame.fiber == fiber {
                    telemetry().abandon(&frame.open);
                } else {
                    frames.push(frame);
                }
            }
            return Some(frames.remove(index));
        }
        frames.pop()
    })
}

/// What ActiveSupport::Notifications.publish passes on, which told no start: started, finished, id and payload, or a
/// payload alone. `publish_event` comes here too.
fn publish(ruby: &Ruby, _: &Subscriber, arguments: &Arguments<'_>) -> std::result::Result<(), Jump> {
    let Some((name, given)) = arguments.positional.split_first() else {
        return Ok(());
    };
    let Some(name) = event_name(*name) else {
        return Ok(());
    };
    let payload = arguments.keywords.map(ReprValue::as_value).or(given.last().copied());
    let told = match given {
        [started, finished, _, _] => told(ruby, *started, *finished)?,
        _ => None,
    };
    take_past(ruby, name, payload, told).map(drop)
}

/// Beginning and end in nanoseconds since the epoch. Monotonic times are numbers, of which only the difference says
/// anything.
fn told(ruby: &Ruby, started: Value, finished: Value) -> std::result::Result<Option<(i64, i64)>, Jump> {
    let times = (
        field::time(ruby, started.as_raw())?,
        field::time(ruby, finished.as_raw())?,
    );
    if let (Some(started), Some(finished)) = times {
        return Ok((started <= finished).then_some((started, finished)));
    }
    let number = |value: Value| field::scalar(value.as_raw()).flatten()?.number();
    let took = number(started).zip(number(finished)).map(|(from, to)| to - from);
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |now| now.as_nanos() as i64);
    Ok(took
        .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok())
        .and_then(|took| now.checked_sub_unsigned(took.as_nanos().try_into().ok()?))
        .map(|began| (began, now)))
}

/// An event that happens now. Answers whether anybody took it.
fn take(ruby: &Ruby, name: RString, payload: Value) -> Result<bool> {
    answering(|| Ok(take_past(ruby, name, Some(payload), None)?))
}

fn take_past(
    ruby: &Ruby,
    name: RString,
    payload: Option<Value>,
    told: Option<(i64, i64)>,
) -> std::result::Result<bool, Jump> {
    let hash = payload.and_then(RHash::from_value).unwrap_or_else(|| ruby.hash_new());
    let telemetry = telemetry();
    let tracing = telemetry.tracing();
    let reading = HashPayload::new(ruby, hash, tracing.redactor());
    let fiber = fiber::number();
    let joined = join(name, &tracing, fiber)?;
    let done = with_name(name, |name| telemetry.take(&tracing, name, &reading, fiber, told));
    part(&tracing, fiber, joined);
    let Some(done) = done else { return Ok(false) };
    reading.finish()?;
    let taken = done.taken;
    write(ruby, name, hash, done)?;
    Ok(taken)
}

/// Told right before an event is published by `TaskerTelemetry.instrument`, which knows whether there is a block.
fn publishing(name: Value, payload: Value, block: bool) {
    // Of what is not routed no start is told, and another payload may come to stand at the same place.
    if RString::from_value(name).is_some_and(routed) {
        PUBLISHING.set((payload.as_raw(), block));
    }
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
