//! Keys of payloads as the Symbols that Ruby knows them by.

#![allow(unsafe_code)]

use rb_sys::VALUE;
use std::cell::RefCell;
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

/// The Symbol's name, which lives as long as the Symbol.
pub fn string(symbol: VALUE) -> VALUE {
    // SAFETY: the GVL is held, and it is a Symbol.
    unsafe { rb_sys::rb_sym2str(symbol) }
}
