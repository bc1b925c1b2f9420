//! One series as this process writes it: a private handle on a shared record.

use super::cells::{self, COUNTER_FLOAT, COUNTER_INT, HISTOGRAM_BUCKETS, HISTOGRAM_SUM};
use super::exemplar;
use super::instrument::Metric;
use super::layout::UNIT;
use super::node::{Node, Offset, State, Word, CELLS_AT, TOUCHED_AT};
use super::records::Held;
use super::rejection::Rejection;
use super::{fork, map::Mapping};
use crate::snapshot::Value;
use std::fmt;
use std::sync::atomic::{AtomicPtr, AtomicU32, AtomicU64, Ordering};
use std::sync::Arc;
use xxhash_rust::xxh3::xxh3_64;

/// A metric bound to one set of label values. Writing to it allocates nothing and looks nothing up.
///
/// It stays good whatever happens to the record behind it: after a fork, a removal or the replacement of the arena
/// the next write finds or registers a record anew.
pub struct Series {
    /// Start of the record, null while the series has none.
    record: AtomicPtr<u8>,
    /// The word that the record has while it is in use. Unique in its arena, so a record that went to other labels
    /// can never pass for this one.
    word: AtomicU64,
    /// The slots of the record's exemplars; null until the series leaves its first one, [`NO_ROOM`] where there is none.
    exemplars: AtomicPtr<AtomicU64>,
    /// Fork generation in which the record was taken hold of.
    generation: AtomicU32,
    metric: Arc<Metric>,
    pub(super) key: Box<[u8]>,
}

impl fmt::Debug for Series {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Series")
            .field("metric", &self.metric.descriptor().name)
            .finish_non_exhaustive()
    }
}

/// Stands for the slots that the arena has no room for.
const NO_ROOM: *mut AtomicU64 = std::ptr::dangling_mut();

/// The cells of a record that was in use when it was looked at.
struct Writable<'a> {
    record: *mut u8,
    series: &'a Series,
    word: Word,
}

impl Writable<'_> {
    #[inline(always)]
    fn cell(&self, index: usize) -> &AtomicU64 {
        // SAFETY: the record has a cell for every one that its metric's kind writes (checked when it was taken hold
        // of), it is mapped while a series points to it, and cells are only accessed atomically.
        unsafe { &*self.record.add(CELLS_AT as usize + 8 * index).cast::<AtomicU64>() }
    }

    #[inline(always)]
    fn touch(&self) {
        // SAFETY: as for `cell`.
        let touched = unsafe { &*self.record.add(TOUCHED_AT as usize).cast::<AtomicU32>() };
        if touched.load(Ordering::Relaxed) == 0 {
            touched.store(1, Ordering::Relaxed);
        }
    }

    /// Looks again after a write: `true` when the record was in use all along, or is again. Otherwise the write went
    /// to a record that had been removed, and is to be undone and done again elsewhere.
    #[inline(always)]
    fn stands(&self) -> bool {
        // SAFETY: as for `cell`.
        let word = unsafe { &*self.record.cast::<AtomicU64>() };
        word.load(Ordering::SeqCst) == self.word.0 || self.revive(word)
    }

    #[cold]
    fn revive(&self, word: &AtomicU64) -> bool {
        let in_use = self.is_in_use_again(word);
        if !in_use {
            self.series.detach();
        }
        in_use
    }

    /// Leaves an exemplar of what was just counted, if a sampled span is current.
    #[inline(always)]
    fn leave_exemplar(&self, slot: usize, value: f64) {
        if exemplar::is_wanted() {
            leave_exemplar(self.series, self.record, self.word, slot, value);
        }
    }

    /// The same of an integer, which is no float before it has to be.
    #[inline(always)]
    fn leave_exemplar_int(&self, by: u64) {
        if exemplar::is_wanted() {
            leave_exemplar_int(self.series, self.record, self.word, by);
        }
    }

    /// Takes a record that was found idle back into use; `false` when it is out of use.
    #[cold]
    fn is_in_use_again(&self, word: &AtomicU64) -> bool {
        let expiring = self.word.with(State::Expiring);
        let now = word.compare_exchange(expiring.0, self.word.0, Ordering::SeqCst, Ordering::SeqCst);
        now.is_ok() || now == Err(self.word.0)
    }
}

// By value, and out of the way: what is passed by reference has to be in memory even where it is not passed.
#[cold]
#[inline(never)]
fn leave_exemplar_int(series: &Series, record: *mut u8, word: Word, by: u64) {
    leave_exemplar(series, record, word, 0, by as f64);
}

