//! Calls into Ruby code that may leave by another way than returning.

#![allow(unsafe_code)]

use super::value::class_name;
use magnus::rb_sys::{AsRawValue, FromRawValue};
use magnus::value::ReprValue;
use magnus::{Module, RArray, RClass, RModule, Ruby, Value};
use rb_sys::{Qnil, Qtrue, VALUE};
use std::ffi::{c_int, CStr};
use std::num::NonZero;

/// What a call left by: an exception, a `throw`, `Thread#kill`, `exit`. Ruby itself keeps what belongs to it, where
/// its garbage collector looks, so this is a number that hot paths can return in a register.
///
/// It is meant to be raised on: no Ruby code may run in between.
#[derive(Clone, Copy)]
pub struct Jump(NonZero<c_int>);

/// `ruby_tag_type`'s number of an exception.
const RAISE: c_int = 6;

impl Jump {
    /// As magnus has it, which raises it on when a method returns it.
    pub fn into_error(self) -> magnus::Error {
        // SAFETY: the GVL is held, and the number came from `rb_protect`. The jump ends in magnus' own protection, in
        // this very frame.
        let caught = magnus::rb_sys::protect(|| unsafe { rb_sys::rb_jump_tag(self.0.get()) });
        match caught {
            Err(error) => error,
            Ok(_) => unreachable!("rb_jump_tag returned"),
        }
    }
}

/// Runs `body`, which calls Ruby, and does not let what it raises jump over Rust's frames. A panic in `body` would end
/// the process: it may do no more than call Ruby.
pub fn protect<F: FnOnce() -> VALUE>(body: F) -> Result<VALUE, Jump> {
    let mut body = Some(body);
    let mut state = 0;
    // SAFETY: `run` is called once, during this call, with the closure that lives in this frame.
    let value = unsafe { rb_sys::rb_protect(Some(run::<F>), (&raw mut body) as VALUE, &raw mut state) };
    match NonZero::new(state) {
        None => Ok(value),
        Some(state) => Err(Jump(state)),
    }
}

unsafe extern "C" fn run<F: FnOnce() -> VALUE>(body: VALUE) -> VALUE {
    // SAFETY: `protect` passes its own `Option<F>`.
    let body = unsafe { &mut *(body as *mut Option<F>) };
    body.take().map_or(Qnil as VALUE, |body| body())
}

/// Like [`protect`] for code that is not ours, whose failure is data: the inner `Err` is the class of an exception,
/// and `$!` is as before the call. What merely passes through
/// stays a [`Jump`]: a `throw` (as `Timeout` does), a kill, `exit`, a signal.
pub fn rescue(ruby: &Ruby, body: impl FnOnce() -> VALUE) -> Result<Result<VALUE, String>, Jump> {
    // SAFETY: native methods hold the GVL. An exception that was being handled stays alive: it is in this frame.
    let before = unsafe { rb_sys::rb_errinfo() };
    match protect(body) {
        Ok(value) => Ok(Ok(value)),
        Err(jump) if jump.0.get() == RAISE => {
            // SAFETY: after a raise, this is the exception.
            let exception = unsafe { Value::from_raw(rb_sys::rb_errinfo()) };
            if !recoverable(ruby, exception) {
                return Err(jump);
            }
            let class = class_name(exception);
            // SAFETY: it was Ruby's own value; a class of Ruby's own is alive.
            unsafe {
                if rb_sys::rb_obj_is_kind_of(exception.as_raw(), rb_sys::rb_eSysStackError) == Qtrue as VALUE {
                    hear_again();
                }
                rb_sys::rb_set_errinfo(before);
            }
            Ok(Err(class))
        }
        Err(jump) => Err(jump),
    }
}

/// Has Ruby act on signals and other interrupts again. From where a stack overflows until its interpreter has handled an
/// exception it acts on none, and one that is caught here never gets there. It does nothing where the stack has no room for
/// the call.
#[cold]
pub fn hear_again() {
    let mut state = 0;
    // SAFETY: the GVL is held; what the code raises is rescued in it, or caught.
    unsafe { rb_sys::rb_eval_string_protect(c"begin; raise ''; rescue; end".as_ptr(), &raw mut state) };
}

/// Whether it is of none of the classes in `TaskerTelemetry::Failure::PASSING`.
fn recoverable(ruby: &Ruby, exception: Value) -> bool {
    let passing = ruby
        .class_object()
        .const_get::<_, RModule>("TaskerTelemetry")
        .and_then(|module| module.const_get::<_, RModule>("Failure"))
        .and_then(|module| module.const_get::<_, RArray>("PASSING"));
    // A list that somebody took away cannot be asked; then everything passes.
    passing.is_ok_and(|passing| {
        !passing
            .into_iter()
            .filter_map(RClass::from_value)
            .any(|class| exception.is_kind_of(class))
    })
}

/// Calls a method of the module `TaskerTelemetry` with texts.
pub fn call(method: &CStr, texts: [&str; 3]) -> Result<(), Jump> {
    // SAFETY: the GVL is held, and the texts are copied; what raises is caught.
    protect(|| unsafe {
        let module = rb_sys::rb_const_get(rb_sys::rb_cObject, rb_sys::rb_intern(c"TaskerTelemetry".as_ptr()));
        let texts = texts.map(|text| rb_sys::rb_utf8_str_new(text.as_ptr().cast(), text.len() as _));
        rb_sys::rb_funcallv(
            module,
            rb_sys::rb_intern(method.as_ptr()),
            texts.len() as c_int,
            texts.as_ptr(),
        )
    })?;
    Ok(())
}

/// Calls a method of the module `TaskerTelemetry` with objects, which have to be alive.
pub fn call_with<const N: usize>(method: &CStr, objects: [VALUE; N]) -> Result<VALUE, Jump> {
    // SAFETY: the GVL is held; what raises is caught.
    protect(|| unsafe {
        let module = rb_sys::rb_const_get(rb_sys::rb_cObject, rb_sys::rb_intern(c"TaskerTelemetry".as_ptr()));
        rb_sys::rb_funcallv(module, rb_sys::rb_intern(method.as_ptr()), N as c_int, objects.as_ptr())
    })
}

/// What a method of the module `TaskerTelemetry` gives, without arguments.
pub fn ask(method: &CStr) -> Result<Value, Jump> {
    // SAFETY: Ruby has just given it, and it goes to the caller's stack.
    call_with(method, []).map(|value| unsafe { Value::from_raw(value) })
}

/// Asks `TaskerTelemetry.filter_value` what of a value may be shown. To be called under [`rescue`].
pub fn filtered(name: &str, value: VALUE) -> VALUE {
    // SAFETY: the GVL is held, the value is alive, and the name is copied.
    unsafe {
        let module = rb_sys::rb_const_get(rb_sys::rb_cObject, rb_sys::rb_intern(c"TaskerTelemetry".as_ptr()));
        let name = rb_sys::rb_utf8_str_new(name.as_ptr().cast(), name.len() as _);
        let objects = [name, value];
        rb_sys::rb_funcallv(
            module,
            rb_sys::rb_intern(c"filter_value".as_ptr()),
            objects.len() as c_int,
            objects.as_ptr(),
        )
    }
}
