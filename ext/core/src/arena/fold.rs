//! Folding an arena that was replaced while processes counted into it.
//!
//! Its totals are kept in records of their own, found by the key of the series they belong to and the old arena's
//! epoch, and each folding *replaces* them by those that know of more samples: folding twice, late, or by several
//! processes at once changes nothing. Whoever mapped the old file folds it at every scrape, each time what has changed
//! since, until no process counts into it any more.
//!
//! A shared gauge goes on with its last value, and follows the old one while somebody still sets that: the record of
//! its own holds what was last seen there, so that each change is carried over once, whoever comes first. A process
//! carries its own gauges over by itself.

use super::cells::{self, HISTOGRAM_BUCKETS, HISTOGRAM_SUM};
use super::instrument::overflow_key;
use super::layout::Header;
use super::node::{Identity, Node, Offset, RecordKind, Word};
use super::records::{Held, MetricCells, Records, Refused};
use super::rejection::DROPPED_CELLS;
use super::shared::Arena;
use super::{exemplar, fail, process, schema};
use crate::metric::{Descriptor, Kind, LabelKey};
use std::collections::hash_map::{Entry, HashMap};
use std::sync::atomic::{fence, AtomicU64, Ordering};
use std::sync::Arc;
use xxhash_rust::xxh3::Xxh3;

/// An arena that this process counted into before.
pub(super) struct Old {
    pub arena: Arc<Arena>,
    /// The arena that it was last folded into, by its epoch.
    into: Option<[u8; 16]>,
    /// Of each series that was folded into that: the record's word, and a hash of its cells.
    folded: HashMap<Offset, (Word, u64)>,
}

/// What the places of one arena's log are in another one.
struct Translation<'a> {
    from: Records<'a>,
    into: Records<'a>,
    own_epoch: [u8; 16],
    metrics: HashMap<Offset, Target>,
    presets: HashMap<Offset, Offset>,
    /// `None`: the very arena that is folded into, which has all that was folded out of it.
    sources: HashMap<Offset, Option<Offset>>,
}

/// A metric of an old arena, as the new one has it.
struct Target {
    kind: Kind,
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

impl Old {
    pub fn new(arena: Arc<Arena>) -> Self {
        Self {
            arena,
            into: None,
            folded: HashMap::new(),
        }
    }

    /// Whether some process still counts into it.
    pub fn is_alive(&self) -> bool {
        process::living(&self.arena.map, None).next().is_some()
    }

    /// Brings `to` up to the old arena's totals.
    pub fn fold(&mut self, to: &Arc<Arena>) -> Result<(), Refused> {
        let arena = Arc::clone(&self.arena);
        let from = arena.foreign_records();
        let into = to.records().ok_or(Refused::Damaged)?;
        let header = Header::of(&arena.map).ok_or(Refused::Damaged)?;
        let own_epoch = into.header().ok_or(Refused::Damaged)?.epoch();
        if header.epoch() == own_epoch {
            return Ok(());
        }
        if self.into.replace(own_epoch) != Some(own_epoch) {
            self.folded.clear();
        }
        let source = fold_source(&into, &header.epoch(), |index| {
            header.dropped(index).load(Ordering::Relaxed)
        })?;
        fail::point("fold:listed");
        let mut translation = Translation {
            from,
            into,
            own_epoch,
            metrics: HashMap::new(),
            presets: HashMap::from([(0, 0)]),
            sources: HashMap::from([(0, Some(source))]),
        };
        let mut changed = Vec::new();
        for node in from.all() {
            let word = node.word();
            match node.kind() {
                Some(RecordKind::Series) if word.in_use() => {
                    let now = (word, hash_of(node.cells()));
                    if self.folded.get(&node.offset) != Some(&now) {
                        changed.push((now, node));
                    }
                }
                // One that is given in the new arena counts as the newer.
                Some(RecordKind::Help) if word.in_use() => {
                    if let Some((name, text, _)) = schema::decode_help(&node) {
                        schema::register_help(&into, &name, &text, 0)?;
                    }
                }
                _ => {}
            }
        }
        // Pages list series in the order of their births.
        changed.sort_unstable_by_key(|((word, _), _)| word.sequence());
        for (now, node) in changed {
            if translation.fold_series(&node, now.0)? {
                self.folded.insert(node.offset, now);
            }
        }
        Ok(())
    }

    /// Removes there the series that is removed from the arena that it is folded into: the next folding would bring it
    /// back. `name`: of the metric, as printed.
    pub fn remove(&self, metric: &Descriptor, name: &str, defaults: &LabelKey, key: &[u8]) {
        let records = self.arena.foreign_records();
        let places = schema::find(&records, metric, name).zip(schema::find_preset(&records, defaults));
        let found = places.and_then(|(metric, preset)| {
            records.find(&Identity {
                kind: RecordKind::Series,
                metric,
                preset,
                source: 0,
                key,
            })
        });
        if let Some(held) = found {
            records.remove(held);
        }
    }

