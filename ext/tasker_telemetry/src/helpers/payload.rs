//! A Ruby Hash as the core's payload: keys are looked up by Symbol, then by String.
//!
//! Reading a value may take Ruby code, which may change the Hash itself. What merely passes through it (`throw`,
//! `Thread#kill`) is kept, and raised on once the core is done.

#![allow(unsafe_code)]

use super::exception;
use super::field::{self, VALUE_BYTES};
use super::jump::{filtered, rescue, Jump};
use super::symbols;
use super::text::{lossy, text, utf8, valid};
use magnus::rb_sys::{AsRawValue, FromRawValue};
use magnus::{RHash, Ruby, Value as RubyValue};
use rb_sys::macros::{NIL_P, RARRAY_LEN, RB_SYMBOL_P, RB_TYPE_P};
use rb_sys::ruby_value_type as Type;
use rb_sys::{st_retval, Qnil, Qundef, VALUE};
use std::borrow::Cow;
use std::cell::Cell;
use std::ffi::c_int;
use std::mem::MaybeUninit;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::LazyLock;
use tasker_telemetry_core::event::{intern, ErrorInfo, Key, Payload, Redactor, Value, TIMES};

/// Where an exception may stand.
struct ErrorKeys {
    object: Key,
    exception: Key,
    classes: [Key; 2],
    messages: [Key; 2],
    /// The bits of all of them.
    bits: u64,
}

static ERROR_KEYS: LazyLock<ErrorKeys> = LazyLock::new(|| {
    let (object, exception) = (intern("exception_object"), intern("exception"));
    let classes = [intern("exception_class"), intern("error_class")];
    let messages = [intern("error_message"), intern("error")];
    let all = [object, exception].into_iter().chain(classes).chain(messages);
    ErrorKeys {
        object,
        exception,
        classes,
        messages,
        bits: bits(all),
    }
});

static TIME_BITS: LazyLock<u64> = LazyLock::new(|| bits(TIMES));

/// Whether the application has filters that only Ruby can apply.
static ASKS: AtomicBool = AtomicBool::new(false);

/// Has every value of a payload shown to `TaskerTelemetry.filter_value` first.
pub fn ask(asks: bool) {
    ASKS.store(asks, Ordering::Relaxed);
}

/// The value, or what the application's filters put in its place. One that they cannot be asked about is not shown.
pub fn asked(ruby: &Ruby, name: &str, value: VALUE) -> Result<VALUE, Jump> {
    if !ASKS.load(Ordering::Relaxed) {
        return Ok(value);
    }
    Ok(rescue(ruby, || filtered(name, value))?.unwrap_or(Qnil as VALUE))
}

/// How many entries are looked through one by one; in a larger Hash they are looked up.
const FEW: usize = 24;

/// The payload that the running method was called with. It is on Ruby's stack, and this is too, so the garbage
/// collector finds the values here even when somebody takes them out of the Hash meanwhile.
pub struct HashPayload<'a> {
    ruby: &'a Ruby,
    hash: VALUE,
    redactor: &'a Redactor,
    /// Keys and values, of a Hash that has few: most of what is asked for is not there, and to find that out here takes
    /// a fraction of a lookup. Read when something is first asked for: of most events nothing is, at their beginning.
    few: [Cell<MaybeUninit<(VALUE, VALUE)>>; FEW],
    walked: Cell<Option<Walked>>,
    jump: Cell<Option<Jump>>,
}

/// What is known of a Hash whose few entries have been read.
#[derive(Clone, Copy)]
struct Walked {
    count: usize,
    /// A bit for each Symbol that may be there.
    symbols: u64,
    is_whole: bool,
    has_string_keys: bool,
}

impl Walked {
    /// Whether there is none of the Symbols with these bits.
    #[inline]
    fn lacks(&self, bits: u64) -> bool {
        self.symbols & bits == 0 && self.is_whole && !self.has_string_keys
    }
}

/// One of 64, for a Symbol. The lowest bits are the same in all.
#[inline]
fn bit(symbol: VALUE) -> u64 {
    1 << ((symbol >> 8).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 58)
}

