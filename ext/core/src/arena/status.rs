//! What `status` tells of metrics.

use super::notice::Notice;
use super::registry::{Quiescent, Registry};
use super::rejection::{Reason, CUT_LABELS};
use super::schema::Owner;
use super::{own, process};
use serde::Serialize;
use std::collections::BTreeMap;
use std::sync::Arc;

/// State of metrics on this machine.
#[derive(Debug, Clone, Serialize)]
pub struct Status {
    /// Whether instruments count at all.
    pub enabled: bool,
    /// The arena; `None` where there is none, which `notices` explains.
    pub arena: Option<ArenaStatus>,
    /// Series in use, by metric.
    pub series: BTreeMap<String, usize>,
    /// What series had counted that were removed or have expired, by metric: what pages lack.
    pub removed: BTreeMap<String, Removed>,
    /// Schemas that a newer declaration of the same name has superseded, with the series they still have.
    pub superseded: Vec<Superseded>,
    /// Samples that were not counted, by reason.
    pub dropped: BTreeMap<&'static str, u64>,
    /// Label values that were cut.
    pub cut_label_values: u64,
    /// What went wrong so far, oldest first.
    pub notices: Vec<Notice>,
}

/// The arena as this process has it mapped.
#[derive(Debug, Clone, Serialize)]
pub struct ArenaStatus {
    /// Its unique id, in hex.
    pub id: String,
    /// Its file; `None` for private memory.
    pub path: Option<String>,
    /// Size of the file.
    pub bytes: u64,
    /// Live processes that share it.
    pub processes: Vec<ProcessStatus>,
    /// Arenas that were folded into it.
    pub folded: usize,
    /// Arenas that it replaced, and that some process still counts into.
    pub replaced: Vec<String>,
}

/// A live process.
#[derive(Debug, Clone, Serialize)]
pub struct ProcessStatus {
    /// Value of its label `process`.
    pub process: String,
    /// Its id, in its own pid namespace.
    pub pid: u64,
    /// Whether it is the one that tells.
    pub this: bool,
}

/// What removed series had counted.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Removed {
    /// Integer increments of counters, observations of histograms.
    pub count: u64,
    /// Float increments of counters, sums of histograms.
    pub sum: f64,
}

/// A schema of which there is a newer one.
#[derive(Debug, Clone, Serialize)]
pub struct Superseded {
    /// Name of the metric.
    pub name: String,
    /// The older schema.
    pub schema: String,
    /// Series that it still has.
    pub series: usize,
}

impl Registry {
    /// State of metrics on this machine. Opens the arena if need be.
    pub fn status(self: &Arc<Self>, quiescent: Quiescent) -> Status {
        let scrape = self.begin_scrape(quiescent);
        let snapshot = scrape.snapshot();
        let arena = self.current();
        let records = arena.as_ref().and_then(|arena| arena.records());
        let dropped = records.as_ref().map(own::dropped).unwrap_or_default();
        let (superseded, current): (Vec<_>, Vec<_>) = snapshot.families.iter().partition(|family| family.superseded);
        Status {
            enabled: self.settings().enabled,
            arena: arena
                .as_ref()
                .zip(records.as_ref())
                .map(|(arena, records)| ArenaStatus {
                    id: arena.epoch(),
                    path: arena.path.as_ref().map(|path| path.display().to_string()),
                    bytes: arena.map.length(),
                    processes: process::living(&arena.map, Some(records.member))
                        .map(|slot| {
                            let owner = Owner::of(&slot);
                            ProcessStatus {
                                process: owner.label(),
                                pid: u64::from(owner.pid),
                                this: owner.incarnation == records.member.incarnation,
                            }
                        })
                        .collect(),
                    folded: records.header().map_or(0, |header| header.sources().count()),
                    replaced: self.olds.lock().iter().map(|old| old.arena.epoch()).collect(),
                }),
            series: current
                .iter()
                .map(|family| (family.descriptor.name.clone(), family.len()))
                .collect(),
            removed: records
                .as_ref()
                .map(own::removed)
                .unwrap_or_default()
                .into_iter()
                .map(|(name, (count, sum))| (name, Removed { count, sum }))
                .collect(),
            superseded: superseded
                .iter()
                .map(|family| Superseded {
                    name: family.descriptor.name.clone(),
                    schema: family.descriptor.schema().to_string(),
                    series: family.len(),
                })
                .collect(),
            dropped: Reason::ALL
                .iter()
                .map(|reason| (reason.name(), dropped[*reason as usize]))
                .collect(),
            cut_label_values: dropped[CUT_LABELS],
            notices: self.past_notices(),
        }
    }
}