    /// Removes there every series of a metric, or of all.
    pub fn clear(&self, metric: Option<(&Descriptor, &str)>) {
        let records = self.arena.foreign_records();
        match metric.map(|(metric, name)| schema::find(&records, metric, name)) {
            None => records.remove_series(|_| true),
            Some(Some(metric)) => records.remove_series(|node| node.metric() == metric),
            Some(None) => 0,
        };
    }
}

/// Taken before the cells are read to be folded, so that a write in between makes them changed once more.
fn hash_of(cells: &[AtomicU64]) -> u64 {
    let mut hasher = Xxh3::new();
    let values = cells.iter().map(|cell| cell.load(Ordering::SeqCst));
    values.for_each(|value| hasher.update(&value.to_le_bytes()));
    hasher.digest()
}

impl Translation<'_> {
    /// Folds the series of `node`, which was read under `word`; `false` when there is more to do the next time. One that
    /// went out of use meanwhile is left out.
    fn fold_series(&mut self, node: &Node<'_>, word: Word) -> Result<bool, Refused> {
        let key = node.key();
        let values: Vec<u64> = node.cells().iter().map(|cell| cell.load(Ordering::SeqCst)).collect();
        let created = node.created();
        let (metric, preset, source_there) = (node.metric(), node.preset(), node.source());
        fence(Ordering::Acquire);
        if node.word() != word {
            return Ok(true);
        }
        self.learn_metric(metric)?;
        let (source, preset) = (self.source(source_there)?, self.preset(preset)?);
        let (Some(source), Some(preset), Some(target)) = (source, preset, self.metrics.get(&metric)) else {
            return Ok(true);
        };
        let own = Identity {
            kind: RecordKind::Series,
            metric: target.record,
            preset,
            source: 0,
            key: &key,
        };
        let (held, done) = match target.kind {
            kind if kind.per_process_cell() => return Ok(true),
            // What the old arena has seen of a still older one is in its own gauge; it only counts as seen.
            Kind::Gauge(_) if source_there != 0 => {
                let bits = values.first().copied().unwrap_or(0);
                self.into.obtain(&Identity { source, ..own }, &[bits], None)?;
                return Ok(true);
            }
            Kind::Gauge(_) => {
                let folded = fold_gauge(&self.into, target, &own, source, || {
                    let bits = node.cells().first()?.load(Ordering::SeqCst);
                    (node.word() == word).then_some(bits)
                })?;
                let Some(folded) = folded else { return Ok(true) };
                folded
            }
            _ => {
                let mut exemplars = Vec::new();
                exemplar::collect(self.from.map, node, &target.kind, &mut exemplars);
                let (held, part) = fold_total(&self.into, target, &own, source, &values)?;
                if let Some(part) = Node::at(self.into.map, part.offset) {
                    exemplar::give(self.into.map, &part, &target.kind, &exemplars);
                }
                (held, true)
            }
        };
        if let Some(node) = Node::at(self.into.map, held.offset) {
            node.was_created(created);
        }
        Ok(done)
    }

    fn learn_metric(&mut self, there: Offset) -> Result<(), Refused> {
        let Entry::Vacant(vacant) = self.metrics.entry(there) else {
            return Ok(());
        };
        if let Some(decoded) = Node::at(self.from.map, there).and_then(|node| schema::decode(&node)) {
            vacant.insert(Target {
                kind: decoded.kind,
                record: schema::obtain(&self.into, &decoded, &decoded.name)?,
                overflow: overflow_key(&decoded),
            });
        }
        Ok(())
    }

    fn preset(&mut self, there: Offset) -> Result<Option<Offset>, Refused> {
        if let Entry::Vacant(vacant) = self.presets.entry(there) {
            let Some(old) = Node::at(self.from.map, there) else {
                return Ok(None);
            };
            vacant.insert(schema::preset(&self.into, &LabelKey::packed(old.key()))?);
        }
        Ok(self.presets.get(&there).copied())
    }

    fn source(&mut self, there: Offset) -> Result<Option<Offset>, Refused> {
        if let Entry::Vacant(vacant) = self.sources.entry(there) {
            let Some(old) = Node::at(self.from.map, there) else {
                return Ok(None);
            };
            let epoch: [u8; 16] = old.key().try_into().map_err(|_| Refused::Damaged)?;
            let cells = old.cells();
            let dropped = |index: usize| cells.get(index).map_or(0, |cell| cell.load(Ordering::Relaxed));
            vacant.insert(if epoch == self.own_epoch {
                None
            } else {
                Some(fold_source(&self.into, &epoch, dropped)?)
            });
        }
        Ok(self.sources.get(&there).copied().flatten())
    }
}

