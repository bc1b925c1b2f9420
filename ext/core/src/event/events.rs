//! The events of one process.

use super::counts::{Counts, Unmet};
use super::courses::{Courses, Restart};
use super::entry::Entry;
use super::error::Result;
use super::identity::{chain, Identity};
use super::instruments::Instruments;
use super::key::Key;
use super::mapping::Mapping;
use super::memory::Memory;
use super::payload::Payload;
use super::route::Route;
use super::router::Router;
use super::told::{Begun, Family, Kind, Names, Times, Told};
use super::transitions::{self, Event};
use super::{instant, listing, times};
use crate::arena::{Notes, Registry};
use std::sync::Arc;

/// The events of one process: what is mapped, what is remembered, and what it is counted in.
#[derive(Debug)]
pub struct Events {
    registry: Arc<Registry>,
    router: Router,
    instruments: Instruments,
    counts: Counts,
    memory: Memory,
}

impl Events {
    /// Events that are counted through `registry`.
    #[must_use]
    pub fn new(registry: Arc<Registry>) -> Self {
        Self {
            router: Router::default(),
            instruments: Instruments::new(Arc::clone(&registry)),
            counts: Counts::new(Arc::clone(&registry)),
            memory: Memory::default(),
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

    /// Every event that is known by name: the catalogue's, those registered, and those mapped by their own name.
    #[must_use]
    pub fn list(&self) -> Vec<listing::Listed> {
        listing::list(&self.router)
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
        // The end of what begins may be told inside the block, and what happens there is told as part of a span that
        // only the first to tell of it will send. An end tells most of itself when the block is over.
        let decided = route.entry.filter(|entry| entry.kind != Kind::End && entry.is_known());
        let first = decided.map(|entry| {
            let identity = Identity::of(entry, payload);
            let courses = self.courses();
            if entry.kind == Kind::Start {
                begin(&courses, entry, &identity, payload, at_ns)
            } else {
                is_first(
                    courses.notes(),
                    entry,
                    &identity,
                    payload,
                    instant::whole_seconds(at_ns),
                )
            }
        });
        Begun {
            first,
            drawn: route.backends().any().then(|| route.draw()),
        }
    }

    /// Counts an event that is over, and tells of it.
    #[must_use]
    pub fn finish<'e>(&self, route: &'e Route, payload: &'e dyn Payload, times: Times) -> Told<'e> {
        match route.entry {
            Some(entry) if entry.is_known() => self.finish_known(entry, route, payload, &times),
            _ => self.finish_other(route, payload, &times),
        }
    }

    fn finish_other<'e>(&self, route: &'e Route, payload: &'e dyn Payload, times: &Times) -> Told<'e> {
        let mut told = Told::nothing(route, times);
        if !self.draw(&mut told, times.begun) {
            return told;
        }
        told.end_ns = times::end(payload, times);
        told.start_ns = times::start(payload, told.end_ns).or_else(|| times::block(times, told.end_ns));
        if told.decision.metrics {
            self.record(&told, payload, true, told.duration());
        }
        told
    }

    fn finish_known<'e>(
        &self,
        entry: &'static Entry,
        route: &'e Route,
        payload: &'e dyn Payload,
        times: &Times,
    ) -> Told<'e> {
        let mut told = Told::nothing(route, times);
        let identity = Identity::of(entry, payload);
        told.names = self.names(entry, &identity, payload);
        let courses = self.courses();
        let first = match times.begun.first {
            Some(first) => first,
            None if entry.kind == Kind::Start => begin(&courses, entry, &identity, payload, times.start_ns),
            None => is_first(courses.notes(), entry, &identity, payload, times.now_s()),
        };
        told.duplicate = !first;
        tell_times(&courses, entry, &identity, payload, times, &mut told);
        let backends = route.backends();
        let pending = identity
            .entity
            .filter(|_| entry.kind == Kind::End)
            .map(|entity| chain(entity, entry.name));
        (told.task_id, told.step_id, told.attempt) = (identity.task_id, identity.step_id, identity.attempt);
        if told.duplicate {
            self.counts.add(Unmet::Duplicate, 1);
            if let (Some(key), Some(seconds)) = (pending, told.duration()) {
                told.completes = backends.traces.then_some(key);
                if courses.settles_debt(key, times.now_s()) && backends.metrics {
                    self.record(&told, payload, false, Some(seconds));
                }
            }
            return told;
        }
        let drawn = self.draw(&mut told, times.begun);
        if let Some(key) = pending {
            let unknown = drawn && told.start_ns.is_none();
            courses.owe(key, unknown && told.decision.metrics, times.now_s());
            told.pending = (unknown && told.decision.traces).then_some(key);
            self.counts.add(Unmet::UnknownStart, u64::from(unknown));
        }
        if told.decision.metrics {
            let seconds = told.duration().filter(|_| entry.kind != Kind::Start);
            self.record(&told, payload, true, seconds);
        }
        told
    }

