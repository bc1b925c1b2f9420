//! The metrics that events make.
//!
//! A task or step: `task_started_total`, `task_completed_total` and so on, and `task_duration_seconds`. Any other:
//! `order_shipped_total` for `order.shipped`, and `order_shipped_duration_seconds`; for `order.completed` and the like
//! it is `order_duration_seconds`, told apart by `outcome`. They are declared when they are first needed.

use super::counts::{Counts, Unmet};
use super::key::intern;
use super::labels::{pack, Source};
use super::mapping::Label;
use super::payload::Payload;
use super::route::Route;
use super::router::Router;
use super::told::{Family, Kind, Names, Outcome, Transition};
use crate::arena::{Level, Metric, Registry};
use crate::metric::{Descriptor, Kind as MetricKind, LabelKey};
use parking_lot::Mutex;
use std::cell::Cell;
use std::collections::HashSet;
use std::sync::Arc;

/// How many metrics events may make, whatever names they come under.
const MOST: usize = 1_000;

/// How many metrics that cannot be made the log names.
const MOST_CLASHES: usize = 16;

/// A metric, and where the values of its labels come from.
#[derive(Debug)]
pub(super) struct Instrument {
    metric: Arc<Metric>,
    sources: Box<[Source]>,
}

/// A histogram of durations.
#[derive(Debug)]
pub(super) struct Timer {
    metric: Arc<Metric>,
    /// Its first labels are all those of the counter, and these are the others.
    continues: bool,
    sources: Box<[Source]>,
}