/// Answers the record that is shown, and whether it has all that was seen. `read` answers the old gauge's value, as long
/// as its record is that of the series.
fn fold_gauge(
    into: &Records<'_>,
    target: &Target,
    own: &Identity<'_>,
    source: Offset,
    read: impl Fn() -> Option<u64>,
) -> Result<Option<(Held, bool)>, Refused> {
    let Some(first) = read() else { return Ok(None) };
    // The note of what was seen comes first: a gauge that stood here with nothing noted would pass for one that somebody
    // has set here, and keep out what the old one is set to.
    let (noted, _) = into.obtain(&Identity { source, ..*own }, &[first], None)?;
    fail::point("fold:noted");
    let held = target.obtain(into, own, &[first])?;
    let cell = |offset| Node::at(into.map, offset).and_then(|node| node.cells().first());
    let (Some(cell), Some(noted)) = (cell(held.offset), cell(noted.offset)) else {
        return Ok(None);
    };
    // In this order: whoever carries over a later value than the one that is read here has changed the cell by then.
    let (shown, seen) = (cell.load(Ordering::SeqCst), noted.load(Ordering::SeqCst));
    let Some(bits) = read() else { return Ok(None) };
    if seen == bits {
        return Ok(Some((held, true)));
    }
    if !replace(cell, shown, bits) {
        return Ok(Some((held, false)));
    }
    // Noted last: what a process carries over that is killed here is carried over again, and not lost.
    fail::point("fold:set");
    Ok(Some((held, replace(noted, seen, bits))))
}

fn replace(cell: &AtomicU64, from: u64, to: u64) -> bool {
    cell.compare_exchange(from, to, Ordering::SeqCst, Ordering::SeqCst)
        .is_ok()
}

/// The record that stands for another arena, with what that arena dropped.
fn fold_source(into: &Records<'_>, epoch: &[u8; 16], dropped: impl Fn(usize) -> u64) -> Result<Offset, Refused> {
    let identity = schema::identity(RecordKind::Source, epoch);
    let (held, _) = into.obtain(&identity, &[0; DROPPED_CELLS], None)?;
    if let Some(node) = Node::at(into.map, held.offset) {
        for (index, cell) in node.cells().iter().enumerate() {
            cell.fetch_max(dropped(index), Ordering::SeqCst);
        }
    }
    into.header()
        .filter(|header| header.add_source(held.offset))
        .map(|_| held.offset)
        .ok_or(Refused::Sources)
}

/// Answers the record that is shown, and the one that holds the old arena's total.
fn fold_total(
    into: &Records<'_>,
    target: &Target,
    own: &Identity<'_>,
    source: Offset,
    values: &[u64],
) -> Result<(Held, Held), Refused> {
    let zeros = vec![0; values.len()];
    let held = target.obtain(into, own, &zeros)?;
    let (part, _) = into.obtain(&Identity { source, ..*own }, &zeros, None)?;
    fail::point("fold:registered");
    let cells = Node::at(into.map, part.offset).ok_or(Refused::Damaged)?.cells();
    if target.kind == Kind::Histogram {
        raise_histogram(cells, values)?;
        return Ok((held, part));
    }
    for (index, (cell, value)) in cells.iter().zip(values).enumerate() {
        if index == cells::COUNTER_FLOAT {
            cells::raise_float(cell, f64::from_bits(*value));
        } else {
            cell.fetch_max(*value, Ordering::SeqCst);
        }
        fail::point("fold:raised");
    }
    Ok((held, part))
}

/// Buckets only grow. A sum may fall, by observations below zero, so the one of more observations counts. Of two
/// processes that fold different moments at once the older sum may win; the last folding, of an arena that nobody
/// counts into any more, sets it right.
fn raise_histogram(cells: &[AtomicU64], values: &[u64]) -> Result<(), Refused> {
    let buckets = values.get(HISTOGRAM_BUCKETS..).ok_or(Refused::Damaged)?;
    let known = cells.get(HISTOGRAM_BUCKETS..).ok_or(Refused::Damaged)?;
    let total = |counts: &mut dyn Iterator<Item = u64>| counts.fold(0u64, u64::wrapping_add);
    let given = total(&mut buckets.iter().copied());
    let newest = given >= total(&mut known.iter().map(|cell| cell.load(Ordering::SeqCst)));
    for (cell, value) in known.iter().zip(buckets) {
        cell.fetch_max(*value, Ordering::SeqCst);
        fail::point("fold:raised");
    }
    if newest {
        cells[HISTOGRAM_SUM].store(values[HISTOGRAM_SUM], Ordering::SeqCst);
    }
    Ok(())
}
