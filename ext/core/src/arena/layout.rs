//! Where everything stands in the file. All offsets are in bytes, all numbers little-endian as the machine's own.
//!
//! ```text
//! 0      identity   magic, layout, checksum, epoch, boot, application, inode; written once, before the file has its name
//! 128    sequences  tail, births, removals
//! 256    dropped    one cell per reason for which a sample was not counted
//! 512    processes  offsets of the chunks of the process table
//! 1024   sources    records of the arenas that were folded into this one
//! 3072   notes      offset of the notes, in units
//! 3136   offices    two words for each election
//! 3264   reserved   for the state of sync
//! 4096   buckets    heads of the chains of records, by hash
//! 20480  log        process chunks and records, in the order in which their space was reserved
//! ```

use super::map::Mapping;
use super::node::Offset;
use super::sys;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use xxhash_rust::xxh3::xxh3_64;

/// Bumped whenever the meaning of any byte changes; files of another layout are never read.
pub(super) const LAYOUT: u64 = 4;
const MAGIC: u64 = u64::from_le_bytes(*b"TSKTELEM");

const CHECKSUM_AT: u64 = 16;
const EPOCH_AT: u64 = 24;
const BOOT_AT: u64 = 40;
const APPLICATION_AT: u64 = 48;
const CREATED_AT: u64 = 56;
const INODE_AT: u64 = 64;

const TAIL_AT: u64 = 128;
const BIRTHS_AT: u64 = 136;
const REMOVALS_AT: u64 = 144;

pub(super) const DROPPED_AT: u64 = 256;
pub(super) const CHUNKS_AT: u64 = 512;
pub(super) const CHUNKS: u64 = 128;

const SOURCES_AT: u64 = 1024;
/// How many arenas can be folded into one: more replacements than a machine sees between two starts.
const SOURCES: u64 = 512;

const NOTES_AT: u64 = 3072;
const OFFICES_AT: u64 = 3136;

pub(super) const BUCKETS_AT: u64 = 4096;
/// Few enough that a small arena stays small, many enough that a million records make chains of a few hundred.
pub(super) const BUCKETS: u64 = 4096;
pub(super) const LOG_AT: u64 = BUCKETS_AT + 4 * BUCKETS;
/// No number of a record, process or removal comes near it in an arena's life.
const MOST: u64 = 1 << 47;
/// Everything in the log begins at a multiple of this, a cache line.
pub(super) const UNIT: u64 = 64;

/// What a file says it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Identity {
    pub epoch: [u8; 16],
    pub boot: u64,
    pub application: u64,
}

impl Identity {
    /// Of a new arena of `application` (a hash of service and environment) on this boot.
    pub fn fresh(application: u64) -> Self {
        Self {
            epoch: sys::random(),
            boot: Self::this_boot(),
            application,
        }
    }

    pub fn this_boot() -> u64 {
        xxh3_64(sys::boot_id().as_bytes())
    }
}

/// Why a file is not the arena that was looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum Foreign {
    #[error("it is too short or does not begin as an arena does")]
    NotAnArena,
    #[error("it was written by a version with another layout")]
    Layout,
    #[error("its header is damaged")]
    Header,
    #[error("its records are damaged")]
    Records,
    #[error("it is from before the machine's last start")]
    Boot,
    #[error("it belongs to another service or environment")]
    Application,
    #[error("it is a copy of another arena, and both would pass for the same")]
    Copy,
}

impl Foreign {
    /// What the first 16 bytes of a file already tell.
    pub fn of_beginning(first: [u8; 16]) -> Option<Self> {
        let (magic, layout) = first.split_at(8);
        if magic != MAGIC.to_le_bytes() {
            return Some(Self::NotAnArena);
        }
        (layout != LAYOUT.to_le_bytes()).then_some(Self::Layout)
    }
}

/// The header of a mapped arena. Constructed only where the file is known to hold one.
pub(super) struct Header<'a>(&'a Mapping);

