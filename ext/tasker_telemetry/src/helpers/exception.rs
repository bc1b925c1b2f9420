//! What an exception has to say. It is code of the application's that says it.

#![allow(unsafe_code)]

use super::field::shortened;
use super::jump::{rescue, Jump};
use super::text::{lossy, text};
use super::value::class_name;
use magnus::rb_sys::FromRawValue;
use magnus::{Ruby, Value};
use rb_sys::macros::{NIL_P, RARRAY_LEN, RB_TYPE_P};
use rb_sys::{ruby_value_type::RUBY_T_ARRAY, ruby_value_type::RUBY_T_STRING, Qtrue, VALUE};
use std::borrow::Cow;
use std::ffi::CStr;
use tasker_telemetry_core::event::ErrorInfo;

/// Lines of a backtrace that are kept, at most.
const BACKTRACE_LINES: usize = 30;

/// Bytes of a message that are kept, at most.
const MESSAGE_BYTES: usize = 16_384;

/// A message, or the part of it that is kept.
pub fn message(text: &str) -> Cow<'static, str> {
    Cow::Owned(shortened(text.as_bytes(), MESSAGE_BYTES))
}

/// Whether it is one.
pub fn is(value: VALUE) -> bool {
    // SAFETY: the GVL is held, and the value is alive.
    unsafe { rb_sys::rb_obj_is_kind_of(value, rb_sys::rb_eException) == Qtrue as VALUE }
}

/// Class, message and backtrace of an exception, which has to be alive.
pub fn read(ruby: &Ruby, exception: VALUE) -> Result<ErrorInfo<'static>, Jump> {
    let said = match call(ruby, exception, c"message")? {
        // SAFETY: Ruby has just given it, and it is on the stack.
        Some(said) => text(ruby, unsafe { Value::from_raw(said) })?.unwrap_or_default(),
        None => String::new(),
    };
    Ok(ErrorInfo {
        // SAFETY: the exception is alive.
        class: Cow::Owned(class_name(unsafe { Value::from_raw(exception) })),
        message: message(&said),
        backtrace: backtrace(ruby, exception)?,
    })
}

/// `None` for nil, and for what raises.
fn call(ruby: &Ruby, receiver: VALUE, method: &CStr) -> Result<Option<VALUE>, Jump> {
    // SAFETY: the GVL is held; what raises is rescued.
    let called = rescue(ruby, || unsafe {
        rb_sys::rb_funcallv(receiver, rb_sys::rb_intern(method.as_ptr()), 0, std::ptr::null())
    })?;
    Ok(called.ok().filter(|value| !NIL_P(*value)))
}

fn backtrace(ruby: &Ruby, exception: VALUE) -> Result<Vec<Cow<'static, str>>, Jump> {
    let Some(lines) = call(ruby, exception, c"backtrace")? else {
        return Ok(Vec::new());
    };
    // SAFETY: the type is asked first, and no Ruby code runs while the lines are copied.
    unsafe {
        if !RB_TYPE_P(lines, RUBY_T_ARRAY) {
            return Ok(Vec::new());
        }
        Ok((0..(RARRAY_LEN(lines) as usize).min(BACKTRACE_LINES))
            .map(|index| rb_sys::rb_ary_entry(lines, index as _))
            .filter(|line| RB_TYPE_P(*line, RUBY_T_STRING))
            .map(|line| Cow::Owned(lossy(line)))
            .collect())
    }
}
