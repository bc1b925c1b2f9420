use super::amount::amount;
use super::bound_counter::BoundCounter;
use super::instrument::{define_shared, Class, Instrument};
use crate::helpers::arguments::Arguments;
use crate::helpers::jump::Jump;
use crate::helpers::method::{class, define_recording};
use crate::helpers::number::Number;
use magnus::{RModule, Ruby};

/// A total that only grows.
#[magnus::wrap(class = "TaskerTelemetry::Counter", free_immediately, size)]
pub struct Counter(Instrument);

impl From<Instrument> for Counter {
    fn from(instrument: Instrument) -> Self {
        Self(instrument)
    }
}

impl AsRef<Instrument> for Counter {
    fn as_ref(&self) -> &Instrument {
        &self.0
    }
}

impl Class for Counter {
    type Bound = BoundCounter;
}

pub fn init(ruby: &Ruby, module: RModule) -> Result<(), magnus::Error> {
    let class = class::<Counter>(ruby, module, "Counter")?;
    define_shared::<Counter>(class);
    define_recording(class, c"increment", increment);
    #[cfg(feature = "failpoints")]
    super::failpoint::init_counter(class);
    Ok(())
}

fn increment(ruby: &Ruby, this: &Counter, arguments: &Arguments<'_>) -> Result<(), Jump> {
    let Some(by) = amount(ruby, &this.0.metric, arguments, Some(Number::Natural(1)))? else {
        return Ok(());
    };
    this.0.record(ruby, arguments, |metric, key| match by {
        Number::Natural(by) => {
            metric.increment_int(key, by);
            Ok(())
        }
        Number::Real(by) => metric.increment(key, by),
    })
}
