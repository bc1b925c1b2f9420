//! Exemplars: of what is counted while a sampled span is current, the latest one of each counter and of each bucket.
//!
//! A record that gets one takes a block of the log, which it keeps for whatever series it goes to later; a series that
//! gets none costs nothing. A block is a word with the number of its slots, and the slots:
//!
//! ```text
//! 0   value   as bits
//! 8   trace   16 bytes
//! 24  span    8 bytes
//! 32  time    nanoseconds since the Unix epoch
//! 40  check   hash of these words and of the record's birth
//! ```
//!
//! Nobody waits to write one. Where two write one slot at once, or a process is killed while it writes, or the record has
//! gone to another series since, the check does not hold, and there is no exemplar until the next one is written.

use super::layout::{Header, UNIT};
use super::map::Mapping;
use super::node::Node;
use super::sys;
use crate::metric::Kind;
use crate::snapshot::Exemplar;
use std::cell::Cell;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use xxhash_rust::xxh3::xxh3_64;

/// The span in which something is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct TraceRef {
    /// The trace.
    pub trace_id: [u8; 16],
    /// The span.
    pub span_id: [u8; 8],
}

/// Whether any thread has ever had a current span: as long as none has, recording looks no further.
static TRACING: AtomicBool = AtomicBool::new(false);

thread_local! {
    static CURRENT: Cell<Option<TraceRef>> = const { Cell::new(None) };
}

/// Says which sampled span is current in this thread, and answers the one that was before. What the thread counts from
/// now on leaves an exemplar that refers to it.
pub fn set_current(current: Option<TraceRef>) -> Option<TraceRef> {
    if current.is_some() {
        TRACING.store(true, Ordering::Relaxed);
    }
    CURRENT.replace(current)
}

/// Whether a sampled span may be current.
#[inline(always)]
pub(super) fn is_wanted() -> bool {
    TRACING.load(Ordering::Relaxed)
}

/// The sampled span that is current in this thread.
pub(super) fn current() -> Option<TraceRef> {
    // A thread that ends may still count.
    CURRENT.try_with(Cell::get).ok().flatten()
}

/// Words of a slot.
pub(super) const SLOT: usize = 6;

/// How many exemplars a series with so many cells can have.
pub(super) fn slots_for(kind: &Kind, cells: usize) -> usize {
    match kind {
        Kind::Counter => 1,
        Kind::Gauge(_) => 0,
        Kind::Histogram => cells.saturating_sub(super::cells::HISTOGRAM_BUCKETS),
    }
}

/// Bytes of a block.
fn size_of_block(slots: u64) -> u64 {
    (8 + 8 * SLOT as u64 * slots).next_multiple_of(UNIT)
}

/// Where the block of a record begins and ends, if it has one.
pub(super) fn extent(map: &Mapping, node: &Node<'_>) -> Option<(u64, u64)> {
    let start = Some(u64::from(node.extension())).filter(|units| *units != 0)? * UNIT;
    // One that is no block at all ends nowhere, which is nowhere in the file.
    let slots = map.word(start).map_or(u64::MAX, |slots| slots.load(Ordering::Acquire));
    let end = if slots < map.length() {
        start + size_of_block(slots)
    } else {
        u64::MAX
    };
    Some((start, end))
}

/// The slots of a record, if it has at least so many.
pub(super) fn slots<'a>(map: &'a Mapping, node: &Node<'_>, slots: usize) -> Option<&'a [AtomicU64]> {
    let start = Some(u64::from(node.extension())).filter(|units| *units != 0)? * UNIT;
    let enough = map.word(start)?.load(Ordering::Acquire) >= slots as u64;
    enough.then(|| map.words(start + 8, SLOT * slots)).flatten()
}

/// The slots of a record, taken from the log if it has not enough. A block that has become too small is left unused:
/// that comes to pass only when a record goes to a histogram with more buckets than any before.
pub(super) fn make_slots<'a>(map: &'a Mapping, node: &Node<'_>, count: usize) -> Option<&'a [AtomicU64]> {
    // Twice, because another process may make one that is too small for this.
    for _ in 0..2 {
        let known = node.extension();
        if let Some(slots) = slots(map, node, count) {
            return Some(slots);
        }
        let header = Header::of(map)?;
        let size = size_of_block(count as u64);
        let start = header.reserve(size).ok()?;
        map.word(start)?.store(count as u64, Ordering::Release);
        let units = u32::try_from(start / UNIT).ok()?;
        if !node.extend(known, units) {
            header.give_back(start, size);
        }
    }
    slots(map, node, count)
}

