//! The table of processes: who maps the arena, who is alive, and what each may still be holding.
//!
//! A process owns a slot while it holds the record lock of the slot's byte, which the kernel frees however it ends;
//! pids prove nothing. Its *known* and *released* numbers say what it can hold: records born up to `known`, unless
//! removed up to `released`. A removed record goes to other labels only when that excludes every live process, so an
//! idle or stopped process keeps back at most the records that were in use when it last looked.
//!
//! The order that makes this safe (all `SeqCst`): a process raises `known` *before* it checks that a record is in use
//! and takes hold of it; a removal is numbered *after* the record is out of use; whoever reuses the record reads the
//! table after that. So either the process sees the record out of use, or the reuser sees the process.

use super::layout::{Header, CHUNKS, CHUNKS_AT, UNIT};
use super::map::Mapping;
use super::procfs::Stat;
use super::{fail, sys};
use std::collections::HashSet;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};

const SLOT: u64 = 128;
const SLOTS_PER_CHUNK: u64 = 32;
pub(super) const CHUNK: u64 = SLOT * SLOTS_PER_CHUNK;
/// Slots' lock bytes lie far behind any file's end: in every layout at the same place, so that each sees whether
/// another one is in use.
const LOCKS_AT: u64 = 1 << 40;

/// This process's slot in one arena.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Member {
    pub slot: u32,
    /// Number that no other process of this arena ever has.
    pub incarnation: u64,
}

/// One row of the table.
#[derive(Clone, Copy)]
pub(super) struct Slot<'a> {
    map: &'a Mapping,
    pub index: u32,
    start: u64,
}

macro_rules! cell {
    ($(#[$doc:meta])* $name:ident, $at:literal) => {
        $(#[$doc])*
        pub fn $name(&self) -> &'a AtomicU64 {
            static NOWHERE: AtomicU64 = AtomicU64::new(0);
            self.map.word(self.start + $at).unwrap_or(&NOWHERE)
        }
    };
}

impl Slot<'_> {
    /// Whether another process holds the slot.
    pub fn held_by_other(&self) -> bool {
        sys::locked_by_other(self.map.file(), LOCKS_AT + u64::from(self.index), 1)
    }
}

impl<'a> Slot<'a> {
    cell!(
        /// Number of the process; 0 while the slot is nobody's.
        incarnation, 0
    );
    cell!(
        /// The process holds no record born later.
        known, 8
    );
    cell!(
        /// The process holds no record removed earlier or at this number.
        released, 16
    );
    cell!(
        /// The process's id in its own namespace.
        pid, 24
    );
    cell!(
        /// Inode of its pid namespace.
        namespace, 32
    );
    cell!(
        /// Its start, in clock ticks since boot.
        started, 40
    );
    cell!(
        /// Record of its default labels.
        preset, 48
    );
    cell!(
        /// Garbage collections it has run.
        gc_runs, 56
    );
    cell!(
        /// Nanoseconds it has spent in them.
        gc_nanos, 64
    );
    cell!(
        /// When it took the slot, in nanoseconds since the Unix epoch.
        attached, 72
    );
}

/// All slots that exist.
pub(super) fn slots(map: &Mapping) -> impl Iterator<Item = Slot<'_>> {
    let chunks = (0..CHUNKS).map_while(move |chunk| {
        let offset = map.half(CHUNKS_AT + 4 * chunk)?.load(Ordering::Acquire);
        (offset != 0).then_some((chunk, u64::from(offset) * UNIT))
    });
    chunks.flat_map(move |(chunk, start)| {
        (0..SLOTS_PER_CHUNK).filter_map(move |row| {
            let start = start + row * SLOT;
            map.words(start, (SLOT / 8) as usize)?;
            Some(Slot {
                map,
                index: (chunk * SLOTS_PER_CHUNK + row) as u32,
                start,
            })
        })
    })
}

/// Slots whose process is alive; `own` is taken at its word, since nobody sees the locks of its own process.
pub(super) fn living(map: &Mapping, own: Option<Member>) -> impl Iterator<Item = Slot<'_>> {
    slots(map).filter(move |slot| {
        let incarnation = slot.incarnation().load(Ordering::SeqCst);
        incarnation != 0 && (own.is_some_and(|own| own.incarnation == incarnation) || slot.held_by_other())
    })
}

/// Incarnations of the live processes, `own`'s among them.
pub(super) fn incarnations(map: &Mapping, own: Member) -> HashSet<u64> {
    living(map, Some(own))
        .map(|slot| slot.incarnation().load(Ordering::SeqCst))
        .collect()
}

/// Whether another process counts into `file`, whatever its layout is.
pub(super) fn is_in_use(file: &std::fs::File) -> bool {
    sys::locked_by_other(file, LOCKS_AT, CHUNKS * SLOTS_PER_CHUNK)
}

