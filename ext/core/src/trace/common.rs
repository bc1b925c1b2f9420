//! What tracers have in common that take each other's place when settings change.

use super::contexts::Contexts;
use super::lineage::Lineage;
use super::tally::Tally;
use crate::runtime::PerProcess;
use std::sync::Arc;

/// It begins with the first tracer and ends with the last.
pub(super) struct Common {
    /// What is current stays so.
    pub(super) contexts: Contexts,
    pub(super) lineage: Lineage,
    tally: PerProcess<Tally>,
}

impl Default for Common {
    fn default() -> Self {
        Self {
            contexts: Contexts::default(),
            lineage: Lineage::default(),
            tally: PerProcess::new(Tally::default()),
        }
    }
}

impl Common {
    /// This process's counts.
    pub(super) fn tally(&self) -> Arc<Tally> {
        self.tally.get(Tally::default)
    }
}
