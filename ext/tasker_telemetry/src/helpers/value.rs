//! Core values as Ruby objects.

#![allow(unsafe_code)]

use crate::error::{Error, Result};
use magnus::rb_sys::{AsRawValue as _, FromRawValue};
use magnus::value::ReprValue;
use magnus::{IntoValue, RString, Ruby, Value};
use magnus_0_8::rb_sys::AsRawValue;
use rb_sys::macros::RB_SYMBOL_P;
use serde::Serialize;
use tasker_telemetry_core::metric::{Descriptor, Kind};
use tasker_telemetry_core::snapshot::{self, HistogramValue};

/// Whatever serde can describe: structs become Hashes with Symbol keys.
///
/// serde_magnus is built on an older magnus, so the object crosses as a bare `VALUE`.
pub fn serialized<T: Serialize>(data: &T) -> Result<Value> {
    // SAFETY: native methods hold the GVL.
    let ruby = unsafe { magnus_0_8::Ruby::get_unchecked() };
    match serde_magnus::serialize::<_, magnus_0_8::Value>(&ruby, data) {
        // SAFETY: the object was just made, and stays on the stack.
        Ok(value) => Ok(unsafe { Value::from_raw(value.as_raw()) }),
        Err(error) => Err(Error::Native(error.to_string().into())),
    }
}

/// A series' value: Integer where the total is whole, else Float; of a histogram count:, sum: and buckets:.
pub fn value(ruby: &Ruby, descriptor: &Descriptor, value: &snapshot::Value) -> Result<Value> {
    Ok(match value {
        snapshot::Value::Counter(count) => match count.as_integer() {
            Some(integer) => ruby.into_value(integer),
            None => ruby.into_value(count.as_f64()),
        },
        snapshot::Value::Gauge(gauge) => ruby.into_value(*gauge),
        snapshot::Value::Histogram(histogram) => {
            let buckets = ruby.hash_new();
            if let Some(bounds) = &descriptor.buckets {
                for (upper, total) in histogram.cumulative(bounds) {
                    buckets.aset(upper, total)?;
                }
            }
            let whole = ruby.hash_new();
            whole.aset(ruby.to_symbol("count"), histogram.count())?;
            whole.aset(ruby.to_symbol("sum"), histogram.sum)?;
            whole.aset(ruby.to_symbol("buckets"), buckets)?;
            whole.into_value_with(ruby)
        }
    })
}

/// The value of a series that was never recorded.
pub fn zero(descriptor: &Descriptor) -> snapshot::Value {
    match descriptor.kind {
        Kind::Counter => snapshot::Value::Counter(snapshot::Count::default()),
        Kind::Gauge(_) => snapshot::Value::Gauge(0.0),
        Kind::Histogram => snapshot::Value::Histogram(HistogramValue {
            buckets: vec![
                0;
                descriptor
                    .buckets
                    .as_ref()
                    .map_or(0, |buckets| buckets.bounds().len() + 1)
            ],
            sum: 0.0,
        }),
    }
}

/// The name of an event, which may be a Symbol. `None` for anything else.
pub fn event_name(value: Value) -> Option<RString> {
    let raw = value.as_raw();
    // SAFETY: the GVL is held; a Symbol's name is a String that lives as long as the Symbol, which is on the stack.
    let name = unsafe {
        if RB_SYMBOL_P(raw) {
            Value::from_raw(rb_sys::rb_sym2str(raw))
        } else {
            value
        }
    };
    RString::from_value(name)
}

/// Name of an object's class, for a message: unlike `inspect` it runs no Ruby code and shows nothing of the content.
pub fn class_name(value: Value) -> String {
    // SAFETY: the name is copied before Ruby runs again.
    unsafe { value.classname() }.into_owned()
}