    /// Draws whether the event is taken, unless that was done when it began, and decides accordingly.
    fn draw(&self, told: &mut Told<'_>, begun: Begun) -> bool {
        if !told.route.backends().any() {
            return false;
        }
        if !begun.drawn.unwrap_or_else(|| told.route.draw()) {
            self.counts.add(Unmet::SampledOut, 1);
            return false;
        }
        told.decision = told.route.decision(true);
        true
    }

    fn record(&self, told: &Told<'_>, payload: &dyn Payload, count: bool, seconds: Option<f64>) {
        let event = (told.route, payload, &told.names);
        self.instruments
            .record((&self.router, &self.counts), event, count, seconds);
    }

    fn names<'e>(&self, entry: &Entry, identity: &Identity<'e>, payload: &'e dyn Payload) -> Names<'e> {
        let text = |key| payload.get(key).map(super::Value::into_text);
        let mut names = Names {
            task: text(Key::TASK_NAME),
            namespace: text(Key::NAMESPACE),
            step: text(Key::STEP_NAME),
        };
        let step = identity.entity.filter(|_| entry.family == Family::Step);
        if step.is_some() || identity.task.is_some() {
            self.memory.meet(identity.task, step, &mut names);
        }
        names
    }

    fn courses(&self) -> Courses<'_> {
        Courses::new(&self.memory, self.registry.notes())
    }

    /// Forgets what was told so far, in all processes that share the arena; what is mapped and registered stays.
    pub fn forget(&self) {
        self.memory.clear();
        self.registry.notes().clear();
    }

    /// Forgets what was mapped and registered.
    pub fn unmap_all(&self) {
        self.router.clear();
    }
}

/// Takes note of a start, and answers whether it is the first to tell of it.
fn begin(
    courses: &Courses<'_>,
    entry: &Entry,
    identity: &Identity<'_>,
    payload: &dyn Payload,
    published_ns: i64,
) -> bool {
    let at_ns = times::moment(payload, published_ns);
    let first = is_first(
        courses.notes(),
        entry,
        identity,
        payload,
        instant::whole_seconds(published_ns),
    );
    if let (true, Some(entity), Some(course)) = (first, identity.entity, entry.course) {
        // A task goes on when it is queued again; steps are tried anew.
        let restart = match entry.family {
            Family::Task => Restart::Continues,
            _ => Restart::Replaces,
        };
        courses.start(
            chain(entity, course),
            at_ns,
            restart,
            instant::whole_seconds(published_ns),
        );
    }
    first
}

/// Whether an event is the first to tell of its transition, of all processes.
fn is_first(notes: &Notes, entry: &Entry, identity: &Identity<'_>, payload: &dyn Payload, now_s: u32) -> bool {
    let Some(entity) = identity.entity else { return true };
    let state = |key| payload.get(key).map(super::Value::into_text);
    let beside = (!entry.moves).then(|| {
        let from = chain(5, state(Key::FROM_STATE).as_deref().unwrap_or_default());
        chain(from, state(Key::TO_STATE).as_deref().unwrap_or_default())
    });
    let event = Event {
        entity,
        name: entry.name,
        marks: identity.marks,
        beside,
    };
    transitions::is_first(notes, event, now_s)
}

/// Finds out when an event began and ended.
fn tell_times(
    courses: &Courses<'_>,
    entry: &Entry,
    identity: &Identity<'_>,
    payload: &dyn Payload,
    times: &Times,
    told: &mut Told<'_>,
) {
    match entry.kind {
        Kind::Start => {
            told.end_ns = times::moment(payload, times.start_ns);
            told.start_ns = Some(told.end_ns);
        }
        Kind::Point => {
            told.start_ns = times::block(times, times.end_ns);
            if told.start_ns.is_none() {
                told.end_ns = times::moment(payload, times.end_ns);
                // Some are published when what they tell of is over. A start would be that of the step.
                if entry.tells_duration() {
                    told.start_ns = times::duration(payload, told.end_ns);
                }
            }
        }
        Kind::End => {
            told.end_ns = times::end(payload, times);
            let course = identity.entity.zip(entry.course);
            // By the time that a duplicate comes, the next attempt may have begun.
            let noted = course.filter(|_| !told.duplicate).and_then(|(entity, course)| {
                let now = (times.end_ns, times.now_s());
                courses.end(chain(entity, course), told.end_ns, now)
            });
            told.start_ns = times::start(payload, told.end_ns)
                .or(noted)
                .or_else(|| times::block(times, told.end_ns));
        }
    }
}
