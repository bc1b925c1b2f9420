//! Payload keys as numbers, so that nobody compares text on the way of an event.

use parking_lot::RwLock;
use std::collections::HashMap;
use std::sync::LazyLock;

/// An interned payload key: equal names have equal keys, for the life of the process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Key(u32);

macro_rules! known_keys {
    ($($constant:ident = $name:literal,)*) => {
        #[allow(non_camel_case_types, clippy::upper_case_acronyms)]
        enum Index { $($constant),* }

        impl Key {
            $(
                #[doc = concat!("`", $name, "`")]
                pub const $constant: Self = Self(Index::$constant as u32);
            )*
        }

        const KNOWN: &[&str] = &[$($name),*];
    };
}

known_keys! {
    TASK_ID = "task_id",
    STEP_ID = "step_id",
    TASK_NAME = "task_name",
    STEP_NAME = "step_name",
    NAMESPACE = "namespace",
    ATTEMPT_NUMBER = "attempt_number",
    ATTEMPT = "attempt",
    JOB_ID = "job_id",
    CORRELATION_ID = "correlation_id",
    EXPORT_ID = "export_id",
    TRANSITIONED_AT = "transitioned_at",
    STARTED_AT = "started_at",
    COMPLETED_AT = "completed_at",
    DURATION = "duration",
    EXECUTION_DURATION = "execution_duration",
    TOTAL_EXECUTION_DURATION = "total_execution_duration",
    FROM_STATE = "from_state",
    TO_STATE = "to_state",
}

/// Bytes of a name that [`keep`] keeps, at most.
const LONGEST_KEPT: usize = 256;
/// How many names there may be before it keeps no more.
const MOST_KEPT: usize = 4096;

struct Interned {
    names: Vec<&'static str>,
    numbers: HashMap<&'static str, u32>,
}

static INTERNED: LazyLock<RwLock<Interned>> = LazyLock::new(|| {
    RwLock::new(Interned {
        names: KNOWN.to_vec(),
        numbers: (0..).zip(KNOWN).map(|(number, name)| (*name, number)).collect(),
    })
});

/// The key of a name. A name is kept for good: intern what is configured, never what a payload brings.
#[must_use]
pub fn intern(name: &str) -> Key {
    if let Some(number) = INTERNED.read().numbers.get(name) {
        return Key(*number);
    }
    let mut interned = INTERNED.write();
    if let Some(number) = interned.numbers.get(name) {
        return Key(*number);
    }
    let number = interned.names.len() as u32;
    let name: &'static str = Box::leak(Box::from(name));
    interned.names.push(name);
    interned.numbers.insert(name, number);
    Key(number)
}

/// The name, kept for good, as long as not many are: for what brings a bounded number of names unless something is
/// wrong, and saves a copy of each otherwise.
pub(super) fn keep(name: &str) -> Option<&'static str> {
    if name.len() > LONGEST_KEPT {
        return None;
    }
    let is_known = INTERNED.read().numbers.contains_key(name);
    let has_room = || INTERNED.read().names.len() < MOST_KEPT;
    (is_known || has_room()).then(|| intern(name).name())
}

impl Key {
    /// The key's name.
    #[must_use]
    pub fn name(self) -> &'static str {
        KNOWN
            .get(self.index())
            .copied()
            .unwrap_or_else(|| INTERNED.read().names[self.index()])
    }

    /// A small number: a place in a table of what the payload's owner looks keys up by.
    #[inline]
    #[must_use]
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_name_has_the_same_key() {
        assert_eq!(intern("task_id"), Key::TASK_ID);
        assert_eq!(Key::TO_STATE.name(), "to_state");
        let status = intern("status");
        assert_eq!(intern("status"), status);
        assert_ne!(intern("Status"), status);
        assert_eq!(status.name(), "status");
        assert_eq!(status.index(), intern("status").index());
    }

    #[test]
    fn keeps_a_bounded_number_of_names() {
        assert_eq!(keep("task_id"), Some("task_id"));
        let kept = (0..2 * MOST_KEPT).filter(|number| keep(&format!("kept {number}")).is_some());
        assert!(kept.count() < MOST_KEPT);
        assert!(keep("kept 0").is_some());
        assert!(keep(&"x".repeat(LONGEST_KEPT + 1)).is_none());
    }
}
