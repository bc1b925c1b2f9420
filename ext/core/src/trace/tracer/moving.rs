//! How a process goes on as another one, which owns what this one began.

use super::Tracer;
use crate::trace::batch::Batch;

impl Tracer {
    /// Takes out all that waits, for [`Self::move_in`]. To be called before this process becomes another one, which is to
    /// send what it would have, and while nothing runs in the background.
    pub fn move_out(&self) {
        for tracer in self.line() {
            let load = tracer.state().shared.lock().unload();
            *tracer.inner.moving.lock() = load;
        }
        self.inner.common.lineage.leave();
    }

    /// Takes in what was taken out, in whichever process this is. Spans that were open go on in it as well.
    pub fn move_in(&self) {
        self.inner.common.lineage.arrive();
        for tracer in self.line() {
            let load = std::mem::take(&mut *tracer.inner.moving.lock());
            let state = tracer.state();
            if let Some(batch) = load.batch {
                // It is older than all that came since.
                state.shared.lock().batch = Some(Batch { oldest: 0, ..batch });
            }
            for (span, priority) in load.spans {
                if tracer.push(&state, state.shared.lock(), span, priority) {
                    tracer.inner.totals.settle();
                }
            }
            for (key, record, priority) in load.pending {
                tracer.hold(key, record, priority);
            }
        }
    }

    /// Whether what was begun in the process of that generation is this process's to end.
    pub(crate) fn owns(&self, generation: u32) -> bool {
        self.inner.common.lineage.owns(generation)
    }
}
