//! The end of series: those of processes that are gone, and those that nobody has written to for too long.

use super::node::{Node, Offset, RecordKind, State};
use super::process;
use super::records::{Held, MetricCells, Records};
use super::registry::Registry;
use super::schema::{self, Owner};
use super::shared::Arena;
use super::sys;
use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// After how long without a write a series is removed whose metric another release has declared anew, where no idle
/// expiry is set.
const SUPERSEDED_EXPIRY: Duration = Duration::from_secs(3600);
/// A registration that meets the cap looks for idle series at most this often.
const SWEEP_INTERVAL: u64 = 1_000_000_000;

/// Metrics of an arena by name: which declaration is the newest, and who owns per-process series.
pub(super) struct Survey {
    /// Records of metrics that a newer declaration of the same name has superseded.
    pub superseded: HashSet<Offset>,
    per_process: HashSet<Offset>,
    living: HashSet<u64>,
}

impl Survey {
    pub fn of(records: &Records<'_>) -> Self {
        let mut newest: HashMap<String, (u64, u64, Offset)> = HashMap::new();
        let (mut superseded, mut per_process) = (HashSet::new(), HashSet::new());
        for node in records
            .all()
            .filter(|node| node.kind() == Some(RecordKind::Metric) && node.word().in_use())
        {
            let Some(descriptor) = schema::decode(&node) else {
                continue;
            };
            if descriptor.kind.per_process_cell() {
                per_process.insert(node.offset);
            }
            let declared = node
                .cells()
                .get(MetricCells::DECLARED)
                .map_or(0, |cell| cell.load(Ordering::SeqCst));
            let entry = (declared, node.birth(), node.offset);
            match newest.get_mut(&descriptor.name) {
                None => {
                    newest.insert(descriptor.name, entry);
                }
                Some(known) if *known < entry => {
                    superseded.insert(known.2);
                    *known = entry;
                }
                Some(_) => {
                    superseded.insert(node.offset);
                }
            }
        }
        let living = process::living(records.map, Some(records.member))
            .map(|slot| slot.incarnation().load(Ordering::SeqCst))
            .collect();
        Self {
            superseded,
            per_process,
            living,
        }
    }

    /// Whose series a record is; `None` when it is everybody's.
    pub fn owner(&self, node: &Node<'_>) -> Option<Owner> {
        if !self.per_process.contains(&node.metric()) {
            return None;
        }
        Owner::take_from(&mut node.key())
    }

    /// Whether the process that the series belongs to, if it belongs to one, is gone.
    pub fn is_orphan(&self, node: &Node<'_>) -> bool {
        self.owner(node)
            .is_some_and(|owner| !self.living.contains(&owner.incarnation))
    }
}

/// When to remove idle series.
#[derive(Clone, Copy)]
pub(super) struct Expiry {
    idle: Option<Duration>,
}

impl Expiry {
    pub fn new(idle: Option<Duration>) -> Self {
        Self { idle }
    }

    /// Removes the series of `node`, read under `held`, if its time has come; `true` when it is gone.
    pub fn apply(&self, records: &Records<'_>, survey: &Survey, node: &Node<'_>, held: Held) -> bool {
        if survey.is_orphan(node) {
            return records.remove(held);
        }
        let superseded = survey.superseded.contains(&node.metric());
        let limit = match (self.idle, superseded) {
            (Some(idle), _) => idle,
            (None, true) => SUPERSEDED_EXPIRY,
            (None, false) => return false,
        };
        let now = sys::boot_millis();
        if node.touched().swap(0, Ordering::SeqCst) != 0 {
            node.seen().store(now, Ordering::SeqCst);
            return false;
        }
        let idle = now.wrapping_sub(node.seen().load(Ordering::SeqCst));
        u128::from(idle) >= limit.as_millis() && records.expire(held)
    }
}

impl Registry {
    /// Looks for idle series because a metric is at its cap; `true` when it looked.
    pub(super) fn expire_if_due(&self, arena: &Arena) -> bool {
        static SWEPT_AT: AtomicU64 = AtomicU64::new(0);
        let idle = self.settings.read().idle_expiry;
        let (now, last) = (sys::boot_clock(), SWEPT_AT.load(Ordering::Relaxed));
        let due = now.saturating_sub(last) >= SWEEP_INTERVAL;
        if idle.is_none()
            || !due
            || SWEPT_AT
                .compare_exchange(last, now, Ordering::Relaxed, Ordering::Relaxed)
                .is_err()
        {
            return false;
        }
        let Some(records) = arena.records() else { return false };
        let known = records.know();
        let (survey, expiry) = (Survey::of(&records), Expiry::new(idle));
        for node in records.all() {
            let word = node.word();
            let series = node.kind() == Some(RecordKind::Series) && node.source() == 0;
            if series && word.state() == Some(State::Live) && word.sequence() <= known {
                expiry.apply(
                    &records,
                    &survey,
                    &node,
                    Held {
                        offset: node.offset,
                        word,
                    },
                );
            }
        }
        true
    }
}
