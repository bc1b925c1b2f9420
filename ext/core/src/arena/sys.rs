//! The system calls of the arena, each behind a safe function.

use std::ffi::CString;
use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

fn check(result: libc::c_int) -> io::Result<libc::c_int> {
    if result == -1 {
        Err(io::Error::last_os_error())
    } else {
        Ok(result)
    }
}

/// An error where the process may not write files that reach to `end`: the kernel would end it by a signal.
fn check_limit(end: u64) -> io::Result<()> {
    let mut limit = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: `limit` outlives the call.
    let known = unsafe { libc::getrlimit(libc::RLIMIT_FSIZE, &mut limit) } == 0;
    if known && end > limit.rlim_cur {
        return Err(io::Error::from_raw_os_error(libc::EFBIG));
    }
    Ok(())
}

/// Makes sure that `file` has blocks for `offset..offset + length`, and is at least that long. Asking twice is harmless.
#[cfg(target_os = "linux")]
pub(super) fn allocate(file: &File, offset: u64, length: u64) -> io::Result<()> {
    check_limit(offset + length)?;
    loop {
        // SAFETY: a plain system call on an open descriptor.
        let result =
            check(unsafe { libc::fallocate(file.as_raw_fd(), 0, offset as libc::off_t, length as libc::off_t) });
        match result {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            other => return other.map(drop),
        }
    }
}

/// Makes sure that `file` has blocks for `offset..offset + length`, and is at least that long. Asking twice is harmless.
#[cfg(target_os = "macos")]
pub(super) fn allocate(file: &File, offset: u64, length: u64) -> io::Result<()> {
    let end = offset + length;
    check_limit(end)?;
    let mut store = libc::fstore_t {
        fst_flags: libc::F_ALLOCATEALL,
        fst_posmode: libc::F_PEOFPOSMODE,
        fst_offset: 0,
        fst_length: length as libc::off_t,
        fst_bytesalloc: 0,
    };
    if file.metadata()?.len() < end {
        // SAFETY: `store` outlives the call.
        check(unsafe { libc::fcntl(file.as_raw_fd(), libc::F_PREALLOCATE, &mut store) })?;
        file.set_len(end)?;
    }
    Ok(())
}

/// An unnamed file in memory.
#[cfg(target_os = "linux")]
pub(super) fn memory_file() -> io::Result<File> {
    // SAFETY: the name is a valid C string; the descriptor is owned by the `File` alone.
    unsafe {
        let descriptor = check(libc::memfd_create(c"tasker_telemetry".as_ptr(), libc::MFD_CLOEXEC))?;
        Ok(File::from_raw_fd(descriptor))
    }
}

/// An unnamed file, unlinked as soon as it is made.
#[cfg(not(target_os = "linux"))]
pub(super) fn memory_file() -> io::Result<File> {
    let mut template = std::env::temp_dir()
        .join("tasker_telemetry.XXXXXX")
        .into_os_string()
        .into_encoded_bytes();
    template.push(0);
    // SAFETY: the template is a NUL-terminated buffer that outlives both calls.
    unsafe {
        let descriptor = check(libc::mkstemp(template.as_mut_ptr().cast()))?;
        libc::unlink(template.as_ptr().cast());
        libc::fcntl(descriptor, libc::F_SETFD, libc::FD_CLOEXEC);
        Ok(File::from_raw_fd(descriptor))
    }
}

fn byte_range(kind: libc::c_int, start: u64, length: u64) -> libc::flock {
    // SAFETY: `flock` is plain data for which all zeros is valid.
    let mut range: libc::flock = unsafe { std::mem::zeroed() };
    range.l_type = kind as libc::c_short;
    range.l_whence = libc::SEEK_SET as libc::c_short;
    range.l_start = start as libc::off_t;
    range.l_len = length as libc::off_t;
    range
}

/// Takes the record lock of one byte for this process without waiting; `false` when another process has it.
///
/// Record locks belong to the process and not to the descriptor, so a forked child does not share them, and the
/// kernel frees them however the process ends.
pub(super) fn try_lock(file: &File, byte: u64) -> io::Result<bool> {
    let range = byte_range(libc::F_WRLCK as libc::c_int, byte, 1);
    // SAFETY: `range` outlives the call.
    match check(unsafe { libc::fcntl(file.as_raw_fd(), libc::F_SETLK, &range) }) {
        Ok(_) => Ok(true),
        Err(error) if matches!(error.raw_os_error(), Some(libc::EACCES | libc::EAGAIN)) => Ok(false),
        Err(error) => Err(error),
    }
}

/// Gives the record lock of one byte back.
pub(super) fn unlock(file: &File, byte: u64) {
    let range = byte_range(libc::F_UNLCK as libc::c_int, byte, 1);
    // SAFETY: `range` outlives the call.
    unsafe { libc::fcntl(file.as_raw_fd(), libc::F_SETLK, &range) };
}

