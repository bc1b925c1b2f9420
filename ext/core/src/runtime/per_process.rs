//! State that a forked child does not share with its parent.

use crate::arena::fork;
use arc_swap::ArcSwap;
use std::sync::Arc;

struct Stamped<T> {
    generation: u32,
    value: Arc<T>,
}

/// A value for each process. A child begins with one of its own and never looks into its parent's: threads that do not
/// exist in it may have been inside.
pub(crate) struct PerProcess<T> {
    current: ArcSwap<Stamped<T>>,
}

impl<T> Stamped<T> {
    fn new(value: T) -> Arc<Self> {
        Arc::new(Self {
            generation: fork::generation(),
            value: Arc::new(value),
        })
    }
}

impl<T> PerProcess<T> {
    pub(crate) fn new(value: T) -> Self {
        fork::watch();
        Self {
            current: ArcSwap::new(Stamped::new(value)),
        }
    }

    /// This process's value, made by `make` when it has none yet.
    pub(crate) fn get(&self, make: impl FnOnce() -> T) -> Arc<T> {
        let current = self.current.load();
        if current.generation == fork::generation() {
            return Arc::clone(&current.value);
        }
        let fresh = Stamped::new(make());
        let previous = self.current.compare_and_swap(&current, Arc::clone(&fresh));
        if !Arc::ptr_eq(&previous, &current) {
            return Arc::clone(&previous.value);
        }
        // Leaked: dropping it would wait for threads, or take locks, that belong to the parent.
        std::mem::forget(Arc::clone(&current));
        Arc::clone(&fresh.value)
    }
}
