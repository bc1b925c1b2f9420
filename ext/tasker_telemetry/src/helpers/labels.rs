//! Label values from keywords to the packed key that the core looks up.
//!
//! The fast path reads Symbols, Strings, small Integers, true, false and nil where they stand and runs no Ruby code.
//! Everything else is converted to owned text first, since a `to_s` may do anything: raise, fork, or record into the
//! same metric. Only then is the core called.

#![allow(unsafe_code)]

use super::jump::{protect, Jump};
use super::registry;
use super::text::{lossy, text, utf8};
use super::value::class_name;
use magnus::rb_sys::{AsRawValue, FromRawValue};
use magnus::{RHash, Ruby, Value};
use rb_sys::macros::{FIX2LONG, FIXNUM_P, RB_SYMBOL_P, RB_TYPE_P};
use rb_sys::{ruby_value_type::RUBY_T_STRING, st_retval, Qfalse, Qnil, Qtrue, Qundef, VALUE};
use std::cell::Cell;
use std::ffi::c_int;
use tasker_telemetry_core::metric::LabelKey;

/// Why labels could not be packed.
pub enum Refusal {
    /// Not the declared set; these were given.
    Names(Vec<String>),
    /// A value that cannot be turned into text.
    Value {
        /// The label.
        label: String,
        /// Class of what its `to_s` raised.
        error: String,
    },
}

/// The declared labels of a metric, in declared order.
pub struct Labels(Box<[Label]>);

struct Label {
    name: String,
    /// The name as the Symbol that callers write.
    symbol: VALUE,
}

// SAFETY: `symbol` belongs to an ID, and Ruby neither frees nor moves a Symbol that has one. It is used with the GVL only.
unsafe impl Send for Labels {}
// SAFETY: as above.
unsafe impl Sync for Labels {}

impl Labels {
    /// Labels of these names.
    pub fn new(names: &[String]) -> Self {
        let label = |name: &String| Label {
            name: name.clone(),
            // SAFETY: the GVL is held; the name was checked by the core, so it is ASCII.
            symbol: unsafe {
                rb_sys::rb_id2sym(rb_sys::rb_intern3(
                    name.as_ptr().cast(),
                    name.len() as _,
                    rb_sys::rb_utf8_encoding(),
                ))
            },
        };
        Self(names.iter().map(label).collect())
    }

    /// The names as Symbols.
    pub fn symbols(&self) -> impl Iterator<Item = Value> + '_ {
        // SAFETY: such Symbols live for ever.
        self.0.iter().map(|label| unsafe { Value::from_raw(label.symbol) })
    }

    /// Packs the values and hands them to `body`, which must not call Ruby.
    #[inline(always)]
    pub fn packed<T>(
        &self,
        ruby: &Ruby,
        keywords: Option<RHash>,
        body: impl FnOnce(&LabelKey) -> T,
    ) -> Result<Result<T, Refusal>, Jump> {
        let mut packing = Packing::begin();
        if !self.fill(keywords, &mut packing) {
            packing.end();
            // Conversion may come back here through a `to_s`, so it does not hold the buffer.
            let values = match self.convert(ruby, keywords)? {
                Ok(values) => values,
                Err(refusal) => return Ok(Err(refusal)),
            };
            packing = Packing::begin();
            for value in values {
                packing.push(&value);
            }
        }
        for _ in 0..packing.cut {
            registry().cut_label();
        }
        let result = body(&packing.key);
        packing.end();
        Ok(Ok(result))
    }

    /// Packs what needs no Ruby code; `false` when there is more to it.
    #[inline(always)]
    fn fill(&self, keywords: Option<RHash>, packing: &mut Packing) -> bool {
        let Some(keywords) = keywords else {
            return self.0.is_empty();
        };
        let keywords = keywords.as_raw();
        for label in &self.0 {
            // SAFETY: the GVL is held. Looking up a Symbol compares by identity: it runs no Ruby code.
            let value = unsafe { rb_sys::rb_hash_lookup2(keywords, label.symbol, Qundef as VALUE) };
            // SAFETY: the value is in a Hash that the running method was called with.
            if value == Qundef as VALUE || !unsafe { push_native(packing, value) } {
                return false;
            }
        }
        // SAFETY: the GVL is held, and it is a Hash.
        unsafe { rb_sys::rb_hash_size_num(keywords) as usize == self.0.len() }
    }

    #[cold]
    fn convert(&self, ruby: &Ruby, keywords: Option<RHash>) -> Result<Result<Vec<String>, Refusal>, Jump> {
        let keywords = keywords.unwrap_or_else(|| ruby.hash_new());
        if keywords.len() != self.0.len() {
            return Ok(Err(Refusal::Names(names(keywords)?)));
        }
        let mut values = Vec::with_capacity(self.0.len());
        for label in &self.0 {
            // SAFETY: such a Symbol lives for ever.
            let symbol = unsafe { Value::from_raw(label.symbol) };
            let found = keywords.get(symbol).or_else(|| keywords.get(ruby.str_new(&label.name)));
            let Some(value) = found else {
                return Ok(Err(Refusal::Names(names(keywords)?)));
            };
            match text(ruby, value)? {
                Ok(value) => values.push(value),
                Err(error) => {
                    return Ok(Err(Refusal::Value {
                        label: label.name.clone(),
                        error,
                    }))
                }
            }
        }
        Ok(Ok(values))
    }
}