/// Slot `index`, if it exists.
pub(super) fn slot(map: &Mapping, index: u32) -> Option<Slot<'_>> {
    let (chunk, row) = (u64::from(index) / SLOTS_PER_CHUNK, u64::from(index) % SLOTS_PER_CHUNK);
    let offset = if chunk < CHUNKS {
        map.half(CHUNKS_AT + 4 * chunk)?.load(Ordering::Acquire)
    } else {
        0
    };
    let start = u64::from(offset) * UNIT + row * SLOT;
    (offset != 0 && map.words(start, (SLOT / 8) as usize).is_some()).then_some(Slot { map, index, start })
}

/// Takes a slot for this process.
///
/// # Errors
/// The file cannot grow, or all 4096 slots belong to live processes.
pub(super) fn attach(map: &Mapping, header: &Header<'_>) -> io::Result<Member> {
    for chunk in 0..CHUNKS {
        ensure_chunk(map, header, chunk)?;
        for row in 0..SLOTS_PER_CHUNK {
            let index = (chunk * SLOTS_PER_CHUNK + row) as u32;
            let Some(slot) = slot(map, index) else { continue };
            if sys::try_lock(map.file(), LOCKS_AT + u64::from(index))? {
                fail::point("attach:locked");
                return Ok(occupy(&slot, header));
            }
        }
    }
    Err(io::Error::other("every slot of the process table is taken"))
}

fn ensure_chunk(map: &Mapping, header: &Header<'_>, chunk: u64) -> io::Result<()> {
    let Some(cell) = map.half(CHUNKS_AT + 4 * chunk) else {
        return Ok(());
    };
    if cell.load(Ordering::Acquire) == 0 {
        let offset = header.reserve(CHUNK)?;
        // Whoever comes second leaves its chunk unused: a page, once in an arena's life.
        let _ = cell.compare_exchange(0, (offset / UNIT) as u32, Ordering::AcqRel, Ordering::Acquire);
    }
    Ok(())
}

pub(super) fn occupy(slot: &Slot<'_>, header: &Header<'_>) -> Member {
    slot.incarnation().store(0, Ordering::SeqCst);
    slot.pid().store(u64::from(std::process::id()), Ordering::Relaxed);
    slot.namespace().store(sys::pid_namespace(), Ordering::Relaxed);
    slot.started().store(
        Stat::read(std::process::id()).map_or(0, |stat| stat.started),
        Ordering::Relaxed,
    );
    slot.attached().store(sys::wall_clock(), Ordering::Relaxed);
    for cell in [slot.preset(), slot.gc_runs(), slot.gc_nanos()] {
        cell.store(0, Ordering::Relaxed);
    }
    slot.released()
        .store(header.removals().load(Ordering::SeqCst), Ordering::SeqCst);
    slot.known()
        .store(header.births().load(Ordering::SeqCst), Ordering::SeqCst);
    fail::point("attach:written");
    let incarnation = header.next_birth();
    slot.incarnation().store(incarnation, Ordering::SeqCst);
    fail::point("attach:attached");
    Member {
        slot: slot.index,
        incarnation,
    }
}

/// Gives this process's slot back.
pub(super) fn detach(map: &Mapping, member: Member) {
    if let Some(slot) = slot(map, member.slot) {
        if slot
            .incarnation()
            .compare_exchange(member.incarnation, 0, Ordering::SeqCst, Ordering::SeqCst)
            .is_ok()
        {
            sys::unlock(map.file(), LOCKS_AT + u64::from(member.slot));
        }
    }
}

/// Frees the slots of processes that are gone.
pub(super) fn bury(map: &Mapping, own: Option<Member>) {
    for slot in slots(map) {
        let incarnation = slot.incarnation().load(Ordering::SeqCst);
        if incarnation == 0 || own.is_some_and(|own| own.incarnation == incarnation) || slot.held_by_other() {
            continue;
        }
        let byte = LOCKS_AT + u64::from(slot.index);
        if sys::try_lock(map.file(), byte).unwrap_or(false) {
            let _ = slot
                .incarnation()
                .compare_exchange(incarnation, 0, Ordering::SeqCst, Ordering::SeqCst);
            sys::unlock(map.file(), byte);
        }
    }
}

/// Whether no process can hold a record that was born and removed at these numbers.
pub(super) fn nobody_holds(map: &Mapping, birth: u64, removal: u64) -> bool {
    slots(map).all(|slot| {
        slot.incarnation().load(Ordering::SeqCst) == 0
            || slot.released().load(Ordering::SeqCst) >= removal
            || slot.known().load(Ordering::SeqCst) < birth
    })
}

/// Whether the process of that incarnation has a slot.
pub(super) fn is_listed(map: &Mapping, incarnation: u64) -> bool {
    slots(map).any(|slot| slot.incarnation().load(Ordering::SeqCst) == incarnation)
}