#[cold]
#[inline(never)]
fn leave_exemplar(series: &Series, record: *mut u8, word: Word, slot: usize, value: f64) {
    let Some(current) = exemplar::current() else { return };
    let mut slots = series.exemplars.load(Ordering::Acquire);
    if slots.is_null() {
        slots = series.make_slots(record).unwrap_or(NO_ROOM);
        series.exemplars.store(slots, Ordering::Release);
    }
    if slots == NO_ROOM {
        return;
    }
    // SAFETY: the block has a slot for every one that the metric's kind writes (checked when it was found), it lies in
    // the arena of the record and is mapped as long as that, and its words are only accessed atomically.
    let slot = unsafe { std::slice::from_raw_parts(slots.add(exemplar::SLOT * slot), exemplar::SLOT) };
    exemplar::write(slot, &exemplar::now(value, current), word.sequence());
}

impl Series {
    /// The slots for the exemplars of the record at `record`.
    #[cold]
    fn make_slots(&self, record: *const u8) -> Option<*mut AtomicU64> {
        let arena = self.metric.registry.upgrade()?.current()?;
        let node = Node::at(&arena.map, Offset::try_from(arena.map.offset_of(record)? / UNIT).ok()?)?;
        let descriptor = self.metric.descriptor();
        let count = exemplar::slots_for(&descriptor.kind, cells::count_for(descriptor));
        let slots = exemplar::make_slots(&arena.map, &node, count)?;
        Some(slots.as_ptr().cast_mut())
    }

    pub(super) fn new(metric: Arc<Metric>, key: &[u8]) -> Self {
        Self {
            record: AtomicPtr::new(std::ptr::null_mut()),
            word: AtomicU64::new(0),
            exemplars: AtomicPtr::new(std::ptr::null_mut()),
            generation: AtomicU32::new(0),
            metric,
            key: key.into(),
        }
    }

    /// The metric that the series belongs to.
    #[must_use]
    pub fn metric(&self) -> &Arc<Metric> {
        &self.metric
    }

    /// The packed values of the declared labels (see [`crate::metric::LabelKey`]).
    #[must_use]
    pub fn labels(&self) -> &[u8] {
        &self.key
    }

    /// Where a metric's index has the series of these label values. It is not kept, but made again from the key where an
    /// index grows: processes have many series.
    #[inline(always)]
    pub(super) fn place_of(key: &[u8]) -> u64 {
        xxh3_64(key)
    }

    /// Where its metric's index has the series (see [`Self::place_of`]).
    pub(super) fn place(&self) -> u64 {
        Self::place_of(&self.key)
    }

    /// Whether these are the series' label values.
    #[inline(always)]
    pub(super) fn has_key(&self, key: &[u8]) -> bool {
        // Without labels there is nothing to compare, and asking memcmp is not free: the masked load that it makes from
        // the dangling pointer of an empty slice takes 45 ns on a processor with AVX-512.
        self.key.len() == key.len() && (key.is_empty() || *self.key == *key)
    }

