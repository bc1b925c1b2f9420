//! What Ruby sees: one file per class, and what the classes share.

mod amount;
mod background;
mod bound;
mod bound_counter;
mod bound_gauge;
mod bound_histogram;
mod counter;
mod events;
#[cfg(feature = "failpoints")]
mod failpoint;
mod gauge;
mod histogram;
mod instrument;
mod native;
mod page;
mod push;
mod refusal;
mod settings;
mod snapshot;
mod span;
mod subscriber;

use magnus::{Error, Module, Ruby};

pub fn init(ruby: &Ruby) -> Result<(), Error> {
    let module = ruby.define_module("TaskerTelemetry")?;
    counter::init(ruby, module)?;
    gauge::init(ruby, module)?;
    histogram::init(ruby, module)?;
    bound_counter::init(ruby, module)?;
    bound_gauge::init(ruby, module)?;
    bound_histogram::init(ruby, module)?;
    let native = module.define_module("Native")?;
    page::init(ruby, native)?;
    span::init(ruby, module, native)?;
    subscriber::init(ruby, native)?;
    events::init(native)?;
    background::init(native)?;
    push::init(native)?;
    native::init(ruby, native)
}
