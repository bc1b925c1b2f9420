//! What is known of an event of the workflow engine, and how the catalogue says it.

use super::mapping::{Backends, Mapping, Priority};
use super::told::{Family, Kind, Outcome, Transition};

/// An event of the workflow engine.
#[derive(Debug)]
pub(super) struct Entry {
    pub name: &'static str,
    pub description: &'static str,
    pub payload_keys: &'static [&'static str],
    pub family: Family,
    pub kind: Kind,
    pub transition: Option<Transition>,
    pub outcome: Option<Outcome>,
    /// What begins and ends: an end looks for the start of the same course.
    pub course: Option<&'static str>,
    /// Whether it counts as something that happened in between two events of another name.
    pub moves: bool,
    /// Whether it is about one step, though the engine tells it of the task.
    pub of_step: bool,
    /// Whether its job is its attempt.
    pub by_job: bool,
    backends: Backends,
    sample: f64,
    priority: Priority,
}

/// An event that just happens, until something else is said of it.
pub(super) const fn point(
    name: &'static str,
    family: Family,
    payload_keys: &'static [&'static str],
    description: &'static str,
) -> Entry {
    Entry {
        name,
        description,
        payload_keys,
        family,
        kind: Kind::Point,
        transition: None,
        outcome: None,
        course: None,
        moves: true,
        of_step: false,
        by_job: false,
        backends: Backends::BOTH,
        sample: 1.0,
        priority: Priority::Normal,
    }
}

impl Entry {
    pub const fn starts(self, course: &'static str) -> Self {
        Self {
            kind: Kind::Start,
            course: Some(course),
            ..self
        }
    }

    pub const fn ends(self, course: &'static str, outcome: Outcome) -> Self {
        Self {
            kind: Kind::End,
            course: Some(course),
            outcome: Some(outcome),
            ..self
        }
    }

    pub const fn is(self, transition: Transition) -> Self {
        Self {
            transition: Some(transition),
            ..self
        }
    }

    /// It only accompanies what happens.
    pub const fn beside(self) -> Self {
        Self { moves: false, ..self }
    }

    pub const fn of_one_step(self) -> Self {
        Self { of_step: true, ..self }
    }

    pub const fn by_job(self) -> Self {
        Self { by_job: true, ..self }
    }

    pub const fn to(self, backends: Backends) -> Self {
        Self { backends, ..self }
    }

    pub const fn sampled(self, sample: f64) -> Self {
        Self { sample, ..self }
    }

    pub const fn of(self, priority: Priority) -> Self {
        Self { priority, ..self }
    }

    /// What becomes of it where nothing else is said.
    pub fn mapping(&self) -> Mapping {
        Mapping::built_in(self.name, self.backends, self.sample, self.priority)
    }

    /// Whether its payload tells how long it took.
    pub fn tells_duration(&self) -> bool {
        self.payload_keys.contains(&"duration")
    }

    /// Whether its transitions are told apart, and duplicates found.
    pub fn is_known(&self) -> bool {
        self.family != Family::Other
    }
}
