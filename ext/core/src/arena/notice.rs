//! What is to be logged, each thing once.

use parking_lot::Mutex;
use std::collections::VecDeque;

/// How grave a [`Notice`] is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// Something works, but not as configured.
    Warn,
    /// Something does not work.
    Error,
}

/// Something to be logged once.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Notice {
    /// How grave it is.
    pub level: Level,
    /// What happened.
    pub message: String,
}

/// How many are kept for `status`, and how many may wait to be logged.
const KEPT: usize = 32;

/// What happened so far, and what of it is not logged yet.
#[derive(Default)]
pub(super) struct Notices {
    past: Mutex<VecDeque<Notice>>,
    unlogged: Mutex<VecDeque<Notice>>,
}

impl Notices {
    /// Takes note, unless of something that is known: a condition that lasts is told once.
    pub fn add(&self, level: Level, message: String) {
        let notice = Notice { level, message };
        let mut past = self.past.lock();
        if past.contains(&notice) {
            return;
        }
        for queue in [&mut *past, &mut *self.unlogged.lock()] {
            if queue.len() == KEPT {
                queue.pop_front();
            }
            queue.push_back(notice.clone());
        }
    }

    /// What is to be logged, each once.
    pub fn take(&self) -> Vec<Notice> {
        self.unlogged.lock().drain(..).collect()
    }

    /// What happened so far, oldest first.
    pub fn past(&self) -> Vec<Notice> {
        self.past.lock().iter().cloned().collect()
    }
}
