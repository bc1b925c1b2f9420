//! A Ruby Hash as the core's payload: keys are looked up by Symbol, then by String.
//!
//! Scalars are read where they stand. Anything else may take Ruby code (`to_s`, `to_time`, `message`), which may raise,
//! take long or change the Hash itself; what merely passes through it (`throw`, `Thread#kill`) is kept, and raised on
//! once the core is done.

#![allow(unsafe_code)]

use super::jump::{rescue, Jump};
use super::nested::render;
use super::symbols;
use super::text::{lossy, text, utf8};
use super::value::class_name;
use magnus::rb_sys::{AsRawValue, FromRawValue};
use magnus::{RHash, Ruby, Value as RubyValue};
use rb_sys::macros::{
    FIX2LONG, FIXNUM_P, FLONUM_P, NIL_P, RARRAY_LEN, RB_FLOAT_TYPE_P, RB_SYMBOL_P, RB_TYPE_P, SPECIAL_CONST_P,
};
use rb_sys::ruby_value_type as Type;
use rb_sys::{st_retval, Qfalse, Qnil, Qtrue, Qundef, VALUE};
use std::borrow::Cow;
use std::cell::Cell;
use std::ffi::{c_int, CStr};
use tasker_telemetry_core::event::{ErrorInfo, Key, Payload, Redactor, Value};

/// Bytes of a value that are kept, at most.
const VALUE_BYTES: usize = 4096;

/// Lines of a backtrace that are kept, at most.
const BACKTRACE_LINES: usize = 30;

/// Where an exception may stand.
struct ErrorKeys {
    object: Key,
    exception: Key,
    classes: [Key; 2],
    messages: [Key; 2],
}

static ERROR_KEYS: LazyLock<ErrorKeys> = LazyLock::new(|| ErrorKeys {
    object: intern("exception_object"),
    exception: intern("exception"),
    classes: [intern("exception_class"), intern("error_class")],
    messages: [intern("error_message"), intern("error")],
});

/// The payload that the running method was called with. It is on Ruby's stack, and so are its values as long as nobody
/// takes them out of the Hash; each value is converted before Ruby runs again.
pub struct HashPayload<'a> {
    ruby: &'a Ruby,
    hash: VALUE,
    redactor: &'a Redactor,
    /// Known once a Symbol was not found.
    has_string_keys: Cell<Option<bool>>,
    jump: Cell<Option<Jump>>,
}

impl<'a> HashPayload<'a> {
    /// Reads `hash`.
    pub fn new(ruby: &'a Ruby, hash: RHash, redactor: &'a Redactor) -> Self {
        Self {
            ruby,
            hash: hash.as_raw(),
            redactor,
            has_string_keys: Cell::new(None),
            jump: Cell::new(None),
        }
    }

    /// To be asked at the end: what has to be raised on.
    pub fn finish(self) -> Result<(), Jump> {
        self.jump.take().map_or(Ok(()), Err)
    }

    fn find(&self, key: Key) -> Option<VALUE> {
        let symbol = symbols::symbol(key);
        // SAFETY: the GVL is held, and the Hash is alive; a Symbol is compared by identity.
        let mut value = unsafe { rb_sys::rb_hash_lookup2(self.hash, symbol, Qundef as VALUE) };
        if value == Qundef as VALUE && self.has_string_keys() {
            // SAFETY: as above; of a String, Ruby's own hash and comparison run.
            value = unsafe { rb_sys::rb_hash_lookup2(self.hash, symbols::string(symbol), Qundef as VALUE) };
        }
        (value != Qundef as VALUE && !NIL_P(value)).then_some(value)
    }

    fn has_string_keys(&self) -> bool {
        if let Some(known) = self.has_string_keys.get() {
            return known;
        }
        let mut found = false;
        self.walk(&mut |key, _| {
            // SAFETY: the key is in the Hash that is walked.
            found = unsafe { RB_TYPE_P(key, Type::RUBY_T_STRING) };
            !found
        });
        self.has_string_keys.set(Some(found));
        found
    }