    #[inline(always)]
    fn writable(&self) -> Option<Writable<'_>> {
        let record = self.record.load(Ordering::Acquire);
        if record.is_null() || self.generation.load(Ordering::Relaxed) != fork::generation() {
            return None;
        }
        let word = Word(self.word.load(Ordering::Relaxed));
        // SAFETY: a record's first word; mapped while a series points to it.
        let current = unsafe { &*record.cast::<AtomicU64>() };
        let to = Writable {
            record,
            series: self,
            word,
        };
        // Whoever found it idle may have been stopped or killed before he made up his mind.
        (current.load(Ordering::Acquire) == word.0 || to.is_in_use_again(current)).then_some(to)
    }

    #[inline(always)]
    pub(super) fn try_increment_int(&self, by: u64) -> bool {
        let Some(to) = self.writable() else { return false };
        to.touch();
        let before = to.cell(COUNTER_INT).fetch_add(by, Ordering::SeqCst);
        let stands = to.stands();
        if !stands {
            to.cell(COUNTER_INT).fetch_sub(by, Ordering::SeqCst);
            return false;
        }
        if before.checked_add(by).is_none() {
            // The cell began again at zero; what it had come to goes on as a float, so that a total never falls.
            cells::add_float(to.cell(COUNTER_FLOAT), cells::INT_RANGE);
        }
        to.leave_exemplar_int(by);
        true
    }

    pub(super) fn try_increment_float(&self, by: f64) -> bool {
        let Some(to) = self.writable() else { return false };
        to.touch();
        cells::add_float(to.cell(COUNTER_FLOAT), by);
        let stands = to.stands();
        if stands {
            to.leave_exemplar(0, by);
        } else {
            cells::add_float(to.cell(COUNTER_FLOAT), -by);
        }
        stands
    }

    #[inline(always)]
    pub(super) fn try_set(&self, bits: u64) -> bool {
        let Some(to) = self.writable() else { return false };
        to.touch();
        to.cell(0).swap(bits, Ordering::SeqCst);
        to.stands()
    }

    pub(super) fn try_adjust(&self, by: f64) -> bool {
        let Some(to) = self.writable() else { return false };
        to.touch();
        cells::add_float(to.cell(0), by);
        to.stands()
    }

    #[inline(always)]
    pub(super) fn try_observe(&self, bucket: usize, value: f64) -> bool {
        let Some(to) = self.writable() else { return false };
        to.touch();
        to.cell(HISTOGRAM_BUCKETS + bucket).fetch_add(1, Ordering::SeqCst);
        cells::add_float(to.cell(HISTOGRAM_SUM), value);
        let stands = to.stands();
        if stands {
            to.leave_exemplar(bucket, value);
        } else {
            to.cell(HISTOGRAM_BUCKETS + bucket).fetch_sub(1, Ordering::SeqCst);
            cells::add_float(to.cell(HISTOGRAM_SUM), -value);
        }
        stands
    }

    /// Adds to a counter.
    #[inline]
    pub fn increment_int(self: &Arc<Self>, by: u64) {
        if !self.try_increment_int(by) {
            self.metric.write_anew(self, |series| series.try_increment_int(by));
        }
    }

    /// Adds to a counter or gauge.
    ///
    /// # Errors
    /// [`Rejection::Value`] for what is not finite, and for a negative amount on a counter; already counted.
    pub fn increment(self: &Arc<Self>, by: f64) -> Result<(), Rejection> {
        self.metric.check_increment(by)?;
        self.metric.write(self, self.metric.adding(by));
        Ok(())
    }

    /// Sets a gauge.
    ///
    /// # Errors
    /// [`Rejection::Value`] for NaN; already counted.
    #[inline]
    pub fn set(self: &Arc<Self>, to: f64) -> Result<(), Rejection> {
        self.metric.check_set(to)?;
        self.metric.write(self, move |series| series.try_set(to.to_bits()));
        Ok(())
    }

    /// Counts an observation into a histogram.
    ///
    /// # Errors
    /// [`Rejection::Value`] for what is not finite; already counted.
    #[inline(always)]
    pub fn observe(self: &Arc<Self>, value: f64) -> Result<(), Rejection> {
        let bucket = self.metric.check_observation(value)?;
        self.metric.write(self, move |series| series.try_observe(bucket, value));
        Ok(())
    }

    /// The value that all processes have made, `None` when nothing was ever recorded. Creates nothing.
    #[must_use]
    pub fn value(&self) -> Option<Value> {
        self.metric.value(&self.key)
    }

    /// Removes the series, in all processes. `false` when there was none.
    pub fn remove(&self) -> bool {
        self.metric.remove(&self.key)
    }

    /// Points the series to a record that this process holds.
    pub(super) fn point_to(&self, map: &Mapping, held: Held, cells: usize) -> bool {
        let Some(node) = Node::at(map, held.offset) else {
            return false;
        };
        if node.cells().len() != cells {
            return false;
        }
        self.word.store(held.word.0, Ordering::Relaxed);
        self.exemplars.store(std::ptr::null_mut(), Ordering::Relaxed);
        self.generation.store(fork::generation(), Ordering::Relaxed);
        self.record.store(
            std::ptr::from_ref(node.word_cell()).cast_mut().cast(),
            Ordering::Release,
        );
        true
    }

    /// Lets go of the record.
    pub(super) fn detach(&self) {
        self.record.store(std::ptr::null_mut(), Ordering::Release);
    }

    /// Whether the series points to a record, in use or not.
    pub(super) fn is_attached(&self) -> bool {
        !self.record.load(Ordering::Acquire).is_null()
    }

    /// Whether this process, and not just an ancestor, has taken hold of the record.
    pub(super) fn is_held(&self) -> bool {
        self.is_attached() && self.generation.load(Ordering::Relaxed) == fork::generation()
    }

    /// Whether the record is still in use. To be asked only of a process that has a slot.
    pub(super) fn is_current(&self) -> bool {
        let record = self.record.load(Ordering::Acquire);
        if record.is_null() {
            return false;
        }
        let word = Word(self.word.load(Ordering::Relaxed));
        // SAFETY: a record's first word; mapped while a series points to it.
        let current = unsafe { &*record.cast::<AtomicU64>() }.load(Ordering::SeqCst);
        current == word.0 || current == word.with(State::Expiring).0
    }

    /// Takes hold, in a forked child, of the record that the parent pointed to, if it is still in use.
    pub(super) fn inherit(&self) -> bool {
        let inherited = self.is_current();
        if inherited {
            self.generation.store(fork::generation(), Ordering::Relaxed);
        }
        inherited
    }

    /// The gauge value in the record, if the series points to one. For carrying it to another arena.
    pub(super) fn gauge_bits(&self) -> Option<u64> {
        let to = self.writable()?;
        Some(to.cell(0).load(Ordering::SeqCst))
    }
}
