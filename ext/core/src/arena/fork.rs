//! Counts the forks between this process and the one that loaded the library.
//!
//! The count is bumped by a `pthread_atfork` child handler, so that `fork`, `Process.daemon` and a fork made by any
//! other library are all noticed, and reading it costs one relaxed load where asking for the pid costs a system call.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::Once;

static GENERATION: AtomicU32 = AtomicU32::new(1);
static INSTALL: Once = Once::new();

extern "C" fn bump() {
    GENERATION.fetch_add(1, Ordering::SeqCst);
}

/// Installs the handler; harmless to call again.
pub fn watch() {
    INSTALL.call_once(|| {
        // SAFETY: the handler is a plain function of this library, which is never unloaded, and does one atomic add.
        unsafe { libc::pthread_atfork(None, None, Some(bump)) };
    });
}

/// Generation of this process; differs from every ancestor's that [`watch`]ed.
#[inline(always)]
pub fn generation() -> u32 {
    GENERATION.load(Ordering::Relaxed)
}
