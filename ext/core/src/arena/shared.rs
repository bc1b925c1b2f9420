//! One arena as this process has it mapped.

use super::layout::Header;
use super::place::{self, Inode, OpenError, Opened};
use super::process::{self, Member};
use super::records::Records;
use super::{fork, map::Mapping};
use parking_lot::Mutex;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Weak};

/// Every arena that this process has mapped. Record locks belong to the process, and closing *any* descriptor of a
/// file drops them all: so no file is ever opened twice.
static MAPPED: Mutex<Vec<(Inode, Weak<Arena>)>> = Mutex::new(Vec::new());

/// A mapped arena and this process's part in it.
pub(super) struct Arena {
    pub map: Mapping,
    pub path: Option<PathBuf>,
    pub inode: Inode,
    slot: AtomicU32,
    incarnation: AtomicU64,
    /// Fork generation in which the slot was taken; 0: none.
    attached: AtomicU32,
    /// Fork generation in which the slot was last given back.
    left: AtomicU32,
    attaching: Mutex<()>,
    buried_at: AtomicU64,
    /// Whether there was no room for notes.
    lacks_notes: AtomicBool,
    /// How many pins there are ([`PINS`]); above it the removals at which the first of them began.
    pins: AtomicU64,
}

/// The bits that count pins.
const PINS: u64 = 0xFFFF;

/// What opening an arena brought to light.
#[derive(Default)]
pub(super) struct Found {
    pub notices: Vec<String>,
    pub strays: Vec<Arc<Arena>>,
}

/// Hash of what a file belongs to: releases of one application share it.
pub(super) fn application(service: &str, environment: &str) -> u64 {
    xxhash_rust::xxh3::xxh3_64(format!("{service}\0{environment}").as_bytes())
}

impl Arena {
    /// The arena at `path`, made if there is none.
    pub fn open(path: &Path, application: u64) -> Result<(Arc<Self>, Found), OpenError> {
        let mut mapped = MAPPED.lock();
        mapped.retain(|(_, arena)| arena.strong_count() > 0);
        if let Some(inode) = place::inode_at(path) {
            let known = mapped
                .iter()
                .find(|(other, _)| *other == inode)
                .and_then(|(_, arena)| arena.upgrade());
            match known {
                Some(arena) if arena.belongs_to(application) => return Ok((arena, Found::default())),
                Some(_) => return Err(OpenError::InUse(path.to_owned())),
                None => {}
            }
        }
        let opened = place::open(path, application)?;
        let notices = opened.notices.clone();
        let strays: Vec<_> = opened
            .strays
            .iter()
            .filter_map(|stray| place::open_stray(stray, application))
            .map(|stray| Arc::new(Self::new(stray, None)))
            .collect();
        let arena = Arc::new(Self::new(opened, Some(path.to_owned())));
        for arena in strays.iter().chain([&arena]) {
            mapped.push((arena.inode, Arc::downgrade(arena)));
        }
        Ok((arena, Found { notices, strays }))
    }

    /// An arena that only this process and its forks share.
    pub fn in_memory(application: u64) -> io::Result<Arc<Self>> {
        Ok(Arc::new(Self::new(place::memory(application)?, None)))
    }

    fn new(opened: Opened, path: Option<PathBuf>) -> Self {
        Self {
            map: opened.map,
            path,
            inode: opened.inode,
            slot: AtomicU32::new(0),
            incarnation: AtomicU64::new(0),
            attached: AtomicU32::new(0),
            left: AtomicU32::new(0),
            attaching: Mutex::new(()),
            buried_at: AtomicU64::new(0),
            lacks_notes: AtomicBool::new(false),
            pins: AtomicU64::new(0),
        }
    }

    fn belongs_to(&self, application: u64) -> bool {
        Header::of(&self.map).is_some_and(|header| header.verify(application, self.inode.1).is_ok())
    }

    /// Whether another file, or none, stands at the arena's path.
    pub fn is_displaced(&self) -> bool {
        self.path
            .as_deref()
            .is_some_and(|path| place::inode_at(path) != Some(self.inode))
    }

