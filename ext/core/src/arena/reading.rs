//! Reading and removing series by their labels.

use super::cells;
use super::instrument::Metric;
use super::node::{Node, RecordKind};
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
        let arena = self.ready()?;
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
        let Some(arena) = self.ready() else { return false };
        let Some(records) = arena.records() else { return false };
        let owners = match metric.descriptor().kind {
            Kind::Gauge(Aggregation::PerProcess) => self.owners(&arena, &Kind::Gauge(Aggregation::Sum)),
            kind => self.owners(&arena, &kind),
        };
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
        let Some(arena) = self.ready() else { return 0 };
        let Some(records) = arena.records() else { return 0 };
        let Ok(offset) = self.metric_record(&arena, &records, metric) else {
            return 0;
        };
        self.remove_where(&records, |node| node.metric() == offset)
    }

    fn remove_where(&self, records: &Records<'_>, wanted: impl Fn(&Node<'_>) -> bool) -> usize {
        records.know();
        records
            .all()
            .filter(|node| node.kind() == Some(RecordKind::Series) && node.source() == 0 && wanted(node))
            .filter(|node| {
                let word = node.word();
                word.in_use()
                    && records.remove(Held {
                        offset: node.offset,
                        word,
                    })
            })
            .count()
    }

    /// Removes every series of the application on this machine, and what was counted as dropped; declarations stay.
    pub fn clear(&self, _: Quiescent) -> usize {
        let _slow = self.slow.lock();
        let Some(arena) = self.ready() else { return 0 };
        let Some(records) = arena.records() else { return 0 };
        let removed = self.remove_where(&records, |_| true);
        if let Some(header) = records.header() {
            (0..DROPPED_CELLS).for_each(|index| header.dropped(index).store(0, Ordering::Relaxed));
        }
        self.let_go(&arena);
        self.sampled.store(false, Ordering::Release);
        removed
    }
}

fn combine(kind: &Kind, a: Value, b: &Value) -> Value {
    match (kind, &a, b) {
        (Kind::Gauge(aggregation), Value::Gauge(a), Value::Gauge(b)) => Value::Gauge(aggregate(*aggregation, *a, *b)),
        _ => a,
    }
}
