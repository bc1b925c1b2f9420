//! What the tests of this module, and of those that read payloads, share.

use super::events::Events;
use super::key::Key;
use super::mapping::{Label, Mapping};
use super::payload::{Payload, Value};
use crate::arena::{Place, Registry, Settings, Threads};
use crate::metric::LabelKey;
use crate::snapshot;
use std::borrow::Cow;
use std::sync::Arc;

/// A payload of the tests.
#[derive(Debug, Clone, Default)]
pub(crate) struct Map(Vec<(Key, Value<'static>)>);

impl Map {
    pub fn of<'k>(entries: impl IntoIterator<Item = (&'k str, Value<'static>)>) -> Self {
        let interned = |(key, value): (&str, _)| (super::intern(key), value);
        Self(entries.into_iter().map(interned).collect())
    }

    pub fn with(mut self, key: &str, value: Value<'static>) -> Self {
        self.0.push((super::intern(key), value));
        self
    }
}

impl Payload for Map {
    fn get(&self, key: Key) -> Option<Value<'_>> {
        let (_, value) = self.0.iter().find(|(other, _)| *other == key)?;
        Some(match value {
            Value::Text(text) => Value::Text(Cow::Borrowed(&**text)),
            other => other.clone(),
        })
    }

    fn for_each(&self, visit: &mut dyn FnMut(&str, Value<'_>)) {
        self.0.iter().for_each(|(key, value)| visit(key.name(), value.clone()));
    }
}

pub(crate) fn text(text: &str) -> Value<'static> {
    Value::Text(Cow::Owned(text.to_owned()))
}

pub(super) fn float(float: f64) -> Value<'static> {
    Value::Float(float)
}

/// Events of a process, counted in private memory.
pub(super) fn events() -> Events {
    let registry = Registry::new(Threads::Parallel);
    let settings = Settings {
        place: Place::Memory,
        ..Settings::default()
    };
    registry.configure(settings).unwrap();
    Events::new(registry)
}

pub(super) fn map(events: &Events, pattern: &str, backends: &[&str], labels: &[&str]) {
    let labels = labels.iter().map(|label| Label::new(label, label, None)).collect();
    events.map(Mapping::new(pattern, backends, 1.0, "normal", labels, true).unwrap());
}

/// Value of a counter; 0 for what was never counted.
pub(super) fn counted(events: &Events, name: &str, labels: &[&str]) -> u64 {
    match value(events, name, labels) {
        Some(snapshot::Value::Counter(count)) => count.int,
        None => 0,
        other => panic!("{other:?}"),
    }
}

/// Count and sum of a histogram.
pub(super) fn observed(events: &Events, name: &str, labels: &[&str]) -> (u64, f64) {
    match value(events, name, labels) {
        Some(snapshot::Value::Histogram(histogram)) => (histogram.buckets.iter().sum(), histogram.sum),
        None => (0, 0.0),
        other => panic!("{other:?}"),
    }
}

fn value(events: &Events, name: &str, labels: &[&str]) -> Option<snapshot::Value> {
    let metric: Arc<_> = events.registry().find(name)?;
    assert_eq!(
        metric.descriptor().labels.len(),
        labels.len(),
        "{:?}",
        metric.descriptor()
    );
    metric.value(LabelKey::of(labels.iter().copied()).as_bytes())
}
