//! The end of series: those of processes that are gone, and those that nobody has written to for too long.

use super::node::{Node, Offset, RecordKind, State};
use super::process;
use super::records::{Held, Records};
use super::registry::Registry;
use super::schema::{self, Owner};
use super::shared::Arena;
use super::sys;
use crate::metric::{naming, Descriptor, Kind};
use std::collections::HashSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// After how long without a write a series is removed whose metric another release has declared anew, where no idle
/// expiry is set.
const SUPERSEDED_EXPIRY: Duration = Duration::from_secs(3600);
/// A registration that meets the cap looks for idle series at most this often.
const SWEEP_INTERVAL: u64 = 1_000_000_000;

/// What an arena's metrics and processes say about its series.
pub(super) struct Survey {
    /// Records of metrics that a newer declaration of the same samples has superseded.
    pub superseded: HashSet<Offset>,
    per_process: HashSet<Offset>,
    /// Metrics of the gem's own: what was dropped or cut is to be seen for as long as there is an arena.
    own: HashSet<Offset>,
    living: HashSet<u64>,
}

impl Survey {
    /// Of the metrics whose records are given, in any order, and the incarnations of live processes.
    pub fn of<'a>(
        records: &Records<'_>,
        metrics: impl IntoIterator<Item = &'a (Offset, Descriptor)>,
        living: HashSet<u64>,
    ) -> Self {
        let declared = |offset: Offset| Node::at(records.map, offset).map_or(0, |node| schema::declared(&node));
        let mut newest_first: Vec<_> = metrics.into_iter().map(|metric| (declared(metric.0), metric)).collect();
        newest_first.sort_by_key(|(declared, (offset, _))| std::cmp::Reverse((*declared, *offset)));
        let (mut superseded, mut per_process, mut samples) = (HashSet::new(), HashSet::new(), HashSet::new());
        let mut own = HashSet::new();
        for (_, (offset, descriptor)) in newest_first {
            if descriptor.kind.per_process_cell() {
                per_process.insert(*offset);
            }
            if descriptor.name.starts_with(naming::SELF_PREFIX) {
                own.insert(*offset);
            }
            // A name is taken by all that it prints: a new `x_count` supersedes an old histogram `x` as well.
            let names = naming::sample_names(&descriptor.name, &descriptor.kind);
            if names.iter().any(|name| samples.contains(name)) {
                superseded.insert(*offset);
            } else {
                samples.extend(names);
            }
        }
        Self {
            superseded,
            per_process,
            own,
            living,
        }
    }

    /// Whose series a record is; `None` when it is everybody's.
    fn owner(&self, node: &Node<'_>) -> Option<Owner> {
        if self.per_process.is_empty() || !self.per_process.contains(&node.metric()) {
            return None;
        }
        Owner::take_from(&mut node.key())
    }

    /// Whether the process that the series belongs to, if it belongs to one, is gone.
    fn is_orphan(&self, node: &Node<'_>) -> bool {
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

    /// Whether any series can have come to its end.
    pub fn is_due(&self, survey: &Survey) -> bool {
        self.idle.is_some() || !survey.superseded.is_empty() || !survey.per_process.is_empty()
    }

    /// Removes the series of `node`, read under `held`, if its time has come; `true` when it is gone, whoever did it.
    pub fn apply(&self, records: &Records<'_>, survey: &Survey, node: &Node<'_>, held: Held) -> bool {
        if survey.is_orphan(node) {
            records.remove(held);
            return true;
        }
        let superseded = !survey.superseded.is_empty() && survey.superseded.contains(&node.metric());
        let limit = match (self.idle, superseded) {
            (Some(_), false) if survey.own.contains(&node.metric()) => return false,
            (Some(idle), _) => idle,
            (None, true) => SUPERSEDED_EXPIRY,
            (None, false) => return false,
        };
        if node.touched().load(Ordering::SeqCst) != 0 {
            // Before, because another process may look in between, and after, because this one may be held up there.
            note_use(node);
            node.touched().store(0, Ordering::SeqCst);
            note_use(node);
            return false;
        }
        // The clock is read last: others note moments too, and none may lie in the future.
        let seen = node.seen().load(Ordering::SeqCst);
        let idle = sys::boot_millis().saturating_sub(seen);
        u128::from(idle) >= limit.as_millis() && records.expire(held)
    }
}

fn note_use(node: &Node<'_>) {
    node.seen().store(sys::boot_millis(), Ordering::SeqCst);
}

impl Registry {
    /// Looks for series that are idle, or whose process is gone, because a metric of `kind` is at its cap; `true` when
    /// it looked.
    pub(super) fn expire_if_due(&self, arena: &Arena, kind: Kind) -> bool {
        static SWEPT_AT: AtomicU64 = AtomicU64::new(0);
        let idle = self.settings.read().idle_expiry;
        let (now, last) = (sys::boot_clock(), SWEPT_AT.load(Ordering::Relaxed));
        let due = now.saturating_sub(last) >= SWEEP_INTERVAL;
        if (idle.is_none() && !kind.per_process_cell())
            || !due
            || SWEPT_AT
                .compare_exchange(last, now, Ordering::Relaxed, Ordering::Relaxed)
                .is_err()
        {
            return false;
        }
        let Some(records) = arena.records() else { return false };
        let known = records.know();
        let metrics: Vec<_> = schema::metrics(&records).collect();
        let survey = Survey::of(&records, &metrics, process::incarnations(&arena.map, records.member));
        let expiry = Expiry::new(idle);
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
