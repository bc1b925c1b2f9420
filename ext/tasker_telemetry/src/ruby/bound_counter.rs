use super::bound::{define_shared, Bound};
use crate::helpers::arguments::Arguments;
use crate::helpers::jump::Jump;
use crate::helpers::method::{class, define_recording};
use crate::helpers::number::Number;
use magnus::{RModule, Ruby};

/// A counter with its labels.
#[magnus::wrap(class = "TaskerTelemetry::BoundCounter", free_immediately, size)]
pub struct BoundCounter(Bound);

impl From<Bound> for BoundCounter {
    fn from(bound: Bound) -> Self {
        Self(bound)
    }
}

impl AsRef<Bound> for BoundCounter {
    fn as_ref(&self) -> &Bound {
        &self.0
    }
}

pub fn init(ruby: &Ruby, module: RModule) -> Result<(), magnus::Error> {
    let class = class::<BoundCounter>(ruby, module, "BoundCounter")?;
    define_shared::<BoundCounter>(class);
    define_recording(class, c"increment", increment);
    Ok(())
}

fn increment(ruby: &Ruby, this: &BoundCounter, arguments: &Arguments<'_>) -> Result<(), Jump> {
    this.0
        .record(ruby, arguments, Some(Number::Natural(1)), |series, by| match by {
            Number::Natural(by) => {
                series.increment_int(by);
                Ok(())
            }
            Number::Real(by) => series.increment(by),
        })
}
