//! Where the file lives, how it comes to be, and what happens to a file that is not ours.
//!
//! No lock is taken. A new file is built under a name of its own and put in place by `link(2)`, which fails for the
//! slower of two. A file that cannot be used is moved aside by `rename(2)`; should a good one have taken its place in
//! that very moment, it is linked back, or, when yet another has come, handed to the caller to be folded in.

use super::layout::{Foreign, Header, Identity, CHUNKS, CHUNKS_AT, LAYOUT, LOG_AT, UNIT};
use super::map::Mapping;
use super::node::State;
use super::records::Records;
use super::{exemplar, fail, notes, process, sys};
use std::fs::{self, File, Metadata, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

/// Size of a new file: the header, a chunk of the process table, and room for some hundreds of records.
const FIRST_SIZE: u64 = 64 << 10;
/// How many files that were moved aside are kept.
const KEPT_ASIDE: usize = 4;
const ATTEMPTS: usize = 16;

/// Device and inode.
pub(super) type Inode = (u64, u64);

/// A file that is mapped and known to be the arena that was asked for.
pub(super) struct Opened {
    pub map: Mapping,
    pub inode: Inode,
    /// What happened on the way, for the log.
    pub notices: Vec<String>,
    /// Good arenas that were moved aside in a race.
    pub strays: Vec<PathBuf>,
}

/// Why there is no arena at a path.
#[derive(Debug, thiserror::Error)]
pub(super) enum OpenError {
    #[error("{0} is on a network file system, where shared memory cannot work")]
    Network(PathBuf),
    #[error("{0} belongs to another user, or is not a directory")]
    Directory(PathBuf),
    #[error("{path}: {error}")]
    Io { path: PathBuf, error: io::Error },
    #[error("{0} is in use by another service, or by a release with another layout")]
    InUse(PathBuf),
    #[error("{0} is replaced faster than it can be opened")]
    Unsettled(PathBuf),
}

pub(super) fn inode_of(meta: &Metadata) -> Inode {
    (meta.dev(), meta.ino())
}

/// Inode of what stands at `path` now; `None` when there is nothing.
pub(super) fn inode_at(path: &Path) -> Option<Inode> {
    fs::symlink_metadata(path).ok().map(|meta| inode_of(&meta))
}

/// Ends the names of files that this project named itself.
const SUFFIX: &str = ".arena";

/// Name of the file of an application: readable, unique to service and environment, layout and boot.
pub(super) fn file_name(service: &str, environment: &str) -> String {
    let readable = |text: &str| -> String {
        let keep = |c: char| match c {
            c if c.is_ascii_alphanumeric() || c == '-' || c == '_' => c,
            _ => '_',
        };
        text.chars().take(40).map(keep).collect()
    };
    format!(
        "{}-{}-{:08x}.v{LAYOUT}-{:08x}{SUFFIX}",
        readable(service),
        readable(environment),
        super::shared::application(service, environment) as u32,
        Identity::this_boot() as u32,
    )
}

/// Whether `found` is the name of the same application's file as `name`, made before the machine's last start.
fn is_of_another_boot(found: &str, name: &str) -> bool {
    let parts = |name: &str| -> Option<(String, String)> {
        let (application, rest) = name.strip_suffix(SUFFIX)?.rsplit_once(".v")?;
        let (_, boot) = rest.split_once('-')?;
        Some((application.to_owned(), boot.to_owned()))
    };
    match (parts(found), parts(name)) {
        (Some((one, found)), Some((other, now))) => one == other && found != now,
        _ => false,
    }
}

/// The directory in shared memory that only this user can enter, made if need be.
pub(super) fn private_directory(directory: &Path) -> Result<(), OpenError> {
    let failed = |error| OpenError::Io {
        path: directory.to_owned(),
        error,
    };
    match fs::DirBuilder::new().mode(0o700).create(directory) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(failed(error)),
        _ => {}
    }
    let meta = fs::symlink_metadata(directory).map_err(failed)?;
    if !meta.is_dir() || meta.uid() != sys::user() {
        return Err(OpenError::Directory(directory.to_owned()));
    }
    if meta.mode() & 0o077 != 0 {
        fs::set_permissions(directory, fs::Permissions::from_mode(0o700)).map_err(failed)?;
    }
    Ok(())
}

