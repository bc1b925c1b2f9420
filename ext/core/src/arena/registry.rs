//! All instruments of a process, and the arena that they count into.
//!
//! Lock order: `slow`, then `arena`, `olds`, a metric's `record`, a metric's `index`. Nothing here waits for another
//! process. No lock is held while a page is rendered, so that a fork cannot inherit one from a thread that it loses.

use super::collections::Collections;
use super::fold::Old;
use super::instrument::Metric;
use super::layout::Header;
use super::node::Offset;
use super::notes::Notes;
use super::notice::{Level, Notice, Notices};
use super::rejection::{Reason, Rejection, SpanOutcome, CUT_LABELS, DROPPED_CELLS};
use super::settings::{Error, Settings};
use super::shared::Arena;
use super::{fork, own, place};
use crate::metric::{self, naming, Descriptor, LabelKey};
use parking_lot::{Mutex, RwLock};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

/// Whether recording calls of the process can overlap.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Threads {
    /// A lock of the caller's, such as Ruby's GVL, lets one thread at a time record.
    Serialized,
    /// Threads record at once; only at scrapes, which promise [`Quiescent`], removed series are let go of and a
    /// replaced arena is left.
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

/// All instruments of a process.
pub struct Registry {
    pub(super) threads: Threads,
    pub(super) settings: RwLock<Settings>,
    pub(super) enabled: AtomicBool,
    pub(super) sampled: AtomicBool,
    pub(super) slow: Mutex<()>,
    pub(super) arena: RwLock<Option<Arc<Arena>>>,
    pub(super) olds: Mutex<Vec<Old>>,
    pub(super) metrics: RwLock<BTreeMap<String, Arc<Metric>>>,
    /// Default labels, packed; and their record in the arena of that inode.
    pub(super) defaults: RwLock<LabelKey>,
    pub(super) preset: Mutex<Option<(place::Inode, Offset)>>,
    /// Removals up to which this process has let go.
    pub(super) let_go_of: AtomicU64,
    notices: Notices,
    /// Counted while there is no arena, moved into its header later.
    homeless: [AtomicU64; DROPPED_CELLS],
    /// Generation of the process that counted them; a child leaves them to its parent.
    homeless_of: AtomicU32,
    pub(super) collections: Collections,
    /// Made where there is no arena for them.
    pub(super) private_notes: OnceLock<Notes>,
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
            let_go_of: AtomicU64::new(0),
            notices: Notices::default(),
            homeless: Default::default(),
            homeless_of: AtomicU32::new(fork::generation()),
            collections: Collections::default(),
            private_notes: OnceLock::new(),
        });
        for descriptor in own::counted() {
            // The gem's own names clash with nothing in an empty registry.
            let _ = registry.declare_own(descriptor);
        }
        registry
    }

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
        for metric in self.metrics.read().values().filter(|metric| !metric.own) {
            let printed = settings.printed_name(&metric.descriptor().name, false);
            own::check_printed(&printed, &metric.descriptor().kind).map_err(|clash| Error::PrefixClash {
                prefix: settings.prefix.clone().unwrap_or_default(),
                clash,
            })?;
        }
        let _slow = self.slow.lock();
        let mut current = self.settings.write();
        let unmoved = current.check_unmoved(&settings);
        let moved = unmoved.is_err();
        if self.sampled.load(Ordering::Acquire) {
            unmoved?;
        }
        let relabelled = current.default_labels != settings.default_labels;
        if moved {
            self.forget_arena();
        }
        if relabelled || moved {
            // In one order everywhere: two processes with the same labels are to have the same series.
            let sorted: BTreeMap<_, _> = settings
                .default_labels
                .iter()
                .map(|(name, value)| (name, value))
                .collect();
            let mut defaults = LabelKey::new();
            for (name, value) in sorted {
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
        *current = settings;
        Ok(())
    }

    /// Declares a metric of the application. The same again answers the same.
    ///
    /// # Errors
    /// [`metric::Error::Conflict`] when the name has another schema in this process, [`metric::Error::SampleClash`]
    /// when another metric prints samples of the same name.
    pub fn declare(self: &Arc<Self>, descriptor: Descriptor) -> metric::Result<Arc<Metric>> {
        naming::check_metric(&descriptor.name)?;
        let printed = self.settings.read().printed_name(&descriptor.name, false);
        own::check_printed(&printed, &descriptor.kind)?;
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

    /// The metric that was declared under that name, if any.
    #[must_use]
    pub fn find(&self, name: &str) -> Option<Arc<Metric>> {
        self.metrics.read().get(name).cloned()
    }

    pub(super) fn declared(&self) -> Vec<Arc<Metric>> {
        self.metrics.read().values().cloned().collect()
    }

    /// Hex of the arena's unique id; `None` before the first sample or scrape.
    #[must_use]
    pub fn arena_id(&self) -> Option<String> {
        self.current().map(|arena| arena.epoch())
    }

    pub(super) fn current(&self) -> Option<Arc<Arena>> {
        self.arena.read().clone()
    }

    /// Whether instruments count at all.
    pub fn is_enabled(&self) -> bool {
        self.enabled.load(Ordering::Acquire)
    }

    /// Counts a sample that was refused.
    pub fn rejected(&self, rejection: &Rejection) {
        if self.is_enabled() {
            self.dropped(rejection.reason());
        }
    }

    /// Counts a label value that was cut.
    pub fn cut_label(&self) {
        if self.is_enabled() {
            self.count(CUT_LABELS, 1);
        }
    }

    /// Counts a failure of native code that was caught.
    pub fn panicked(&self) {
        self.dropped(Reason::Panic);
    }

    pub(super) fn dropped(&self, reason: Reason) {
        self.count(reason as usize, 1);
    }

    /// Counts what became of spans. Any thread may call it, also one that takes no part in recording.
    pub fn count_spans(&self, outcome: SpanOutcome, spans: u64) {
        self.count(outcome as usize, spans);
    }

    fn count(&self, cell: usize, by: u64) {
        let arena = self.current();
        match arena.as_ref().and_then(|arena| Header::of(&arena.map)) {
            Some(header) => header.dropped(cell).fetch_add(by, Ordering::Relaxed),
            None => self.homeless()[cell].fetch_add(by, Ordering::Relaxed),
        };
    }

    /// What this process counted while it had no arena.
    pub(super) fn homeless(&self) -> &[AtomicU64; DROPPED_CELLS] {
        let generation = fork::generation();
        if self.homeless_of.swap(generation, Ordering::Relaxed) != generation {
            for cell in &self.homeless {
                cell.store(0, Ordering::Relaxed);
            }
        }
        &self.homeless
    }

    /// Takes the totals of this process's garbage collections. Takes no lock and allocates nothing, so that it may be
    /// called while one runs.
    pub fn record_gc(&self, runs: u64, nanos: u64) {
        self.collections.record(runs, nanos);
    }

    /// Feeds `tasker_telemetry_scrape_duration_seconds`.
    pub fn scraped(&self, took: std::time::Duration) {
        if let Some(metric) = self.find(own::SCRAPES) {
            // A duration is finite, so it is never refused.
            let _ = metric.observe(&[], took.as_secs_f64());
        }
    }

    /// Takes note of what is to be logged, once however often it happens.
    pub fn notice(&self, level: Level, message: String) {
        self.notices.add(level, message);
    }

    /// What is to be logged, each once.
    pub fn take_notices(&self) -> Vec<Notice> {
        self.notices.take()
    }

    pub(super) fn past_notices(&self) -> Vec<Notice> {
        self.notices.past()
    }

    pub(super) fn slow(&self) -> parking_lot::MutexGuard<'_, ()> {
        self.slow.lock()
    }

    /// Name under which a metric is printed.
    pub(super) fn printed_name(&self, metric: &Metric) -> String {
        let settings = self.settings.read();
        settings.printed_name(&metric.descriptor().name, metric.own)
    }

    pub(super) fn settings(&self) -> Settings {
        self.settings.read().clone()
    }
}
