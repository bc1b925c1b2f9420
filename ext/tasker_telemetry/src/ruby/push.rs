//! The push of metrics, as far as it takes a thread of Ruby's: collect blocks are Ruby code.

use crate::error::Result;
use crate::helpers::guard::answering;
use crate::helpers::nogvl::without_gvl_until;
use crate::helpers::telemetry;
use crate::helpers::value::serialized;
use magnus::{function, Object, RModule, RString, Ruby, Value};
use std::time::Duration;

pub fn init(native: RModule) -> std::result::Result<(), magnus::Error> {
    native.define_singleton_method("push?", function!(goes_on, 0))?;
    native.define_singleton_method("push_start", function!(start, 0))?;
    native.define_singleton_method("push_wait", function!(wait, 1))?;
    native.define_singleton_method("push_give", function!(give, 2))?;
    native.define_singleton_method("push_stats", function!(stats, 0))?;
    Ok(())
}

/// Whether there is something to push, now or later.
fn goes_on() -> Result<bool> {
    answering(|| Ok(telemetry().push().is_some_and(|push| push.goes_on())))
}

/// Starts the background that asks for pages, of a thread that waits for that already, or is about to.
fn start() -> Result<()> {
    answering(|| {
        telemetry().pusher().attend();
        if let Some(push) = telemetry().push() {
            push.start();
        }
        Ok(())
    })
}

/// Waits without the GVL until a page is asked for, for so many seconds at most. Answers the order's number, or nil.
fn wait(seconds: f64) -> Result<Option<u64>> {
    answering(|| {
        let pusher = telemetry().pusher();
        telemetry().stand();
        let limit = Duration::try_from_secs_f64(seconds).unwrap_or(Duration::ZERO);
        Ok(without_gvl_until(&|| pusher.wake(), |cancelled| {
            pusher.wait(limit, &|| cancelled.get())
        })?)
    })
}

/// Hands a page over, or nil where there is none.
fn give(number: u64, page: Option<RString>) -> Result<()> {
    answering(|| {
        // SAFETY: the bytes are copied before Ruby runs again.
        #[allow(unsafe_code)]
        let page = page.map(|page| unsafe { page.as_slice() }.to_vec());
        telemetry().pusher().give(number, page);
        Ok(())
    })
}

fn stats(ruby: &Ruby) -> Result<Value> {
    answering(|| match telemetry().push() {
        Some(push) => serialized(&push.stats()),
        None => Ok(ruby.into_value(ruby.qnil())),
    })
}
