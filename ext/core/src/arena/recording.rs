//! Recording where a handle has no record yet: finding or registering it, and letting go of those that were removed.

use super::cells;
use super::instrument::Metric;
use super::layout::Header;
use super::node::{Identity, Node, Offset, RecordKind};
use super::notice::Level;
use super::records::{MetricCells, Records, Refused};
use super::registry::{Registry, Threads};
use super::rejection::Reason;
use super::schema::{self, Owner};
use super::series::Series;
use super::shared::Arena;
use super::{own, place, process};
use crate::metric::LabelKey;
use std::sync::atomic::Ordering;
use std::sync::Arc;

/// Fewer removals are not worth a walk over all handles.
const LEAST_REMOVED: u64 = 64;

impl Registry {
    /// Shows this process's default labels and every declared metric in the arena. The one declared last is the newest
    /// of its name, so this is done as early as there is an arena.
    pub(super) fn announce(&self, arena: &Arc<Arena>) {
        let Some(records) = arena.records() else { return };
        // Where the disk is full, what is told of the process goes without them.
        let _ = self.preset(&records, arena.inode);
        for metric in self.declared() {
            if self.metric_record(arena, &records, &metric).is_err() {
                self.notice(
                    Level::Error,
                    "new metrics cannot be registered: the arena's disk is full".to_owned(),
                );
                return;
            }
        }
    }

    /// Records into a series that has no record, or none that is still in use.
    pub(super) fn write_anew(&self, metric: &Arc<Metric>, series: &Arc<Series>, write: &dyn Fn(&Series) -> bool) {
        const ATTEMPTS: usize = 100;
        if !self.enabled.load(Ordering::Acquire) {
            return;
        }
        let _slow = self.slow.lock();
        for _ in 0..ATTEMPTS {
            let Some(arena) = self.here() else {
                return self.dropped(Reason::ArenaUnavailable);
            };
            if !metric.own {
                self.sampled.store(true, Ordering::Release);
            }
            let target = match self.attach(&arena, series) {
                Ok(()) => series,
                Err(Refused::Cap) => {
                    let overflow = metric.overflow();
                    if self.attach(&arena, overflow).is_err() {
                        return self.dropped(Reason::ArenaFull);
                    }
                    self.count_overflow(&arena, metric);
                    overflow
                }
                Err(Refused::Full) => {
                    self.notice(
                        Level::Error,
                        "new series cannot be counted: the arena's disk is full".to_owned(),
                    );
                    return self.dropped(Reason::ArenaFull);
                }
                Err(Refused::Damaged | Refused::Sources) => return self.dropped(Reason::ArenaUnavailable),
            };
            if write(target) {
                return;
            }
        }
        self.dropped(Reason::ArenaUnavailable);
    }

    /// Points `series` to its record, registering it if need be.
    pub(super) fn attach(&self, arena: &Arc<Arena>, series: &Arc<Series>) -> Result<(), Refused> {
        let metric = series.metric();
        let descriptor = metric.descriptor();
        if !descriptor.kind.per_process_cell() && series.inherit() {
            return Ok(());
        }
        let records = arena.records().ok_or(Refused::Damaged)?;
        self.let_go_if_due(arena);
        let key = series_key(metric, &series.key, Some(Owner::this(records.member)));
        let identity = self.series_identity(arena, &records, metric, &key)?;
        let cells = vec![0; cells::count_for(descriptor)];
        let most = u64::from(self.settings.read().max_series);
        let node = Node::at(&arena.map, identity.metric).ok_or(Refused::Damaged)?;
        let count = node.cells().get(MetricCells::SERIES).ok_or(Refused::Damaged)?;
        // The gem's own metrics are bounded by what they count, and have to tell of every cap that is reached.
        let quota = (!metric.own && !metric.is_overflow(series)).then_some((count, most));
        let mut obtained = records.obtain(&identity, &cells, quota);
        if obtained == Err(Refused::Cap) && self.expire_if_due(arena, descriptor.kind) {
            obtained = records.obtain(&identity, &cells, quota);
        }
        // Where each process has cells of its own, each may have as many label sets as there may be.
        if obtained == Err(Refused::Cap) && descriptor.kind.per_process_cell() && metric.held_here() < most {
            obtained = records.obtain(&identity, &cells, Some((count, u64::MAX)));
        }
        let (held, _) = obtained?;
        let tracked = series.is_attached() || {
            let index = metric.index.read();
            let mut same = index.iter_hash(series.place());
            same.any(|other| Arc::ptr_eq(other, series))
        };
        if !series.point_to(&arena.map, held, cells.len()) {
            return Err(Refused::Damaged);
        }
        if !tracked {
            metric
                .index
                .write()
                .insert_unique(series.place(), Arc::clone(series), |series| series.place());
        }
        Ok(())
    }

