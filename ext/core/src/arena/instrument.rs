//! A declared metric as this process records into it.

use super::registry::Registry;
use super::rejection::Rejection;
use super::series::Series;
use super::shared::Arena;
use crate::metric::{Descriptor, Kind, LabelKey};
use crate::snapshot::Value;
use hashbrown::HashTable;
use parking_lot::{Mutex, RwLock};
use std::fmt;
use std::sync::{Arc, OnceLock, Weak};

/// Value of every label of the series that takes the samples of a metric that has reached its cap.
pub const OVERFLOW_LABEL: &str = "__overflow__";

/// A declared counter, gauge or histogram.
///
/// `key` is everywhere the packed values of the declared labels, in declared order (see [`LabelKey`]).
pub struct Metric {
    descriptor: Descriptor,
    /// One of the gem's own: printed without the application's prefix.
    pub(super) own: bool,
    pub(super) registry: Weak<Registry>,
    /// This process's handles, by label values.
    pub(super) index: RwLock<HashTable<Arc<Series>>>,
    /// The metric's record, and the arena that it is in.
    pub(super) record: Mutex<Option<(Weak<Arena>, u32)>>,
    overflow: OnceLock<Arc<Series>>,
    /// The one series of a metric without labels, which needs no index.
    sole: OnceLock<Arc<Series>>,
}

impl fmt::Debug for Metric {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metric")
            .field("descriptor", &self.descriptor)
            .finish_non_exhaustive()
    }
}

impl Metric {
    pub(super) fn new(descriptor: Descriptor, own: bool, registry: Weak<Registry>) -> Self {
        Self {
            descriptor,
            own,
            registry,
            index: RwLock::new(HashTable::new()),
            record: Mutex::new(None),
            overflow: OnceLock::new(),
            sole: OnceLock::new(),
        }
    }

    /// The declaration; its name is without the prefix.
    #[must_use]
    pub fn descriptor(&self) -> &Descriptor {
        &self.descriptor
    }

    /// A handle bound to label values. It creates no series before something is recorded.
    #[must_use]
    pub fn series(self: &Arc<Self>, key: &LabelKey) -> Arc<Series> {
        if key.as_bytes().is_empty() {
            return Arc::clone(self.sole());
        }
        let place = Series::place_of(key.as_bytes());
        let known = self
            .index
            .read()
            .find(place, |series| series.has_key(key.as_bytes()))
            .cloned();
        known.unwrap_or_else(|| Arc::new(Series::new(Arc::clone(self), key.as_bytes())))
    }

    /// Adds to a counter.
    #[inline]
    pub fn increment_int(self: &Arc<Self>, key: &[u8], by: u64) {
        self.write_by_key(key, move |series| series.try_increment_int(by));
    }

    /// Adds to a counter or gauge.
    ///
    /// # Errors
    /// [`Rejection::Value`] for what is not finite, and for a negative amount on a counter; already counted.
    pub fn increment(self: &Arc<Self>, key: &[u8], by: f64) -> Result<(), Rejection> {
        self.check_increment(by)?;
        self.write_by_key(key, self.adding(by));
        Ok(())
    }

    /// Sets a gauge.
    ///
    /// # Errors
    /// [`Rejection::Value`] for NaN; already counted.
    #[inline]
    pub fn set(self: &Arc<Self>, key: &[u8], to: f64) -> Result<(), Rejection> {
        self.check_set(to)?;
        self.write_by_key(key, move |series| series.try_set(to.to_bits()));
        Ok(())
    }

    /// Counts an observation into a histogram.
    ///
    /// # Errors
    /// [`Rejection::Value`] for what is not finite; already counted.
    #[inline]
    pub fn observe(self: &Arc<Self>, key: &[u8], value: f64) -> Result<(), Rejection> {
        let bucket = self.check_observation(value)?;
        self.write_by_key(key, move |series| series.try_observe(bucket, value));
        Ok(())
    }

    /// The value that all processes have made of a series; `None` when nothing was ever recorded. Creates nothing.
    ///
    /// Of a gauge with aggregation `sum`, `min` or `max` it is that of the live processes together, of one
    /// `per_process` that of this process.
    #[must_use]
    pub fn value(&self, key: &[u8]) -> Option<Value> {
        self.registry.upgrade()?.value(self, key)
    }

    /// Removes a series, in all processes. `false` when there was none.
    pub fn remove(&self, key: &[u8]) -> bool {
        self.registry
            .upgrade()
            .is_some_and(|registry| registry.remove(self, key))
    }