    /// Makes sure that this process, not an ancestor, has a slot; `true` when it took one.
    pub fn attach(&self) -> io::Result<bool> {
        if self.attached.load(Ordering::Acquire) == fork::generation() {
            return Ok(false);
        }
        let _attaching = self.attaching.lock();
        if self.attached.load(Ordering::Acquire) == fork::generation() {
            return Ok(false);
        }
        if self.left.load(Ordering::Acquire) == fork::generation() && self.pins.load(Ordering::SeqCst) & PINS != 0 {
            // Back in an arena of which a page is still being rendered: its slot was kept.
            self.attached.store(fork::generation(), Ordering::SeqCst);
            return Ok(true);
        }
        let header = Header::of(&self.map).ok_or(io::ErrorKind::UnexpectedEof)?;
        let member = process::attach(&self.map, &header)?;
        self.slot.store(member.slot, Ordering::Relaxed);
        self.incarnation.store(member.incarnation, Ordering::Relaxed);
        self.pins.store(0, Ordering::Relaxed);
        self.attached.store(fork::generation(), Ordering::Release);
        Ok(true)
    }

    /// Gives this process's slot back: it counts into another arena from now on. A page that is being rendered keeps
    /// the slot until it is done, for as long nothing that it reads may go to other labels.
    pub fn leave(&self) {
        if let Some(member) = self.member() {
            self.left.store(fork::generation(), Ordering::Release);
            self.attached.store(0, Ordering::SeqCst);
            if self.pins.load(Ordering::SeqCst) & PINS == 0 {
                process::detach(&self.map, member);
            }
        }
    }

    /// This process's slot, if it has one.
    pub fn member(&self) -> Option<Member> {
        (self.attached.load(Ordering::Acquire) == fork::generation()).then(|| Member {
            slot: self.slot.load(Ordering::Relaxed),
            incarnation: self.incarnation.load(Ordering::Relaxed),
        })
    }

    /// The log, as this process may work on it.
    pub fn records(&self) -> Option<Records<'_>> {
        Some(Records {
            map: &self.map,
            member: self.member()?,
            buried_at: &self.buried_at,
        })
    }

    /// The log, for reading what is not held.
    pub fn foreign_records(&self) -> Records<'_> {
        let nobody = Member {
            slot: u32::MAX,
            incarnation: 0,
        };
        Records {
            map: &self.map,
            member: nobody,
            buried_at: &self.buried_at,
        }
    }

    /// Whether this process makes its notes elsewhere, because the arena had no room for them.
    pub fn lacks_notes(&self) -> bool {
        self.lacks_notes.load(Ordering::Relaxed)
    }

    /// Says that the arena has no room for notes.
    pub fn set_lacks_notes(&self) {
        self.lacks_notes.store(true, Ordering::Relaxed);
    }

    /// Hex of the arena's unique id.
    pub fn epoch(&self) -> String {
        let epoch = Header::of(&self.map).map_or([0; 16], |header| header.epoch());
        epoch.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// Keeps what is in use now from being reused until the pin is dropped. `None` for a process without a slot.
    pub fn pin(self: &Arc<Self>) -> Option<Pin> {
        let member = self.member()?;
        let removals = Header::of(&self.map).map_or(0, |header| header.removals().load(Ordering::SeqCst));
        let _ = self.pins.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |pins| {
            Some(if pins & PINS == 0 {
                removals << PINS.count_ones() | 1
            } else {
                pins + 1
            })
        });
        Some(Pin {
            arena: Arc::clone(self),
            member,
            generation: fork::generation(),
        })
    }

    /// Says that this process holds nothing that was removed up to `removals`, as far as no pin stands against it.
    pub fn release(&self, removals: u64) {
        let Some(slot) = self.member().and_then(|member| process::slot(&self.map, member.slot)) else {
            return;
        };
        let pins = self.pins.load(Ordering::SeqCst);
        let most = if pins & PINS == 0 {
            removals
        } else {
            removals.min(pins >> PINS.count_ones())
        };
        slot.released().fetch_max(most, Ordering::SeqCst);
    }
}

impl Drop for Arena {
    fn drop(&mut self) {
        self.leave();
    }
}

/// While it lives, its process keeps what was in use when it was made.
pub(super) struct Pin {
    pub arena: Arc<Arena>,
    member: Member,
    generation: u32,
}

impl Pin {
    /// The log, as the process may work on it whose slot the pin keeps.
    pub fn records(&self) -> Records<'_> {
        Records {
            map: &self.arena.map,
            member: self.member,
            buried_at: &self.arena.buried_at,
        }
    }
}

impl Drop for Pin {
    fn drop(&mut self) {
        if self.generation != fork::generation() {
            return;
        }
        let last = self.arena.pins.fetch_sub(1, Ordering::SeqCst) & PINS == 1;
        if last && self.arena.member() != Some(self.member) {
            // The process has left meanwhile.
            process::detach(&self.arena.map, self.member);
        }
    }
}
