//! A span of this process, from its start to its end.

use super::encode::encode;
use super::record::{self, Priority, SpanRecord};
use super::Tracer;
use crate::clock::Moment;
use opentelemetry::trace::{Event, Link, SpanContext, Status};
use opentelemetry::{Key, KeyValue, Value};
use std::borrow::Cow;
use std::time::SystemTime;

/// Everything of a span that is recorded.
pub(super) struct Recording {
    pub(super) record: Box<SpanRecord>,
    /// When it began by the clock that nobody sets; `None` when its start was given.
    pub(super) began: Option<Moment>,
}

/// A span that has begun. Dropped without an end, it leaves nothing behind.
pub struct Span {
    pub(super) tracer: Tracer,
    pub(super) context: SpanContext,
    pub(super) recording: Option<Recording>,
    pub(super) priority: Priority,
    pub(super) generation: u32,
}

impl std::fmt::Debug for Span {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Span")
            .field("context", &self.context)
            .field("recording", &self.is_recording())
            .finish_non_exhaustive()
    }
}

impl Span {
    /// Its ids and flags, for spans inside it and for headers.
    #[must_use]
    pub fn context(&self) -> &SpanContext {
        &self.context
    }

    /// Whether what is told of it goes anywhere: the trace is sampled and the span has not ended.
    #[must_use]
    pub fn is_recording(&self) -> bool {
        self.recording.is_some()
    }

    fn change(&mut self, change: impl FnOnce(&Tracer, &mut SpanRecord)) {
        if let Some(recording) = &mut self.recording {
            change(&self.tracer, &mut recording.record);
        }
    }

    /// Tells something of it; the same key again replaces.
    pub fn set_attribute(&mut self, key: impl Into<Key>, value: impl Into<Value>) {
        self.change(|tracer, record| {
            let (key, limits) = (key.into(), tracer.limits());
            let value = limits.value(value.into());
            if let Some(attribute) = record.attributes.iter_mut().find(|attribute| attribute.key == key) {
                attribute.value = value;
            } else if record.attributes.len() < limits.attributes {
                record.attributes.push(KeyValue::new(key, value));
            } else {
                record.dropped.attributes += 1;
            }
        });
    }

    /// Gives it another name.
    pub fn set_name(&mut self, name: impl Into<Cow<'static, str>>) {
        self.change(|_, record| record.name = name.into());
    }

    /// Tells how it went. As OpenTelemetry has it, `Ok` is final, and nothing returns to `Unset`.
    pub fn set_status(&mut self, status: Status) {
        self.change(|_, record| {
            if record.status != Status::Ok && status != Status::Unset {
                record.status = status;
            }
        });
    }

    /// Adds something that happened in it, at a time or now.
    pub fn add_event(&mut self, name: impl Into<Cow<'static, str>>, at: Option<i64>, attributes: Vec<KeyValue>) {
        self.change(|tracer, record| {
            if record.events.len() < tracer.limits().events {
                let at = at.map_or_else(SystemTime::now, record::system_time);
                record.events.push(Event::new(name, at, attributes, 0));
            } else {
                record.dropped.events += 1;
            }
        });
    }

    /// Adds a span that it has to do with.
    pub fn add_link(&mut self, link: Link) {
        self.change(|tracer, record| {
            if record.links.len() < tracer.limits().links {
                record.links.push(link);
            } else {
                record.dropped.links += 1;
            }
        });
    }

    /// Ends it, at a time or now, and hands it over to be sent. Ending it again does nothing. Neither does ending in a
    /// child what its parent began: the parent ends it as well.
    pub fn end(&mut self, at: Option<i64>) {
        let Some(Recording { mut record, began }) = self.recording.take() else {
            return;
        };
        if !self.tracer.owns(self.generation) {
            return;
        }
        record.end = at
            .or_else(|| Some(record.start.saturating_add(began?.elapsed())))
            .unwrap_or_else(|| Moment::now().wall());
        let encoded = encode(&record, self.tracer.limits(), |_| {});
        self.tracer.enqueue(encoded, self.priority);
    }
}

/// The attributes of OpenTelemetry's event `exception`.
#[must_use]
pub fn exception(class: &str, message: &str, backtrace: Option<&str>) -> Vec<KeyValue> {
    let mut attributes = vec![
        KeyValue::new("exception.type", class.to_owned()),
        KeyValue::new("exception.message", message.to_owned()),
    ];
    if let Some(backtrace) = backtrace {
        attributes.push(KeyValue::new("exception.stacktrace", backtrace.to_owned()));
    }
    attributes
}
