//! Panics on purpose, for the specs.

use crate::error::Result;
use crate::helpers::guard::answering;
use crate::helpers::nogvl::without_gvl;
use magnus::{function, Object, RModule};

pub fn init(native: RModule) -> Result<(), magnus::Error> {
    native.define_singleton_method("panic!", function!(panic, 0))?;
    native.define_singleton_method("panic_without_gvl!", function!(panic_without_gvl, 0))
}

#[allow(clippy::panic)]
fn panic() -> Result<()> {
    answering(|| panic!("injected"))
}

#[allow(clippy::panic)]
fn panic_without_gvl() -> Result<()> {
    answering(|| Ok(without_gvl(|_| panic!("injected"))?))
}
