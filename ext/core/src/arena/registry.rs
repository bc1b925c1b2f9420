//! All instruments of a process, and the arena that they count into.
//!
//! Lock order: `slow`, then `arena`, `olds`, a metric's `record`, a metric's `index`. Nothing here waits for another
//! process. No lock is held while a page is rendered, so that a fork cannot inherit one from a thread that it loses.

use super::cells;
use super::fold::Old;
use super::instrument::Metric;
use super::layout::Header;
use super::node::{Identity, Node, Offset, RecordKind};
use super::records::{Records, Refused};
use super::rejection::{Reason, Rejection, CUT_LABELS, DROPPED_CELLS};
use super::schema::{self, Owner};
use super::series::Series;
use super::settings::{Error, Place, Settings};
use super::shared::{self, Arena};
use super::{fork, place, process};
use crate::metric::{self, naming, Aggregation, Descriptor, Kind, LabelKey};
use crate::snapshot::Value;
use parking_lot::{Mutex, RwLock};
use std::collections::{BTreeMap, VecDeque};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicU32, AtomicU64, Ordering};
use std::sync::Arc;

/// Whether recording calls of the process can overlap.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Threads {
    /// A lock of the caller's, such as Ruby's GVL, lets one thread at a time record.
    Serialized,
    /// Threads record at once; removed series are let go of at scrapes only, which promise [`Quiescent`].
    Parallel,
}

/// A promise that no other thread of this process is inside a recording call.
#[derive(Debug)]
pub struct Quiescent(());

impl Quiescent {
    /// Promises it: true wherever Ruby's GVL is held.
    #[must_use]
    pub fn promise() -> Self {
        Self(())
    }
}

/// How grave a [`Notice`] is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// Something works, but not as configured.
    Warn,
    /// Something does not work.
    Error,
}

/// Something to be logged once.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Notice {
    /// How grave it is.
    pub level: Level,
    /// What happened.
    pub message: String,
}

/// Notices kept for `status`, and waiting to be logged.
const NOTICES: usize = 32;

/// All instruments of a process.
pub struct Registry {
    threads: Threads,
    pub(super) settings: RwLock<Settings>,
    enabled: AtomicBool,
    sampled: AtomicBool,
    slow: Mutex<()>,
    arena: RwLock<Option<Arc<Arena>>>,
    pub(super) olds: Mutex<Vec<Old>>,
    metrics: RwLock<BTreeMap<String, Arc<Metric>>>,
    /// Default labels, packed; and their record in the arena of that inode.
    defaults: RwLock<LabelKey>,
    preset: Mutex<Option<(place::Inode, Offset)>>,
    /// Removals up to which this process has let go.
    released: AtomicU64,
    /// Registrations since the last failure to open an arena, so that it is not tried at every sample.
    failed_at: AtomicU64,
    unlogged: Mutex<VecDeque<Notice>>,
    noticed: Mutex<VecDeque<Notice>>,
    /// Counted while there is no arena, moved into its header later.
    homeless: [AtomicU64; DROPPED_CELLS],
    collections: Collections,
}

/// Garbage collections of this process, and where the arena wants them.
#[derive(Default)]
struct Collections {
    runs: AtomicU64,
    nanos: AtomicU64,
    cells: AtomicPtr<AtomicU64>,
    generation: AtomicU32,
}

impl std::fmt::Debug for Registry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Registry")
            .field("settings", &*self.settings.read())
            .finish_non_exhaustive()
    }
}

impl Registry {
    /// A registry with default settings, which opens nothing before the first sample or scrape.
    #[must_use]
    pub fn new(threads: Threads) -> Arc<Self> {
        fork::watch();
        let registry = Arc::new(Self {
            threads,
            settings: RwLock::default(),
            enabled: AtomicBool::new(true),
            sampled: AtomicBool::new(false),
            slow: Mutex::new(()),
            arena: RwLock::new(None),
            olds: Mutex::new(Vec::new()),
            metrics: RwLock::default(),
            defaults: RwLock::default(),
            preset: Mutex::new(None),
            released: AtomicU64::new(0),
            failed_at: AtomicU64::new(0),
            unlogged: Mutex::default(),
            noticed: Mutex::default(),
            homeless: Default::default(),
            collections: Collections::default(),
        });
        for descriptor in super::own::counted() {
            // The gem's own names clash with nothing in an empty registry.
            let _ = registry.declare_own(descriptor);
        }
        registry
    }

