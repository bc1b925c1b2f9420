//! All of a process's telemetry: what an event becomes, from wherever it comes.

mod background;
mod tracing;

use crate::arena::{exemplar, fork, Registry};
use crate::clock::Moment;
use crate::event::{Begun, Events, Payload, Redactor, Route, Times, DEFAULT_FILTERS, DEFAULT_MASK};
use crate::export::formats::{self, Format, Otlp, Renderer};
use crate::export::push::{self, Push};
use crate::export::transports::otlp;
use crate::pusher::Pusher;
use crate::runtime::Runtime;
use crate::snapshot::Snapshot;
use crate::trace::{self, Attributes, Place, SpanContext, SpanId};
use arc_swap::{ArcSwap, ArcSwapOption, Guard};
use parking_lot::Mutex;
use std::sync::Arc;
use tracing::reference;

pub use tracing::Tracing;

/// What must not be shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Filter {
    /// Names, or parts of names, of keys.
    pub names: Vec<String>,
    /// Regular expressions that such names match.
    pub patterns: Vec<String>,
    /// What stands in the place of a value.
    pub mask: String,
}

impl Default for Filter {
    fn default() -> Self {
        Self {
            names: DEFAULT_FILTERS.map(str::to_owned).to_vec(),
            patterns: Vec::new(),
            mask: DEFAULT_MASK.to_owned(),
        }
    }
}

impl Filter {
    /// Whether a pattern can be one of those.
    #[must_use]
    pub fn takes(pattern: &str) -> bool {
        Redactor::default().matching([pattern]).is_ok()
    }

    fn redactor(&self) -> otlp::Result<Redactor> {
        let named = Redactor::new(&self.names, &self.mask);
        named.matching(&self.patterns).map_err(|error| otlp::Error::Setting {
            option: "config.filter_parameters".to_owned(),
            value: error.to_string(),
            accepted: "names, and patterns without look-around and back references",
        })
    }
}

/// What the application decided about spans, and about what must not be shown.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Settings {
    /// About spans.
    pub traces: trace::Options,
    /// About the push of metrics.
    pub push: push::Options,
    /// Names and patterns of what must not be shown, and what stands in its place.
    pub filter: Filter,
}

impl Settings {
    /// What they come to, completed by the environment. Of that, what nothing uses is not looked at.
    fn resolve(&self, env: otlp::Env<'_>) -> otlp::Result<(push::Settings, trace::Settings)> {
        let pushing = push::Settings::resolve(&self.push, env)?;
        if pushing.enabled {
            trace::described(env)?;
        }
        Ok((pushing, trace::Settings::resolve(&self.traces, env)?))
    }
}

/// The telemetry of a process and of the processes that it forks.
#[derive(Debug)]
pub struct Telemetry {
    registry: Arc<Registry>,
    events: Events,
    runtime: Arc<Runtime>,
    tracing: ArcSwap<Tracing>,
    pusher: Arc<Pusher>,
    push: ArcSwapOption<Push>,
    configuring: Mutex<()>,
}

/// An event that goes on.
#[derive(Debug)]
pub struct Open {
    route: Arc<Route>,
    begun: Begun,
    since: Moment,
    fiber: u64,
    /// Of the process in which it began.
    generation: u32,
    own_block: Option<bool>,
    /// Where its span stands, if it becomes one.
    place: Option<Place>,
    around: Option<SpanContext>,
}

impl Open {
    /// The span that is current while it goes on, if it is not what is around it.
    fn inside_id(&self) -> Option<SpanId> {
        self.place.as_ref().and_then(Place::inside_id)
    }
}

/// What is left to do for an event, since only its owner can: its line in the log.
#[derive(Debug)]
pub struct Line {
    /// Where the event happened.
    pub context: Option<SpanContext>,
    /// When it was over, in nanoseconds since the epoch.
    pub end_ns: i64,
    /// How long it took, in seconds.
    pub duration: Option<f64>,
}

/// What became of an event.
#[derive(Debug, Default)]
pub struct Done {
    /// Whether anybody took it.
    pub taken: bool,
    /// Its line in the log, if it has one.
    pub line: Option<Line>,
}

