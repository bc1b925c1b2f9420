use super::amount::amount;
use super::bound_gauge::BoundGauge;
use super::instrument::{define_shared, Class, Instrument};
use crate::error::Result;
use crate::helpers::arguments::Arguments;
use crate::helpers::jump::Jump;
use crate::helpers::method::{class, define, define_recording};
use crate::helpers::number::Number;
use magnus::{IntoValue, RModule, Ruby, Value};
use tasker_telemetry_core::metric::Kind;

/// A value that goes up and down.
#[magnus::wrap(class = "TaskerTelemetry::Gauge", free_immediately, size)]
pub struct Gauge(Instrument);

impl From<Instrument> for Gauge {
    fn from(instrument: Instrument) -> Self {
        Self(instrument)
    }
}

impl AsRef<Instrument> for Gauge {
    fn as_ref(&self) -> &Instrument {
        &self.0
    }
}

impl Class for Gauge {
    type Bound = BoundGauge;
}

pub fn init(ruby: &Ruby, module: RModule) -> Result<(), magnus::Error> {
    let class = class::<Gauge>(ruby, module, "Gauge")?;
    define_shared::<Gauge>(class);
    define_recording(class, c"set", set);
    define_recording(
        class,
        c"increment",
        |ruby: &Ruby, this: &Gauge, arguments: &Arguments<'_>| add(ruby, this, arguments, 1.0),
    );
    define_recording(
        class,
        c"decrement",
        |ruby: &Ruby, this: &Gauge, arguments: &Arguments<'_>| add(ruby, this, arguments, -1.0),
    );
    define(class, c"aggregation", aggregation);
    Ok(())
}

fn set(ruby: &Ruby, this: &Gauge, arguments: &Arguments<'_>) -> Result<(), Jump> {
    let Some(to) = amount(ruby, &this.0.metric, arguments, None)? else {
        return Ok(());
    };
    this.0.record(ruby, arguments, |metric, key| metric.set(key, to.real()))
}

fn add(ruby: &Ruby, this: &Gauge, arguments: &Arguments<'_>, sign: f64) -> Result<(), Jump> {
    let Some(by) = amount(ruby, &this.0.metric, arguments, Some(Number::Natural(1)))? else {
        return Ok(());
    };
    this.0
        .record(ruby, arguments, |metric, key| metric.increment(key, sign * by.real()))
}

fn aggregation(ruby: &Ruby, this: &Gauge, arguments: &Arguments<'_>) -> Result<Value> {
    arguments.expect_nothing()?;
    Ok(match this.0.metric.descriptor().kind {
        Kind::Gauge(aggregation) => ruby.to_symbol(aggregation.name()).into_value_with(ruby),
        Kind::Counter | Kind::Histogram => ruby.qnil().into_value_with(ruby),
    })
}