    // ---- declaring

    /// Takes new settings.
    ///
    /// # Errors
    /// [`Error::Frozen`] when samples would have to move; else what is wrong with the settings. Nothing has changed then.
    pub fn configure(&self, settings: Settings) -> Result<(), Error> {
        settings.check()?;
        for metric in self.metrics.read().values() {
            let declares = |label: &String| metric.descriptor().labels.contains(label);
            if let Some((label, _)) = settings.default_labels.iter().find(|(label, _)| declares(label)) {
                let metric = metric.descriptor().name.clone();
                return Err(Error::DefaultLabelDeclared {
                    label: label.clone(),
                    metric,
                });
            }
        }
        let _slow = self.slow.lock();
        let mut current = self.settings.write();
        let moved = current.moved(&settings);
        if let (Some(option), true) = (moved, self.sampled.load(Ordering::Acquire)) {
            return Err(Error::Frozen(option));
        }
        let relabelled = current.default_labels != settings.default_labels;
        if moved.is_some() {
            self.forget_arena();
        }
        if relabelled || moved.is_some() {
            let mut defaults = LabelKey::new();
            for (name, value) in &settings.default_labels {
                defaults.push(name);
                defaults.push(value);
            }
            *self.defaults.write() = defaults;
            *self.preset.lock() = None;
        }
        if relabelled || !settings.enabled {
            self.detach_all();
        }
        self.enabled.store(settings.enabled, Ordering::Release);
        self.failed_at.store(0, Ordering::Relaxed);
        *current = settings;
        Ok(())
    }

    fn forget_arena(&self) {
        self.detach_all();
        self.collections.cells.store(std::ptr::null_mut(), Ordering::Release);
        for metric in self.metrics.read().values() {
            *metric.record.lock() = None;
        }
        *self.arena.write() = None;
    }

    fn detach_all(&self) {
        for metric in self.metrics.read().values() {
            let index = metric.index.read();
            index.iter().for_each(|series| series.detach());
        }
    }

    /// Declares a metric of the application. The same again answers the same.
    ///
    /// # Errors
    /// [`metric::Error::Conflict`] when the name has another schema in this process, [`metric::Error::SampleClash`]
    /// when another metric prints samples of the same name.
    pub fn declare(self: &Arc<Self>, descriptor: Descriptor) -> metric::Result<Arc<Metric>> {
        naming::check_metric(&descriptor.name)?;
        self.add(descriptor, false)
    }

    /// Declares one of the gem's own metrics, which carry no prefix.
    ///
    /// # Errors
    /// As [`Self::declare`].
    pub fn declare_own(self: &Arc<Self>, descriptor: Descriptor) -> metric::Result<Arc<Metric>> {
        self.add(descriptor, true)
    }

    fn add(self: &Arc<Self>, descriptor: Descriptor, own: bool) -> metric::Result<Arc<Metric>> {
        if let Some((label, _)) = self
            .settings
            .read()
            .default_labels
            .iter()
            .find(|(label, _)| descriptor.labels.contains(label))
        {
            return Err(metric::Error::LabelName {
                metric: descriptor.name.clone(),
                label: label.clone(),
                rule: "it is one of metrics.default_labels",
            });
        }
        let mut metrics = self.metrics.write();
        if let Some(existing) = metrics.get(&descriptor.name) {
            if existing.descriptor().same_schema(&descriptor) {
                return Ok(Arc::clone(existing));
            }
            return Err(metric::Error::Conflict {
                name: descriptor.name.clone(),
                existing: existing.descriptor().schema().to_string(),
                given: descriptor.schema().to_string(),
            });
        }
        for other in metrics.values() {
            let (name, kind) = (other.descriptor().name.as_str(), &other.descriptor().kind);
            if let Some(sample) = naming::clash((&descriptor.name, &descriptor.kind), (name, kind)) {
                return Err(metric::Error::SampleClash {
                    name: descriptor.name,
                    other: name.to_owned(),
                    sample,
                });
            }
        }
        let name = descriptor.name.clone();
        let metric = Arc::new(Metric::new(descriptor, own, Arc::downgrade(self)));
        metrics.insert(name, Arc::clone(&metric));
        drop(metrics);
        let _slow = self.slow.lock();
        if let Some(arena) = self.current().filter(|arena| arena.member().is_some()) {
            self.announce(&arena);
        }
        Ok(metric)
    }

