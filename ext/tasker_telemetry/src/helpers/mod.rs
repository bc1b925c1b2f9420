//! What every class needs: conversions, and all the unsafe code of the bridge.

pub mod arguments;
pub mod gc;
pub mod guard;
pub mod jump;
pub mod labels;
pub mod method;
pub mod nogvl;
pub mod number;
pub mod value;

use std::sync::{Arc, LazyLock};
use tasker_telemetry_core::arena::{Registry, Threads};

/// The instruments of this process. Making it opens no file and starts no thread.
pub fn registry() -> &'static Arc<Registry> {
    static REGISTRY: LazyLock<Arc<Registry>> = LazyLock::new(|| Registry::new(Threads::Serialized));
    &REGISTRY
}
