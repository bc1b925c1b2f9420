//! Folding an arena that was replaced while processes counted into it.
//!
//! Its totals are kept in records of their own, found by the key of the series they belong to and the old arena's
//! epoch, and each folding *replaces* them (totals only grow, so the greater one stays): folding twice, late, or by several
//! processes at once changes nothing. Whoever mapped the old file folds it at every scrape until no process counts
//! into it any more.
//!
//! A shared gauge goes on with its last value, and follows the old one while somebody still sets that: the record of
//! its own holds what was last seen there, so that each change is carried over once, whoever comes first. A process
//! carries its own gauges over by itself.

use super::instrument::overflow_key;
use super::layout::Header;
use super::node::{Identity, Node, Offset, RecordKind};
use super::records::{Held, MetricCells, Records, Refused};
use super::rejection::DROPPED_CELLS;
use super::shared::Arena;
use super::{cells, fail, process, schema};
use crate::metric::{Descriptor, Kind, LabelKey};
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::Arc;

/// A metric of an old arena, as the new one has it.
struct Target {
    descriptor: Descriptor,
    record: Offset,
    overflow: LabelKey,
}

impl Target {
    /// Registers a series under the identity that it has for those who count into it. It takes its place under the cap,
    /// which keeps it out as little as it keeps out any series that is there already.
    fn obtain(&self, into: &Records<'_>, own: &Identity<'_>, cells: &[u64]) -> Result<Held, Refused> {
        let metric = Node::at(into.map, self.record).ok_or(Refused::Damaged)?;
        let count = metric.cells().get(MetricCells::SERIES).ok_or(Refused::Damaged)?;
        let quota = (own.key != self.overflow.as_bytes()).then_some((count, u64::MAX));
        into.obtain(own, cells, quota).map(|(held, _)| held)
    }
}

/// An arena that this process counted into before.
pub(super) struct Old {
    pub arena: Arc<Arena>,
}

impl Old {
    pub fn new(arena: Arc<Arena>) -> Self {
        Self { arena }
    }

    /// Whether some process still counts into it.
    pub fn is_alive(&self) -> bool {
        process::living(&self.arena.map, None).next().is_some()
    }

    /// Brings `to` up to the old arena's totals.
    pub fn fold(&self, to: &Arc<Arena>) -> Result<(), Refused> {
        let arena = Arc::clone(&self.arena);
        let from = arena.foreign_records();
        let into = to.records().ok_or(Refused::Damaged)?;
        let header = Header::of(&arena.map).ok_or(Refused::Damaged)?;
        // An arena that was away and is back at its place has all that was folded out of it.
        let own_epoch = into.header().ok_or(Refused::Damaged)?.epoch();
        let source = fold_source(&into, &header.epoch(), |index| {
            header.dropped(index).load(Ordering::Relaxed)
        })?;
        fail::point("fold:listed");

        let mut metrics: HashMap<Offset, Target> = HashMap::new();
        let mut presets: HashMap<Offset, Offset> = HashMap::from([(0, 0)]);
        let mut sources: HashMap<Offset, Option<Offset>> = HashMap::from([(0, Some(source))]);
        for node in from.all() {
            let word = node.word();
            if !word.in_use() || node.kind() != Some(RecordKind::Series) {
                continue;
            }
            let (metric, preset, source) = (node.metric(), node.preset(), node.source());
            if let std::collections::hash_map::Entry::Vacant(vacant) = metrics.entry(metric) {
                let Some(decoded) = Node::at(&arena.map, metric).and_then(|node| schema::decode(&node)) else {
                    continue;
                };
                vacant.insert(Target {
                    record: schema::obtain(&into, &decoded, &decoded.name)?,
                    overflow: overflow_key(&decoded),
                    descriptor: decoded,
                });
            }
            if let std::collections::hash_map::Entry::Vacant(vacant) = presets.entry(preset) {
                let Some(old) = Node::at(&arena.map, preset) else {
                    continue;
                };
                let identity = Identity {
                    kind: RecordKind::Preset,
                    metric: 0,
                    preset: 0,
                    source: 0,
                    key: &old.key(),
                };
                vacant.insert(into.obtain(&identity, &[], None)?.0.offset);
            }
            if let std::collections::hash_map::Entry::Vacant(vacant) = sources.entry(source) {
                let Some(old) = Node::at(&arena.map, source) else {
                    continue;
                };
                let epoch: [u8; 16] = old.key().try_into().map_err(|_| Refused::Damaged)?;
                let cells = old.cells();
                let dropped = |index: usize| cells.get(index).map_or(0, |cell| cell.load(Ordering::Relaxed));
                vacant.insert(if epoch == own_epoch {
                    None
                } else {
                    Some(fold_source(&into, &epoch, dropped)?)
                });
            }
            let (Some(target), Some(preset), Some(Some(source))) =
                (metrics.get(&metric), presets.get(&preset), sources.get(&source))
            else {
                continue;
            };
            let key = node.key();
            let values: Vec<u64> = node.cells().iter().map(|cell| cell.load(Ordering::SeqCst)).collect();
            if node.word() != word || target.descriptor.kind.per_process_cell() {
                continue;
            }
            let own = Identity {
                kind: RecordKind::Series,
                metric: target.record,
                preset: *preset,
                source: 0,
                key: &key,
            };
            match target.descriptor.kind {
                // What the old arena has seen of a still older one is in its own gauge; it only counts as seen.
                Kind::Gauge(_) if node.source() != 0 => {
                    let bits = values.first().copied().unwrap_or(0);
                    into.obtain(&Identity { source: *source, ..own }, &[bits], None)?;
                }
                Kind::Gauge(_) => fold_gauge(&into, target, &own, *source, || {
                    let bits = node.cells().first()?.load(Ordering::SeqCst);
                    (node.word() == word).then_some(bits)
                })?,
                _ => fold_total(&into, target, &own, *source, &values)?,
            }
        }
        Ok(())
    }
}