    /// Shows every declared metric in the arena. The one declared last is the newest of its name, so this is done as
    /// early as there is an arena.
    pub(super) fn announce(&self, arena: &Arc<Arena>) {
        let Some(records) = arena.records() else { return };
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

    /// The metric that was declared under that name, if any.
    #[must_use]
    pub fn find(&self, name: &str) -> Option<Arc<Metric>> {
        self.metrics.read().get(name).cloned()
    }

    pub(super) fn declared(&self) -> Vec<Arc<Metric>> {
        self.metrics.read().values().cloned().collect()
    }

    // ---- the arena

    /// Hex of the arena's unique id; `None` before the first sample or scrape.
    #[must_use]
    pub fn arena_id(&self) -> Option<String> {
        self.current().map(|arena| arena.epoch())
    }

    /// Opens the arena if anything can be counted into it, so that forks share it even where it is private memory.
    /// To be called before each fork.
    pub fn prepare_fork(&self) {
        let wanted = self.settings.read().place == Place::Memory || self.declared().iter().any(|metric| !metric.own);
        if wanted {
            let _slow = self.slow.lock();
            // What goes wrong is told by a notice.
            let _ = self.ready();
        }
    }

    pub(super) fn current(&self) -> Option<Arc<Arena>> {
        self.arena.read().clone()
    }

    /// The arena, opened if need be, with a slot for this very process. To be called with `slow` held.
    pub(super) fn ready(&self) -> Option<Arc<Arena>> {
        if !self.enabled.load(Ordering::Acquire) {
            return None;
        }
        let arena = match self.current() {
            Some(arena) => arena,
            None => self.open()?,
        };
        match arena.attach() {
            Ok(false) => {}
            Ok(true) => self.arrived(&arena),
            Err(error) => {
                self.notice(
                    Level::Error,
                    format!("metrics are not counted in this process: {error}"),
                );
                return None;
            }
        }
        Some(arena)
    }

    /// First steps of a process in an arena.
    fn arrived(&self, arena: &Arc<Arena>) {
        self.released.store(0, Ordering::Relaxed);
        if let (Some(header), false) = (
            Header::of(&arena.map),
            self.homeless.iter().all(|c| c.load(Ordering::Relaxed) == 0),
        ) {
            for (index, cell) in self.homeless.iter().enumerate() {
                header
                    .dropped(index)
                    .fetch_add(cell.swap(0, Ordering::Relaxed), Ordering::Relaxed);
            }
        }
        let Some(slot) = arena.member().and_then(|member| process::slot(&arena.map, member.slot)) else {
            return;
        };
        if self.collections.generation.swap(fork::generation(), Ordering::Relaxed) == fork::generation() {
            slot.gc_runs()
                .store(self.collections.runs.load(Ordering::Relaxed), Ordering::Relaxed);
            slot.gc_nanos()
                .store(self.collections.nanos.load(Ordering::Relaxed), Ordering::Relaxed);
        }
        self.collections
            .cells
            .store(std::ptr::from_ref(slot.gc_runs()).cast_mut(), Ordering::Release);
        if let Some(records) = arena.records() {
            if let Ok(preset) = self.preset(&records, arena.inode) {
                slot.preset().store(u64::from(preset), Ordering::Relaxed);
            }
        }
        self.announce(arena);
    }

    fn open(&self) -> Option<Arc<Arena>> {
        let settings = self.settings.read().clone();
        let application = shared::application(&settings.service, &settings.environment);
        let mut arena = None;
        for path in self.candidates(&settings) {
            match Arena::open(&path, application) {
                Ok((opened, found)) => {
                    found
                        .notices
                        .into_iter()
                        .for_each(|message| self.notice(Level::Warn, message));
                    self.olds.lock().extend(found.strays.into_iter().map(Old::new));
                    arena = Some(opened);
                    break;
                }
                Err(error) => self.notice(Level::Warn, format!("the arena cannot be used: {error}")),
            }
        }
        let arena = match arena {
            Some(arena) => arena,
            None => {
                if settings.place != Place::Memory {
                    self.notice(
                        Level::Warn,
                        "metrics are counted in private memory: only this process and its forks share them".to_owned(),
                    );
                }
                match Arena::in_memory(application) {
                    Ok(arena) => arena,
                    Err(error) => {
                        self.notice(
                            Level::Error,
                            format!("metrics are not counted: no memory to map: {error}"),
                        );
                        return None;
                    }
                }
            }
        };
        *self.arena.write() = Some(Arc::clone(&arena));
        Some(arena)
    }

    /// Where the arena may be, best first. Empty: memory.
    fn candidates(&self, settings: &Settings) -> Vec<PathBuf> {
        let name = file_name(&settings.service, &settings.environment);
        match &settings.place {
            Place::Memory => Vec::new(),
            Place::Path(path) => vec![path.clone()],
            Place::Auto => {
                let mut candidates = Vec::new();
                let shm = Path::new("/dev/shm");
                if shm.is_dir() {
                    let directory = shm.join(format!("tasker_telemetry-{}", super::sys::user()));
                    match place::private_directory(&directory) {
                        Ok(()) => candidates.push(directory.join(&name)),
                        Err(error) => self.notice(Level::Warn, format!("shared memory cannot be used: {error}")),
                    }
                }
                if let Some(directory) = &settings.fallback_dir {
                    candidates.push(directory.join("tasker_telemetry").join(&name));
                }
                candidates
            }
        }
    }

    /// Counts on in the file that stands at the arena's path, when it is no longer the one that is mapped; the old
    /// one is folded in until nobody counts into it. To be called with `slow` held.
    pub(super) fn follow(&self, arena: Arc<Arena>) -> Arc<Arena> {
        if !arena.is_displaced() {
            return arena;
        }
        let Some(path) = arena.path.clone() else { return arena };
        let settings = self.settings.read().clone();
        let application = shared::application(&settings.service, &settings.environment);
        let (fresh, found) = match Arena::open(&path, application) {
            Ok(opened) => opened,
            Err(error) => {
                self.notice(
                    Level::Warn,
                    format!("the arena is gone from its place, and no new one can be made: {error}"),
                );
                return arena;
            }
        };
        if let Err(error) = fresh.attach() {
            self.notice(
                Level::Warn,
                format!("the arena was replaced, and the new one cannot be joined: {error}"),
            );
            return arena;
        }
        found
            .notices
            .into_iter()
            .for_each(|message| self.notice(Level::Warn, message));
        self.notice(
            Level::Warn,
            format!(
                "{} was replaced while in use; its totals are folded into the new one",
                path.display()
            ),
        );
        let carried = self.own_gauges(&arena);
        self.detach_all();
        for metric in self.metrics.read().values() {
            *metric.record.lock() = None;
        }
        *self.preset.lock() = None;
        *self.arena.write() = Some(Arc::clone(&fresh));
        self.arrived(&fresh);
        arena.leave();
        {
            let mut olds = self.olds.lock();
            olds.push(Old::new(arena));
            olds.extend(found.strays.into_iter().map(Old::new));
        }
        for (series, bits) in carried {
            if self.attach(&fresh, &series).is_ok() {
                series.try_set(bits);
            }
        }
        fresh
    }

    /// Values of this process's own gauges, which nobody else could carry over.
    fn own_gauges(&self, arena: &Arc<Arena>) -> Vec<(Arc<Series>, u64)> {
        if arena.member().is_none() {
            return Vec::new();
        }
        let own = |metric: &&Arc<Metric>| metric.descriptor().kind.per_process_cell();
        let mut carried = Vec::new();
        for metric in self.metrics.read().values().filter(own) {
            let index = metric.index.read();
            carried.extend(
                index
                    .iter()
                    .filter_map(|series| Some((Arc::clone(series), series.gauge_bits()?))),
            );
        }
        carried
    }

    // ---- recording

    /// Records into a series that has no record, or none that is still in use.
    pub(super) fn write_anew(&self, metric: &Arc<Metric>, series: &Arc<Series>, write: &dyn Fn(&Series) -> bool) {
        const ATTEMPTS: usize = 100;
        if !self.enabled.load(Ordering::Acquire) {
            return;
        }
        let _slow = self.slow.lock();
        for _ in 0..ATTEMPTS {
            let Some(arena) = self.ready().map(|arena| self.follow(arena)) else {
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
                Err(Refused::Damaged) => return self.dropped(Reason::ArenaUnavailable),
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
        let offset = self.metric_record(arena, &records, metric)?;
        let preset = self.preset(&records, arena.inode)?;
        let mut key = series.key.to_vec();
        if descriptor.kind.per_process_cell() {
            let member = records.member;
            Owner {
                incarnation: member.incarnation,
                slot: member.slot,
                pid: std::process::id(),
            }
            .append_to(&mut key);
        }
        let identity = Identity {
            kind: RecordKind::Series,
            metric: offset,
            preset,
            source: 0,
            key: &key,
        };
        let cells = vec![0; cells::count_for(descriptor)];
        let most = u64::from(self.settings.read().max_series);
        let node = Node::at(&arena.map, offset).ok_or(Refused::Damaged)?;
        let count = node
            .cells()
            .get(super::records::MetricCells::SERIES)
            .ok_or(Refused::Damaged)?;
        let quota = (!metric.is_overflow(series)).then_some((count, most));
        let obtained = match records.obtain(&identity, &cells, quota) {
            Err(Refused::Cap) if self.expire_if_due(arena) => records.obtain(&identity, &cells, quota),
            other => other,
        };
        let (held, _) = obtained?;
        let tracked = series.is_attached() || {
            let index = metric.index.read();
            let mut same = index.iter_hash(series.hash);
            same.any(|other| Arc::ptr_eq(other, series))
        };
        if !series.point_to(&arena.map, held, cells.len()) {
            return Err(Refused::Damaged);
        }
        if !tracked {
            metric
                .index
                .write()
                .insert_unique(series.hash, Arc::clone(series), |series| series.hash);
        }
        Ok(())
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
        let name = self.settings.read().printed_name(&metric.descriptor().name, metric.own);
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
        *preset = Some((inode, offset));
        Ok(offset)
    }

    pub(super) fn defaults(&self) -> LabelKey {
        self.defaults.read().clone()
    }

    fn count_overflow(&self, arena: &Arc<Arena>, metric: &Arc<Metric>) {
        let name = self.settings.read().printed_name(&metric.descriptor().name, metric.own);
        let Some(counter) = metric
            .registry
            .upgrade()
            .and_then(|registry| registry.find(super::own::OVERFLOWED))
        else {
            return;
        };
        let series = counter.series(&LabelKey::of([name.as_str()]));
        if !series.try_increment_int(1) && self.attach(arena, &series).is_ok() {
            series.try_increment_int(1);
        }
    }

    // ---- letting go

    /// Lets go of removed series at a registration, once enough were removed to be worth the walk.
    fn let_go_if_due(&self, arena: &Arc<Arena>) {
        if self.threads == Threads::Parallel {
            return;
        }
        let Some(header) = Header::of(&arena.map) else { return };
        let removed = header.removals().load(Ordering::SeqCst)
            - self
                .released
                .load(Ordering::Relaxed)
                .min(header.removals().load(Ordering::SeqCst));
        let held: usize = self
            .metrics
            .read()
            .values()
            .map(|metric| metric.index.read().len())
            .sum();
        if removed >= 64.max(held as u64 / 4) {
            self.let_go(arena);
        }
    }

    /// Lets go of series whose records were removed, and says so in the arena.
    pub(super) fn let_go(&self, arena: &Arc<Arena>) {
        let Some(header) = Header::of(&arena.map) else { return };
        let removals = header.removals().load(Ordering::SeqCst);
        for metric in self.metrics.read().values() {
            metric.index.write().retain(|series| {
                if series.is_attached() && !series.is_current() {
                    series.detach();
                }
                series.is_attached() || Arc::strong_count(series) > 1
            });
        }
        arena.release(removals);
        self.released.store(removals, Ordering::Relaxed);
    }

    // ---- reading and removing single series

    fn identity_key(&self, metric: &Metric, owner: Option<Owner>, key: &[u8]) -> Vec<u8> {
        let mut key = key.to_vec();
        if let (true, Some(owner)) = (metric.descriptor().kind.per_process_cell(), owner) {
            owner.append_to(&mut key);
        }
        key
    }

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
            Kind::Gauge(Aggregation::PerProcess) => vec![arena.member().map(|member| Owner {
                incarnation: member.incarnation,
                slot: member.slot,
                pid: std::process::id(),
            })],
            Kind::Gauge(Aggregation::Sum | Aggregation::Min | Aggregation::Max) => {
                process::living(&arena.map, arena.member())
                    .map(|slot| {
                        Some(Owner {
                            incarnation: slot.incarnation().load(Ordering::SeqCst),
                            slot: slot.index,
                            pid: slot.pid().load(Ordering::Relaxed) as u32,
                        })
                    })
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
        let offset = self.metric_record(arena, records, metric).ok()?;
        let preset = self.preset(records, arena.inode).ok()?;
        let key = self.identity_key(metric, owner, key);
        let identity = Identity {
            kind: RecordKind::Series,
            metric: offset,
            preset,
            source: 0,
            key: &key,
        };
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
                    && records.remove(super::records::Held {
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
                    && records.remove(super::records::Held {
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

    // ---- what is told about ourselves

    /// Counts a sample that was refused.
    pub fn rejected(&self, rejection: &Rejection) {
        self.dropped(rejection.reason());
    }

    /// Counts a label value that was cut.
    pub fn cut_label(&self) {
        self.count_dropped(CUT_LABELS);
    }

    /// Counts a failure of native code that was caught.
    pub fn panicked(&self) {
        self.dropped(Reason::Panic);
    }

    fn dropped(&self, reason: Reason) {
        self.count_dropped(reason as usize);
    }

    fn count_dropped(&self, cell: usize) {
        let arena = self.current();
        match arena.as_ref().and_then(|arena| Header::of(&arena.map)) {
            Some(header) => header.dropped(cell).fetch_add(1, Ordering::Relaxed),
            None => self.homeless[cell].fetch_add(1, Ordering::Relaxed),
        };
    }

    /// Takes the totals of this process's garbage collections. Takes no lock and allocates nothing, so that it may be
    /// called while one runs.
    pub fn record_gc(&self, runs: u64, nanos: u64) {
        self.collections.runs.store(runs, Ordering::Relaxed);
        self.collections.nanos.store(nanos, Ordering::Relaxed);
        let arena_is_ours =
            self.collections.generation.swap(fork::generation(), Ordering::Relaxed) == fork::generation();
        let cells = self.collections.cells.load(Ordering::Acquire);
        if arena_is_ours && !cells.is_null() {
            // SAFETY: the slot's `gc_runs`, with `gc_nanos` behind it, in an arena that stays mapped while this is set.
            unsafe {
                (*cells).store(runs, Ordering::Relaxed);
                (*cells.add(1)).store(nanos, Ordering::Relaxed);
            }
        } else {
            self.collections.cells.store(std::ptr::null_mut(), Ordering::Release);
        }
    }

    /// Feeds `tasker_telemetry_scrape_duration_seconds`.
    pub fn scraped(&self, took: std::time::Duration) {
        if let Some(metric) = self.find(super::own::SCRAPES) {
            // A duration is finite, so it is never refused.
            let _ = metric.observe(&[], took.as_secs_f64());
        }
    }

    pub(super) fn notice(&self, level: Level, message: String) {
        let notice = Notice { level, message };
        let mut noticed = self.noticed.lock();
        // A condition that lasts is told once.
        if noticed.contains(&notice) {
            return;
        }
        for queue in [&mut *noticed, &mut *self.unlogged.lock()] {
            if queue.len() == NOTICES {
                queue.pop_front();
            }
            queue.push_back(notice.clone());
        }
    }

    /// What is to be logged, each once.
    pub fn take_notices(&self) -> Vec<Notice> {
        self.unlogged.lock().drain(..).collect()
    }

    pub(super) fn past_notices(&self) -> Vec<Notice> {
        self.noticed.lock().iter().cloned().collect()
    }

    pub(super) fn slow(&self) -> parking_lot::MutexGuard<'_, ()> {
        self.slow.lock()
    }

    pub(super) fn settings(&self) -> Settings {
        self.settings.read().clone()
    }
}

fn combine(kind: &Kind, a: Value, b: &Value) -> Value {
    match (kind, &a, b) {
        (Kind::Gauge(aggregation), Value::Gauge(a), Value::Gauge(b)) => {
            Value::Gauge(super::aggregate(*aggregation, *a, *b))
        }
        _ => a,
    }
}

/// Name of the file of an application: readable, unique to service and environment, layout and boot.
fn file_name(service: &str, environment: &str) -> String {
    let readable = |text: &str| -> String {
        let keep = |c: char| {
            if c.is_ascii_alphanumeric() || c == '-' || c == '_' {
                c
            } else {
                '_'
            }
        };
        text.chars().take(40).map(keep).collect()
    };
    format!(
        "{}-{}-{:08x}.v{}-{:08x}.arena",
        readable(service),
        readable(environment),
        shared::application(service, environment) as u32,
        super::layout::LAYOUT,
        super::layout::Identity::this_boot() as u32,
    )
}
