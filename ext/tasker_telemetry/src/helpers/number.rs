//! Amounts: what is added, set or observed.

#![allow(unsafe_code)]

use super::jump::{rescue, Jump};
use magnus::{rb_sys::AsRawValue, Ruby, Value};
use rb_sys::macros::{FIX2LONG, FIXNUM_P, FLONUM_P, RB_TYPE_P};
use rb_sys::ruby_value_type::{RUBY_T_BIGNUM, RUBY_T_FLOAT, RUBY_T_NIL, RUBY_T_STRING, RUBY_T_SYMBOL};
use rb_sys::VALUE;

/// A number as the core takes it.
#[derive(Clone, Copy)]
pub enum Number {
    /// A natural number, exact.
    Natural(u64),
    /// Any other number, infinities and NaN among them.
    Real(f64),
}

impl Number {
    /// As a float.
    #[inline]
    pub fn real(self) -> f64 {
        match self {
            Self::Natural(natural) => natural as f64,
            Self::Real(real) => real,
        }
    }
}

/// Reads anything that is a number: Integer, Float, Rational, BigDecimal, a duration. `None` stands for all else,
/// text that spells a number included.
#[inline(always)]
pub fn number(ruby: &Ruby, value: Value) -> Result<Option<Number>, Jump> {
    let raw = value.as_raw();
    if FIXNUM_P(raw) {
        // SAFETY: it is a fixnum.
        let integer = unsafe { FIX2LONG(raw) };
        return Ok(Some(
            u64::try_from(integer).map_or(Number::Real(integer as f64), Number::Natural),
        ));
    }
    if FLONUM_P(raw) {
        // SAFETY: it is a Float.
        return Ok(Some(Number::Real(unsafe { rb_sys::rb_float_value(raw) })));
    }
    uncommon(ruby, raw)
}

#[cold]
fn uncommon(ruby: &Ruby, raw: VALUE) -> Result<Option<Number>, Jump> {
    // SAFETY: the GVL is held and `raw` is an argument of the running method; what may raise is protected.
    unsafe {
        if RB_TYPE_P(raw, RUBY_T_FLOAT) {
            return Ok(Some(Number::Real(rb_sys::rb_float_value(raw))));
        }
        if RB_TYPE_P(raw, RUBY_T_BIGNUM) {
            let mut natural = 0u64;
            let sign = rb_sys::rb_integer_pack(
                raw,
                (&raw mut natural).cast(),
                1,
                size_of::<u64>() as _,
                0,
                (rb_sys::INTEGER_PACK_LSWORD_FIRST | rb_sys::INTEGER_PACK_NATIVE_BYTE_ORDER) as i32,
            );
            // 1: positive, and it fits; 2 and -2: it overflows.
            if sign == 1 {
                return Ok(Some(Number::Natural(natural)));
            }
        }
        if [RUBY_T_NIL, RUBY_T_STRING, RUBY_T_SYMBOL]
            .into_iter()
            .any(|kind| RB_TYPE_P(raw, kind))
        {
            return Ok(None);
        }
        let float = rescue(ruby, || rb_sys::rb_Float(raw))?;
        Ok(float.ok().map(|float| Number::Real(rb_sys::rb_float_value(float))))
    }
}