macro_rules! cell {
    ($(#[$doc:meta])* $name:ident, $at:expr) => {
        $(#[$doc])*
        pub fn $name(&self) -> &'a AtomicU64 {
            self.at($at)
        }
    };
}

impl<'a> Header<'a> {
    /// The header of `map`, when the file is long enough to have one.
    pub fn of(map: &'a Mapping) -> Option<Self> {
        map.words(0, (LOG_AT / 8) as usize).map(|_| Self(map))
    }

    fn at(&self, offset: u64) -> &'a AtomicU64 {
        static NOWHERE: AtomicU64 = AtomicU64::new(0);
        // `of` has seen that the whole header is inside of the file, and files never shrink.
        self.0.word(offset).unwrap_or(&NOWHERE)
    }

    cell!(
        /// When the arena was made, in nanoseconds since the Unix epoch.
        created, CREATED_AT
    );
    cell!(
        /// Where the next reservation in the log begins.
        tail, TAIL_AT
    );
    cell!(
        /// Last number given to a record or a process.
        births, BIRTHS_AT
    );
    cell!(
        /// Last number given to a removal.
        removals, REMOVALS_AT
    );

    /// Cell `index` of the samples that were not counted.
    pub fn dropped(&self, index: usize) -> &'a AtomicU64 {
        self.at(DROPPED_AT + 8 * index as u64)
    }

    /// Where the notes are, in units; 0 while there are none.
    pub fn notes(&self) -> &'a AtomicU32 {
        static NOWHERE: AtomicU32 = AtomicU32::new(0);
        self.0.half(NOTES_AT).unwrap_or(&NOWHERE)
    }

    /// A word of the election to an office.
    pub fn office(&self, office: usize, word: usize) -> &'a AtomicU64 {
        self.at(OFFICES_AT + 16 * office as u64 + 8 * word as u64)
    }

    /// A new number for a record or a process.
    pub fn next_birth(&self) -> u64 {
        self.births().fetch_add(1, Ordering::SeqCst).wrapping_add(1)
    }

    /// Records of the arenas that were folded into this one.
    pub fn sources(&self) -> impl Iterator<Item = Offset> + 'a {
        let map = self.0;
        (0..SOURCES)
            .map_while(move |index| map.half(SOURCES_AT + 4 * index))
            .map(|cell| cell.load(Ordering::SeqCst))
            .take_while(|offset| *offset != 0)
    }

    /// Lists a source; `false` when the list is full. Listing one twice is harmless.
    pub fn add_source(&self, source: Offset) -> bool {
        (0..SOURCES)
            .filter_map(|index| self.0.half(SOURCES_AT + 4 * index))
            .any(|cell| {
                cell.compare_exchange(0, source, Ordering::SeqCst, Ordering::SeqCst)
                    .map_or_else(|known| known == source, |_| true)
            })
    }

    pub fn epoch(&self) -> [u8; 16] {
        let mut epoch = [0; 16];
        epoch[..8].copy_from_slice(&self.at(EPOCH_AT).load(Ordering::Relaxed).to_le_bytes());
        epoch[8..].copy_from_slice(&self.at(EPOCH_AT + 8).load(Ordering::Relaxed).to_le_bytes());
        epoch
    }

    fn checksum(&self) -> u64 {
        let identity: Vec<u8> = (EPOCH_AT..INODE_AT + 8)
            .step_by(8)
            .flat_map(|offset| self.at(offset).load(Ordering::Relaxed).to_le_bytes())
            .collect();
        xxh3_64(&identity)
    }

    /// Writes the header of a file that has no name yet.
    pub fn write(&self, identity: &Identity, inode: u64) {
        let set = |offset, value: u64| self.at(offset).store(value, Ordering::Relaxed);
        let (low, high) = identity.epoch.split_at(8);
        set(0, MAGIC);
        set(8, LAYOUT);
        set(EPOCH_AT, u64::from_le_bytes(low.try_into().unwrap_or_default()));
        set(EPOCH_AT + 8, u64::from_le_bytes(high.try_into().unwrap_or_default()));
        set(BOOT_AT, identity.boot);
        set(APPLICATION_AT, identity.application);
        set(CREATED_AT, sys::wall_clock());
        set(INODE_AT, inode);
        set(TAIL_AT, LOG_AT);
        set(CHECKSUM_AT, self.checksum());
    }

    /// Checks what the header says of the file against what was looked for.
    pub fn verify(&self, application: u64, inode: u64) -> Result<(), Foreign> {
        let get = |offset| self.at(offset).load(Ordering::Relaxed);
        if get(0) != MAGIC {
            return Err(Foreign::NotAnArena);
        }
        if get(8) != LAYOUT {
            return Err(Foreign::Layout);
        }
        let tail = self.tail().load(Ordering::Relaxed);
        let placed = tail >= LOG_AT && tail % UNIT == 0 && tail <= self.0.length();
        let numbered = [self.births(), self.removals()].map(|cell| cell.load(Ordering::Relaxed) <= MOST);
        if get(CHECKSUM_AT) != self.checksum() || !placed || numbered != [true, true] {
            return Err(Foreign::Header);
        }
        if get(BOOT_AT) != Identity::this_boot() {
            return Err(Foreign::Boot);
        }
        if get(APPLICATION_AT) != application {
            return Err(Foreign::Application);
        }
        if get(INODE_AT) != inode {
            return Err(Foreign::Copy);
        }
        Ok(())
    }

    /// Reserves `size` bytes of the log, growing the file first, so that a refusal leaves nothing behind.
    pub fn reserve(&self, size: u64) -> std::io::Result<u64> {
        let size = size.next_multiple_of(UNIT);
        let tail = self.tail();
        let mut offset = tail.load(Ordering::SeqCst);
        loop {
            let end = offset.checked_add(size).ok_or(std::io::ErrorKind::OutOfMemory)?;
            self.0.grow_to(end)?;
            match tail.compare_exchange_weak(offset, end, Ordering::SeqCst, Ordering::SeqCst) {
                Ok(_) => return Ok(offset),
                Err(moved) => offset = moved,
            }
        }
    }

    /// Gives back what this process has reserved and nobody has seen, unless somebody has reserved what comes after it.
    pub fn give_back(&self, offset: u64, size: u64) {
        let end = offset + size.next_multiple_of(UNIT);
        let _ = self
            .tail()
            .compare_exchange(end, offset, Ordering::SeqCst, Ordering::SeqCst);
    }
}
