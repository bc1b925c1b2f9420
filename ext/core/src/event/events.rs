//! The events of one process.

use super::catalogue::{self, Entry};
use super::counts::{Counts, Unmet};
use super::error::Result;
use super::instruments::Instruments;
use super::mapping::Mapping;
use super::payload::Payload;
use super::route::Route;
use super::router::Router;
use super::times;
use super::told::{Begun, Kind, Names, Times, Told};
use crate::arena::Registry;
use std::sync::Arc;

/// The events of one process: what is mapped, what is remembered, and what it is counted in.
#[derive(Debug)]
pub struct Events {
    registry: Arc<Registry>,
    router: Router,
    instruments: Instruments,
    counts: Counts,
}

impl Events {
    /// Events that are counted through `registry`.
    #[must_use]
    pub fn new(registry: Arc<Registry>) -> Self {
        Self {
            router: Router::default(),
            instruments: Instruments::new(Arc::clone(&registry)),
            counts: Counts::new(Arc::clone(&registry)),
            registry,
        }
    }

    /// What the events are counted through.
    #[must_use]
    pub fn registry(&self) -> &Arc<Registry> {
        &self.registry
    }

    /// Maps a name or pattern; one that is mapped already is replaced.
    pub fn map(&self, mapping: Mapping) {
        self.router.map(mapping);
    }

    /// Takes a mapping back; `false` when there was none.
    pub fn unmap(&self, pattern: &str) -> bool {
        self.router.unmap(pattern)
    }

    /// What was mapped: exact names in order, then patterns, the one that is meant first first.
    #[must_use]
    pub fn mappings(&self) -> Vec<Arc<Mapping>> {
        self.router.mappings()
    }

    /// The mapping of a name: what was mapped, else what the catalogue says.
    #[must_use]
    pub fn mapping(&self, name: &str) -> Option<Arc<Mapping>> {
        self.router.mapping(name)
    }

    /// Registers an event of the application, which is then listed, and taken even when it is not mapped.
    ///
    /// # Errors
    /// [`super::Error::Name`] for a name that is none, or is the catalogue's.
    pub fn register(&self, name: &str, description: &str, payload_keys: &[String]) -> Result<()> {
        self.router.registered.add(name, description, payload_keys)?;
        self.router.renew();
        Ok(())
    }

    /// Where events of that name go.
    #[inline]
    #[must_use]
    pub fn route(&self, name: &str) -> Arc<Route> {
        self.router.route(name)
    }

    /// Whether nothing was mapped since the route was found.
    #[inline]
    #[must_use]
    pub fn is_current(&self, route: &Route) -> bool {
        route.generation == self.router.generation()
    }

    /// Takes note of the beginning of an event that is published around a block. To be called before the block runs;
    /// what it answers goes into the [`Times`] of [`Self::finish`].
    #[must_use]
    pub fn start(&self, route: &Route, payload: &dyn Payload, at_ns: i64) -> Begun {
        let _ = (route, payload, at_ns);
        Begun::default()
    }

    /// Counts an event that is over, and tells of it.
    #[must_use]
    pub fn finish<'e>(&self, route: &'e Route, payload: &'e dyn Payload, times: Times) -> Told<'e> {
        self.finish_other(route, payload, &times)
    }

    fn finish_other<'e>(&self, route: &'e Route, payload: &'e dyn Payload, times: &Times) -> Told<'e> {
        let mut told = Told {
            route,
            decision: route.decision(false),
            task_id: None,
            step_id: None,
            attempt: None,
            names: Names::default(),
            start_ns: None,
            end_ns: times.end_ns,
            duplicate: false,
            pending: None,
            completes: None,
        };
        if !route.backends().any() {
            return told;
        }
        if !route.draw() {
            self.counts.add(Unmet::SampledOut, 1);
            return told;
        }
        told.decision = route.decision(true);
        told.end_ns = times::end(payload, times);
        told.start_ns = times::start(payload, told.end_ns).or_else(|| times::block(times, told.end_ns));
        if told.decision.metrics {
            let seconds = told.duration().filter(|_| route.kind() != Kind::Start);
            let event = (route, payload, &told.names);
            self.instruments
                .record((&self.router, &self.counts), event, true, seconds);
        }
        told
    }

    /// Forgets what was mapped and registered.
    pub fn reset(&self) {
        self.router.clear();
    }
}

/// Whether an event is one of the catalogue's.
#[must_use]
pub fn is_built_in(name: &str) -> bool {
    catalogue::built_in(name).is_some_and(Entry::is_known)
}
