//! Reading and removing series by their labels.

use super::cells;
use super::instrument::Metric;
use super::layout::Header;
use super::node::Node;
use super::recording::series_key;
use super::records::{Held, Records};
use super::registry::{Quiescent, Registry};
use super::rejection::DROPPED_CELLS;
use super::schema::Owner;
use super::shared::Arena;
use super::{aggregate, process};
use crate::metric::{Aggregation, Kind};
use crate::snapshot::Value;
use std::sync::atomic::Ordering;
use std::sync::Arc;

impl Registry {
    pub(super) fn value(&self, metric: &Metric, key: &[u8]) -> Option<Value> {
        let _slow = self.slow.lock();
        let arena = self.here()?;
        self.let_go_if_due(&arena);
        let records = arena.records()?;
        let kind = metric.descriptor().kind;
        let mut values = self.owners(&arena, &kind).into_iter().filter_map(|owner| {
            let node = self.node(&arena, &records, metric, key, owner)?;
            let mut value = Value::Gauge(0.0);
            cells::read(&kind, node.cells(), &mut value, false);
            for part in records.folded(&node) {
                cells::read(&kind, part.cells(), &mut value, true);
            }
            Some(value)
        });
        let first = values.next()?;
        Some(values.fold(first, |a, b| combine(&kind, a, &b)))
    }

    /// Whose series of a metric of `kind` make up a value as seen from this process.
    fn owners(&self, arena: &Arc<Arena>, kind: &Kind) -> Vec<Option<Owner>> {
        match kind {
            Kind::Gauge(Aggregation::PerProcess) => vec![arena.member().map(Owner::this)],
            Kind::Gauge(Aggregation::Sum | Aggregation::Min | Aggregation::Max) => {
                process::living(&arena.map, arena.member())
                    .map(|slot| Some(Owner::of(&slot)))
                    .collect()
            }
            _ => vec![None],
        }
    }

    fn node<'a>(
        &self,
        arena: &Arc<Arena>,
        records: &Records<'a>,
        metric: &Metric,
        key: &[u8],
        owner: Option<Owner>,
    ) -> Option<Node<'a>> {
        let key = series_key(metric, key, owner);
        let identity = self.series_identity(arena, records, metric, &key).ok()?;
        Node::at(records.map, records.find(&identity)?.offset)
    }

    pub(super) fn remove(&self, metric: &Metric, key: &[u8]) -> bool {
        let _slow = self.slow.lock();
        let Some(arena) = self.here() else { return false };
        self.let_go_if_due(&arena);
        let Some(records) = arena.records() else { return false };
        let owners = match metric.descriptor().kind {
            Kind::Gauge(Aggregation::PerProcess) => self.owners(&arena, &Kind::Gauge(Aggregation::Sum)),
            kind => self.owners(&arena, &kind),
        };
        for old in self.olds.lock().iter() {
            let name = self.printed_name(metric);
            old.remove(metric.descriptor(), &name, &self.defaults.read(), key);
        }
        let mut removed = false;
        for owner in owners {
            if let Some(node) = self.node(&arena, &records, metric, key, owner) {
                let word = node.word();
                removed |= word.in_use()
                    && records.remove(Held {
                        offset: node.offset,
                        word,
                    });
            }
        }
        removed
    }

    pub(super) fn clear_metric(&self, metric: &Metric) -> usize {
        let _slow = self.slow.lock();
        let Some(arena) = self.here() else { return 0 };
        self.let_go_if_due(&arena);
        let Some(records) = arena.records() else { return 0 };
        let Ok(offset) = self.metric_record(&arena, &records, metric) else {
            return 0;
        };
        for old in self.olds.lock().iter() {
            old.clear(Some((metric.descriptor(), &self.printed_name(metric))));
        }
        records.remove_series(|node| node.metric() == offset)
    }

    /// Removes every series of the application on this machine, and what was counted as dropped; declarations stay.
    pub fn clear(&self, _: Quiescent) -> usize {
        let _slow = self.slow.lock();
        let Some(arena) = self.here() else { return 0 };
        let Some(records) = arena.records() else { return 0 };
        self.olds.lock().iter().for_each(|old| old.clear(None));
        let removed = records.remove_series(|_| true);
        self.forget_dropped(&records);
        self.let_go(&arena);
        self.sampled.store(false, Ordering::Release);
        removed
    }

    /// Forgets what was not counted: here, in the arenas that were folded in, and in those that still are.
    fn forget_dropped(&self, records: &Records<'_>) {
        let olds: Vec<_> = self.olds.lock().iter().map(|old| Arc::clone(&old.arena)).collect();
        let headers = olds
            .iter()
            .filter_map(|old| Header::of(&old.map))
            .chain(records.header());
        for header in headers {
            (0..DROPPED_CELLS).for_each(|index| header.dropped(index).store(0, Ordering::Relaxed));
        }
        let sources = records.header().into_iter().flat_map(|header| header.sources());
        for source in sources.filter_map(|source| Node::at(records.map, source)) {
            source.cells().iter().for_each(|cell| cell.store(0, Ordering::Relaxed));
        }
    }
}

fn combine(kind: &Kind, a: Value, b: &Value) -> Value {
    match (kind, &a, b) {
        (Kind::Gauge(aggregation), Value::Gauge(a), Value::Gauge(b)) => Value::Gauge(aggregate(*aggregation, *a, *b)),
        _ => a,
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Place, Settings, Threads};
    use super::*;
    use crate::metric::{Descriptor, LabelKey};
    use std::cell::Cell;

    #[test]
    fn removes_no_record_that_has_gone_to_another_series() {
        let registry = Registry::new(Threads::Serialized);
        let settings = Settings {
            place: Place::Memory,
            ..Settings::default()
        };
        registry.configure(settings).unwrap();
        let labels = ["a".to_owned()];
        let declare = |name| Descriptor::new(name, "", None, Kind::Counter, &labels, None).unwrap();
        let [one, two] = ["one_total", "two_total"].map(|name| registry.declare(declare(name)).unwrap());
        let key = |number: u32| LabelKey::of([number.to_string().as_str()]);
        one.increment_int(key(0).as_bytes(), 1);

        let arena = registry.current().unwrap();
        let records = arena.records().unwrap();
        let metric = registry.metric_record(&arena, &records, &one).unwrap();
        let successor = Cell::new(None);
        let removed = records.remove_series(|node| {
            let wanted = node.metric() == metric;
            if wanted {
                // What another process may do in this very moment.
                one.remove(key(0).as_bytes());
                registry.let_go(&arena);
                let mut others = (1..100_000).inspect(|number| two.increment_int(key(*number).as_bytes(), 7));
                successor.set(others.find(|_| node.word().in_use()));
            }
            wanted
        });
        assert_eq!(removed, 0);
        let successor = successor
            .get()
            .expect("the record goes to a series of the other metric");
        assert!(two.value(key(successor).as_bytes()).is_some());
    }
}
