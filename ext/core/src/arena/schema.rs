//! Metrics, help texts and default labels as keys of records.

use super::node::{Identity, Node, Offset, RecordKind};
use super::process::{Member, Slot};
use super::records::{MetricCells, Records, Refused};
use crate::metric::{Aggregation, Buckets, Descriptor, Kind, LabelKey, LabelValues};
use std::sync::atomic::Ordering;

/// Packs all of a descriptor that series under one name must agree on.
fn key_of(descriptor: &Descriptor, name: &str) -> LabelKey {
    let aggregation = match descriptor.kind {
        Kind::Gauge(aggregation) => aggregation.name(),
        _ => "",
    };
    let bounds: Vec<String> = descriptor
        .buckets
        .iter()
        .flat_map(Buckets::bounds)
        .map(|bound| format!("{:016x}", bound.to_bits()))
        .collect();
    let mut key = LabelKey::of([
        name,
        descriptor.kind.name(),
        aggregation,
        descriptor.unit.as_deref().unwrap_or(""),
        &bounds.join(","),
    ]);
    for label in &descriptor.labels {
        key.push(label);
    }
    key
}

/// Unpacks a metric's record; `None` where it does not hold one.
pub(super) fn decode(node: &Node<'_>) -> Option<Descriptor> {
    let key = node.key();
    let mut parts = LabelValues::new(&key);
    let (name, kind, aggregation, unit, bounds) = (
        parts.next()?,
        parts.next()?,
        parts.next()?,
        parts.next()?,
        parts.next()?,
    );
    let kind = match kind {
        "counter" => Kind::Counter,
        "gauge" => Kind::Gauge(Aggregation::from_name(aggregation)?),
        "histogram" => Kind::Histogram,
        _ => return None,
    };
    let buckets = if kind == Kind::Histogram {
        let bounds: Option<Vec<f64>> = bounds
            .split(',')
            .map(|bits| u64::from_str_radix(bits, 16).ok().map(f64::from_bits))
            .collect();
        Some(Buckets::new(name, bounds?).ok()?)
    } else {
        None
    };
    Some(Descriptor {
        name: name.to_owned(),
        help: String::new(),
        unit: (!unit.is_empty()).then(|| unit.to_owned()),
        kind,
        labels: parts.map(str::to_owned).collect(),
        buckets,
    })
}

/// Number of a metric's last declaration.
pub(super) fn declared(node: &Node<'_>) -> u64 {
    node.cells()
        .get(MetricCells::DECLARED)
        .map_or(0, |cell| cell.load(Ordering::SeqCst))
}

/// Every metric in use, with its record.
pub(super) fn metrics<'a>(records: &Records<'a>) -> impl Iterator<Item = (Offset, Descriptor)> + 'a {
    let in_use = |node: &Node<'_>| node.kind() == Some(RecordKind::Metric) && node.word().in_use();
    records
        .all()
        .filter(in_use)
        .filter_map(|node| Some((node.offset, decode(&node)?)))
}

/// The record of a metric, registered if need be and marked as the one declared last.
pub(super) fn register(records: &Records<'_>, descriptor: &Descriptor, name: &str) -> Result<Offset, Refused> {
    let offset = obtain(records, descriptor, name)?;
    let declared = records.header().ok_or(Refused::Damaged)?.next_birth();
    if let Some(cell) = Node::at(records.map, offset).and_then(|node| node.cells().get(MetricCells::DECLARED)) {
        cell.fetch_max(declared, Ordering::SeqCst);
    }
    if !descriptor.help.is_empty() {
        register_help(records, name, &descriptor.help, declared)?;
    }
    Ok(offset)
}

/// The record of a metric, registered if need be.
pub(super) fn obtain(records: &Records<'_>, descriptor: &Descriptor, name: &str) -> Result<Offset, Refused> {
    let key = key_of(descriptor, name);
    let identity = identity(RecordKind::Metric, key.as_bytes());
    let obtained = records.obtain(&identity, &[0; MetricCells::COUNT], None);
    obtained.map(|(held, _)| held.offset)
}

