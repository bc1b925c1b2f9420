//! One record of the log.
//!
//! ```text
//! 0   word        sequence << 3 | state: the only thing that ever decides what the record is
//! 8   next        next record of its chain, in units of 64 bytes; immutable once linked
//! 12  size        of the record in bytes; immutable once linked
//! 16  hash        of everything that identifies the record
//! 24  birth       number given when it was filled
//! 32  created     nanoseconds since the Unix epoch
//! 40  descriptor  record of the metric, in units
//! 44  preset      record of the default labels, in units; 0: none
//! 48  source      record of the arena it was folded in from, in units; 0: counted here
//! 52  key length  in bytes
//! 56  kind        low byte; number of cells above it
//! 60  extension   block of exemplars, in units; 0: none yet. The record keeps it, whatever it goes to
//! 64  touched     set by every write, cleared by the search for idle series
//! 68  counted     1: among the series that its metric's cap counts
//! 72  seen        boot-clock millisecond at which it was last found touched
//! 80  cells, then the key
//! ```
//!
//! A record is filled before its word says `PENDING`, and nothing but the word and the cells changes
//! while it is `PENDING`, `LIVE` or `EXPIRING`. A reader that does not hold the record reads the word, then
//! the rest, then the word again: an unchanged word means that what it read belongs together.

use super::layout::UNIT;
use super::map::{Cells, Mapping};
use super::step::step;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use xxhash_rust::xxh3::Xxh3;

pub(super) const CELLS_AT: u64 = 80;
pub(super) const TOUCHED_AT: u64 = 64;

/// Offset of a record in units of [`UNIT`] bytes; 0 is none.
pub(super) type Offset = u32;

/// What a record is good for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u64)]
pub(super) enum State {
    /// Nobody's; may be claimed.
    Free = 1,
    /// Being filled by the process whose incarnation is the sequence.
    Claimed = 2,
    /// Filled; the sequence is its birth. Seen by those who register the same key, by nobody else.
    Pending = 3,
    /// In use; the sequence is its birth.
    Live = 4,
    /// Found idle; any write makes it `Live` again.
    Expiring = 5,
    /// Out of use, its removal not yet numbered.
    Removing = 6,
    /// Out of use; the sequence is its removal's.
    Removed = 7,
}

/// A state and its sequence, as one atomic word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Word(pub u64);

impl Word {
    pub const fn new(state: State, sequence: u64) -> Self {
        Self(sequence << 3 | state as u64)
    }

    /// `None` for a word that no code of this layout has written.
    pub fn state(self) -> Option<State> {
        Some(match self.0 & 7 {
            1 => State::Free,
            2 => State::Claimed,
            3 => State::Pending,
            4 => State::Live,
            5 => State::Expiring,
            6 => State::Removing,
            7 => State::Removed,
            _ => return None,
        })
    }

    pub fn sequence(self) -> u64 {
        self.0 >> 3
    }

    /// The same sequence in another state.
    pub fn with(self, state: State) -> Self {
        Self::new(state, self.sequence())
    }

    /// Whether what is counted into the record is shown.
    pub fn in_use(self) -> bool {
        matches!(self.state(), Some(State::Live | State::Expiring))
    }
}

/// What a record describes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub(super) enum RecordKind {
    /// A metric's schema; cells: [`super::records::MetricCells`].
    Metric = 1,
    /// A metric's help text.
    Help = 2,
    /// Default labels.
    Preset = 3,
    /// A series; cells by the metric's kind.
    Series = 4,
    /// Another arena, folded into this one; cells: its dropped samples.
    Source = 5,
}

impl RecordKind {
    pub fn from(raw: u32) -> Option<Self> {
        Some(match raw {
            1 => Self::Metric,
            2 => Self::Help,
            3 => Self::Preset,
            4 => Self::Series,
            5 => Self::Source,
            _ => return None,
        })
    }
}