    /// Removes all series, in all processes, and answers how many there were.
    pub fn clear(&self) -> usize {
        self.registry
            .upgrade()
            .map_or(0, |registry| registry.clear_metric(self))
    }

    /// A refusal of the labels `given`. It is the caller's to count, since labels also name what is only read.
    #[must_use]
    pub fn wrong_labels(&self, given: &[&str]) -> Rejection {
        Rejection::labels(&self.descriptor, given)
    }

    fn count(&self, rejection: &Rejection) {
        if let Some(registry) = self.registry.upgrade() {
            registry.rejected(rejection);
        }
    }

    #[cold]
    fn refuse(&self, value: f64, rule: &'static str) -> Rejection {
        let rejection = Rejection::value(&self.descriptor.name, value, rule);
        self.count(&rejection);
        rejection
    }

    #[inline]
    pub(super) fn check_increment(&self, by: f64) -> Result<(), Rejection> {
        if !by.is_finite() {
            return Err(self.refuse(by, "an increment is a finite number"));
        }
        if by < 0.0 && self.descriptor.kind == Kind::Counter {
            return Err(self.refuse(by, "a counter only grows"));
        }
        Ok(())
    }

    #[inline]
    pub(super) fn check_set(&self, to: f64) -> Result<(), Rejection> {
        if to.is_nan() {
            return Err(self.refuse(to, "a gauge takes any number but NaN"));
        }
        Ok(())
    }

    #[inline]
    pub(super) fn check_observation(&self, value: f64) -> Result<usize, Rejection> {
        if !value.is_finite() {
            return Err(self.refuse(value, "an observation is a finite number"));
        }
        Ok(self
            .descriptor
            .buckets
            .as_ref()
            .map_or(0, |buckets| buckets.index(value)))
    }

    pub(super) fn adding(&self, by: f64) -> impl Fn(&Series) -> bool {
        let counter = self.descriptor.kind == Kind::Counter;
        move |series| {
            if counter {
                series.try_increment_float(by)
            } else {
                series.try_adjust(by)
            }
        }
    }

    #[inline(always)]
    fn sole(self: &Arc<Self>) -> &Arc<Series> {
        self.sole.get_or_init(|| Arc::new(Series::new(Arc::clone(self), &[])))
    }

    #[inline(always)]
    fn write_by_key(self: &Arc<Self>, key: &[u8], write: impl Fn(&Series) -> bool) {
        if key.is_empty() {
            return self.write(self.sole(), write);
        }
        let place = Series::place_of(key);
        {
            let index = self.index.read();
            if let Some(series) = index.find(place, |series| series.has_key(key)) {
                if write(series) {
                    return;
                }
            }
        }
        self.write_new(place, key, &write);
    }

    #[cold]
    fn write_new(self: &Arc<Self>, place: u64, key: &[u8], write: &dyn Fn(&Series) -> bool) {
        let known = self.index.read().find(place, |series| series.has_key(key)).cloned();
        let series = known.unwrap_or_else(|| Arc::new(Series::new(Arc::clone(self), key)));
        if let Some(registry) = self.registry.upgrade() {
            registry.write_anew(self, &series, write);
        }
    }

    #[inline(always)]
    pub(super) fn write(self: &Arc<Self>, series: &Arc<Series>, write: impl Fn(&Series) -> bool) {
        if !write(series) {
            self.write_anew(series, write);
        }
    }

    #[cold]
    pub(super) fn write_anew(self: &Arc<Self>, series: &Arc<Series>, write: impl Fn(&Series) -> bool) {
        if let Some(registry) = self.registry.upgrade() {
            registry.write_anew(self, series, &write);
        }
    }

    /// How many series this process has registered itself or taken over, the one for overflow left out.
    pub(super) fn held_here(&self) -> u64 {
        let index = self.index.read();
        let held = index
            .iter()
            .filter(|series| series.is_held() && !self.is_overflow(series));
        held.count() as u64
    }

    /// The series that takes what the cap keeps out.
    pub(super) fn overflow(self: &Arc<Self>) -> &Arc<Series> {
        self.overflow.get_or_init(|| {
            let key = overflow_key(&self.descriptor);
            Arc::new(Series::new(Arc::clone(self), key.as_bytes()))
        })
    }

    /// Whether `series` is the one for overflow, which no cap keeps out.
    pub(super) fn is_overflow(&self, series: &Series) -> bool {
        self.overflow.get().is_some_and(|overflow| *overflow.key == *series.key)
    }
}

/// Label values of a metric's overflow series.
pub(super) fn overflow_key(descriptor: &Descriptor) -> LabelKey {
    LabelKey::of(descriptor.labels.iter().map(|_| OVERFLOW_LABEL))
}
