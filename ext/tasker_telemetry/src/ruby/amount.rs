//! The amount that a sample is made of: the one positional argument of all recording methods.

use super::refusal::{miscounted, not_a_number, refuse};
use crate::helpers::arguments::Arguments;
use crate::helpers::jump::Jump;
use crate::helpers::number::{number, Number};
use magnus::Ruby;
use tasker_telemetry_core::arena::{Metric, Rejection};

/// Reads it; `None` when it was refused, which has been counted and told to lib/.
#[inline(always)]
pub fn amount(
    ruby: &Ruby,
    metric: &Metric,
    arguments: &Arguments<'_>,
    default: Option<Number>,
) -> Result<Option<Number>, Jump> {
    match (arguments.positional, default) {
        ([], Some(default)) => Ok(Some(default)),
        ([given], _) => match number(ruby, *given)? {
            Some(number) => Ok(Some(number)),
            None => refused(metric, &not_a_number(metric, *given)),
        },
        (given, _) => refused(metric, &miscounted(metric, given.len())),
    }
}

#[cold]
fn refused(metric: &Metric, rejection: &Rejection) -> Result<Option<Number>, Jump> {
    refuse(metric, rejection)?;
    Ok(None)
}
