//! One value of a payload.
//!
//! Scalars are read where they stand. Anything else may take Ruby code (`to_s`, `to_time`), which may raise or take
//! long; what it raises makes the value one that cannot be read.

#![allow(unsafe_code)]

use super::jump::{rescue, Jump};
use super::nested::render;
use super::text::{text, utf8};
use super::value::class_name;
use magnus::rb_sys::FromRawValue;
use magnus::{Ruby, Value as RubyValue};
use rb_sys::macros::{FIX2LONG, FIXNUM_P, FLONUM_P, RB_FLOAT_TYPE_P, RB_SYMBOL_P, RB_TYPE_P, SPECIAL_CONST_P};
use rb_sys::ruby_value_type as Type;
use rb_sys::{Qfalse, Qnil, Qtrue, Qundef, VALUE};
use std::borrow::Cow;
use tasker_telemetry_core::event::{without_cut_url, Redactor, Value};

/// Bytes of a value that are kept, at most.
const VALUE_BYTES: usize = 4096;

/// Reads the value of a name, which has to be alive: on Ruby's stack, or in something that is. `None` for nil, and for
/// what has nothing to say.
pub fn read<'a>(ruby: &Ruby, name: &str, value: VALUE, redactor: &Redactor) -> Result<Option<Value<'a>>, Jump> {
    if let Some(scalar) = scalar(value) {
        return Ok(scalar);
    }
    // SAFETY: the value is alive, so its type can be asked.
    let nested = unsafe { RB_TYPE_P(value, Type::RUBY_T_HASH) || RB_TYPE_P(value, Type::RUBY_T_ARRAY) };
    if nested {
        let rendered = render(ruby, value, redactor, name, VALUE_BYTES)?;
        return Ok(Some(Value::Text(Cow::Owned(rendered))));
    }
    if let Some(nanoseconds) = time(ruby, value)? {
        return Ok(Some(Value::Time(nanoseconds)));
    }
    Ok(described(ruby, value)?.map(|text| Value::Text(Cow::Owned(text))))
}

/// What can be read where it stands. The outer `None`: there is more to it. The inner: nil.
#[inline]
pub fn scalar<'a>(value: VALUE) -> Option<Option<Value<'a>>> {
    if FIXNUM_P(value) {
        // SAFETY: it is a fixnum.
        return Some(Some(Value::Int(unsafe { FIX2LONG(value) })));
    }
    // SAFETY: the GVL is held and the value is alive; no Ruby code runs before the bytes are used or owned.
    unsafe {
        if FLONUM_P(value) || (!SPECIAL_CONST_P(value) && RB_FLOAT_TYPE_P(value)) {
            return Some(Some(Value::Float(rb_sys::rb_float_value(value))));
        }
        let string = if RB_SYMBOL_P(value) {
            rb_sys::rb_sym2str(value)
        } else if RB_TYPE_P(value, Type::RUBY_T_STRING) {
            value
        } else {
            return match value {
                _ if value == Qnil as VALUE => Some(None),
                _ if value == Qtrue as VALUE => Some(Some(Value::Bool(true))),
                _ if value == Qfalse as VALUE => Some(Some(Value::Bool(false))),
                _ => None,
            };
        };
        let bytes = utf8(string)?;
        // What lies in Ruby's memory may move or go when Ruby runs, so it is copied.
        Some(Some(Value::Text(Cow::Owned(cut(bytes)))))
    }
}

fn cut(bytes: &[u8]) -> String {
    shortened(bytes, VALUE_BYTES)
}

/// The beginning of a text, of `most` bytes, in which nothing stands that the redactor would not recognize.
pub fn shortened(bytes: &[u8], most: usize) -> String {
    let kept = &bytes[..bytes.len().min(most)];
    let text = String::from_utf8_lossy(kept);
    if kept.len() == bytes.len() {
        return text.into_owned();
    }
    // The last character may have been cut in the middle.
    let mut text = without_cut_url(text.trim_end_matches('\u{FFFD}')).to_owned();
    text.push('…');
    text
}

/// Nanoseconds since the epoch of a Time, or of what says that it is one: ActiveSupport's times with a zone, DateTime.
pub fn time(ruby: &Ruby, value: VALUE) -> Result<Option<i64>, Jump> {
    // SAFETY: the GVL is held, the value is alive; what may raise is rescued.
    unsafe {
        let mut at = value;
        if rb_sys::rb_obj_is_kind_of(value, rb_sys::rb_cTime) != Qtrue as VALUE {
            if !matches!(
                class_name(RubyValue::from_raw(value)).as_str(),
                "ActiveSupport::TimeWithZone" | "DateTime" | "Time"
            ) {
                return Ok(None);
            }
            let converted = rescue(ruby, || {
                rb_sys::rb_check_funcall(value, rb_sys::rb_intern(c"to_time".as_ptr()), 0, std::ptr::null())
            })?;
            match converted {
                Ok(time)
                    if time != Qundef as VALUE
                        && rb_sys::rb_obj_is_kind_of(time, rb_sys::rb_cTime) == Qtrue as VALUE =>
                {
                    at = time;
                }
                _ => return Ok(None),
            }
        }
        let mut spec = None;
        let read = rescue(ruby, || {
            spec = Some(rb_sys::rb_time_timespec(at));
            Qnil as VALUE
        })?;
        Ok(match (read, spec) {
            (Ok(_), Some(spec)) => spec
                .tv_sec
                .checked_mul(1_000_000_000)
                .and_then(|seconds| seconds.checked_add(spec.tv_nsec)),
            _ => None,
        })
    }
}

/// What an object says of itself, unless it has nothing to say but its class and address.
pub fn described(ruby: &Ruby, value: VALUE) -> Result<Option<String>, Jump> {
    // SAFETY: the GVL is held, and the value is alive.
    let said = unsafe {
        if rb_sys::rb_method_basic_definition_p(rb_sys::rb_obj_class(value), rb_sys::rb_intern(c"to_s".as_ptr())) != 0 {
            return Ok(None);
        }
        text(ruby, RubyValue::from_raw(value))?
    };
    Ok(said.ok().map(|text| cut(text.as_bytes())))
}
