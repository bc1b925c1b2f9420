//! Keys of payloads and the Symbols that Ruby knows them by.

#![allow(unsafe_code)]

use super::text::{utf8, valid};
use rb_sys::macros::STATIC_SYM_P;
use rb_sys::VALUE;
use std::cell::{Cell, RefCell};
use tasker_telemetry_core::event::Key;

/// By the key's number; 0 where nobody asked yet. The keys are those of the catalogue and of mappings, so they are few.
struct Table(RefCell<Vec<VALUE>>);

// SAFETY: it is used with the GVL only, and no borrow of it outlives a call into Ruby that could switch threads.
unsafe impl Sync for Table {}

static TABLE: Table = Table(RefCell::new(Vec::new()));

/// Ruby neither frees nor moves a Symbol that has an ID.
#[inline]
pub fn symbol(key: Key) -> VALUE {
    let index = key.index();
    match TABLE.0.borrow().get(index) {
        Some(&symbol) if symbol != 0 => return symbol,
        _ => {}
    }
    learn(key)
}

#[cold]
fn learn(key: Key) -> VALUE {
    let name = key.name();
    // SAFETY: the GVL is held; the name is UTF-8.
    let symbol = unsafe {
        rb_sys::rb_id2sym(rb_sys::rb_intern3(
            name.as_ptr().cast(),
            name.len() as _,
            rb_sys::rb_utf8_encoding(),
        ))
    };
    let mut table = TABLE.0.borrow_mut();
    let index = key.index();
    if table.len() <= index {
        table.resize(index + 1, 0);
    }
    table[index] = symbol;
    symbol
}

/// Names of Symbols that stand in the code, so that Ruby never frees them: a copy of each, for good. Written once each, and
/// few, whatever a payload brings.
struct Names([Cell<(VALUE, &'static str)>; NAMES]);

const NAMES: usize = 1024;
/// Bytes of a name that is copied, at most.
const LONGEST_NAME: usize = 256;

// SAFETY: it is used with the GVL only, and Ruby is not called between reading and writing.
unsafe impl Sync for Names {}

static COPIES: Names = Names([const { Cell::new((0, "")) }; NAMES]);

/// The name of a Symbol, if it is remembered or can be: a Symbol that was made of a String has no such name.
#[inline]
pub fn name(symbol: VALUE) -> Option<&'static str> {
    let place = &COPIES.0[(symbol >> 8) as usize % NAMES];
    let (known, name) = place.get();
    if known == symbol {
        return Some(name);
    }
    (known == 0 && STATIC_SYM_P(symbol)).then(|| copy(place, symbol))?
}

#[cold]
fn copy(place: &Cell<(VALUE, &'static str)>, symbol: VALUE) -> Option<&'static str> {
    // SAFETY: the GVL is held; the bytes are copied before Ruby runs.
    let name = unsafe { utf8(string(symbol)) }.and_then(valid)?;
    if name.len() > LONGEST_NAME {
        return None;
    }
    let name: &'static str = Box::leak(Box::from(name));
    place.set((symbol, name));
    Some(name)
}

/// The Symbol's name, which lives as long as the Symbol.
pub fn string(symbol: VALUE) -> VALUE {
    // SAFETY: the GVL is held, and it is a Symbol.
    unsafe { rb_sys::rb_sym2str(symbol) }
}
