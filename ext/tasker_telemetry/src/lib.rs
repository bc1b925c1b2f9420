//! The Ruby bridge: it converts arguments, calls the core and maps errors, and decides nothing.
//!
//! README.md tells how threads, the GVL and fork are treated; `helpers` holds all the unsafe code, `ruby` one file
//! per Ruby class.

#![deny(unsafe_code)]
// The entry point that magnus::init makes is the crate's only public item.
#![allow(missing_docs)]

mod error;
mod helpers;
mod ruby;

#[magnus::init(name = "tasker_telemetry")]
fn init(ruby: &magnus::Ruby) -> Result<(), magnus::Error> {
    helpers::guard::install();
    helpers::gc::install().map_err(helpers::jump::Jump::into_error)?;
    ruby::init(ruby)
}
