//! The garbage collector's figures of this process.
//!
//! Ruby has an event for the end of a collection, but as long as anybody listens to it, Ruby 3.1 makes each new object
//! of the whole application on a slow path, which costs 12 to 23 ns. So we listen by being marked: an object that is
//! not protected by write barriers is marked by every collection, minor ones too.

#![allow(unsafe_code)]

use super::jump::{protect, Jump};
use super::registry;
use rb_sys::{rb_data_type_t, VALUE};
use std::ffi::c_void;
use std::mem::zeroed;
use std::sync::OnceLock;

/// `:time`, as `GC.stat` names it.
static TIME: OnceLock<VALUE> = OnceLock::new();

/// Has every collection of this process and of its children reported, so that the figures of every live process are
/// in the arena without a thread that would poll them.
pub fn install() -> Result<(), Jump> {
    // SAFETY: an all-zero type is one without functions and flags.
    let mut listener: rb_data_type_t = unsafe { zeroed() };
    listener.wrap_struct_name = c"tasker_telemetry/collections".as_ptr();
    listener.function.dmark = Some(collected);
    // As long as its object: for ever.
    let listener: &'static rb_data_type_t = Box::leak(Box::new(listener));
    // SAFETY: the GVL is held while the extension is loaded. The object's data is never read; it is not null because
    // Ruby does not mark null.
    protect(|| unsafe {
        let time = rb_sys::rb_id2sym(rb_sys::rb_intern(c"time".as_ptr()));
        // Ruby interns the keys of GC.stat at the first call, which must not happen during a collection.
        rb_sys::rb_gc_stat(time);
        let _ = TIME.set(time);
        let object = rb_sys::rb_data_typed_object_wrap(0, (&raw const TIME).cast_mut().cast(), listener);
        rb_sys::rb_gc_register_mark_object(object);
        object
    })?;
    record();
    Ok(())
}

/// Takes the figures as they are. To be called with the GVL.
pub fn record() {
    if let Some(time) = TIME.get() {
        // SAFETY: the GVL is held; both read a number of the collector's own, and allocate nothing.
        let (count, millis) = unsafe { (rb_sys::rb_gc_count(), rb_sys::rb_gc_stat(*time)) };
        registry().record_gc(count, millis * 1_000_000);
    }
}

/// Runs inside the collector: nothing here may allocate, raise or take a lock. The collection that is running is counted,
/// its time is not yet.
unsafe extern "C" fn collected(_data: *mut c_void) {
    record();
}
