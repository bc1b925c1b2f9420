//! Panics on purpose, and pages that are held in the middle, for the specs.

use super::counter::Counter;
use super::page::Rendering;
use crate::error::Result;
use crate::helpers::arguments::Arguments;
use crate::helpers::guard::answering;
use crate::helpers::jump::Jump;
use crate::helpers::method::define_recording;
use crate::helpers::nogvl::{without_gvl, Cancelled};
use magnus::{function, Object, RClass, RModule, RString, Ruby};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tasker_telemetry_core::export::formats::Kind;

pub fn init(native: RModule) -> Result<(), magnus::Error> {
    native.define_singleton_method("panic!", function!(panic, 0))?;
    native.define_singleton_method("panic_without_gvl!", function!(panic_without_gvl, 0))?;
    native.define_singleton_method("export_held!", function!(export_held, 0))?;
    native.define_singleton_method("held?", function!(is_held, 0))?;
    native.define_singleton_method("release!", function!(release, 0))
}

static HELD: AtomicBool = AtomicBool::new(false);
static RELEASED: AtomicBool = AtomicBool::new(false);

/// Exports Prometheus text, but stands still once the GVL is released, until `release!` is called.
fn export_held(ruby: &Ruby) -> Result<RString> {
    answering(|| {
        HELD.store(false, Ordering::SeqCst);
        RELEASED.store(false, Ordering::SeqCst);
        let rendering = Rendering::begin(Kind::Prometheus);
        let stand = |cancelled: &Cancelled| {
            HELD.store(true, Ordering::SeqCst);
            while !cancelled.get() && !RELEASED.load(Ordering::SeqCst) {
                std::thread::park_timeout(Duration::from_millis(1));
            }
            RELEASED.load(Ordering::SeqCst)
        };
        while !without_gvl(stand)? {}
        Ok(ruby.enc_str_new(rendering.rest()?, ruby.utf8_encoding()))
    })
}

fn is_held() -> bool {
    HELD.load(Ordering::SeqCst)
}

fn release() {
    RELEASED.store(true, Ordering::SeqCst);
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