/// Whether *another* process holds the record lock of any of `count` bytes. An error counts as held: nothing is taken
/// from a process that may be alive.
pub(super) fn locked_by_other(file: &File, first: u64, count: u64) -> bool {
    let mut range = byte_range(libc::F_WRLCK as libc::c_int, first, count);
    // SAFETY: `range` outlives the call.
    let result = unsafe { libc::fcntl(file.as_raw_fd(), libc::F_GETLK, &mut range) };
    result == -1 || range.l_type != libc::F_UNLCK as libc::c_short
}

/// Whether the file system of `path` lives on another machine, where shared memory cannot work.
#[cfg(target_os = "linux")]
pub(super) fn is_network_filesystem(path: &Path) -> bool {
    const NETWORK: [i64; 8] = [
        0x6969,      // NFS
        0x517B,      // SMB
        0xFF53_4D42, // CIFS
        0xFE53_4D42, // SMB2
        0x5346_414F, // AFS
        0x0102_1997, // 9P
        0x00C3_6400, // Ceph
        0x0BD0_0BD0, // Lustre
    ];
    let Ok(path) = CString::new(path.as_os_str().as_bytes()) else {
        return false;
    };
    // SAFETY: `stat` is plain data, `path` a C string; both outlive the call.
    unsafe {
        let mut stat: libc::statfs = std::mem::zeroed();
        libc::statfs(path.as_ptr(), &mut stat) == 0 && NETWORK.contains(&(stat.f_type as i64 & 0xFFFF_FFFF))
    }
}

/// Whether the file system of `path` lives on another machine, where shared memory cannot work.
#[cfg(target_os = "macos")]
pub(super) fn is_network_filesystem(path: &Path) -> bool {
    let Ok(path) = CString::new(path.as_os_str().as_bytes()) else {
        return false;
    };
    // SAFETY: `stat` is plain data, `path` a C string; both outlive the call.
    unsafe {
        let mut stat: libc::statfs = std::mem::zeroed();
        libc::statfs(path.as_ptr(), &mut stat) == 0 && stat.f_flags & libc::MNT_LOCAL as u32 == 0
    }
}

/// The effective user.
pub(super) fn user() -> u32 {
    // SAFETY: has no failure and no arguments.
    unsafe { libc::geteuid() }
}

/// What tells one boot of the machine from another.
#[cfg(target_os = "linux")]
pub(super) fn boot_id() -> String {
    std::fs::read_to_string("/proc/sys/kernel/random/boot_id")
        .map_or_else(|_| "unknown".to_owned(), |id| id.trim().to_owned())
}

/// What tells one boot of the machine from another.
#[cfg(not(target_os = "linux"))]
pub(super) fn boot_id() -> String {
    let mut buffer = [0u8; 64];
    let mut length = buffer.len();
    // SAFETY: name and buffer outlive the call, and `length` is the buffer's.
    let result = unsafe {
        libc::sysctlbyname(
            c"kern.bootsessionuuid".as_ptr(),
            buffer.as_mut_ptr().cast(),
            &mut length,
            std::ptr::null_mut(),
            0,
        )
    };
    if result == 0 {
        String::from_utf8_lossy(&buffer[..length])
            .trim_end_matches('\0')
            .to_owned()
    } else {
        "unknown".to_owned()
    }
}

/// Inode of this process's pid namespace; 0 where there is none.
pub(super) fn pid_namespace() -> u64 {
    std::fs::metadata("/proc/self/ns/pid").map_or(0, |meta| meta.ino())
}

/// Random bytes from the kernel.
pub(super) fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0u8; N];
    // SAFETY: the buffer is `N` bytes long; requests of up to 256 bytes are never cut short.
    let filled = unsafe { libc::getentropy(bytes.as_mut_ptr().cast(), N) } == 0;
    if !filled {
        let seed = (wall_clock(), std::process::id(), boot_clock());
        let hash = xxhash_rust::xxh3::xxh3_128(format!("{seed:?}").as_bytes()).to_le_bytes();
        bytes
            .iter_mut()
            .zip(hash.iter().cycle())
            .for_each(|(byte, part)| *byte = *part);
    }
    bytes
}

fn clock(id: libc::clockid_t) -> u64 {
    // SAFETY: `time` is plain data that outlives the call.
    unsafe {
        let mut time: libc::timespec = std::mem::zeroed();
        libc::clock_gettime(id, &mut time);
        time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
    }
}

/// Nanoseconds since the Unix epoch.
pub(super) fn wall_clock() -> u64 {
    clock(libc::CLOCK_REALTIME)
}

/// Nanoseconds since the machine booted: one clock for all its processes, which nobody can set.
pub(super) fn boot_clock() -> u64 {
    #[cfg(target_os = "linux")]
    let id = libc::CLOCK_BOOTTIME;
    #[cfg(not(target_os = "linux"))]
    let id = libc::CLOCK_MONOTONIC;
    clock(id)
}

/// [`boot_clock`] in milliseconds, wrapping after 49 days: for differences only.
pub(super) fn boot_millis() -> u64 {
    boot_clock() / 1_000_000
}
