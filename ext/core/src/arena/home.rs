//! Which arena this process counts into: opening it, arriving in it, and following it when its file is replaced.

use super::fold::Old;
use super::instrument::Metric;
use super::layout::Header;
use super::notice::Level;
use super::registry::{Registry, Threads};
use super::series::Series;
use super::settings::{Place, Settings};
use super::shared::{self, Arena};
use super::{fail, notes, place, process};
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::sync::Arc;

impl Registry {
    /// Opens the arena if anything can be counted into it, so that forks share it even where it is private memory.
    /// To be called before each fork.
    pub fn prepare_fork(&self) {
        let homeless = self.homeless().iter().any(|cell| cell.load(Ordering::Relaxed) != 0);
        let declared = || self.declared().iter().any(|metric| !metric.own);
        // What has no home would be inherited, and counted by parent and child.
        let wanted = self.settings.read().place == Place::Memory || homeless || declared();
        if wanted {
            let _slow = self.slow.lock();
            // What goes wrong is told by a notice.
            let _ = self.ready();
        }
    }

    /// Opens the arena where there is none yet, so that what is counted apart from samples has a home at once: a process
    /// may never take any. To be called by a thread that records.
    pub fn settle_in(&self) {
        if self.current().is_none() && self.is_enabled() {
            let _slow = self.slow.lock();
            // What goes wrong is told by a notice.
            let _ = self.ready();
        }
    }

    /// The arena that stands at its place now, as far as this process may go there. To be called with `slow` held.
    pub(super) fn here(&self) -> Option<Arc<Arena>> {
        let arena = self.ready()?;
        Some(match self.threads {
            Threads::Serialized => self.follow(arena),
            // Other threads may be writing to records of the one that is mapped.
            Threads::Parallel => arena,
        })
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
        self.let_go_of.store(0, Ordering::Relaxed);
        if let (Some(header), false) = (
            Header::of(&arena.map),
            self.homeless().iter().all(|c| c.load(Ordering::Relaxed) == 0),
        ) {
            for (index, cell) in self.homeless().iter().enumerate() {
                header
                    .dropped(index)
                    .fetch_add(cell.swap(0, Ordering::Relaxed), Ordering::Relaxed);
            }
        }
        let Some(slot) = arena.member().and_then(|member| process::slot(&arena.map, member.slot)) else {
            return;
        };
        self.collections.move_to(&slot);
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
        let name = place::file_name(&settings.service, &settings.environment);
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
        fail::point("follow:displaced");
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
        if Arc::ptr_eq(&fresh, &arena) {
            // It was away for a moment only: another process had moved it aside by mistake, and put it back.
            return arena;
        }
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
        notes::carry(&arena, &fresh);
        fail::point("fold:moved");
        arena.leave();
        fail::point("fold:left");
        {
            let mut olds = self.olds.lock();
            // One that was put back to its place is folded into nothing any more.
            olds.retain(|old| !Arc::ptr_eq(&old.arena, &fresh));
            // The newest first, because a gauge goes on with the value that is folded in first.
            olds.insert(0, Old::new(arena));
            olds.extend(found.strays.into_iter().map(Old::new));
        }
        // At once, because this process may never be scraped.
        self.fold_olds(&fresh);
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

    pub(super) fn forget_arena(&self) {
        self.detach_all();
        self.collections.forget();
        for metric in self.metrics.read().values() {
            *metric.record.lock() = None;
        }
        *self.arena.write() = None;
    }

    pub(super) fn detach_all(&self) {
        for metric in self.metrics.read().values() {
            let index = metric.index.read();
            index.iter().for_each(|series| series.detach());
        }
    }
}