fn bits(keys: impl IntoIterator<Item = Key>) -> u64 {
    let bits = keys.into_iter().map(|key| bit(symbols::symbol(key)));
    bits.fold(0, |bits, bit| bits | bit)
}

/// The name of what is in the keys of a Hash; `None` for what is no name. One that lies in Ruby's memory is copied, since
/// reading a value may run Ruby.
#[inline]
fn name(key: VALUE) -> Option<Cow<'static, str>> {
    if let Some(name) = symbols::name(key) {
        return Some(Cow::Borrowed(name));
    }
    // SAFETY: the key is alive, and so is a Symbol's name, which is a String.
    unsafe {
        if RB_SYMBOL_P(key) {
            Some(Cow::Owned(lossy(symbols::string(key))))
        } else if RB_TYPE_P(key, Type::RUBY_T_STRING) {
            Some(Cow::Owned(lossy(key)))
        } else {
            None
        }
    }
}

/// The text of a String or Symbol that can be shown where it stands, until Ruby runs.
///
/// # Safety
/// The GVL is held, and `value` is alive.
#[inline]
unsafe fn lent<'t>(value: VALUE) -> Option<&'t str> {
    // SAFETY: see above.
    unsafe {
        let string = if RB_SYMBOL_P(value) {
            symbols::string(value)
        } else if RB_TYPE_P(value, Type::RUBY_T_STRING) {
            value
        } else {
            return None;
        };
        let text = valid(utf8(string)?)?;
        (text.len() <= VALUE_BYTES).then_some(text)
    }
}

impl<'a> HashPayload<'a> {
    /// Reads `hash`.
    #[inline]
    pub fn new(ruby: &'a Ruby, hash: RHash, redactor: &'a Redactor) -> Self {
        Self {
            ruby,
            hash: hash.as_raw(),
            redactor,
            few: [const { Cell::new(MaybeUninit::uninit()) }; FEW],
            walked: Cell::new(None),
            jump: Cell::new(None),
        }
    }

    #[inline]
    fn walked(&self) -> Walked {
        self.walked.get().unwrap_or_else(|| self.walk())
    }

    fn walk(&self) -> Walked {
        let mut walked = Walked {
            count: 0,
            symbols: 0,
            is_whole: true,
            has_string_keys: false,
        };
        let all = &mut walked;
        walk(self.hash, &mut |key, value| {
            // SAFETY: the key is in the Hash that is walked.
            all.has_string_keys |= unsafe { RB_TYPE_P(key, Type::RUBY_T_STRING) };
            all.is_whole = all.count < FEW;
            if all.is_whole {
                self.few[all.count].set(MaybeUninit::new((key, value)));
                all.count += 1;
                all.symbols |= bit(key);
            }
            all.is_whole || !all.has_string_keys
        });
        self.walked.set(Some(walked));
        walked
    }