/// Everything that identifies a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Identity<'a> {
    pub kind: RecordKind,
    pub metric: Offset,
    pub preset: Offset,
    pub source: Offset,
    pub key: &'a [u8],
}

impl Identity<'_> {
    pub fn hash(&self) -> u64 {
        let mut hasher = Xxh3::new();
        for part in [self.kind as u32, self.metric, self.preset, self.source] {
            hasher.update(&part.to_le_bytes());
        }
        hasher.update(self.key);
        hasher.digest()
    }
}

/// The fixed part of a record, as the head of this file lists it.
#[repr(C)]
struct Fixed {
    word: AtomicU64,
    next: AtomicU32,
    size: AtomicU32,
    hash: AtomicU64,
    birth: AtomicU64,
    created: AtomicU64,
    metric: AtomicU32,
    preset: AtomicU32,
    source: AtomicU32,
    key_length: AtomicU32,
    kind: AtomicU32,
    extension: AtomicU32,
    touched: AtomicU32,
    counted: AtomicU32,
    seen: AtomicU64,
}

const _: () = {
    assert!(size_of::<Fixed>() == CELLS_AT as usize);
    assert!(std::mem::offset_of!(Fixed, word) == 0);
    assert!(std::mem::offset_of!(Fixed, touched) == TOUCHED_AT as usize);
};

// SAFETY: atomics of four and eight bytes that fill it, as the sizes above show.
unsafe impl Cells for Fixed {}

/// A record that lies inside of the file.
#[derive(Clone, Copy)]
pub(super) struct Node<'a> {
    map: &'a Mapping,
    fixed: &'a Fixed,
    pub offset: Offset,
}

impl<'a> Node<'a> {
    /// The record at `offset`, if its fixed part is inside of the file.
    #[inline]
    pub fn at(map: &'a Mapping, offset: Offset) -> Option<Self> {
        let fixed = map.view(u64::from(offset) * UNIT)?;
        Some(Self { map, fixed, offset })
    }

    pub fn start(&self) -> u64 {
        u64::from(self.offset) * UNIT
    }

