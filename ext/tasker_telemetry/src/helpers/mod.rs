//! What every class needs: conversions, and all the unsafe code of the bridge.

pub mod arguments;
pub mod exception;
pub mod fiber;
pub mod field;
pub mod gc;
pub mod guard;
pub mod held;
pub mod jump;
pub mod labels;
pub mod method;
pub mod nested;
pub mod nogvl;
pub mod number;
pub mod payload;
pub mod symbols;
pub mod text;
pub mod value;

use std::sync::{Arc, LazyLock};
use tasker_telemetry_core::arena::{Quiescent, Registry, Scrape, Threads};
use tasker_telemetry_core::telemetry::Telemetry;

/// The instruments of this process. Making it opens no file and starts no thread.
pub fn registry() -> &'static Arc<Registry> {
    static REGISTRY: LazyLock<Arc<Registry>> = LazyLock::new(|| Registry::new(Threads::Serialized));
    &REGISTRY
}

/// The telemetry of this process. Making it opens no file and starts no thread.
pub fn telemetry() -> &'static Telemetry {
    static TELEMETRY: LazyLock<Telemetry> = LazyLock::new(|| Telemetry::new(Arc::clone(registry())));
    &TELEMETRY
}

/// Begins a scrape. To be called with the GVL: then no other thread of this process is inside a recording method, since
/// none of them gives the GVL up.
pub fn scrape() -> Scrape {
    gc::record();
    registry().begin_scrape(Quiescent::promise())
}