    /// Calls `visit` with each key and value until it answers `false`.
    fn walk(&self, visit: &mut dyn FnMut(VALUE, VALUE) -> bool) {
        let mut visit = visit;
        // SAFETY: the GVL is held; `each` is called during this call alone, with `visit`. `each` never raises: whatever
        // takes Ruby code is rescued inside.
        unsafe {
            rb_sys::rb_hash_foreach(self.hash, Some(each), (&raw mut visit) as VALUE);
        }
    }

    /// A value that cannot be read is as if it were not there.
    fn read(&self, value: VALUE) -> Option<Value<'_>> {
        match self.convert(value) {
            Ok(found) => found,
            Err(jump) => {
                self.jump.set(Some(jump));
                None
            }
        }
    }

    fn convert(&self, value: VALUE) -> Result<Option<Value<'_>>, Jump> {
        if let Some(scalar) = scalar(value) {
            return Ok(scalar);
        }
        // SAFETY: the value is in the Hash; its type can be asked.
        unsafe {
            if RB_TYPE_P(value, Type::RUBY_T_HASH) || RB_TYPE_P(value, Type::RUBY_T_ARRAY) {
                return Ok(Some(Value::Text(Cow::Owned(render(
                    self.ruby,
                    value,
                    self.redactor,
                    VALUE_BYTES,
                )?))));
            }
        }
        if let Some(nanoseconds) = time(self.ruby, value)? {
            return Ok(Some(Value::Time(nanoseconds)));
        }
        Ok(described(self.ruby, value)?.map(|text| Value::Text(Cow::Owned(text))))
    }

    fn text_of(&self, value: VALUE) -> Option<String> {
        // SAFETY: the value is alive.
        match text(self.ruby, unsafe { RubyValue::from_raw(value) }) {
            Ok(found) => found.ok(),
            Err(jump) => {
                self.jump.set(Some(jump));
                None
            }
        }
    }

    fn exception(&self, exception: VALUE) -> ErrorInfo<'static> {
        ErrorInfo {
            // SAFETY: the exception is in the payload.
            class: Cow::Owned(class_name(unsafe { RubyValue::from_raw(exception) })),
            message: Cow::Owned(self.ask(exception, c"message").unwrap_or_default()),
            backtrace: self.backtrace(exception),
        }
    }

    fn ask(&self, receiver: VALUE, method: &CStr) -> Option<String> {
        self.call(receiver, method).and_then(|value| self.text_of(value))
    }

    fn call(&self, receiver: VALUE, method: &CStr) -> Option<VALUE> {
        // SAFETY: the GVL is held; what raises is rescued.
        let called = rescue(self.ruby, || unsafe {
            rb_sys::rb_funcallv(receiver, rb_sys::rb_intern(method.as_ptr()), 0, std::ptr::null())
        });
        match called {
            Ok(value) => value.ok().filter(|value| !NIL_P(*value)),
            Err(jump) => {
                self.jump.set(Some(jump));
                None
            }
        }
    }

    fn backtrace(&self, exception: VALUE) -> Vec<Cow<'static, str>> {
        let Some(lines) = self.call(exception, c"backtrace") else {
            return Vec::new();
        };
        // SAFETY: the type is asked first, and no Ruby code runs while the lines are copied.
        unsafe {
            if !RB_TYPE_P(lines, Type::RUBY_T_ARRAY) {
                return Vec::new();
            }
            (0..(RARRAY_LEN(lines) as usize).min(BACKTRACE_LINES))
                .map(|index| rb_sys::rb_ary_entry(lines, index as _))
                .filter(|line| RB_TYPE_P(*line, Type::RUBY_T_STRING))
                .map(|line| Cow::Owned(lossy(line)))
                .collect()
        }
    }

    fn first_text(&self, keys: [Key; 2]) -> Option<Cow<'static, str>> {
        let value = keys.into_iter().find_map(|key| self.find(key))?;
        self.text_of(value).map(Cow::Owned)
    }
}

