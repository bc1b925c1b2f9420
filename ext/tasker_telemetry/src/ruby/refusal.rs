//! Samples that are refused: lib/ says them, and raises where the application asked for strictness.

use crate::helpers::jump::{call, Jump};
use crate::helpers::labels::Refusal;
use crate::helpers::registry;
use crate::helpers::value::class_name;
use magnus::Value;
use tasker_telemetry_core::arena::{Metric, Rejection};

/// Tells lib/ about a sample that the core refused, and therefore counted. Where metrics are switched off, nothing is
/// wrong with any sample.
#[cold]
pub fn report(metric: &Metric, rejection: &Rejection) -> Result<(), Jump> {
    if !registry().is_enabled() {
        return Ok(());
    }
    call(
        c"reject_sample",
        [
            &metric.descriptor().name,
            rejection.reason().name(),
            &rejection.to_string(),
        ],
    )
}

/// Counts a sample that did not get as far as the core, then tells lib/.
#[cold]
pub fn refuse(metric: &Metric, rejection: &Rejection) -> Result<(), Jump> {
    registry().rejected(rejection);
    report(metric, rejection)
}

/// For labels that could not be packed.
pub fn of_labels(metric: &Metric, refusal: Refusal) -> Rejection {
    match refusal {
        Refusal::Names(given) => {
            let given: Vec<&str> = given.iter().map(String::as_str).collect();
            metric.wrong_labels(&given)
        }
        Refusal::Value { label, error } => Rejection::value(
            &metric.descriptor().name,
            format!("a value of label {label} whose to_s raises {error}"),
            "a label value is anything that has a to_s",
        ),
    }
}

/// For an amount that is no number.
pub fn not_a_number(metric: &Metric, given: Value) -> Rejection {
    let given = format!("an amount of class {}", class_name(given));
    Rejection::value(&metric.descriptor().name, given, "an amount is a number")
}

/// For too many positional arguments, or too few.
pub fn miscounted(metric: &Metric, given: usize) -> Rejection {
    let given = format!("{given} positional arguments");
    Rejection::value(
        &metric.descriptor().name,
        given,
        "a sample has one amount, and its labels are keywords",
    )
}

/// For labels given to a bound instrument.
pub fn labelled_twice(metric: &Metric) -> Rejection {
    Rejection::value(
        &metric.descriptor().name,
        "labels",
        "a bound instrument has them already",
    )
}