/// An arena that only this process and its forks can reach.
pub(super) fn memory(application: u64) -> io::Result<Opened> {
    let file = sys::memory_file()?;
    let meta = file.metadata()?;
    let map = build(file, application)?;
    Ok(Opened {
        map,
        inode: inode_of(&meta),
        notices: Vec::new(),
        strays: Vec::new(),
    })
}

fn build(file: File, application: u64) -> io::Result<Mapping> {
    sys::allocate(&file, 0, FIRST_SIZE)?;
    let inode = file.metadata()?.ino();
    let map = Mapping::new(file)?;
    let header = Header::of(&map).ok_or(io::ErrorKind::UnexpectedEof)?;
    header.write(&Identity::fresh(application), inode);
    Ok(map)
}

/// Opens the arena at `path`, or makes it.
pub(super) fn open(path: &Path, application: u64) -> Result<Opened, OpenError> {
    let failed = |error| OpenError::Io {
        path: path.to_owned(),
        error,
    };
    let directory = path
        .parent()
        .filter(|parent| !parent.as_os_str().is_empty())
        .unwrap_or(Path::new("."));
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(directory)
        .map_err(failed)?;
    if sys::is_network_filesystem(directory) {
        return Err(OpenError::Network(path.to_owned()));
    }
    let (mut notices, mut strays) = (Vec::new(), Vec::new());
    for _ in 0..ATTEMPTS {
        let meta = match fs::symlink_metadata(path) {
            Ok(meta) => meta,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                if let Some((map, inode)) = create(path, application).map_err(failed)? {
                    return Ok(Opened {
                        map,
                        inode,
                        notices,
                        strays,
                    });
                }
                continue;
            }
            Err(error) => return Err(failed(error)),
        };
        let reason = match examine(path, &meta, application) {
            Ok(Some(map)) => {
                return Ok(Opened {
                    map,
                    inode: inode_of(&meta),
                    notices,
                    strays,
                })
            }
            Ok(None) => continue,
            Err(Examined::Unusable(reason)) => reason,
            Err(Examined::InUse) => return Err(OpenError::InUse(path.to_owned())),
            Err(Examined::Io(error)) => return Err(failed(error)),
        };
        if let Some(aside) = set_aside(path, inode_of(&meta)).map_err(failed)? {
            match aside {
                Aside::Moved(to) => notices.push(format!(
                    "{} cannot be used: {reason}; it was moved to {}, and a new arena takes its place",
                    path.display(),
                    to.display()
                )),
                Aside::Stray(stray) => strays.push(stray),
            }
        }
    }
    Err(OpenError::Unsettled(path.to_owned()))
}

/// Opens a good arena that is no longer at its place.
pub(super) fn open_stray(path: &Path, application: u64) -> Option<Opened> {
    let meta = fs::symlink_metadata(path).ok()?;
    let map = examine(path, &meta, application).ok()??;
    Some(Opened {
        map,
        inode: inode_of(&meta),
        notices: Vec::new(),
        strays: Vec::new(),
    })
}

enum Examined {
    Unusable(String),
    /// Others count into it: two that cannot share a place would move each other's file aside for ever.
    InUse,
    Io(io::Error),
}

/// Maps the file at `path` if it can be used; `None` when something else stands there by now.
fn examine(path: &Path, meta: &Metadata, application: u64) -> Result<Option<Mapping>, Examined> {
    let unusable = |reason: &str| Err(Examined::Unusable(reason.to_owned()));
    if meta.file_type().is_symlink() {
        return unusable("it is a symbolic link");
    }
    if !meta.is_file() {
        return unusable("it is not a regular file");
    }
    if meta.uid() != sys::user() {
        return unusable("it belongs to another user");
    }
    if meta.mode() & 0o077 != 0 {
        return unusable("other users may open it");
    }
    let file = match OpenOptions::new()
        .read(true)
        .write(true)
        .custom_flags(libc::O_NOFOLLOW | libc::O_CLOEXEC)
        .open(path)
    {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(Examined::Io(error)),
    };
    if inode_of(&file.metadata().map_err(Examined::Io)?) != inode_of(meta) {
        return Ok(None);
    }
    // Before it is mapped, which allocates what a foreign file may have as holes.
    let mut first = [0; 16];
    let foreign = match file.read_exact_at(&mut first, 0) {
        _ if meta.len() < LOG_AT => Some(Foreign::NotAnArena),
        Err(error) => return Err(Examined::Io(error)),
        Ok(()) => Foreign::of_beginning(first),
    };
    if let Some(foreign) = foreign {
        return Err(Examined::of(&file, foreign));
    }
    let map = match Mapping::new(file) {
        Ok(map) => map,
        Err(error) if error.raw_os_error() == Some(libc::ENOSPC) => {
            return unusable("it has holes, and the disk is too full to fill them");
        }
        Err(error) => return Err(Examined::Io(error)),
    };
    if map.is_partial() {
        let reason = "it is larger than the address space that this process may have";
        return Err(Examined::Io(io::Error::new(io::ErrorKind::OutOfMemory, reason)));
    }
    match verify(&map, application, meta.ino()) {
        Ok(()) => Ok(Some(map)),
        Err(foreign) => Err(Examined::of(map.file(), foreign)),
    }
}

