//! The garbage collector's figures of this process.

#![allow(unsafe_code)]

use super::registry;
use magnus::{rb_sys::protect, Error, Ruby};
use rb_sys::VALUE;
use std::ffi::c_void;
use std::ptr::null_mut;
use std::sync::OnceLock;

/// `:time`, as `GC.stat` names it.
static TIME: OnceLock<VALUE> = OnceLock::new();

/// Has Ruby report each step of its garbage collector, so that the figures of every live process are in the arena
/// without a thread that would poll them.
pub fn install(_ruby: &Ruby) -> Result<(), Error> {
    // SAFETY: the GVL is held while the extension is loaded; the hook is a plain function that is never unloaded.
    protect(|| unsafe {
        let time = rb_sys::rb_id2sym(rb_sys::rb_intern(c"time".as_ptr()));
        // Ruby interns the keys of GC.stat at the first call; the hook may not.
        rb_sys::rb_gc_stat(time);
        let _ = TIME.set(time);
        let hook = rb_sys::rb_tracepoint_new(0, rb_sys::RUBY_INTERNAL_EVENT_GC_EXIT, Some(collected), null_mut());
        rb_sys::rb_gc_register_mark_object(hook);
        rb_sys::rb_tracepoint_enable(hook)
    })?;
    Ok(())
}

/// Runs inside the collector: nothing here may allocate, raise or take a lock.
unsafe extern "C" fn collected(_event: VALUE, _data: *mut c_void) {
    if let Some(time) = TIME.get() {
        // SAFETY: both read a number of the collector's own.
        let (count, millis) = unsafe { (rb_sys::rb_gc_count(), rb_sys::rb_gc_stat(*time)) };
        registry().record_gc(count, millis * 1_000_000);
    }
}
