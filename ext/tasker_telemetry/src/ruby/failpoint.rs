//! Panics on purpose, for the specs.

use super::counter::Counter;
use crate::error::Result;
use crate::helpers::arguments::Arguments;
use crate::helpers::guard::answering;
use crate::helpers::jump::Jump;
use crate::helpers::method::define_recording;
use crate::helpers::nogvl::without_gvl;
use magnus::{function, Object, RClass, RModule, Ruby};

pub fn init(native: RModule) -> Result<(), magnus::Error> {
    native.define_singleton_method("panic!", function!(panic, 0))?;
    native.define_singleton_method("panic_without_gvl!", function!(panic_without_gvl, 0))
}

pub fn init_counter(counter: RClass) {
    define_recording(counter, c"panic!", panic_recording);
}

#[allow(clippy::panic)]
fn panic() -> Result<()> {
    answering(|| panic!("injected"))
}

#[allow(clippy::panic)]
fn panic_without_gvl() -> Result<()> {
    answering(|| Ok(without_gvl(|_| panic!("injected without the GVL"))?))
}

#[allow(clippy::panic)]
fn panic_recording(_: &Ruby, _: &Counter, _: &Arguments<'_>) -> Result<(), Jump> {
    panic!("injected into a recording call")
}
