//! Values of labels: where they come from, and how many there may be.

use super::key::Key;
use super::payload::{Payload, Value};
use super::told::Names;
use crate::metric::LabelKey;
use parking_lot::RwLock;
use std::borrow::Cow;
use std::collections::HashSet;
use std::sync::Arc;

/// Value of a label for all that its limit keeps out.
pub(super) const OTHER: &str = "__other__";

/// How many distinct values a label may have in this process, and those that it has.
#[derive(Debug)]
pub(super) struct Limit {
    most: usize,
    known: RwLock<HashSet<Box<str>>>,
}

impl Limit {
    pub fn new(most: usize) -> Self {
        Self {
            most,
            known: RwLock::default(),
        }
    }

    pub fn most(&self) -> usize {
        self.most
    }

    /// Whether the value may be a label's.
    pub fn admits(&self, value: &str) -> bool {
        {
            let known = self.known.read();
            if known.contains(value) {
                return true;
            }
            if known.len() >= self.most {
                return false;
            }
        }
        let mut known = self.known.write();
        known.contains(value) || (known.len() < self.most && known.insert(value.into()))
    }
}

/// Where a label's value comes from.
#[derive(Debug, Clone)]
pub(super) enum Source {
    /// The payload.
    Payload(Key, Option<Arc<Limit>>),
    /// The task's name.
    TaskName,
    /// The task's namespace.
    Namespace,
    /// The step's name.
    StepName,
    /// It is known beforehand.
    Fixed(&'static str),
}

/// How labels came out.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Packed {
    /// Values that a limit kept out.
    pub limited: u64,
    /// Values that were cut.
    pub cut: u64,
}

/// Appends the value of each source to `key`. What is absent is empty.
pub(super) fn pack(sources: &[Source], payload: &dyn Payload, names: &Names<'_>, key: &mut LabelKey) -> Packed {
    let mut packed = Packed::default();
    let mut push = |value: &str| packed.cut += u64::from(key.push(value));
    for source in sources {
        match source {
            Source::Payload(name, limit) => payload.lend(*name, &mut |value| {
                let mut integer = itoa::Buffer::new();
                let text = match value {
                    None => Cow::Borrowed(""),
                    Some(Value::Int(int)) => Cow::Borrowed(integer.format(int)),
                    Some(other) => other.into_text(),
                };
                match limit {
                    Some(limit) if !text.is_empty() && !limit.admits(&text) => {
                        packed.limited += 1;
                        push(OTHER);
                    }
                    _ => push(&text),
                }
            }),
            Source::TaskName => push(names.task.as_deref().unwrap_or_default()),
            Source::Namespace => push(names.namespace.as_deref().unwrap_or_default()),
            Source::StepName => push(names.step.as_deref().unwrap_or_default()),
            Source::Fixed(value) => push(value),
        }
    }
    packed
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_admits_the_first_values_for_good() {
        let limit = Limit::new(2);
        assert!(limit.admits("a") && limit.admits("b"));
        assert!(!limit.admits("c"));
        assert!(limit.admits("a") && limit.admits("b"));
    }

    #[test]
    fn a_limit_holds_when_threads_race() {
        let limit = Limit::new(5);
        std::thread::scope(|scope| {
            for thread in 0..8 {
                let limit = &limit;
                scope.spawn(move || {
                    (0..100)
                        .filter(|value| limit.admits(&format!("{thread}-{value}")))
                        .count()
                });
            }
        });
        assert_eq!(limit.known.read().len(), 5);
    }
}