    #[inline]
    fn few(&self, walked: Walked) -> impl Iterator<Item = (VALUE, VALUE)> + '_ {
        // SAFETY: as many have been written, and nobody takes them back.
        let read = |entry: &Cell<MaybeUninit<(VALUE, VALUE)>>| unsafe { entry.get().assume_init() };
        self.few[..walked.count].iter().map(read)
    }

    /// To be asked at the end: what has to be raised on.
    pub fn finish(&self) -> Result<(), Jump> {
        self.jump.take().map_or(Ok(()), Err)
    }

    #[inline]
    fn find(&self, key: Key) -> Option<VALUE> {
        let (symbol, walked) = (symbols::symbol(key), self.walked());
        if walked.lacks(bit(symbol)) {
            return None;
        }
        let value = match self.few(walked).find(|(known, _)| *known == symbol) {
            Some((_, value)) => value,
            None => self.look_up(symbol, walked),
        };
        (value != Qundef as VALUE && !NIL_P(value)).then_some(value)
    }

    #[cold]
    fn look_up(&self, symbol: VALUE, walked: Walked) -> VALUE {
        // SAFETY: the GVL is held, and the Hash is alive; a Symbol is compared by identity.
        let mut value = unsafe { rb_sys::rb_hash_lookup2(self.hash, symbol, Qundef as VALUE) };
        if value == Qundef as VALUE && walked.has_string_keys {
            // SAFETY: as above; of a String, Ruby's own hash and comparison run.
            value = unsafe { rb_sys::rb_hash_lookup2(self.hash, symbols::string(symbol), Qundef as VALUE) };
        }
        value
    }

    /// Calls `visit` with each key and value until it answers `false`.
    fn each_entry(&self, visit: &mut dyn FnMut(VALUE, VALUE) -> bool) {
        let walked = self.walked();
        if walked.is_whole {
            let _ = self.few(walked).all(|(key, value)| visit(key, value));
        } else {
            walk(self.hash, visit);
        }
    }

    /// A value that cannot be read is as if it were not there.
    fn read(&self, name: &str, value: VALUE) -> Option<Value<'_>> {
        self.kept(|| field::read(self.ruby, name, value, self.redactor))
            .flatten()
    }

    /// What was read. Once something passes through no more is read: Ruby code would hold it up.
    fn kept<T>(&self, read: impl FnOnce() -> Result<T, Jump>) -> Option<T> {
        if self.jump_is_set() {
            return None;
        }
        read().map_err(|jump| self.jump.set(Some(jump))).ok()
    }

    fn text_of(&self, value: VALUE) -> Option<String> {
        // SAFETY: the value is alive.
        self.kept(|| text(self.ruby, unsafe { RubyValue::from_raw(value) }))?
            .ok()
    }

    fn exception(&self, exception: VALUE) -> Option<ErrorInfo<'static>> {
        self.kept(|| exception::read(self.ruby, exception))
    }

    fn first_text(&self, keys: [Key; 2]) -> Option<Cow<'static, str>> {
        let value = keys.into_iter().find_map(|key| self.find(key))?;
        self.text_of(value).as_deref().map(exception::message)
    }
}

impl Payload for HashPayload<'_> {
    #[inline]
    fn get(&self, key: Key) -> Option<Value<'_>> {
        let value = self.find(key)?;
        let name = if self.redactor.has_paths() { key.name() } else { "" };
        self.read(name, value)
    }

    #[inline]
    fn lend(&self, key: Key, borrower: &mut dyn FnMut(Option<Value<'_>>)) {
        let Some(value) = self.find(key) else {
            return borrower(None);
        };
        // SAFETY: the value is alive, and no Ruby runs while the borrower has its text.
        match unsafe { lent(value) } {
            Some(text) => borrower(Some(Value::Text(Cow::Borrowed(text)))),
            None => borrower(self.get(key)),
        }
    }

    fn for_each(&self, visit: &mut dyn FnMut(&str, Value<'_>)) {
        self.each_entry(&mut |key, value| {
            let Some(name) = name(key) else { return true };
            let shown = self.kept(|| asked(self.ruby, &name, value));
            let value = shown.unwrap_or(Qnil as VALUE);
            // SAFETY: the value is alive, and no Ruby runs while the core has its text.
            let text = unsafe { lent(value) }.map(|text| Value::Text(Cow::Borrowed(text)));
            let Some(value) = text.or_else(|| self.read(&name, value)) else {
                return !self.jump_is_set();
            };
            visit(&name, value);
            true
        });
    }

    fn tells_times(&self) -> bool {
        !self.walked().lacks(*TIME_BITS)
    }

    fn error(&self) -> Option<ErrorInfo<'_>> {
        if self.walked().lacks(ERROR_KEYS.bits) {
            return None;
        }
        if let Some(exception) = self.find(ERROR_KEYS.object) {
            if exception::is(exception) {
                return self.exception(exception);
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
                        message: exception::message(&self.text_of(message).unwrap_or_default()),
                        backtrace: Vec::new(),
                    });
                }
            }
            if exception::is(pair) {
                return self.exception(pair);
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

/// Calls `visit` with each key and value of a Hash until it answers `false`.
#[inline]
fn walk(hash: VALUE, visit: &mut dyn FnMut(VALUE, VALUE) -> bool) {
    let mut visit = visit;
    // SAFETY: the GVL is held; `each` is called during this call alone, with `visit`, and never raises: whatever takes
    // Ruby code is rescued inside.
    unsafe {
        rb_sys::rb_hash_foreach(hash, Some(each), (&raw mut visit) as VALUE);
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