thread_local! {
    /// Where label values are packed. It is taken out meanwhile, because a payload may publish an event to answer.
    static BUFFER: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// A label as an event would have it.
pub(super) type Wanted = (String, Source);

/// Declares metrics of events, and records into them.
#[derive(Debug)]
pub(super) struct Instruments {
    registry: Arc<Registry>,
    /// Names that events declared.
    declared: Mutex<HashSet<String>>,
    /// Names that were told to be taken or bad.
    clashed: Mutex<HashSet<String>>,
}

impl Instruments {
    pub fn new(registry: Arc<Registry>) -> Self {
        Self {
            registry,
            declared: Mutex::default(),
            clashed: Mutex::default(),
        }
    }

    /// Counts an event and observes how long it took.
    #[inline]
    pub fn record(
        &self,
        (router, counts): (&Router, &Counts),
        (route, payload, names): (&Route, &dyn Payload, &Names<'_>),
        count: bool,
        seconds: Option<f64>,
    ) {
        if !self.registry.is_enabled() {
            return;
        }
        let mut key = LabelKey::reusing(BUFFER.try_with(Cell::take).unwrap_or_default());
        let (mut limited, mut cut) = (0, 0);
        let counter = route.counter.get_or_init(|| self.counter(router, route));
        let timer = seconds.and_then(|seconds| {
            let timer = route.timer.get_or_init(|| self.timer(router, route, counter.as_ref()));
            timer.as_ref().map(|timer| (timer, seconds))
        });
        let continued = timer.as_ref().is_some_and(|(timer, _)| timer.continues);
        if let Some(counter) = counter.as_ref().filter(|_| count || continued) {
            let packed = pack(&counter.sources, payload, names, &mut key);
            (limited, cut) = (packed.limited, packed.cut);
            if count {
                counter.metric.increment_int(key.as_bytes(), 1);
            }
        }
        if let Some((timer, seconds)) = timer {
            if !timer.continues {
                key = LabelKey::reusing(key.into_buffer());
            }
            let packed = pack(&timer.sources, payload, names, &mut key);
            if counter.is_none() {
                (limited, cut) = (packed.limited, packed.cut);
            }
            // A duration is finite, so it is never refused.
            let _ = timer.metric.observe(key.as_bytes(), seconds);
        }
        let buffer = key.into_buffer();
        // One that an odd payload has made large is not kept.
        if buffer.capacity() <= 64 * 1024 {
            let _ = BUFFER.try_with(|kept| kept.set(buffer));
        }
        counts.add(Unmet::LabelLimit, limited);
        (0..cut).for_each(|_| self.registry.cut_label());
        let refused = matches!(route.counter.get(), Some(None)) && count;
        let untimed = seconds.is_some() && matches!(route.timer.get(), Some(None));
        counts.add(Unmet::MetricClash, u64::from(refused) + u64::from(untimed));
    }

    fn counter(&self, router: &Router, route: &Route) -> Option<Instrument> {
        let name = counter_name(route.name(), route.family(), route.transition());
        let wanted = counter_labels(route);
        let help = help(router, route);
        let metric = self.declare(name, help, MetricKind::Counter, &wanted, route.family())?;
        let sources = bind(&metric, wanted);
        Some(Instrument { metric, sources })
    }

    fn timer(&self, router: &Router, route: &Route, counter: Option<&Instrument>) -> Option<Timer> {
        let (name, entity) = timer_name(route.name(), route.outcome(), route.kind());
        let wanted = timer_labels(router, route);
        let subject = entity.unwrap_or_else(|| route.name());
        let help = format!("Duration of {subject}, in seconds");
        let metric = self.declare(name, help, MetricKind::Histogram, &wanted, route.family())?;
        let sources = bind(&metric, wanted);
        let shared = counter.map_or(0, |counter| {
            let (counted, timed) = (&counter.metric.descriptor().labels, &metric.descriptor().labels);
            if timed.starts_with(counted) {
                counted.len()
            } else {
                0
            }
        });
        Some(Timer {
            metric,
            continues: shared > 0,
            sources: sources[shared..].into(),
        })
    }

    /// Whether the log may name a metric that cannot be made: an application may make thousands of names up.
    fn may_tell_of(&self, name: &str) -> bool {
        let mut clashed = self.clashed.lock();
        clashed.contains(name) || (clashed.len() < MOST_CLASHES && clashed.insert(name.to_owned()))
    }

    /// The metric of that name, declared if need be. Where the events themselves declared it before, it keeps its
    /// labels; where the application declared it, it is taken if it has the same.
    fn declare(
        &self,
        name: String,
        help: String,
        kind: MetricKind,
        wanted: &[Wanted],
        family: Family,
    ) -> Option<Arc<Metric>> {
        let labels: Vec<String> = wanted.iter().map(|(label, _)| label.clone()).collect();
        let clash = |problem: String| {
            let notice = if self.may_tell_of(&name) {
                format!("events are not counted in {name}: {problem}")
            } else {
                "events are not counted in further metrics, which are not named any more".to_owned()
            };
            self.registry.notice(Level::Warn, notice);
            None
        };
        if let Some(existing) = self.registry.find(&name) {
            let descriptor = existing.descriptor();
            if descriptor.kind == kind && descriptor.labels == labels {
                return Some(existing);
            }
            if descriptor.kind == kind && self.declared.lock().contains(&name) {
                let (has, wants) = (descriptor.labels.join(", "), labels.join(", "));
                let kept =
                    format!("{name} keeps its labels [{has}] until a restart; an event's mapping wants [{wants}]");
                self.registry.notice(Level::Warn, kept);
                return Some(existing);
            }
            return clash(format!("it is declared as {}", descriptor.schema()));
        }
        if self.declared.lock().len() >= MOST {
            let full = format!("no more than {MOST} metrics are made of events; further ones are not counted");
            self.registry.notice(Level::Warn, full);
            return None;
        }
        let unit = (kind == MetricKind::Histogram).then(|| "seconds".to_owned());
        let declared = if family == Family::Telemetry {
            // The names are the library's own, so they are good.
            self.registry.declare_own(Descriptor {
                name: name.clone(),
                help,
                unit,
                kind,
                labels,
                buckets: (kind == MetricKind::Histogram).then(Default::default),
            })
        } else {
            Descriptor::new(&name, &help, unit.as_deref(), kind, &labels, None)
                .and_then(|descriptor| self.registry.declare(descriptor))
        };
        match declared {
            Ok(metric) => {
                self.declared.lock().insert(name);
                Some(metric)
            }
            Err(error) => clash(error.to_string()),
        }
    }
}

/// Labels of the counter of an event.
pub(super) fn counter_labels(route: &Route) -> Vec<Wanted> {
    wanted(route, route.labels(), &[])
}

/// Labels of the histogram of an event's durations. All ends of an entity share it, so it has the labels of each.
pub(super) fn timer_labels(router: &Router, route: &Route) -> Vec<Wanted> {
    let (_, entity) = timer_name(route.name(), route.outcome(), route.kind());
    let (Some(entity), Some(outcome)) = (entity, route.outcome()) else {
        return wanted(route, route.labels(), &[]);
    };
    let siblings: Vec<_> = [Outcome::Completed, Outcome::Failed, Outcome::Cancelled]
        .iter()
        .filter_map(|outcome| router.mapping(&format!("{entity}.{}", outcome.name())))
        .collect();
    // What this event's own mapping says of a label goes before what its siblings' say.
    let own = |label: &str| route.labels().iter().find(|mine: &&Label| mine.label == label);
    let labels = siblings.iter().flat_map(|mapping| &mapping.labels);
    let labels = labels.map(|label| own(&label.label).unwrap_or(label));
    wanted(route, labels, &[("outcome".to_owned(), Source::Fixed(outcome.name()))])
}

/// The family's own labels, then the mapping's, then those that are known beforehand. The first of a name is meant.
fn wanted<'m>(route: &Route, labels: impl IntoIterator<Item = &'m Label>, fixed: &[Wanted]) -> Vec<Wanted> {
    let own: &[(&str, Source)] = match route.family() {
        Family::Task => &[("task_name", Source::TaskName), ("namespace", Source::Namespace)],
        Family::Step => &[
            ("task_name", Source::TaskName),
            ("namespace", Source::Namespace),
            ("step_name", Source::StepName),
        ],
        _ => &[],
    };
    let mut wanted: Vec<Wanted> = own
        .iter()
        .map(|(label, source)| ((*label).to_owned(), source.clone()))
        .collect();
    for label in labels {
        let taken = wanted.iter().chain(fixed).any(|(other, _)| *other == label.label);
        if !taken {
            wanted.push((label.label.clone(), Source::Payload(label.key, label.limit.clone())));
        }
    }
    wanted.extend_from_slice(fixed);
    wanted
}

/// Where the values of a metric's labels come from: what was wanted, else the payload key of the same name.
fn bind(metric: &Metric, mut wanted: Vec<Wanted>) -> Box<[Source]> {
    let labels = metric.descriptor().labels.iter();
    labels
        .map(|label| match wanted.iter().position(|(other, _)| other == label) {
            Some(at) => wanted.swap_remove(at).1,
            None => Source::Payload(intern(label), None),
        })
        .collect()
}

fn help(router: &Router, route: &Route) -> String {
    let custom = || {
        router
            .registered
            .find(route.name())
            .map(|custom| custom.description.clone())
    };
    let description = match route.entry {
        Some(entry) => Some(entry.description.to_owned()),
        None => custom().filter(|description| !description.is_empty() && description.len() <= 1024),
    };
    description.unwrap_or_else(|| format!("Events {}", route.name()))
}

/// Name of the counter of an event.
pub(super) fn counter_name(name: &str, family: Family, transition: Option<Transition>) -> String {
    let told = match transition {
        Some(Transition::Started) => Some("started"),
        Some(Transition::Completed) => Some("completed"),
        Some(Transition::Failed) => Some("failed"),
        Some(Transition::Cancelled) => Some("cancelled"),
        Some(Transition::Retried) => Some("retried"),
        _ => None,
    };
    match (family, told) {
        (Family::Task, Some(told)) => format!("task_{told}_total"),
        (Family::Step, Some(told)) => format!("step_{told}_total"),
        _ => format!("{}_total", metric_name(name)),
    }
}

/// Name of the histogram of an event's durations, and the entity whose other ends share it.
pub(super) fn timer_name(name: &str, outcome: Option<Outcome>, kind: Kind) -> (String, Option<&str>) {
    let entity = outcome
        .filter(|_| kind == Kind::End)
        .and_then(|outcome| name.strip_suffix(outcome.name()))
        .and_then(|rest| rest.strip_suffix('.'));
    (
        format!("{}_duration_seconds", metric_name(entity.unwrap_or(name))),
        entity,
    )
}

/// An event's name by the rules for names of metrics.
fn metric_name(name: &str) -> String {
    let digit = name.as_bytes().first().is_some_and(u8::is_ascii_digit);
    let prefix = if digit { "_" } else { "" };
    let allowed = |c: char| if c.is_ascii_alphanumeric() { c } else { '_' };
    prefix.chars().chain(name.chars().map(allowed)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_follow_the_event() {
        let custom = |name: &str| counter_name(name, Family::Other, None);
        assert_eq!(custom("order.completed"), "order_completed_total");
        assert_eq!(custom("perform.active_job"), "perform_active_job_total");
        assert_eq!(custom("3d-print.döne!"), "_3d_print_d_ne__total");
        assert_eq!(
            counter_name("step.execution_requested", Family::Step, Some(Transition::Started)),
            "step_started_total"
        );
        assert_eq!(
            counter_name(
                "task.resolved_manually",
                Family::Task,
                Some(Transition::ResolvedManually)
            ),
            "task_resolved_manually_total"
        );
        let timed = |name: &'static str, outcome| timer_name(name, outcome, Kind::End);
        assert_eq!(
            timed("order.line.failed", Some(Outcome::Failed)),
            ("order_line_duration_seconds".to_owned(), Some("order.line"))
        );
        assert_eq!(
            timed("order.shipped", None),
            ("order_shipped_duration_seconds".to_owned(), None)
        );
        assert_eq!(
            timed("workflow.task_failed", Some(Outcome::Failed)),
            ("workflow_task_failed_duration_seconds".to_owned(), None)
        );
    }
}