impl Examined {
    fn of(file: &File, foreign: Foreign) -> Self {
        match foreign {
            Foreign::Layout | Foreign::Application if process::is_in_use(file) => Self::InUse,
            foreign => Self::Unusable(foreign.to_string()),
        }
    }
}

fn verify(map: &Mapping, application: u64, inode: u64) -> Result<(), Foreign> {
    let header = Header::of(map).ok_or(Foreign::NotAnArena)?;
    header.verify(application, inode)?;
    if !chunks_are_sound(map) {
        return Err(Foreign::Records);
    }
    // While somebody counts into the file its records change under the reader, and their owner vouches for them.
    // Several processes start at once, so he may come, and even go again, while they are looked through.
    let numbers = || [header.tail(), header.births(), header.removals()].map(|cell| cell.load(Ordering::SeqCst));
    for _ in 0..ATTEMPTS {
        let before = numbers();
        if process::living(map, None).next().is_some() || records_are_sound(map) {
            return Ok(());
        }
        if numbers() == before {
            break;
        }
    }
    Err(Foreign::Records)
}

fn chunk_offsets(map: &Mapping) -> impl Iterator<Item = u64> + '_ {
    (0..CHUNKS)
        .filter_map(|chunk| map.half(CHUNKS_AT + 4 * chunk))
        .map(|cell| u64::from(cell.load(Ordering::Acquire)) * UNIT)
        .filter(|offset| *offset != 0)
}

fn chunks_are_sound(map: &Mapping) -> bool {
    chunk_offsets(map).all(|offset| offset >= LOG_AT && map.words(offset, process::CHUNK as usize / 8).is_some())
}

/// Whether all records hang together. Only asked of a file that nobody uses.
pub(super) fn records_are_sound(map: &Mapping) -> bool {
    let Some(header) = Header::of(map) else { return false };
    let load = |cell: &AtomicU64| cell.load(Ordering::Relaxed);
    let (tail, births, removals) = (load(header.tail()), load(header.births()), load(header.removals()));
    let nobody = process::Member {
        slot: u32::MAX,
        incarnation: 0,
    };
    let never = AtomicU64::new(u64::MAX);
    let records = Records {
        map,
        member: nobody,
        buried_at: &never,
    };

    let mut extents: Vec<(u64, u64)> = chunk_offsets(map)
        .map(|offset| (offset, offset + process::CHUNK))
        .collect();
    extents.extend(notes::place_of(map).map(|start| (start, start + notes::SIZE)));
    if extents.iter().any(|(start, end)| *start < LOG_AT || *end > tail) {
        return false;
    }
    let most = (map.length() / UNIT) as usize;
    for bucket in 0..super::layout::BUCKETS {
        let head = map
            .half(super::layout::BUCKETS_AT + 4 * bucket)
            .map_or(0, |head| head.load(Ordering::Relaxed));
        let mut last = head;
        for node in records.chain(bucket) {
            last = node.next();
            let (word, end) = (node.word(), node.start() + node.size());
            extents.push((node.start(), end));
            let block = exemplar::extent(map, &node);
            extents.extend(block);
            if block.is_some_and(|(start, end)| start < LOG_AT || end > tail) {
                return false;
            }
            let numbered = match word.state() {
                Some(State::Free | State::Claimed) => word.sequence() <= births,
                Some(State::Pending | State::Live | State::Expiring | State::Removing) => {
                    word.sequence() == node.birth() && node.birth() <= births && node.is_sound()
                }
                Some(State::Removed) => word.sequence() <= removals && node.birth() <= births && node.is_sound(),
                None => false,
            };
            let placed = node.start() >= LOG_AT && node.size() > 0 && end <= tail;
            let filed = matches!(word.state(), Some(State::Free | State::Claimed))
                || node.hash() % super::layout::BUCKETS == bucket;
            if !numbered || !placed || !filed || extents.len() > most {
                return false;
            }
        }
        if last != 0 {
            return false;
        }
    }
    extents.sort_unstable();
    extents.windows(2).all(|pair| pair[0].1 <= pair[1].0)
}

