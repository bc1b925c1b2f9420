//! Which fiber runs.

#![allow(unsafe_code)]

use rb_sys::macros::{FIX2LONG, FIXNUM_P};
use rb_sys::VALUE;
use std::sync::atomic::{AtomicI64, Ordering};

static NEXT: AtomicI64 = AtomicI64::new(1);

/// A number of the current fiber's own. Ruby keeps it with the fiber, so it is never another's, whatever the garbage
/// collector moves or frees.
#[inline]
pub fn number() -> u64 {
    // SAFETY: the GVL is held.
    unsafe {
        let thread = rb_sys::rb_thread_current();
        let name = name();
        let known = rb_sys::rb_thread_local_aref(thread, name);
        if FIXNUM_P(known) {
            return FIX2LONG(known) as u64;
        }
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        rb_sys::rb_thread_local_aset(thread, name, rb_sys::rb_int2inum(number as _) as VALUE);
        number as u64
    }
}

#[inline]
unsafe fn name() -> rb_sys::ID {
    static NAME: std::sync::OnceLock<rb_sys::ID> = std::sync::OnceLock::new();
    // SAFETY: the GVL is held, and interning that name runs no Ruby code.
    *NAME.get_or_init(|| unsafe { rb_sys::rb_intern(c"__tasker_telemetry_fiber__".as_ptr()) })
}
