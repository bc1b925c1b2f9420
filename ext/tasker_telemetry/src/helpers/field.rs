//! One value of a payload.
//!
//! Scalars are read where they stand. Anything else may take Ruby code (`to_s`, `to_time`), which may raise or take
//! long; what it raises makes the value one that cannot be read.

#![allow(unsafe_code)]

use super::jump::{rescue, Jump};
use super::nested::render;
use super::text::{lossy, owned, text, utf8};
use super::value::class_name;
use magnus::rb_sys::FromRawValue;
use magnus::{Ruby, Value as RubyValue};
use rb_sys::macros::{
    FIX2LONG, FIXNUM_P, FLONUM_P, RB_FLOAT_TYPE_P, RB_SYMBOL_P, RB_TYPE_P, RSTRING_LEN, SPECIAL_CONST_P,
};
use rb_sys::ruby_value_type as Type;
use rb_sys::{Qfalse, Qnil, Qtrue, Qundef, VALUE};
use std::borrow::Cow;
use tasker_telemetry_core::event::{without_cut_url, Redactor, Value};

/// Bytes of a value that are kept, at most.
pub const VALUE_BYTES: usize = 4096;

/// Digits of larger numbers take long to find.
const MOST_BITS: usize = 256;

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
    if let Some(number) = fraction(ruby, value)? {
        return Ok(Some(Value::Float(number)));
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
                _ => integer(value).map(|integer| Some(Value::Int(integer))),
            };
        };
        let bytes = utf8(string)?;
        // What lies in Ruby's memory may move or go when Ruby runs, so it is copied.
        Some(Some(Value::Text(Cow::Owned(cut(bytes)))))
    }
}

/// An Integer that is no fixnum, but has room in 64 bits.
#[cold]
fn integer(value: VALUE) -> Option<i64> {
    // SAFETY: the GVL is held and the value is alive; its bits are copied.
    unsafe {
        if !RB_TYPE_P(value, Type::RUBY_T_BIGNUM) {
            return None;
        }
        let mut integer = 0i64;
        let flags =
            rb_sys::INTEGER_PACK_LSWORD_FIRST | rb_sys::INTEGER_PACK_NATIVE_BYTE_ORDER | rb_sys::INTEGER_PACK_2COMP;
        let sign = rb_sys::rb_integer_pack(
            value,
            (&raw mut integer).cast(),
            1,
            size_of::<i64>() as _,
            0,
            flags as i32,
        );
        // 2 and -2: it overflows. With 1 the upper bit may be one of the number's own.
        (sign.abs() == 1 && (sign < 0) == (integer < 0)).then_some(integer)
    }
}

fn cut(bytes: &[u8]) -> String {
    shortened(bytes, VALUE_BYTES)
}