/// The record of a metric, if it is in use.
pub(super) fn find(records: &Records<'_>, descriptor: &Descriptor, name: &str) -> Option<Offset> {
    let key = key_of(descriptor, name);
    let found = records.find(&identity(RecordKind::Metric, key.as_bytes()));
    found.map(|held| held.offset)
}

/// Of a record that is identified by its key alone.
pub(super) fn identity(kind: RecordKind, key: &[u8]) -> Identity<'_> {
    Identity {
        kind,
        metric: 0,
        preset: 0,
        source: 0,
        key,
    }
}

/// Help texts have a cell for their last declaration.
pub(super) fn register_help(records: &Records<'_>, name: &str, help: &str, declared: u64) -> Result<(), Refused> {
    let key = LabelKey::of([name, help]);
    let (held, _) = records.obtain(&identity(RecordKind::Help, key.as_bytes()), &[0], None)?;
    if let Some(cell) = Node::at(records.map, held.offset).and_then(|node| node.cells().first()) {
        cell.fetch_max(declared, Ordering::SeqCst);
    }
    Ok(())
}

/// Name, text and last declaration of a help record.
pub(super) fn decode_help(node: &Node<'_>) -> Option<(String, String, u64)> {
    let key = node.key();
    let mut parts = LabelValues::new(&key);
    let declared = node.cells().first()?.load(Ordering::SeqCst);
    Some((parts.next()?.to_owned(), parts.next()?.to_owned(), declared))
}

/// The record of default labels; 0 when there are none.
pub(super) fn preset(records: &Records<'_>, pairs: &LabelKey) -> Result<Offset, Refused> {
    if pairs.as_bytes().is_empty() {
        return Ok(0);
    }
    let obtained = records.obtain(&identity(RecordKind::Preset, pairs.as_bytes()), &[], None);
    obtained.map(|(held, _)| held.offset)
}

/// The record of default labels, if it is in use; 0 when there are none.
pub(super) fn find_preset(records: &Records<'_>, pairs: &LabelKey) -> Option<Offset> {
    if pairs.as_bytes().is_empty() {
        return Some(0);
    }
    let found = records.find(&identity(RecordKind::Preset, pairs.as_bytes()));
    found.map(|held| held.offset)
}

/// What follows the label values in the key of a series that belongs to one process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Owner {
    pub incarnation: u64,
    pub slot: u32,
    pub pid: u32,
}

impl Owner {
    pub const SIZE: usize = 16;

    /// The process that has `slot`.
    pub fn of(slot: &Slot<'_>) -> Self {
        Self {
            incarnation: slot.incarnation().load(Ordering::SeqCst),
            slot: slot.index,
            pid: slot.pid().load(Ordering::Relaxed) as u32,
        }
    }

    /// This process, which is `member`.
    pub fn this(member: Member) -> Self {
        Self {
            incarnation: member.incarnation,
            slot: member.slot,
            pid: std::process::id(),
        }
    }

    pub fn append_to(&self, key: &mut Vec<u8>) {
        key.extend_from_slice(&self.incarnation.to_le_bytes());
        key.extend_from_slice(&self.slot.to_le_bytes());
        key.extend_from_slice(&self.pid.to_le_bytes());
    }

    /// Cuts the owner off a key.
    pub fn take_from(key: &mut Vec<u8>) -> Option<Self> {
        let at = key.len().checked_sub(Self::SIZE)?;
        let owner = key.split_off(at);
        Some(Self {
            incarnation: u64::from_le_bytes(owner.get(..8)?.try_into().ok()?),
            slot: u32::from_le_bytes(owner.get(8..12)?.try_into().ok()?),
            pid: u32::from_le_bytes(owner.get(12..16)?.try_into().ok()?),
        })
    }

    /// Value of the label `process`: the pid, which people know, and the slot, which tells equal pids apart.
    pub fn label(&self) -> String {
        format!("{}-{}", self.pid, self.slot)
    }
}
