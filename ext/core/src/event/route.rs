//! What is known of an event by its name alone.

use super::catalogue;
use super::entry::Entry;
use super::identity::marks_of;
use super::instruments::{Instrument, Timer};
use super::key::keep;
use super::mapping::{Backends, Label, Mapping};
use super::payload::Payload;
use super::sampling::Sample;
use super::told::{Decision, Family, Kind, Outcome, Transition};
use std::borrow::Cow;
use std::sync::{Arc, OnceLock};

/// Where events of one name go. Good until something is mapped anew: to be kept, if at all, with a look at
/// [`super::Events::is_current`].
#[derive(Debug)]
pub struct Route {
    pub(super) name: Cow<'static, str>,
    pub(super) generation: u64,
    pub(super) entry: Option<&'static Entry>,
    pub(super) mapping: Option<Arc<Mapping>>,
    backends: Backends,
    sample: Sample,
    outcome: Option<Outcome>,
    /// What the events are counted in; none where its name is taken by something else.
    pub(super) counter: OnceLock<Option<Instrument>>,
    /// What their durations are observed in, once one is known.
    pub(super) timer: OnceLock<Option<Timer>>,
}

impl Route {
    pub(super) fn new(name: &str, generation: u64, mapping: Option<Arc<Mapping>>) -> Self {
        let entry = catalogue::built_in(name);
        let on = mapping.as_ref().filter(|mapping| mapping.enabled);
        Self {
            name: keep(name).map_or_else(|| Cow::Owned(name.to_owned()), Cow::Borrowed),
            generation,
            entry,
            backends: on.map_or(Backends::NONE, |mapping| mapping.backends),
            sample: Sample::of(on.map_or(0.0, |mapping| {
                if mapping.priority == super::Priority::Critical {
                    1.0
                } else {
                    mapping.sample
                }
            })),
            mapping,
            outcome: match entry {
                Some(entry) => entry.outcome,
                None => catalogue::outcome_by_name(name),
            },
            counter: OnceLock::new(),
            timer: OnceLock::new(),
        }
    }

    /// The event's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The event's name, without a copy where it can be.
    #[must_use]
    pub fn own_name(&self) -> Cow<'static, str> {
        self.name.clone()
    }

    /// Who takes the events, as far as the sample lets them. Nobody where the name is not mapped, or its mapping is off.
    #[must_use]
    pub fn backends(&self) -> Backends {
        self.backends
    }

    /// Whether an event has to be told at all: one of the engine's tells of transitions even when nobody takes it.
    #[must_use]
    pub fn is_silent(&self) -> bool {
        !self.backends.any() && !self.is_known()
    }

    /// Whether the catalogue knows the event.
    pub(super) fn is_known(&self) -> bool {
        self.entry.is_some_and(Entry::is_known)
    }

    /// What the events are about.
    #[must_use]
    pub fn family(&self) -> Family {
        self.entry.map_or(Family::Other, |entry| entry.family)
    }

    /// Where in the course of events they stand.
    #[must_use]
    pub fn kind(&self) -> Kind {
        match self.entry {
            Some(entry) => entry.kind,
            None if self.outcome.is_some() => Kind::End,
            None => Kind::Point,
        }
    }

    /// What the task or step went through.
    #[must_use]
    pub fn transition(&self) -> Option<Transition> {
        self.entry.and_then(|entry| entry.transition)
    }

    /// How it ended.
    #[must_use]
    pub fn outcome(&self) -> Option<Outcome> {
        self.outcome
    }

    /// What tells an event of this name from others about the same task or step; empty where nothing does.
    #[must_use]
    pub fn marks<'e>(&self, payload: &'e dyn Payload) -> Vec<Cow<'e, str>> {
        self.entry.map_or_else(Vec::new, |entry| marks_of(entry, payload))
    }

    pub(super) fn labels(&self) -> &[Label] {
        self.mapping.as_ref().map_or(&[], |mapping| &mapping.labels)
    }

    pub(super) fn decision(&self, taken: bool) -> Decision {
        let priority = self
            .mapping
            .as_ref()
            .map_or_else(Default::default, |mapping| mapping.priority);
        Decision {
            metrics: taken && self.backends.metrics,
            traces: taken && self.backends.traces,
            logs: taken && self.backends.logs,
            priority,
        }
    }

    /// Draws once for all backends.
    pub(super) fn draw(&self) -> bool {
        self.sample.draw()
    }
}