/// A key in the making.
struct Packing {
    key: LabelKey,
    /// Values that were too long.
    cut: u32,
}

/// The allocation that keys are packed into. A call takes it and gives it back, so a nested call finds none and makes
/// its own.
struct Buffer(Cell<Vec<u8>>);

// SAFETY: it is used with the GVL only; the extension does not declare itself safe for Ractors, so there is one GVL.
unsafe impl Sync for Buffer {}

static BUFFER: Buffer = Buffer(Cell::new(Vec::new()));

/// A larger allocation is not kept.
const KEPT_BYTES: usize = 64 * 1024;

impl Packing {
    #[inline]
    fn begin() -> Self {
        Self {
            key: LabelKey::reusing(BUFFER.0.take()),
            cut: 0,
        }
    }

    #[inline]
    fn end(self) {
        let buffer = self.key.into_buffer();
        if buffer.capacity() <= KEPT_BYTES {
            BUFFER.0.set(buffer);
        }
    }

    #[inline]
    fn push(&mut self, value: &str) {
        self.cut += u32::from(self.key.push(value));
    }
}

/// Appends a value whose text is known without running Ruby code.
///
/// # Safety
/// The GVL is held, and `value` is alive.
#[inline]
unsafe fn push_native(packing: &mut Packing, value: VALUE) -> bool {
    if FIXNUM_P(value) {
        // SAFETY: it is a fixnum.
        packing.push(itoa::Buffer::new().format(unsafe { FIX2LONG(value) }));
        return true;
    }
    // SAFETY: it is alive, so its type can be asked; a Symbol's name lives as long as the Symbol.
    let string = unsafe {
        if RB_TYPE_P(value, RUBY_T_STRING) {
            value
        } else if RB_SYMBOL_P(value) {
            rb_sys::rb_sym2str(value)
        } else {
            let name = match value {
                _ if value == Qnil as VALUE => "",
                _ if value == Qtrue as VALUE => "true",
                _ if value == Qfalse as VALUE => "false",
                _ => return false,
            };
            packing.push(name);
            return true;
        }
    };
    // SAFETY: it is a String.
    let Some(bytes) = (unsafe { utf8(string) }) else {
        return false;
    };
    match std::str::from_utf8(bytes) {
        Ok(value) => packing.push(value),
        Err(_) => packing.cut += u32::from(packing.key.push_bytes(bytes)),
    }
    true
}

/// The names of keywords, for a message.
fn names(keywords: RHash) -> Result<Vec<String>, Jump> {
    let mut names = Vec::new();
    // SAFETY: the GVL is held, and `name` is called during this call alone, with `names`.
    protect(|| unsafe {
        rb_sys::rb_hash_foreach(keywords.as_raw(), Some(name), (&raw mut names) as VALUE);
        Qnil as VALUE
    })?;
    Ok(names)
}

unsafe extern "C" fn name(key: VALUE, _value: VALUE, names: VALUE) -> c_int {
    // SAFETY: `names` passes its own Vec, and the key is in the Hash that is walked.
    unsafe {
        let names = &mut *(names as *mut Vec<String>);
        names.push(if RB_SYMBOL_P(key) {
            lossy(rb_sys::rb_sym2str(key))
        } else if RB_TYPE_P(key, RUBY_T_STRING) {
            lossy(key)
        } else {
            class_name(Value::from_raw(key))
        });
    }
    st_retval::ST_CONTINUE as c_int
}
