//! Arithmetic on cells.
//!
//! A counter has two cells, integers and floats (as bits). A gauge has one, a float as bits. A histogram has its sum
//! as bits, then one cell per bucket; its number of observations is the total of the buckets.

use crate::metric::{Descriptor, Kind};
use crate::snapshot::{Count, HistogramValue, Value};
use std::sync::atomic::{AtomicU64, Ordering};

pub(super) const COUNTER_INT: usize = 0;
pub(super) const COUNTER_FLOAT: usize = 1;
/// What an integer cell holds once it has gone round: 2^64.
pub(super) const INT_RANGE: f64 = 18_446_744_073_709_551_616.0;
pub(super) const HISTOGRAM_SUM: usize = 0;
pub(super) const HISTOGRAM_BUCKETS: usize = 1;

/// How many cells a series of `descriptor` has.
pub(super) fn count_for(descriptor: &Descriptor) -> usize {
    match (&descriptor.kind, &descriptor.buckets) {
        (Kind::Counter, _) => 2,
        (Kind::Gauge(_), _) => 1,
        (Kind::Histogram, buckets) => HISTOGRAM_BUCKETS + buckets.as_ref().map_or(0, |b| b.bounds().len()) + 1,
    }
}

/// Adds to a float that is stored as bits.
#[inline]
pub(super) fn add_float(cell: &AtomicU64, by: f64) {
    let mut bits = cell.load(Ordering::Relaxed);
    loop {
        let sum = f64::from_bits(bits) + by;
        match cell.compare_exchange_weak(bits, sum.to_bits(), Ordering::SeqCst, Ordering::Relaxed) {
            Ok(_) => return,
            Err(moved) => bits = moved,
        }
    }
}

/// Raises a float that is stored as bits.
pub(super) fn raise_float(cell: &AtomicU64, to: f64) {
    let _ = cell.fetch_update(Ordering::SeqCst, Ordering::Relaxed, |bits| {
        (to > f64::from_bits(bits)).then_some(to.to_bits())
    });
}

/// What changes with every write that changes a value.
pub(super) fn fingerprint(cells: &[AtomicU64]) -> u64 {
    cells.iter().fold(0u64, |hash, cell| {
        hash.rotate_left(7)
            .wrapping_mul(31)
            .wrapping_add(cell.load(Ordering::SeqCst))
    })
}

/// Totals of a series' cells, by what kind of metric they can belong to: integers (counts) and floats.
pub(super) fn total(cells: &[AtomicU64]) -> (u64, f64) {
    let load = |index: usize| cells.get(index).map_or(0, |cell| cell.load(Ordering::Relaxed));
    match cells.len() {
        0 | 1 => (0, 0.0),
        2 => (load(COUNTER_INT), f64::from_bits(load(COUNTER_FLOAT))),
        _ => {
            let count = (HISTOGRAM_BUCKETS..cells.len()).fold(0u64, |sum, index| sum.wrapping_add(load(index)));
            (count, f64::from_bits(load(HISTOGRAM_SUM)))
        }
    }
}

/// Takes the totals of a series' cells, leaving nothing behind: whoever takes them again finds zeros.
pub(super) fn take_total(cells: &[AtomicU64]) -> (u64, f64) {
    let totals = total(cells);
    cells.iter().for_each(|cell| cell.store(0, Ordering::Relaxed));
    totals
}

/// Reads `cells` into `value`, adding to what is there when `add` is set (gauges are never added).
pub(super) fn read(kind: &Kind, cells: &[AtomicU64], value: &mut Value, add: bool) {
    let load = |index: usize| cells.get(index).map_or(0, |cell| cell.load(Ordering::Relaxed));
    match kind {
        Kind::Counter => {
            let base = match value {
                Value::Counter(count) if add => *count,
                _ => Count::default(),
            };
            let (int, float) = (load(COUNTER_INT), f64::from_bits(load(COUNTER_FLOAT)));
            let (int, carried) = base.int.overflowing_add(int);
            *value = Value::Counter(Count {
                int,
                float: base.float + float + if carried { INT_RANGE } else { 0.0 },
            });
        }
        Kind::Gauge(_) => {
            if !add {
                *value = Value::Gauge(f64::from_bits(load(0)));
            }
        }
        Kind::Histogram => {
            if !matches!(value, Value::Histogram(_)) {
                *value = Value::Histogram(HistogramValue::default());
            }
            let Value::Histogram(histogram) = value else { return };
            if !add {
                histogram.buckets.clear();
                histogram.sum = 0.0;
            }
            histogram
                .buckets
                .resize(cells.len().saturating_sub(HISTOGRAM_BUCKETS), 0);
            for (index, bucket) in histogram.buckets.iter_mut().enumerate() {
                *bucket = bucket.wrapping_add(load(HISTOGRAM_BUCKETS + index));
            }
            histogram.sum += f64::from_bits(load(HISTOGRAM_SUM));
        }
    }
}