fn nonce() -> String {
    sys::random::<8>().iter().map(|byte| format!("{byte:02x}")).collect()
}

fn beside(path: &Path, prefix: &str, suffix: &str) -> PathBuf {
    let mut name = std::ffi::OsString::from(prefix);
    name.push(path.file_name().unwrap_or_default());
    name.push(suffix);
    path.with_file_name(name)
}

/// Builds a new arena and puts it at `path`; `None` when somebody was faster.
fn create(path: &Path, application: u64) -> io::Result<Option<(Mapping, Inode)>> {
    fail::point("open:before_create");
    let draft = beside(path, ".", &format!(".{}.draft", nonce()));
    let result = (|| {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create_new(true)
            .mode(0o600)
            .custom_flags(libc::O_NOFOLLOW | libc::O_CLOEXEC)
            .open(&draft)?;
        let inode = inode_of(&file.metadata()?);
        let map = build(file, application)?;
        fail::point("open:created");
        match fs::hard_link(&draft, path) {
            Ok(()) => Ok(Some((map, inode))),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(None),
            Err(error) => Err(error),
        }
    })();
    // The draft may be missing when its making failed.
    let _ = fs::remove_file(&draft);
    fail::point("open:linked");
    if matches!(result, Ok(Some(_))) {
        tidy(path);
    }
    result
}

enum Aside {
    Moved(PathBuf),
    Stray(PathBuf),
}

/// Moves what stands at `path`, and was found to have `inode`, aside. `None` when it is gone already.
fn set_aside(path: &Path, inode: Inode) -> io::Result<Option<Aside>> {
    let aside = beside(path, "", &format!(".aside-{:020}-{}", sys::wall_clock(), nonce()));
    match fs::rename(path, &aside) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    }
    fail::point("open:aside_renamed");
    if inode_at(&aside) == Some(inode) {
        return Ok(Some(Aside::Moved(aside)));
    }
    if fs::hard_link(&aside, path).is_ok() {
        let _ = fs::remove_file(&aside);
        return Ok(None);
    }
    Ok(Some(Aside::Stray(aside)))
}

/// Removes drafts of processes that were killed, files of boots that are over, and all but the newest of the files that
/// were moved aside.
fn tidy(path: &Path) {
    const ABANDONED: std::time::Duration = std::time::Duration::from_secs(600);
    let (Some(directory), Some(name)) = (path.parent(), path.file_name().map(|name| name.to_string_lossy())) else {
        return;
    };
    let Ok(entries) = fs::read_dir(directory) else { return };
    let (drafts, asides) = (format!(".{name}."), format!("{name}.aside-"));
    let mut moved = Vec::new();
    for entry in entries.flatten() {
        let (file, found) = (entry.path(), entry.file_name().to_string_lossy().into_owned());
        if found.starts_with(&asides) {
            moved.push(file);
        } else if is_of_another_boot(&found, &name) {
            let _ = fs::remove_file(file);
        } else if found.starts_with(&drafts) && found.ends_with(".draft") {
            let age = entry
                .metadata()
                .and_then(|meta| meta.modified())
                .ok()
                .and_then(|time| time.elapsed().ok());
            if age.is_some_and(|age| age > ABANDONED) {
                let _ = fs::remove_file(file);
            }
        }
    }
    moved.sort();
    for file in moved.iter().rev().skip(KEPT_ASIDE) {
        let _ = fs::remove_file(file);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knows_the_files_of_boots_that_are_over() {
        let name = file_name("my shop", "production");
        let boot = format!("-{:08x}.arena", Identity::this_boot() as u32);
        let older = name.replace(&boot, "-00000001.arena");
        assert_ne!(older, name);
        assert!(is_of_another_boot(&older, &name));
        assert!(!is_of_another_boot(&name, &name));
        // Another layout of this boot is in use by another release.
        let version = format!(".v{LAYOUT}-");
        assert!(!is_of_another_boot(&name.replace(&version, ".v999-"), &name));
        assert!(!is_of_another_boot(
            &file_name("other", "production").replace(&boot, "-00000001.arena"),
            &name
        ));
        assert!(!is_of_another_boot("notes.txt", &name));
    }
}
