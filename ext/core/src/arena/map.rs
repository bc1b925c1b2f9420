//! A file mapped for all its processes, read and written by atomic words only.
//!
//! Every access is checked against the file's real length, so no byte in the file, whoever wrote it, can lead outside
//! of the mapping; and since every access is atomic, no race between processes is undefined.

use super::{fail, sys};
use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

/// Address space reserved for a mapping, so that it can grow in place.
const RESERVED: usize = 1 << 32;
/// Least address space that is still of use, where the process may not have more.
const LEAST_RESERVED: usize = 1 << 24;
/// A file grows by its own size, at least by this…
const LEAST_STEP: u64 = 64 << 10;
/// …and at most by this.
const MOST_STEP: u64 = 1 << 20;

/// A type that any bytes of a file may be seen as.
///
/// # Safety
/// It is `repr(C)`, and every byte of it belongs to an atomic integer of at most eight bytes.
pub(super) unsafe trait Cells {}

pub(super) struct Mapping {
    file: File,
    base: NonNull<u8>,
    reserved: usize,
    /// Length of the file when this process last looked; files never shrink.
    length: AtomicU64,
}

// SAFETY: the memory behind `base` is only reached through atomics, and lives as long as the mapping.
unsafe impl Send for Mapping {}
// SAFETY: as above.
unsafe impl Sync for Mapping {}

impl Mapping {
    /// Maps `file`, whose blocks up to its length are allocated (a hole would be a SIGBUS on a full disk).
    pub fn new(file: File) -> io::Result<Self> {
        let length = file.metadata()?.len();
        if length > 0 {
            sys::allocate(&file, 0, length)?;
        }
        let mut reserved = RESERVED;
        loop {
            // SAFETY: a fresh shared mapping at an address of the kernel's choice; pages behind the file's end are
            // never touched, because every access is checked against `length`.
            let base = unsafe {
                libc::mmap(
                    std::ptr::null_mut(),
                    reserved,
                    libc::PROT_READ | libc::PROT_WRITE,
                    libc::MAP_SHARED,
                    file.as_raw_fd(),
                    0,
                )
            };
            if base != libc::MAP_FAILED {
                let base = NonNull::new(base.cast()).ok_or(io::ErrorKind::OutOfMemory)?;
                return Ok(Self {
                    file,
                    base,
                    reserved,
                    length: AtomicU64::new(length.min(reserved as u64)),
                });
            }
            if reserved <= LEAST_RESERVED {
                return Err(io::Error::last_os_error());
            }
            reserved /= 2;
        }
    }

    /// Whether the file was longer than the address space that this process could reserve for it.
    pub fn is_partial(&self) -> bool {
        self.file.metadata().is_ok_and(|meta| meta.len() > self.reserved as u64)
    }

    pub fn file(&self) -> &File {
        &self.file
    }

    /// Bytes of the file.
    pub fn length(&self) -> u64 {
        let length = self
            .file
            .metadata()
            .map_or(0, |meta| meta.len())
            .min(self.reserved as u64);
        self.length.fetch_max(length, Ordering::Relaxed);
        length
    }

    fn contains(&self, offset: u64, size: u64) -> bool {
        let Some(end) = offset.checked_add(size) else {
            return false;
        };
        end <= self.length.load(Ordering::Relaxed) || (end <= self.reserved as u64 && end <= self.length())
    }

    /// The 64-bit word at `offset`, unless it is misaligned or outside of the file.
    #[inline]
    pub fn word(&self, offset: u64) -> Option<&AtomicU64> {
        if offset % 8 != 0 || !self.contains(offset, 8) {
            return None;
        }
        // SAFETY: aligned, inside of the file, and only ever accessed atomically.
        Some(unsafe { &*self.base.as_ptr().add(offset as usize).cast::<AtomicU64>() })
    }

    /// The 32-bit word at `offset`, unless it is misaligned or outside of the file.
    #[inline]
    pub fn half(&self, offset: u64) -> Option<&AtomicU32> {
        if offset % 4 != 0 || !self.contains(offset, 4) {
            return None;
        }
        // SAFETY: aligned, inside of the file, and only ever accessed atomically.
        Some(unsafe { &*self.base.as_ptr().add(offset as usize).cast::<AtomicU32>() })
    }

    /// A `T` at `offset`, unless it is misaligned or outside of the file.
    #[inline]
    pub fn view<T: Cells>(&self, offset: u64) -> Option<&T> {
        if offset % align_of::<T>() as u64 != 0 || !self.contains(offset, size_of::<T>() as u64) {
            return None;
        }
        // SAFETY: aligned, inside of the file, and made of nothing but atomics, as `Cells` promises.
        Some(unsafe { &*self.base.as_ptr().add(offset as usize).cast::<T>() })
    }

    /// `count` 64-bit words from `offset` on, unless they are misaligned or outside of the file.
    #[inline]
    pub fn words(&self, offset: u64, count: usize) -> Option<&[AtomicU64]> {
        if offset % 8 != 0 || !self.contains(offset, (count as u64).checked_mul(8)?) {
            return None;
        }
        // SAFETY: aligned, inside of the file, and only ever accessed atomically.
        Some(unsafe { std::slice::from_raw_parts(self.base.as_ptr().add(offset as usize).cast::<AtomicU64>(), count) })
    }

    /// Offset of a place inside of the file.
    pub fn offset_of(&self, place: *const u8) -> Option<u64> {
        let offset = (place as usize).checked_sub(self.base.as_ptr() as usize)? as u64;
        self.contains(offset, 1).then_some(offset)
    }

    /// Makes sure that the file reaches to `end`: an error here is what keeps a full disk from being a SIGBUS later.
    pub fn grow_to(&self, end: u64) -> io::Result<()> {
        loop {
            let length = self.length();
            if end <= length {
                return Ok(());
            }
            let room = (self.reserved as u64).saturating_sub(length);
            let step = length.clamp(LEAST_STEP, MOST_STEP).min(room);
            if step == 0 {
                return Err(io::ErrorKind::OutOfMemory.into());
            }
            fail::point("grow:before");
            sys::allocate(&self.file, length, step)?;
            fail::point("grow:allocated");
        }
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: exactly what `new` mapped; whoever borrows from `self` is gone.
        unsafe { libc::munmap(self.base.as_ptr().cast(), self.reserved) };
    }
}