fn check(words: [u64; SLOT - 1], birth: u64) -> u64 {
    let mut bytes = [0; 8 * SLOT];
    for (chunk, word) in bytes.chunks_exact_mut(8).zip(words.into_iter().chain([birth])) {
        chunk.copy_from_slice(&word.to_le_bytes());
    }
    xxh3_64(&bytes)
}

/// Writes an exemplar of the record that was born at `birth` into `slot`.
pub(super) fn write(slot: &[AtomicU64], exemplar: &Exemplar, birth: u64) {
    let (trace, span) = (
        u128::from_le_bytes(exemplar.trace_id),
        u64::from_le_bytes(exemplar.span_id),
    );
    let words = [
        exemplar.value.to_bits(),
        trace as u64,
        (trace >> 64) as u64,
        span,
        exemplar.at,
    ];
    for (cell, word) in slot.iter().zip(words.into_iter().chain([check(words, birth)])) {
        cell.store(word, Ordering::Relaxed);
    }
}

/// The exemplar in `slot`, if it is a whole one of the record that was born at `birth`.
pub(super) fn read(slot: &[AtomicU64], birth: u64) -> Option<Exemplar> {
    let load = |index: usize| slot.get(index).map_or(0, |word| word.load(Ordering::Relaxed));
    let words = [load(0), load(1), load(2), load(3), load(4)];
    if words[4] == 0 || load(SLOT - 1) != check(words, birth) {
        return None;
    }
    Some(Exemplar {
        value: f64::from_bits(words[0]),
        trace_id: (u128::from(words[2]) << 64 | u128::from(words[1])).to_le_bytes(),
        span_id: words[3].to_le_bytes(),
        at: words[4],
    })
}

/// An exemplar of now.
pub(super) fn now(value: f64, of: TraceRef) -> Exemplar {
    Exemplar {
        value,
        trace_id: of.trace_id,
        span_id: of.span_id,
        at: sys::wall_clock(),
    }
}

/// Adds the exemplars of a record that is in use to `found`, by their slots; of two for one slot the newer stays.
pub(super) fn collect(map: &Mapping, node: &Node<'_>, kind: &Kind, found: &mut Vec<(usize, Exemplar)>) {
    if node.extension() == 0 {
        return;
    }
    let count = slots_for(kind, node.cell_count());
    let birth = node.birth();
    for (index, slot) in slots(map, node, count).unwrap_or(&[]).chunks_exact(SLOT).enumerate() {
        let Some(exemplar) = read(slot, birth) else { continue };
        match found.binary_search_by_key(&index, |(known, _)| *known) {
            Ok(at) if found[at].1.at < exemplar.at => found[at].1 = exemplar,
            Ok(_) => {}
            Err(at) => found.insert(at, (index, exemplar)),
        }
    }
}

/// Gives the exemplars in `found` to a record, as far as they are newer than its own.
pub(super) fn give(map: &Mapping, node: &Node<'_>, kind: &Kind, found: &[(usize, Exemplar)]) {
    if found.is_empty() {
        return;
    }
    let birth = node.birth();
    let Some(slots) = make_slots(map, node, slots_for(kind, node.cell_count())) else {
        return;
    };
    for (index, exemplar) in found {
        let Some(slot) = slots.get(SLOT * index..SLOT * (index + 1)) else {
            continue;
        };
        if read(slot, birth).is_none_or(|known| known.at < exemplar.at) {
            write(slot, exemplar, birth);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn torn_ones_and_those_of_another_record_are_none() {
        let slot: Vec<AtomicU64> = (0..SLOT).map(|_| AtomicU64::new(0)).collect();
        let exemplar = |number: u8| Exemplar {
            value: f64::from(number),
            trace_id: [number; 16],
            span_id: [number; 8],
            at: u64::from(number),
        };
        assert_eq!(read(&slot, 0), None);
        write(&slot, &exemplar(1), 7);
        assert_eq!(read(&slot, 7), Some(exemplar(1)));
        assert_eq!(read(&slot, 8), None);
        let first: Vec<u64> = slot.iter().map(|word| word.load(Ordering::Relaxed)).collect();
        write(&slot, &exemplar(2), 7);
        for (word, value) in slot.iter().zip(first) {
            let second = word.swap(value, Ordering::Relaxed);
            assert_eq!(read(&slot, 7), None);
            word.store(second, Ordering::Relaxed);
        }
        assert_eq!(read(&slot, 7), Some(exemplar(2)));
    }
}