impl Telemetry {
    /// Telemetry that counts through `registry`. Nothing is started, and no span is made until it is configured.
    #[must_use]
    pub fn new(registry: Arc<Registry>) -> Self {
        let runtime = Runtime::new();
        // UNWRAP: without options and variables there is nothing that could be wrong; every test goes through here.
        #[allow(clippy::expect_used)]
        let tracing = Tracing::new(&runtime, &registry).expect("the defaults can be used");
        Self {
            events: Events::new(Arc::clone(&registry)),
            tracing: ArcSwap::from_pointee(tracing),
            pusher: Arc::new(Pusher::default()),
            push: ArcSwapOption::empty(),
            runtime,
            registry,
            configuring: Mutex::new(()),
        }
    }

    /// Whether settings can be used: what could be wrong with [`Self::configure`] is known after that.
    ///
    /// # Errors
    /// Which option or variable is wrong, its value and what is accepted; or which certificates cannot be used.
    pub fn check(&self, settings: &Settings, env: otlp::Env<'_>) -> otlp::Result<()> {
        if self.tracing.load().settings == *settings {
            return Ok(());
        }
        settings.filter.redactor()?;
        let (pushing, traces) = settings.resolve(env)?;
        let destinations = [
            (pushing.enabled, pushing.destination),
            (traces.enabled, traces.destination),
        ];
        let mut used = destinations.into_iter().filter(|(enabled, _)| *enabled);
        used.try_for_each(|(_, destination)| otlp::Client::new(destination).map(drop))
    }

    /// Goes on under other settings. What was recorded before is sent where it was to go.
    ///
    /// # Errors
    /// As [`Self::check`]; then everything stays as it was.
    pub fn configure(&self, settings: Settings, env: otlp::Env<'_>) -> otlp::Result<()> {
        let _configuring = self.configuring.lock();
        let before = self.tracing.load_full();
        if before.settings == settings {
            return Ok(());
        }
        let redactor = settings.filter.redactor()?;
        let (pushing, traces) = settings.resolve(env)?;
        let interval = pushing.interval;
        // It takes itself back where what comes after it fails.
        let push = (before.settings.push != settings.push)
            .then(|| Push::new(pushing, &self.runtime, Box::new(Arc::clone(&self.pusher))))
            .transpose()?;
        let fresh = Arc::new(Tracing {
            attributes: Attributes::new(redactor),
            tracer: before.tracer.succeed(traces)?,
            settings,
        });
        if let Some(push) = push {
            self.pusher.every(interval);
            if !push.goes_on() {
                self.pusher.resign();
            }
            if let Some(before) = self.push.swap(Some(Arc::new(push))) {
                before.stop();
            }
        }
        self.tracing.store(Arc::clone(&fresh));
        before.tracer.retire(&fresh.tracer);
        Ok(())
    }

    /// Who pushes the machine's metrics, if they are to be pushed.
    #[must_use]
    pub fn push(&self) -> Option<Arc<Push>> {
        self.push.load_full()
    }

    /// What makes the pages that are pushed.
    #[must_use]
    pub fn pusher(&self) -> &Pusher {
        &self.pusher
    }

    /// Stands for election to push the machine's metrics, if they are to be pushed; see [`Pusher::stand`]. The background
    /// that is to push them may have found no thread to run with, and nothing else may ask for it.
    pub fn stand(&self) {
        let push = self.push.load();
        if let Some(push) = push.as_ref().filter(|push| push.goes_on()) {
            push.start();
            if self.pusher.stand(&self.registry) {
                push.look();
            }
        }
    }

    /// Renders a picture; one for OTLP says whose it is.
    #[must_use]
    pub fn renderer(&self, kind: formats::Kind, picture: Snapshot) -> Renderer {
        if kind != formats::Kind::Otlp {
            return Renderer::new(kind, picture);
        }
        let settings = self.tracing.load();
        let settings = settings.tracer.settings();
        let mut resource = trace::shared_resource(&settings.identity, &settings.resource_attributes);
        if let Some(id) = self.registry.arena_id() {
            // Whoever pushes, it is the same instance: one that a variable names may differ between processes.
            const INSTANCE: &str = "service.instance.id";
            resource.retain(|(name, _)| name != INSTANCE);
            resource.push((INSTANCE.to_owned(), id));
        }
        let format: Box<dyn Format> = Box::new(Otlp::new(&resource));
        Renderer::with(format, picture)
    }

