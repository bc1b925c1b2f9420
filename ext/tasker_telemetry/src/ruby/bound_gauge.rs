use super::bound::{define_shared, Bound};
use crate::helpers::arguments::Arguments;
use crate::helpers::jump::Jump;
use crate::helpers::method::{class, define_recording};
use crate::helpers::number::Number;
use magnus::{RModule, Ruby};

/// A gauge with its labels.
#[magnus::wrap(class = "TaskerTelemetry::BoundGauge", free_immediately, size)]
pub struct BoundGauge(Bound);

impl From<Bound> for BoundGauge {
    fn from(bound: Bound) -> Self {
        Self(bound)
    }
}

impl AsRef<Bound> for BoundGauge {
    fn as_ref(&self) -> &Bound {
        &self.0
    }
}

pub fn init(ruby: &Ruby, module: RModule) -> Result<(), magnus::Error> {
    let class = class::<BoundGauge>(ruby, module, "BoundGauge")?;
    define_shared::<BoundGauge>(class);
    define_recording(class, c"set", set);
    define_recording(
        class,
        c"increment",
        |ruby: &Ruby, this: &BoundGauge, arguments: &Arguments<'_>| add(ruby, this, arguments, 1.0),
    );
    define_recording(
        class,
        c"decrement",
        |ruby: &Ruby, this: &BoundGauge, arguments: &Arguments<'_>| add(ruby, this, arguments, -1.0),
    );
    Ok(())
}

fn set(ruby: &Ruby, this: &BoundGauge, arguments: &Arguments<'_>) -> Result<(), Jump> {
    this.0.record(ruby, arguments, None, |series, to| series.set(to.real()))
}

fn add(ruby: &Ruby, this: &BoundGauge, arguments: &Arguments<'_>, sign: f64) -> Result<(), Jump> {
    this.0.record(ruby, arguments, Some(Number::Natural(1)), |series, by| {
        series.increment(sign * by.real())
    })
}
