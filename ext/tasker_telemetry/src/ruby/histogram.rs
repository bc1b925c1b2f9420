use super::amount::amount;
use super::bound_histogram::BoundHistogram;
use super::instrument::{define_shared, Class, Instrument};
use crate::error::Result;
use crate::helpers::arguments::Arguments;
use crate::helpers::jump::Jump;
use crate::helpers::method::{class, define, define_recording};
use magnus::{IntoValue, RModule, Ruby, Value};

/// Counts of observed values by size, and their sum.
#[magnus::wrap(class = "TaskerTelemetry::Histogram", free_immediately, size)]
pub struct Histogram(Instrument);

impl From<Instrument> for Histogram {
    fn from(instrument: Instrument) -> Self {
        Self(instrument)
    }
}

impl AsRef<Instrument> for Histogram {
    fn as_ref(&self) -> &Instrument {
        &self.0
    }
}

impl Class for Histogram {
    type Bound = BoundHistogram;
}

pub fn init(ruby: &Ruby, module: RModule) -> Result<(), magnus::Error> {
    let class = class::<Histogram>(ruby, module, "Histogram")?;
    define_shared::<Histogram>(class);
    define_recording(class, c"observe", observe);
    define(class, c"buckets", buckets);
    Ok(())
}

fn observe(ruby: &Ruby, this: &Histogram, arguments: &Arguments<'_>) -> Result<(), Jump> {
    let Some(value) = amount(ruby, &this.0.metric, arguments, None)? else {
        return Ok(());
    };
    this.0
        .record(ruby, arguments, |metric, key| metric.observe(key, value.real()))
}

fn buckets(ruby: &Ruby, this: &Histogram, arguments: &Arguments<'_>) -> Result<Value> {
    arguments.expect_nothing()?;
    let bounds = this
        .0
        .metric
        .descriptor()
        .buckets
        .as_ref()
        .map_or(&[][..], |buckets| buckets.bounds());
    Ok(ruby.ary_from_iter(bounds.iter().copied()).into_value_with(ruby))
}