    /// What is routed where.
    #[must_use]
    pub fn events(&self) -> &Events {
        &self.events
    }

    /// Spans, as they are configured now.
    #[must_use]
    pub fn tracing(&self) -> Guard<Arc<Tracing>> {
        self.tracing.load()
    }

    /// The background.
    #[must_use]
    pub fn runtime(&self) -> &Arc<Runtime> {
        &self.runtime
    }

    /// Begins an event that is published around a block, maybe an empty one. While it goes on, its span is the current
    /// one of its fiber. `None` for one that nobody takes. `tracing` is [`Self::tracing`], here as below: whoever reads
    /// the payload has it already.
    pub fn begin(
        &self,
        tracing: &Tracing,
        name: &str,
        payload: &dyn Payload,
        fiber: u64,
        own_block: Option<bool>,
    ) -> Option<Open> {
        let route = self.events.route(name);
        if route.is_silent() {
            return None;
        }
        let since = Moment::now();
        let begun = self.events.start(&route, payload, since.wall());
        let around = tracing.tracer.is_enabled().then(|| tracing.current(fiber)).flatten();
        let place = (tracing.tracer.is_enabled() && route.backends().traces).then(|| {
            let story = tracing.story(&self.registry);
            story.place(&route, payload, begun, around.as_ref())
        });
        if let Some(inside) = place.as_ref().and_then(Place::inside) {
            tracing.enter(fiber, inside);
        }
        Some(Open {
            begun,
            route,
            since,
            fiber,
            generation: fork::generation(),
            own_block,
            place,
            around,
        })
    }

    /// Ends an event. In a child that was forked in the meantime it does nothing but leave it: its parent ends it as well.
    pub fn finish(&self, tracing: &Tracing, open: &Open, payload: &dyn Payload) -> Done {
        let times = Times {
            start_ns: open.since.wall(),
            end_ns: open.since.wall().saturating_add(open.since.elapsed()),
            own_block: open.own_block,
            begun: open.begun,
        };
        if let Some(inside) = open.inside_id() {
            tracing.leave(open.fiber, inside);
        }
        if !tracing.tracer.owns(open.generation) {
            return Done::default();
        }
        let stands = (open.place.as_ref(), open.around.as_ref());
        self.settle(tracing, &open.route, payload, times, stands)
    }

    /// Forgets an event whose end will not be told.
    pub fn abandon(&self, open: &Open) {
        if let Some(inside) = open.inside_id() {
            let tracing = self.tracing.load();
            tracing.tracer.contexts().remove(open.fiber, inside);
        }
    }

    /// Takes an event of which no beginning was told. It happens now, unless it is told when it began and ended, in
    /// nanoseconds since the epoch.
    pub fn take(
        &self,
        tracing: &Tracing,
        name: &str,
        payload: &dyn Payload,
        fiber: u64,
        told: Option<(i64, i64)>,
    ) -> Done {
        let route = self.events.route(name);
        if route.is_silent() {
            return Done::default();
        }
        let around = tracing.current(fiber);
        let times = match told {
            Some((start, end)) => Times::around(start, end),
            None => Times::at(Moment::now().wall()),
        };
        self.settle(tracing, &route, payload, times, (None, around.as_ref()))
    }

    fn settle(
        &self,
        tracing: &Tracing,
        route: &Route,
        payload: &dyn Payload,
        times: Times,
        (place, around): (Option<&Place>, Option<&SpanContext>),
    ) -> Done {
        let story = tracing.tracer.is_enabled().then(|| tracing.story(&self.registry));
        // Where the span stands is known before it is told, so that what the event counts can refer to it.
        let late = story.as_ref().filter(|_| place.is_none() && route.backends().traces);
        let late = late.map(|story| story.place(route, payload, times.begun, around));
        let place = place.or(late.as_ref());
        let context = place.map(Place::context).or(around);
        let outside = exemplar::set_current(context.and_then(reference));
        let told = self.events.finish(route, payload, times);
        exemplar::set_current(outside);
        let line = told.decision.logs.then(|| Line {
            context: context.cloned(),
            end_ns: told.end_ns,
            duration: told.duration(),
        });
        if let Some(story) = story {
            story.tell(&told, payload, place, around);
        }
        Done {
            taken: told.decision.any(),
            line,
        }
    }
}
