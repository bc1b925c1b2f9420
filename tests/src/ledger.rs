#![allow(unsafe_code)]

use std::fs::OpenOptions;
use std::io;
use std::os::fd::AsRawFd;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

/// Words in a file that all who open it share. A worker notes there what returned, where `kill -9` cannot take it back.
#[derive(Debug)]
pub struct Ledger {
    words: &'static [AtomicU64],
}

impl Ledger {
    /// The ledger at `path`, made if there is none.
    ///
    /// # Errors
    /// What the file system says.
    pub fn open(path: &Path, words: usize) -> io::Result<Self> {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(path)?;
        let bytes = words * 8;
        if file.metadata()?.len() < bytes as u64 {
            file.set_len(bytes as u64)?;
        }
        // SAFETY: a fresh shared mapping of a file that is long enough and never shrinks.
        let base = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                bytes,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_SHARED,
                file.as_raw_fd(),
                0,
            )
        };
        if base == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: page-aligned, as long as mapped, accessed atomically only, and never unmapped.
        let words = unsafe { std::slice::from_raw_parts(base.cast::<AtomicU64>(), words) };
        Ok(Self { words })
    }

    /// Adds to word `index`.
    pub fn add(&self, index: usize, by: u64) {
        self.words[index].fetch_add(by, Ordering::SeqCst);
    }

    /// Sets word `index`.
    pub fn set(&self, index: usize, to: u64) {
        self.words[index].store(to, Ordering::SeqCst);
    }

    /// Word `index`.
    #[must_use]
    pub fn get(&self, index: usize) -> u64 {
        self.words[index].load(Ordering::SeqCst)
    }

    /// Total of `count` words from `from` on.
    #[must_use]
    pub fn total(&self, from: usize, count: usize) -> u64 {
        (from..from + count).map(|index| self.get(index)).sum()
    }
}