/// The beginning of a text, of `most` bytes, in which nothing stands that the redactor would not recognize.
pub fn shortened(bytes: &[u8], most: usize) -> String {
    if bytes.len() <= most {
        return owned(bytes);
    }
    let text = String::from_utf8_lossy(&bytes[..most]);
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

/// A Rational, as near as a float comes.
fn fraction(ruby: &Ruby, value: VALUE) -> Result<Option<f64>, Jump> {
    // SAFETY: the GVL is held and the value is alive; what may raise is rescued.
    unsafe {
        if !RB_TYPE_P(value, Type::RUBY_T_RATIONAL) {
            return Ok(None);
        }
        let float = rescue(ruby, || rb_sys::rb_Float(value))?;
        Ok(float.ok().map(|float| rb_sys::rb_float_value(float)))
    }
}

/// What an object says of itself, unless it has nothing to say but what it consists of: its class, its address, the
/// inspected contents of a Struct.
pub fn described(ruby: &Ruby, value: VALUE) -> Result<Option<String>, Jump> {
    // SAFETY: the GVL is held, and the value is alive.
    unsafe {
        if RB_TYPE_P(value, Type::RUBY_T_STRING) {
            let said = text(ruby, RubyValue::from_raw(beginning(value)))?;
            return Ok(said.ok().map(|text| cut(text.as_bytes())));
        }
        if RB_TYPE_P(value, Type::RUBY_T_CLASS) || RB_TYPE_P(value, Type::RUBY_T_MODULE) {
            let name = rb_sys::rb_mod_name(value);
            return Ok(RB_TYPE_P(name, Type::RUBY_T_STRING).then(|| cut(lossy(name).as_bytes())));
        }
        if RB_TYPE_P(value, Type::RUBY_T_BIGNUM) && is_huge(value) {
            let bits = rb_sys::rb_absint_numwords(value, 1, std::ptr::null_mut());
            return Ok(Some(format!("[Integer of {bits} bits]")));
        }
        // ActiveSupport gives Arrays a `to_s` that is not Ruby's own.
        if RB_TYPE_P(value, Type::RUBY_T_ARRAY) || RB_TYPE_P(value, Type::RUBY_T_HASH) {
            return Ok(None);
        }
        let class = rb_sys::rb_obj_class(value);
        let is_cores = rb_sys::rb_method_basic_definition_p(class, rb_sys::rb_intern(c"to_s".as_ptr())) != 0;
        if is_cores && inspects_much(value) {
            return Ok(None);
        }
        let said = text(ruby, RubyValue::from_raw(value))?;
        Ok(said
            .ok()
            .filter(|said| !is_cores || !said.starts_with("#<"))
            .map(|said| cut(said.as_bytes())))
    }
}

/// The part of a String that is enough for a value, whatever its encoding.
///
/// # Safety
/// The GVL is held, and `string` is a String.
unsafe fn beginning(string: VALUE) -> VALUE {
    // A character takes four bytes at most in any encoding, and one at least in UTF-8.
    let most = 4 * (VALUE_BYTES + 1) as std::ffi::c_long;
    // SAFETY: see above.
    unsafe {
        if RSTRING_LEN(string) <= most {
            return string;
        }
        rb_sys::rb_str_subseq(string, 0, most)
    }
}

/// Whether Ruby's own `to_s` shows everything that is in there, or calculates for long.
///
/// # Safety
/// The GVL is held, and `value` is alive.
unsafe fn inspects_much(value: VALUE) -> bool {
    // SAFETY: see above; of a Range, its ends are read where they stand.
    unsafe {
        if rb_sys::rb_obj_is_kind_of(value, rb_sys::rb_cRange) == Qtrue as VALUE {
            let (mut first, mut last, mut exclusive) = (Qnil as VALUE, Qnil as VALUE, 0);
            rb_sys::rb_range_values(value, &raw mut first, &raw mut last, &raw mut exclusive);
            return [first, last].into_iter().any(|end| is_huge(end) || is_nested(end));
        }
        if RB_TYPE_P(value, Type::RUBY_T_COMPLEX) {
            return is_huge(rb_sys::rb_complex_real(value)) || is_huge(rb_sys::rb_complex_imag(value));
        }
        is_nested(value)
    }
}

/// # Safety
/// The GVL is held, and `value` is alive.
unsafe fn is_nested(value: VALUE) -> bool {
    // SAFETY: see above.
    [Type::RUBY_T_ARRAY, Type::RUBY_T_HASH, Type::RUBY_T_STRUCT]
        .into_iter()
        .any(|kind| unsafe { RB_TYPE_P(value, kind) })
}

/// # Safety
/// The GVL is held, and `value` is alive.
unsafe fn is_huge(value: VALUE) -> bool {
    // SAFETY: see above.
    unsafe {
        if RB_TYPE_P(value, Type::RUBY_T_RATIONAL) {
            return is_huge(rb_sys::rb_rational_num(value)) || is_huge(rb_sys::rb_rational_den(value));
        }
        RB_TYPE_P(value, Type::RUBY_T_BIGNUM)
            && rb_sys::rb_absint_numwords(value, 1, std::ptr::null_mut()) > MOST_BITS as _
    }
}