    /// What identifies the series of `metric` and this process's default labels that has `key` (see [`series_key`]).
    pub(super) fn series_identity<'k>(
        &self,
        arena: &Arc<Arena>,
        records: &Records<'_>,
        metric: &Metric,
        key: &'k [u8],
    ) -> Result<Identity<'k>, Refused> {
        Ok(Identity {
            kind: RecordKind::Series,
            metric: self.metric_record(arena, records, metric)?,
            preset: self.preset(records, arena.inode)?,
            source: 0,
            key,
        })
    }

    /// The record of `metric` in `arena`.
    pub(super) fn metric_record(
        &self,
        arena: &Arc<Arena>,
        records: &Records<'_>,
        metric: &Metric,
    ) -> Result<Offset, Refused> {
        let mut record = metric.record.lock();
        if let Some((known, offset)) = &*record {
            if std::ptr::eq(known.as_ptr(), Arc::as_ptr(arena)) {
                return Ok(*offset);
            }
        }
        let name = self.printed_name(metric);
        let offset = schema::register(records, metric.descriptor(), &name)?;
        *record = Some((Arc::downgrade(arena), offset));
        Ok(offset)
    }

    /// The record of this process's default labels.
    pub(super) fn preset(&self, records: &Records<'_>, inode: place::Inode) -> Result<Offset, Refused> {
        let mut preset = self.preset.lock();
        if let Some((_, offset)) = preset.filter(|(known, _)| *known == inode) {
            return Ok(offset);
        }
        let offset = schema::preset(records, &self.defaults.read())?;
        if let Some(slot) = process::slot(records.map, records.member.slot) {
            slot.preset().store(u64::from(offset), Ordering::Relaxed);
        }
        *preset = Some((inode, offset));
        Ok(offset)
    }

    fn count_overflow(&self, arena: &Arc<Arena>, metric: &Arc<Metric>) {
        let name = self.printed_name(metric);
        let Some(counter) = metric
            .registry
            .upgrade()
            .and_then(|registry| registry.find(own::OVERFLOWED))
        else {
            return;
        };
        let series = counter.series(&LabelKey::of([name.as_str()]));
        if !series.try_increment_int(1) && self.attach(arena, &series).is_ok() {
            series.try_increment_int(1);
        }
    }

    /// Lets go of removed series between two scrapes, once enough were removed to be worth the walk.
    pub(super) fn let_go_if_due(&self, arena: &Arc<Arena>) {
        if self.threads == Threads::Parallel {
            return;
        }
        let Some(header) = Header::of(&arena.map) else { return };
        let removals = header.removals().load(Ordering::SeqCst);
        let removed = removals.saturating_sub(self.let_go_of.load(Ordering::Relaxed));
        if removed < LEAST_REMOVED {
            return;
        }
        let held: usize = self
            .metrics
            .read()
            .values()
            .map(|metric| metric.index.read().len())
            .sum();
        if removed >= held as u64 / 4 {
            self.let_go(arena);
        }
    }

    /// Lets go of series whose records were removed, and says so in the arena.
    pub(super) fn let_go(&self, arena: &Arc<Arena>) {
        let Some(header) = Header::of(&arena.map) else { return };
        let removals = header.removals().load(Ordering::SeqCst);
        if removals != self.let_go_of.swap(removals, Ordering::Relaxed) {
            for metric in self.metrics.read().values() {
                metric.index.write().retain(|series| {
                    if series.is_attached() && !series.is_current() {
                        series.detach();
                    }
                    series.is_attached() || Arc::strong_count(series) > 1
                });
            }
        }
        // A page that is being rendered may stand against it, until the next time.
        arena.release(removals);
    }
}

/// Key of the record of a series with these `labels`: where each process has a cell of its own, that of `owner`.
pub(super) fn series_key(metric: &Metric, labels: &[u8], owner: Option<Owner>) -> Vec<u8> {
    let mut key = labels.to_vec();
    if let (true, Some(owner)) = (metric.descriptor().kind.per_process_cell(), owner) {
        owner.append_to(&mut key);
    }
    key
}
