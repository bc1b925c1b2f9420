//! What this process remembers of tasks and steps: their names, for payloads that lack them, and when they began.

use super::told::Names;
use hashbrown::HashMap;
use parking_lot::Mutex;
use std::borrow::Cow;
use std::hash::{BuildHasherDefault, Hasher};

/// How many tasks and steps are remembered, and how many starts.
const MOST: usize = 10_000;

/// Keys are hashes already.
#[derive(Debug, Default)]
struct Hashed(u64);

impl Hasher for Hashed {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        bytes
            .iter()
            .for_each(|byte| self.0 = self.0.rotate_left(8) ^ u64::from(*byte));
    }

    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }
}

type ByHash<T> = HashMap<u64, T, BuildHasherDefault<Hashed>>;

/// The entries used most recently: at least half of as many as there may be.
#[derive(Debug)]
struct Recent<T> {
    young: ByHash<T>,
    old: ByHash<T>,
}

impl<T> Default for Recent<T> {
    fn default() -> Self {
        Self {
            young: HashMap::default(),
            old: HashMap::default(),
        }
    }
}

impl<T> Recent<T> {
    /// The entry, which is thereby the youngest.
    fn get(&mut self, key: u64) -> Option<&mut T> {
        if !self.young.contains_key(&key) {
            let value = self.old.remove(&key)?;
            self.insert(key, value);
        }
        self.young.get_mut(&key)
    }

    fn remove(&mut self, key: u64) {
        self.young.remove(&key);
        self.old.remove(&key);
    }

    fn insert(&mut self, key: u64, value: T) {
        if self.young.len() >= MOST / 2 && !self.young.contains_key(&key) {
            self.old = std::mem::take(&mut self.young);
        }
        self.old.remove(&key);
        self.young.insert(key, value);
    }
}

/// Names of a task or step.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Known {
    task: Option<Box<str>>,
    namespace: Option<Box<str>>,
    step: Option<Box<str>>,
}

#[derive(Debug, Default)]
struct Remembered {
    names: Recent<Known>,
    starts: Recent<i64>,
}

/// What is remembered. The lock is held for a look only, and nothing is called meanwhile.
#[derive(Debug, Default)]
pub(super) struct Memory(Mutex<Remembered>);

impl Memory {
    /// Fills in the names that a payload lacks, and learns those that it brings. `task` and `step` are what they are of.
    pub fn meet(&self, task: Option<u64>, step: Option<u64>, names: &mut Names<'_>) {
        let mut remembered = self.0.lock();
        if let Some(step) = step {
            let known = remembered.names.get(step);
            if let Some(known) = exchange(known, names, true) {
                remembered.names.insert(step, known);
            }
        }
        if let Some(task) = task {
            let known = remembered.names.get(task);
            if let Some(known) = exchange(known, names, false) {
                remembered.names.insert(task, known);
            }
        }
    }

    /// When a course of events began, as far as this process has seen.
    pub fn started(&self, course: u64) -> Option<i64> {
        self.0.lock().starts.get(course).copied()
    }

    /// Notes when it began.
    pub fn start(&self, course: u64, at_ns: i64) {
        self.0.lock().starts.insert(course, at_ns);
    }

    /// Forgets when it began.
    pub fn end(&self, course: u64) {
        self.0.lock().starts.remove(course);
    }

    /// Forgets everything.
    pub fn clear(&self) {
        *self.0.lock() = Remembered::default();
    }
}

/// Fills each from the other; what a payload brings goes before what was known. Answers what is to be remembered where
/// nothing was.
fn exchange(known: Option<&mut Known>, names: &mut Names<'_>, of_step: bool) -> Option<Known> {
    let one = |known: &mut Option<Box<str>>, name: &mut Option<Cow<'_, str>>| match (&known, &name) {
        (Some(old), None) => *name = Some(Cow::Owned(old.to_string())),
        (old, Some(new)) if old.as_deref() != Some(&**new) => *known = Some((&**new).into()),
        _ => {}
    };
    let all = |known: &mut Known, names: &mut Names<'_>| {
        one(&mut known.task, &mut names.task);
        one(&mut known.namespace, &mut names.namespace);
        if of_step {
            one(&mut known.step, &mut names.step);
        }
    };
    match known {
        Some(known) => {
            all(known, names);
            None
        }
        None => {
            let mut fresh = Known::default();
            all(&mut fresh, names);
            (fresh != Known::default()).then_some(fresh)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(task: Option<&'static str>, step: Option<&'static str>) -> Names<'static> {
        Names {
            task: task.map(Cow::Borrowed),
            step: step.map(Cow::Borrowed),
            namespace: None,
        }
    }

    #[test]
    fn fills_in_what_it_was_told_before() {
        let memory = Memory::default();
        let mut poor = names(None, None);
        memory.meet(Some(1), Some(2), &mut poor);
        assert_eq!(poor, names(None, None));
        memory.meet(Some(1), Some(2), &mut names(Some("pack"), Some("weigh")));
        memory.meet(Some(1), Some(2), &mut poor);
        assert_eq!(poor, names(Some("pack"), Some("weigh")));
        // Another step of the task: the task's name is known, its own is not.
        let mut other = names(None, None);
        memory.meet(Some(1), Some(3), &mut other);
        assert_eq!(other, names(Some("pack"), None));
        // The step alone.
        let mut alone = names(None, None);
        memory.meet(None, Some(2), &mut alone);
        assert_eq!(alone, names(Some("pack"), Some("weigh")));
        // What a payload says goes before what was known.
        memory.meet(Some(1), None, &mut names(Some("repack"), None));
        let mut renamed = names(None, None);
        memory.meet(Some(1), None, &mut renamed);
        assert_eq!(renamed, names(Some("repack"), None));
    }

    #[test]
    fn remembers_a_bounded_number_and_the_recent_ones() {
        let memory = Memory::default();
        for course in 0..50_000 {
            memory.start(course, course as i64);
            assert_eq!(memory.started(0), Some(0));
        }
        let remembered = memory.0.lock();
        assert!(remembered.starts.young.len() + remembered.starts.old.len() <= MOST);
        drop(remembered);
        // It was asked for all the time.
        assert_eq!(memory.started(0), Some(0));
        assert_eq!(memory.started(1), None);
        assert_eq!(memory.started(45_001), Some(45_001));
    }
}
