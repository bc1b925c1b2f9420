//! Methods of arity -1 whose arguments stay where Ruby put them.
//!
//! magnus' own `method!` checks the receiver's type and copies nothing either, but its argument parsing for keywords
//! allocates; on a call that lasts 25 ns that is most of the time.

#![allow(unsafe_code)]

use super::{arguments::Arguments, guard, jump::Jump};
use crate::error::{Error, Result};
use magnus::error::IntoError;
use magnus::rb_sys::{resume_error, AsRawValue};
use magnus::{Class, Module, RClass, RHash, RModule, Ruby, TypedData, Value};
use rb_sys::{ruby_value_type, VALUE};
use std::ffi::{c_int, CStr};
use std::ptr::NonNull;
use std::slice;

/// Defines the class of `T`, whose instances are made by the bridge alone.
pub fn class<T: TypedData>(ruby: &Ruby, module: RModule, name: &str) -> Result<RClass, magnus::Error> {
    let class = module.define_class(name, ruby.class_object())?;
    class.undef_default_alloc_func();
    // magnus looks the class up at the first wrapping, by a Ruby call under a lock that waits with the GVL: if Ruby
    // switched threads in that call, two first wrappings would wait for each other for ever.
    T::class(ruby);
    Ok(class)
}

/// Defines a method that answers something; a panic in it becomes a `NativeError`.
pub fn define<T, F>(class: RClass, name: &CStr, body: F)
where
    T: TypedData,
    F: Fn(&Ruby, &T, &Arguments<'_>) -> Result<Value> + Copy + 'static,
{
    register(class, name, answer::<T, F>, body);
}

/// Defines a method that records a sample and answers nil, whatever happens: a panic in it is nil too.
pub fn define_recording<T, F>(class: RClass, name: &CStr, body: F)
where
    T: TypedData,
    F: Fn(&Ruby, &T, &Arguments<'_>) -> Result<(), Jump> + Copy + 'static,
{
    register(class, name, record::<T, F>, body);
}

type Native = unsafe extern "C" fn(c_int, *const VALUE, VALUE) -> VALUE;

fn register<F>(class: RClass, name: &CStr, entry: Native, _body: F) {
    const {
        assert!(
            size_of::<F>() == 0,
            "a body is a function or a closure that captures nothing"
        );
    }
    // SAFETY: Ruby calls a method of arity -1 with exactly these arguments; the signature of the declaration is C's
    // unprototyped function.
    unsafe {
        let entry = std::mem::transmute::<Native, unsafe extern "C" fn() -> VALUE>(entry);
        rb_sys::rb_define_method(class.as_raw(), name.as_ptr(), Some(entry), -1);
    }
}

unsafe extern "C" fn record<T, F>(argc: c_int, argv: *const VALUE, receiver: VALUE) -> VALUE
where
    T: TypedData,
    F: Fn(&Ruby, &T, &Arguments<'_>) -> Result<(), Jump>,
{
    // SAFETY: Ruby's own arguments are handed on; `define_recording` was given a body of type `F`.
    match guard::caught(|| unsafe { call::<T, F, Result<(), Jump>>(argc, argv, receiver) }) {
        Some(Err(jump)) => raise(jump.into()),
        Some(Ok(())) | None => rb_sys::Qnil as VALUE,
    }
}

unsafe extern "C" fn answer<T, F>(argc: c_int, argv: *const VALUE, receiver: VALUE) -> VALUE
where
    T: TypedData,
    F: Fn(&Ruby, &T, &Arguments<'_>) -> Result<Value>,
{
    // SAFETY: as in `record`.
    match guard::answering(|| unsafe { call::<T, F, Result<Value>>(argc, argv, receiver) }) {
        Ok(value) => value.as_raw(),
        Err(error) => raise(error),
    }
}

/// Nothing of Rust's may be alive in the caller's frame: Ruby jumps over it.
#[cold]
fn raise(error: Error) -> ! {
    // SAFETY: only called from a native method, so the GVL is held.
    let error = error.into_error(unsafe { &Ruby::get_unchecked() });
    // SAFETY: `error` is consumed, and the frames below own nothing.
    unsafe { resume_error(error) }
}

#[inline(always)]
unsafe fn call<T, F, R>(argc: c_int, argv: *const VALUE, receiver: VALUE) -> R
where
    T: TypedData,
    F: Fn(&Ruby, &T, &Arguments<'_>) -> R,
{
    // SAFETY: `F` has no size (checked in `register`), and a value of it existed when the method was defined.
    let body: F = unsafe { NonNull::dangling().read() };
    // SAFETY: Ruby calls the method on instances of its class only, and `class` left it no allocator, so each was made
    // by wrapping a `T`. The receiver is alive for the length of the call: it is on Ruby's stack.
    let this = unsafe { &*rb_sys::macros::RTYPEDDATA_GET_DATA(receiver).cast::<T>() };
    let all = if argc == 0 {
        &[]
    } else {
        // SAFETY: `Value` is a transparent `VALUE`, and `argv` stands on Ruby's stack until the method returns.
        unsafe { slice::from_raw_parts(argv.cast::<Value>(), argc as usize) }
    };
    // SAFETY: the GVL is held.
    let arguments = unsafe { split(all) };
    // SAFETY: as above.
    body(unsafe { &Ruby::get_unchecked() }, this, &arguments)
}

#[inline(always)]
unsafe fn split(all: &[Value]) -> Arguments<'_> {
    if let Some((last, positional)) = all.split_last() {
        // SAFETY: the GVL is held. The keywords of the current method are its last argument, a Hash.
        unsafe {
            if rb_sys::macros::RB_TYPE_P(last.as_raw(), ruby_value_type::RUBY_T_HASH)
                && rb_sys::rb_keyword_given_p() != 0
            {
                return Arguments {
                    positional,
                    keywords: RHash::from_value(*last),
                };
            }
        }
    }
    Arguments {
        positional: all,
        keywords: None,
    }
}