/// `read` answers the old gauge's value, as long as its record is that of the series.
fn fold_gauge(
    into: &Records<'_>,
    target: &Target,
    own: &Identity<'_>,
    source: Offset,
    read: impl Fn() -> Option<u64>,
) -> Result<(), Refused> {
    let Some(first) = read() else { return Ok(()) };
    // The note of what was seen comes first: a gauge that stood here with nothing noted would pass for one that somebody
    // has set here, and keep out what the old one is set to.
    let (noted, _) = into.obtain(&Identity { source, ..*own }, &[first], None)?;
    fail::point("fold:noted");
    let held = target.obtain(into, own, &[first])?;
    let cell = |offset| Node::at(into.map, offset).and_then(|node| node.cells().first());
    let (Some(cell), Some(noted)) = (cell(held.offset), cell(noted.offset)) else {
        return Ok(());
    };
    // In this order: whoever carries over a later value than the one that is read here has changed the cell by then.
    let (shown, seen) = (cell.load(Ordering::SeqCst), noted.load(Ordering::SeqCst));
    let Some(bits) = read() else { return Ok(()) };
    if seen != bits && replace(cell, shown, bits) {
        // Noted last: what a process carries over that is killed here is carried over again, and not lost.
        fail::point("fold:set");
        replace(noted, seen, bits);
    }
    Ok(())
}

fn replace(cell: &AtomicU64, from: u64, to: u64) -> bool {
    cell.compare_exchange(from, to, Ordering::SeqCst, Ordering::SeqCst)
        .is_ok()
}

/// The record that stands for another arena, with what that arena dropped.
fn fold_source(into: &Records<'_>, epoch: &[u8; 16], dropped: impl Fn(usize) -> u64) -> Result<Offset, Refused> {
    let identity = Identity {
        kind: RecordKind::Source,
        metric: 0,
        preset: 0,
        source: 0,
        key: epoch,
    };
    let (held, _) = into.obtain(&identity, &[0; DROPPED_CELLS], None)?;
    if let Some(node) = Node::at(into.map, held.offset) {
        for (index, cell) in node.cells().iter().enumerate() {
            cell.fetch_max(dropped(index), Ordering::SeqCst);
        }
    }
    into.header()
        .filter(|header| header.add_source(held.offset))
        .map(|_| held.offset)
        .ok_or(Refused::Full)
}

fn fold_total(
    into: &Records<'_>,
    target: &Target,
    own: &Identity<'_>,
    source: Offset,
    values: &[u64],
) -> Result<(), Refused> {
    let zeros = vec![0; values.len()];
    target.obtain(into, own, &zeros)?;
    let (part, _) = into.obtain(&Identity { source, ..*own }, &zeros, None)?;
    fail::point("fold:registered");
    let node = Node::at(into.map, part.offset).ok_or(Refused::Damaged)?;
    for (index, (cell, value)) in node.cells().iter().zip(values).enumerate() {
        raise(&target.descriptor.kind, index, cell, *value);
        fail::point("fold:raised");
    }
    Ok(())
}

fn raise(kind: &Kind, index: usize, cell: &AtomicU64, value: u64) {
    let float = match kind {
        Kind::Counter => index == cells::COUNTER_FLOAT,
        _ => index == cells::HISTOGRAM_SUM,
    };
    if float {
        cells::raise_float(cell, f64::from_bits(value));
    } else {
        cell.fetch_max(value, Ordering::SeqCst);
    }
}
