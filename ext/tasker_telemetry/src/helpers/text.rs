//! The text of Ruby values, as valid UTF-8.

#![allow(unsafe_code)]

use super::jump::{rescue, Jump};
use magnus::rb_sys::AsRawValue;
use magnus::{RString, Ruby, Value};
use rb_sys::macros::{ENCODING_GET, RB_SYMBOL_P, RB_TYPE_P, RSTRING_LEN, RSTRING_PTR};
use rb_sys::{ruby_value_type::RUBY_T_STRING, Qnil, VALUE};
use std::slice;

/// The bytes of a String that need no transcoding: UTF-8, its subset ASCII, or bytes of no encoding.
///
/// # Safety
/// The GVL is held, and `string` is a String; the bytes are valid until Ruby runs.
#[inline]
pub unsafe fn utf8<'a>(string: VALUE) -> Option<&'a [u8]> {
    // SAFETY: see above.
    unsafe {
        let encoding = ENCODING_GET(string);
        let known = encoding == rb_sys::rb_utf8_encindex()
            || encoding == rb_sys::rb_usascii_encindex()
            || encoding == rb_sys::rb_ascii8bit_encindex();
        known.then(|| slice::from_raw_parts(RSTRING_PTR(string).cast::<u8>(), RSTRING_LEN(string) as usize))
    }
}

/// Bytes as text, if they are. Nearly all are ASCII, which is found out in a fraction of the time.
#[inline]
pub fn valid(bytes: &[u8]) -> Option<&str> {
    if bytes.is_ascii() {
        // SAFETY: ASCII is UTF-8.
        return Some(unsafe { std::str::from_utf8_unchecked(bytes) });
    }
    std::str::from_utf8(bytes).ok()
}

/// The text of any value, by `to_s` where Ruby has to be asked; valid UTF-8 whatever it held.
pub fn text(ruby: &Ruby, value: Value) -> Result<Result<String, String>, Jump> {
    let raw = value.as_raw();
    // SAFETY: the GVL is held; `raw` is in the keywords of the running method. What may raise is protected.
    unsafe {
        let string = if RB_TYPE_P(raw, RUBY_T_STRING) {
            raw
        } else if RB_SYMBOL_P(raw) {
            rb_sys::rb_sym2str(raw)
        } else {
            match rescue(ruby, || rb_sys::rb_obj_as_string(raw))? {
                Ok(string) => string,
                Err(error) => return Ok(Err(error)),
            }
        };
        let string = if utf8(string).is_some() {
            string
        } else {
            let replace = rb_sys::ruby_econv_flag_type::RUBY_ECONV_INVALID_REPLACE as i32
                | rb_sys::ruby_econv_flag_type::RUBY_ECONV_UNDEF_REPLACE as i32;
            let encoded = rescue(ruby, || {
                let target = rb_sys::rb_enc_from_encoding(rb_sys::rb_utf8_encoding());
                rb_sys::rb_str_encode(string, target, replace, Qnil as VALUE)
            })?;
            // Of an encoding without a converter the bytes are taken for UTF-8.
            encoded.unwrap_or(string)
        };
        Ok(Ok(lossy(string)))
    }
}

/// The text of a String.
///
/// # Safety
/// The GVL is held, and `string` is a String.
pub unsafe fn lossy(string: VALUE) -> String {
    // SAFETY: the bytes are copied before Ruby runs again.
    let bytes = unsafe { slice::from_raw_parts(RSTRING_PTR(string).cast::<u8>(), RSTRING_LEN(string) as usize) };
    owned(bytes)
}

/// Bytes as text. Nearly all are valid, which is found out faster than what is wrong with the others.
#[inline]
pub fn owned(bytes: &[u8]) -> String {
    match valid(bytes) {
        Some(text) => text.to_owned(),
        None => String::from_utf8_lossy(bytes).into_owned(),
    }
}

/// Lends the text of a String that is valid UTF-8; `None` for another. `body` must have done with it before Ruby runs.
pub fn with_name<T>(string: RString, body: impl FnOnce(&str) -> T) -> Option<T> {
    // SAFETY: the GVL is held; whoever is lent the text has promised.
    let bytes = unsafe { utf8(string.as_raw()) }?;
    valid(bytes).map(body)
}
