//! What the threads have under way, each with an object of Ruby's that it is known by.
//!
//! The object may stand anywhere, in an instance variable for instance, where a compaction would move it, or nobody
//! could hold it any more. So it is kept, and kept where it is, as long as it is here: every collection marks what is in
//! the stacks, which costs nothing at any other time.

#![allow(unsafe_code)]

use magnus::gc::Marker;
use magnus::rb_sys::FromRawValue;
use magnus::Value;
use rb_sys::VALUE;
use std::cell::RefCell;
use std::sync::{Arc, Weak};

/// What is known by an object.
pub trait Held {
    /// The object, which is alive when this is put into a stack.
    fn object(&self) -> VALUE;
}

/// Those of one thread.
pub struct Stack<T>(Arc<Entries<T>>);

struct Entries<T>(RefCell<Vec<T>>);

// SAFETY: they are read and changed with the GVL only, which the garbage collector has as well. A thread that ends gives
// its own up without it; if the collector looks at them just then, it drops them itself.
unsafe impl<T> Send for Entries<T> {}
// SAFETY: as above.
unsafe impl<T> Sync for Entries<T> {}

trait Marked: Send + Sync {
    fn mark(&self, marker: &Marker);
}

struct All(RefCell<Vec<Weak<dyn Marked>>>);

// SAFETY: it is used with the GVL only, and no borrow of it outlives a call into Ruby.
unsafe impl Sync for All {}

static ALL: All = All(RefCell::new(Vec::new()));

impl<T: Held + 'static> Stack<T> {
    /// An empty one, of the thread that runs.
    pub fn new() -> Self {
        let entries = Arc::new(Entries(RefCell::new(Vec::new())));
        let mut all = ALL.0.borrow_mut();
        // Threads come and go.
        all.retain(|other| other.strong_count() > 0);
        let marked: Arc<dyn Marked> = entries.clone();
        all.push(Arc::downgrade(&marked));
        Self(entries)
    }

    /// Lends the entries to `body`, which must not call Ruby.
    pub fn with<R>(&self, body: impl FnOnce(&mut Vec<T>) -> R) -> R {
        body(&mut self.0 .0.borrow_mut())
    }

    /// In a child that was forked: the threads of the other stacks are not there any more.
    pub fn survive(&self) {
        let own: Weak<dyn Marked> = Arc::downgrade(&self.0) as Weak<dyn Marked>;
        ALL.0.borrow_mut().retain(|other| other.ptr_eq(&own));
    }
}

impl<T: Held> Marked for Entries<T> {
    fn mark(&self, marker: &Marker) {
        // Ruby collects when it makes an object, and whoever borrows makes none.
        for entry in self.0.try_borrow().iter().flat_map(|entries| entries.iter()) {
            // SAFETY: it was alive when it came in, and every collection since has come by here.
            marker.mark(unsafe { Value::from_raw(entry.object()) });
        }
    }
}

/// To be called by the mark function of an object that lives for ever, and that is not protected by write barriers.
pub fn mark(marker: &Marker) {
    for stack in ALL.0.try_borrow().iter().flat_map(|all| all.iter()) {
        if let Some(entries) = stack.upgrade() {
            entries.mark(marker);
        }
    }
}