impl Payload for HashPayload<'_> {
    #[inline]
    fn get(&self, key: Key) -> Option<Value<'_>> {
        self.find(key).and_then(|value| self.read(value))
    }

    fn for_each(&self, visit: &mut dyn FnMut(&str, Value<'_>)) {
        self.walk(&mut |key, value| {
            if self.jump_is_set() {
                return false;
            }
            // SAFETY: the key is in the Hash that is walked; its name is used before Ruby runs again, or owned.
            let name = unsafe {
                if RB_SYMBOL_P(key) {
                    lossy(rb_sys::rb_sym2str(key))
                } else if RB_TYPE_P(key, Type::RUBY_T_STRING) {
                    lossy(key)
                } else {
                    return true;
                }
            };
            if let Some(value) = self.read(value) {
                visit(&name, value);
            }
            true
        });
    }

    fn error(&self) -> Option<ErrorInfo<'_>> {
        if let Some(exception) = self.find(ERROR_KEYS.object) {
            // SAFETY: the GVL is held.
            if unsafe { rb_sys::rb_obj_is_kind_of(exception, rb_sys::rb_eException) } == Qtrue as VALUE {
                return Some(self.exception(exception));
            }
        }
        // ActiveSupport's own: class and message.
        if let Some(pair) = self.find(ERROR_KEYS.exception) {
            // SAFETY: the type is asked first.
            unsafe {
                if RB_TYPE_P(pair, Type::RUBY_T_ARRAY) && RARRAY_LEN(pair) == 2 {
                    let (class, message) = (rb_sys::rb_ary_entry(pair, 0), rb_sys::rb_ary_entry(pair, 1));
                    return Some(ErrorInfo {
                        class: Cow::Owned(self.text_of(class).unwrap_or_default()),
                        message: Cow::Owned(self.text_of(message).unwrap_or_default()),
                        backtrace: Vec::new(),
                    });
                }
                if rb_sys::rb_obj_is_kind_of(pair, rb_sys::rb_eException) == Qtrue as VALUE {
                    return Some(self.exception(pair));
                }
            }
        }
        let class = self.first_text(ERROR_KEYS.classes);
        let message = self.first_text(ERROR_KEYS.messages);
        if class.is_none() && message.is_none() {
            return None;
        }
        Some(ErrorInfo {
            class: class.unwrap_or(Cow::Borrowed("StandardError")),
            message: message.unwrap_or_default(),
            backtrace: Vec::new(),
        })
    }
}

impl HashPayload<'_> {
    fn jump_is_set(&self) -> bool {
        let jump = self.jump.take();
        self.jump.set(jump);
        jump.is_some()
    }
}

unsafe extern "C" fn each(key: VALUE, value: VALUE, visit: VALUE) -> c_int {
    // SAFETY: `walk` passes its own closure.
    let visit = unsafe { &mut *(visit as *mut &mut dyn FnMut(VALUE, VALUE) -> bool) };
    if visit(key, value) {
        st_retval::ST_CONTINUE as c_int
    } else {
        st_retval::ST_STOP as c_int
    }
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
    let kept = &bytes[..bytes.len().min(VALUE_BYTES)];
    let mut text = String::from_utf8_lossy(kept).into_owned();
    if kept.len() < bytes.len() {
        // A character that was cut in the middle.
        while text.ends_with('\u{FFFD}') {
            text.pop();
        }
        text.push('…');
    }
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
        if rb_sys::rb_method_basic_definition_p(rb_sys::rb_class_of(value), rb_sys::rb_intern(c"to_s".as_ptr())) != 0 {
            return Ok(None);
        }
        text(ruby, RubyValue::from_raw(value))?
    };
    Ok(said.ok().map(|text| cut(text.as_bytes())))
}
