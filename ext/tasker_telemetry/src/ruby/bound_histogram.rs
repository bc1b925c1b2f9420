use super::bound::{define_shared, Bound};
use crate::helpers::arguments::Arguments;
use crate::helpers::jump::Jump;
use crate::helpers::method::{class, define_recording};
use magnus::{RModule, Ruby};

/// A histogram with its labels.
#[magnus::wrap(class = "TaskerTelemetry::BoundHistogram", free_immediately, size)]
pub struct BoundHistogram(Bound);

impl From<Bound> for BoundHistogram {
    fn from(bound: Bound) -> Self {
        Self(bound)
    }
}

impl AsRef<Bound> for BoundHistogram {
    fn as_ref(&self) -> &Bound {
        &self.0
    }
}

pub fn init(ruby: &Ruby, module: RModule) -> Result<(), magnus::Error> {
    let class = class::<BoundHistogram>(ruby, module, "BoundHistogram")?;
    define_shared::<BoundHistogram>(class);
    define_recording(class, c"observe", observe);
    Ok(())
}

fn observe(ruby: &Ruby, this: &BoundHistogram, arguments: &Arguments<'_>) -> Result<(), Jump> {
    this.0
        .record(ruby, arguments, None, |series, value| series.observe(value.real()))
}