    pub fn word_cell(&self) -> &'a AtomicU64 {
        &self.fixed.word
    }

    pub fn word(&self) -> Word {
        step();
        Word(self.word_cell().load(Ordering::SeqCst))
    }

    /// Moves the record from one word to another; `false` when somebody else moved it first.
    pub fn advance(&self, from: Word, to: Word) -> bool {
        step();
        self.word_cell()
            .compare_exchange(from.0, to.0, Ordering::SeqCst, Ordering::SeqCst)
            .is_ok()
    }

    pub fn next(&self) -> Offset {
        self.fixed.next.load(Ordering::Acquire)
    }

    pub fn set_next(&self, next: Offset) {
        self.fixed.next.store(next, Ordering::Release);
    }

    pub fn size(&self) -> u64 {
        u64::from(self.fixed.size.load(Ordering::Relaxed))
    }

    pub fn hash(&self) -> u64 {
        self.fixed.hash.load(Ordering::Relaxed)
    }

    pub fn birth(&self) -> u64 {
        self.fixed.birth.load(Ordering::Relaxed)
    }

    pub fn created(&self) -> u64 {
        self.fixed.created.load(Ordering::Relaxed)
    }

    /// Says that what the record counts began earlier, in an arena that was before.
    pub fn was_created(&self, earlier: u64) {
        self.fixed.created.fetch_min(earlier, Ordering::Relaxed);
    }

    pub fn metric(&self) -> Offset {
        self.fixed.metric.load(Ordering::Relaxed)
    }

    pub fn preset(&self) -> Offset {
        self.fixed.preset.load(Ordering::Relaxed)
    }

    pub fn source(&self) -> Offset {
        self.fixed.source.load(Ordering::Relaxed)
    }

    pub fn key_length(&self) -> usize {
        self.fixed.key_length.load(Ordering::Relaxed) as usize
    }

    pub fn kind(&self) -> Option<RecordKind> {
        RecordKind::from(self.fixed.kind.load(Ordering::Acquire) & 0xFF)
    }

    pub fn cell_count(&self) -> usize {
        (self.fixed.kind.load(Ordering::Relaxed) >> 8) as usize
    }

    pub fn touched(&self) -> &'a AtomicU32 {
        &self.fixed.touched
    }

    pub fn seen(&self) -> &'a AtomicU64 {
        &self.fixed.seen
    }

    /// Whether the record is among those that its metric's cap counts.
    pub fn is_counted(&self) -> bool {
        self.fixed.counted.load(Ordering::Relaxed) != 0
    }

    /// Says that the cap counts the record. To be said before anybody else can see it.
    pub fn set_counted(&self, counted: bool) {
        self.fixed.counted.store(u32::from(counted), Ordering::Relaxed);
    }

    /// The cells; none where the record is damaged.
    pub fn cells(&self) -> &'a [AtomicU64] {
        self.map
            .words(self.start() + CELLS_AT, self.cell_count())
            .unwrap_or(&[])
    }

    fn key_words(&self) -> Option<(&'a [AtomicU64], usize)> {
        let length = self.key_length();
        Some((self.key_place(self.cell_count(), length)?, length))
    }

    /// Where a key of `length` bytes stands behind so many cells.
    fn key_place(&self, cells: usize, length: usize) -> Option<&'a [AtomicU64]> {
        let at = self.start() + CELLS_AT + 8 * cells as u64;
        self.map.words(at, length.div_ceil(8))
    }

    /// Appends the key to `out`.
    pub fn read_key(&self, out: &mut Vec<u8>) {
        let Some((words, length)) = self.key_words() else {
            return;
        };
        let start = out.len();
        out.resize(start + words.len() * 8, 0);
        for (bytes, word) in out[start..].chunks_exact_mut(8).zip(words) {
            bytes.copy_from_slice(&word.load(Ordering::Relaxed).to_le_bytes());
        }
        out.truncate(start + length);
    }

    /// The key.
    pub fn key(&self) -> Vec<u8> {
        let mut key = Vec::new();
        self.read_key(&mut key);
        key
    }

    /// Appends the key of the record's default labels to `out`.
    pub fn read_preset(&self, out: &mut Vec<u8>) {
        if let Some(preset) = Some(self.preset())
            .filter(|offset| *offset != 0)
            .and_then(|at| Node::at(self.map, at))
        {
            preset.read_key(out);
        }
    }

    fn has_key(&self, key: &[u8]) -> bool {
        let Some((words, length)) = self.key_words() else {
            return false;
        };
        length == key.len()
            && words.iter().zip(key.chunks(8)).all(|(word, chunk)| {
                let stored = word.load(Ordering::Relaxed).to_le_bytes();
                stored[..chunk.len()] == *chunk
            })
    }

    /// Whether the record is the one that `identity`, whose hash is `hash`, describes.
    pub fn is(&self, identity: &Identity<'_>, hash: u64) -> bool {
        self.hash() == hash
            && self.kind() == Some(identity.kind)
            && self.metric() == identity.metric
            && self.preset() == identity.preset
            && self.source() == identity.source
            && self.has_key(identity.key)
    }

    /// What identifies the record, whose kind and key these are.
    pub fn identity<'k>(&self, kind: RecordKind, key: &'k [u8]) -> Identity<'k> {
        Identity {
            kind,
            metric: self.metric(),
            preset: self.preset(),
            source: self.source(),
            key,
        }
    }

    /// Another record of the same log.
    pub fn sibling(&self, offset: Offset) -> Option<Self> {
        Self::at(self.map, offset)
    }

    /// Of a record that was folded in from another arena: the hash of the series that it belongs to.
    pub fn series_hash(&self) -> u64 {
        let key = self.key();
        let series = Identity {
            source: 0,
            ..self.identity(RecordKind::Series, &key)
        };
        series.hash()
    }

    /// Whether it has all in common with `series` but the arena that it was counted in.
    pub fn is_part_of(&self, series: &Node<'_>) -> bool {
        self.kind() == series.kind()
            && self.metric() == series.metric()
            && self.preset() == series.preset()
            && self.source() != 0
            && self.has_key(&series.key())
    }

    /// Size of a record of `identity` with `cells` cells.
    pub fn size_for(key: &[u8], cells: usize) -> u64 {
        (CELLS_AT + 8 * cells as u64 + key.len().next_multiple_of(8) as u64).next_multiple_of(UNIT)
    }

    /// Sets the size of a record that nobody else can see yet, and that has no exemplars.
    pub fn set_size(&self, size: u64) {
        self.fixed.size.store(size as u32, Ordering::Relaxed);
        self.fixed.extension.store(0, Ordering::Relaxed);
    }

    /// Where the block of its exemplars is, in units; 0 while it has none.
    pub fn extension(&self) -> Offset {
        self.fixed.extension.load(Ordering::Acquire)
    }

    /// Gives it a block for exemplars; `false` when somebody else was faster.
    pub fn extend(&self, from: Offset, to: Offset) -> bool {
        self.fixed
            .extension
            .compare_exchange(from, to, Ordering::AcqRel, Ordering::Acquire)
            .is_ok()
    }

    /// Makes a record that this process has claimed one of no kind, so that what stands in it passes for nothing.
    pub fn empty(&self) {
        self.fixed.kind.store(0, Ordering::Relaxed);
    }

    /// Fills a record that this process has claimed, all but its word. Its kind, and so where its cells and its key
    /// are, comes last: until then it is of none.
    pub fn fill(&self, identity: &Identity<'_>, hash: u64, birth: u64, created: u64, cells: &[u64]) {
        self.fixed.hash.store(hash, Ordering::Relaxed);
        self.fixed.birth.store(birth, Ordering::Relaxed);
        self.fixed.created.store(created, Ordering::Relaxed);
        self.fixed.metric.store(identity.metric, Ordering::Relaxed);
        self.fixed.preset.store(identity.preset, Ordering::Relaxed);
        self.fixed.source.store(identity.source, Ordering::Relaxed);
        self.fixed
            .key_length
            .store(identity.key.len() as u32, Ordering::Relaxed);
        self.touched().store(1, Ordering::Relaxed);
        self.seen().store(super::sys::boot_millis(), Ordering::Relaxed);
        let places = self.map.words(self.start() + CELLS_AT, cells.len()).unwrap_or(&[]);
        for (cell, value) in places.iter().zip(cells) {
            cell.store(*value, Ordering::Relaxed);
        }
        let words = self.key_place(cells.len(), identity.key.len()).unwrap_or(&[]);
        for (word, chunk) in words.iter().zip(identity.key.chunks(8)) {
            let mut bytes = [0; 8];
            bytes[..chunk.len()].copy_from_slice(chunk);
            word.store(u64::from_le_bytes(bytes), Ordering::Relaxed);
        }
        let kind = (cells.len() as u32) << 8 | identity.kind as u32;
        self.fixed.kind.store(kind, Ordering::Release);
    }

    /// Whether every part of the record is inside of it and its hash is that of its parts.
    pub fn is_sound(&self) -> bool {
        let (size, cells) = (self.size(), self.cell_count());
        let Some(kind) = self.kind() else { return false };
        let needed = (CELLS_AT + 8 * cells as u64).checked_add(self.key_length() as u64);
        if size % UNIT != 0 || needed.is_none_or(|needed| needed > size) {
            return false;
        }
        let key = self.key();
        key.len() == self.key_length() && self.identity(kind, &key).hash() == self.hash()
    }
}
