//! Messages `KeyValue`.

use super::fields::{chosen_bytes, chosen_number, fixed64, nested, text};
use crate::event;
use crate::trace::limits::Limits;
use opentelemetry::{Array, KeyValue, Value};

/// The first field of a `KeyValue`, for a key that stands before many values.
pub(in crate::trace) struct EncodedKey(Box<[u8]>);

impl EncodedKey {
    pub(in crate::trace) fn new(key: &str) -> Self {
        let mut out = Vec::with_capacity(key.len() + 3);
        text(1, key, &mut out);
        Self(out.into())
    }
}

/// Writes the attributes of one span, event or link, as many as there may be.
pub(in crate::trace) struct Writer<'a> {
    field: u32,
    limits: &'a Limits,
    room: usize,
    dropped: u32,
    out: &'a mut Vec<u8>,
}

impl<'a> Writer<'a> {
    pub(super) fn new(field: u32, limits: &'a Limits, room: usize, out: &'a mut Vec<u8>) -> Self {
        Self {
            field,
            limits,
            room,
            dropped: 0,
            out,
        }
    }

    pub(super) fn add_all(&mut self, attributes: &[KeyValue]) {
        for attribute in attributes {
            let limits = self.limits;
            self.write(|out| {
                text(1, attribute.key.as_str(), out);
                nested(2, out, |out| value(&attribute.value, limits, out));
            });
        }
    }

    /// Adds what was read from a payload.
    pub(in crate::trace) fn add(&mut self, key: &EncodedKey, value: &event::Value<'_>) {
        let limits = self.limits;
        self.write(|out| {
            out.extend_from_slice(&key.0);
            nested(2, out, |out| read(value, limits, out));
        });
    }

    fn write(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        match self.room.checked_sub(1) {
            Some(room) => {
                self.room = room;
                nested(self.field, self.out, write);
            }
            None => self.dropped += 1,
        }
    }

    /// How many there was no room for.
    pub(super) fn dropped(&self) -> u32 {
        self.dropped
    }
}

/// Writes the attributes of an event or link, and answers how many were dropped.
pub(super) fn within(field: u32, limits: &Limits, attributes: &[KeyValue], out: &mut Vec<u8>) -> u32 {
    let mut writer = Writer::new(field, limits, limits.nested_attributes, out);
    writer.add_all(attributes);
    writer.dropped()
}

/// A message `AnyValue`. It is a choice, so what is empty or zero is written as well.
fn value(value: &Value, limits: &Limits, out: &mut Vec<u8>) {
    match value {
        Value::String(text) => string(text.as_str(), limits, out),
        Value::Bool(value) => chosen_number(BOOL, u64::from(*value), out),
        Value::I64(value) => chosen_number(INT, *value as u64, out),
        Value::F64(value) => fixed64(DOUBLE, value.to_bits(), out),
        Value::Array(list) => nested(ARRAY, out, |out| array(list, limits, out)),
        // What the crate may come to know says how it is printed.
        other => string(&other.as_str(), limits, out),
    }
}

/// The same, of what was read from a payload.
fn read(value: &event::Value<'_>, limits: &Limits, out: &mut Vec<u8>) {
    match value {
        event::Value::Text(text) => string(text, limits, out),
        event::Value::Bool(value) => chosen_number(BOOL, u64::from(*value), out),
        event::Value::Int(value) => chosen_number(INT, *value as u64, out),
        event::Value::Float(value) => fixed64(DOUBLE, value.to_bits(), out),
        time @ event::Value::Time(_) => string(&time.clone().into_text(), limits, out),
    }
}

const STRING: u32 = 1;
const BOOL: u32 = 2;
const INT: u32 = 3;
const DOUBLE: u32 = 4;
const ARRAY: u32 = 5;

fn string(text: &str, limits: &Limits, out: &mut Vec<u8>) {
    chosen_bytes(STRING, limits.text(text).as_bytes(), out);
}

fn array(array: &Array, limits: &Limits, out: &mut Vec<u8>) {
    match array {
        Array::Bool(all) => each(all, out, |item, out| chosen_number(BOOL, u64::from(*item), out)),
        Array::I64(all) => each(all, out, |item, out| chosen_number(INT, *item as u64, out)),
        Array::F64(all) => each(all, out, |item, out| fixed64(DOUBLE, item.to_bits(), out)),
        Array::String(all) => each(all, out, |item, out| string(item.as_str(), limits, out)),
        _ => {}
    }
}

fn each<T>(all: &[T], out: &mut Vec<u8>, value: impl Fn(&T, &mut Vec<u8>)) {
    for item in all {
        nested(1, out, |out| value(item, out));
    }
}
