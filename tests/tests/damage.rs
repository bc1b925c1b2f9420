//! What happens to the arena's file while nobody has it mapped.

#![allow(unsafe_code)]

use std::ffi::CString;
use std::fs::{self, OpenOptions};
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use tasker_telemetry_tests::protocol::labels;
use tasker_telemetry_tests::{one_arena, Command, Random, Stage, Worker};
use xxhash_rust::xxh3::xxh3_64;

const OLD: u64 = 1000;

fn counting(stage: &Stage) -> Worker {
    let mut worker = stage.open();
    worker.declare("orders_total", "counter", &["status"]);
    worker
}

/// A stage whose arena holds [`OLD`] orders, and that nobody maps.
fn deserted() -> Stage {
    let stage = Stage::new();
    let mut worker = counting(&stage);
    for status in 0..10 {
        worker.increment(labels("orders_total", &[&status.to_string()]), OLD / 10);
    }
    worker.exit();
    stage
}

/// What stands beside the arena because it was moved aside.
fn asides(stage: &Stage) -> Vec<PathBuf> {
    let entries = fs::read_dir(stage.arena().parent().unwrap()).unwrap();
    let mut asides: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    asides.retain(|path| *path != stage.arena());
    asides
}

/// What went wrong, as `status` shows it for good.
fn shown(worker: &mut Worker) -> Vec<String> {
    let status = worker.status();
    let notices = status["notices"].as_array().unwrap().iter();
    notices
        .map(|notice| notice["message"].as_str().unwrap().to_owned())
        .collect()
}

/// Two processes come to the arena; their total is at least that of what they count. Answers it, and the notices.
fn goes_on(stage: &Stage) -> (u64, Vec<String>) {
    let mut workers = [counting(stage), counting(stage)];
    for worker in &mut workers {
        worker.increment(labels("orders_total", &["paid"]), 1);
    }
    one_arena(&mut workers);
    let [first, second] = workers.each_mut().map(|worker| worker.total("orders_total"));
    assert_eq!(first, second);
    assert!(workers[0].page("openmetrics").ends_with("# EOF\n"));
    let notices = workers[0].notices();
    assert_eq!(shown(&mut workers[0]), notices);
    assert_eq!(workers[0].notices(), Vec::<String>::new(), "it is logged once");
    assert_eq!(workers[1].notices(), Vec::<String>::new(), "one process tells it");
    assert_eq!(shown(&mut workers[1]), Vec::<String>::new());
    (first, notices)
}

/// Like [`goes_on`], with a file that cannot be what it was: it is moved aside, and why is told once. Answers that.
fn starts_anew(stage: &Stage, what: &str) -> String {
    let (total, mut notices) = goes_on(stage);
    assert_eq!(total, 2, "after {what}");
    assert_eq!(notices.len(), 1, "{notices:?} after {what}");
    let notice = notices.remove(0);
    let asides = asides(stage);
    assert_eq!(asides.len(), 1, "after {what}");
    let place = format!("moved to {}", asides[0].display());
    assert!(notice.contains(&place), "{notice:?} after {what}");
    notice
}

fn overwrite(path: &Path, at: u64, bytes: &[u8]) {
    let file = OpenOptions::new().write(true).open(path).unwrap();
    file.write_all_at(bytes, at).unwrap();
}

#[test]
fn nothing_happened() {
    let stage = deserted();
    assert_eq!(goes_on(&stage), (OLD + 2, Vec::new()));
    assert_eq!(asides(&stage), Vec::<PathBuf>::new());
}

#[test]
fn truncated() {
    let mut random = Random::seeded();
    let tail = {
        let stage = deserted();
        let bytes = fs::read(stage.arena()).unwrap();
        u64::from_le_bytes(bytes[128..136].try_into().unwrap())
    };
    let mut lengths = vec![
        0,
        1,
        8,
        16,
        127,
        128,
        4095,
        4096,
        20_479,
        20_480,
        20_481,
        tail - 1,
        tail,
    ];
    lengths.extend((0..8).map(|_| random.below(tail)));
    for length in lengths {
        let stage = deserted();
        let file = OpenOptions::new().write(true).open(stage.arena()).unwrap();
        file.set_len(length).unwrap();
        if length < tail {
            starts_anew(&stage, &format!("cutting it to {length} bytes"));
        } else {
            assert_eq!(goes_on(&stage), (OLD + 2, Vec::new()));
        }
    }
}

#[test]
fn full_of_random_bytes() {
    let mut random = Random::seeded();
    for length in [1, 64, 20_480, 65_536, 100_000] {
        let stage = deserted();
        let bytes: Vec<u8> = (0..length).map(|_| random.draw() as u8).collect();
        fs::write(stage.arena(), bytes).unwrap();
        starts_anew(&stage, "filling it with random bytes");
    }
}

#[test]
fn random_bytes_in_random_places() {
    let mut random = Random::seeded();
    for _ in 0..40 {
        let stage = deserted();
        let mut bytes = fs::read(stage.arena()).unwrap();
        let tail = u64::from_le_bytes(bytes[128..136].try_into().unwrap());
        for _ in 0..=random.below(20) {
            // Half of them in the log, which is where something stands.
            let at = match random.below(2) {
                0 => random.below(tail),
                _ => 20_480 + random.below(tail - 20_480),
            };
            bytes[at as usize] = random.draw() as u8;
        }
        fs::write(stage.arena(), bytes).unwrap();
        // A changed cell is a changed value, which nobody can tell; all else is found out or does no harm.
        let mut workers = [counting(&stage), counting(&stage)];
        for worker in &mut workers {
            worker.increment(labels("orders_total", &["new"]), 1);
        }
        for worker in &mut workers {
            let new = worker.value(labels("orders_total", &["new"])).unwrap();
            assert_eq!(new.count(), 2);
            worker.scrape();
            worker.page("prometheus");
        }
    }
}

/// Changes a word of the identity, and the checksum so that nothing else is wrong.
fn identify(path: &Path, at: usize, value: u64) {
    let mut bytes = fs::read(path).unwrap();
    bytes[at..at + 8].copy_from_slice(&value.to_le_bytes());
    let checksum = xxh3_64(&bytes[24..72]);
    bytes[16..24].copy_from_slice(&checksum.to_le_bytes());
    overwrite(path, 0, &bytes[..128]);
}

#[test]
fn of_another_layout() {
    let stage = deserted();
    identify(&stage.arena(), 8, 0);
    let notice = starts_anew(&stage, "giving it another layout");
    assert!(notice.contains("another layout"), "{notice}");
}

#[test]
fn in_use_by_another_service() {
    let stage = Stage::new();
    let mut shop = counting(&stage);
    shop.increment(labels("orders_total", &["paid"]), 1);
    let mut bakery = stage.worker();
    bakery
        .done(Command::Open {
            arena: Some(stage.arena()),
            service: "bakery".to_owned(),
            max_series: 10,
            idle_expiry: None,
            parallel: false,
            default_labels: Vec::new(),
        })
        .declare("loaves_total", "counter", &[]);
    bakery.increment(labels("loaves_total", &[]), 3);
    // Moving each other's file aside would go on for ever; whoever comes later does without.
    let notices = bakery.notices();
    assert_eq!(notices.len(), 2, "{notices:?}");
    assert!(
        notices[0].contains("in use by another service") && notices[1].contains("private memory"),
        "{notices:?}"
    );
    assert_eq!(shown(&mut bakery), notices);
    assert_eq!(asides(&stage), Vec::<PathBuf>::new());
    assert_eq!(bakery.total("loaves_total"), 3);
    assert_eq!(shop.total("orders_total"), 1);
    assert!(shop.status()["arena"]["replaced"].as_array().unwrap().is_empty());
    assert_eq!(shop.notices(), Vec::<String>::new());
}

#[test]
fn of_another_boot() {
    let stage = deserted();
    identify(&stage.arena(), 40, 1);
    let notice = starts_anew(&stage, "starting the machine anew");
    assert!(notice.contains("last start"), "{notice}");
}

#[test]
fn a_copy() {
    let stage = deserted();
    let copy = stage.directory().join("copy");
    fs::copy(stage.arena(), &copy).unwrap();
    fs::rename(&copy, stage.arena()).unwrap();
    starts_anew(&stage, "putting a copy in its place");
}

#[test]
fn of_another_owner() {
    let stage = deserted();
    let path = CString::new(stage.arena().into_os_string().into_encoded_bytes()).unwrap();
    // SAFETY: the path is a C string that outlives the call.
    let result = unsafe { libc::chown(path.as_ptr(), 12_345, 12_345) };
    assert_eq!(result, 0, "giving a file away takes root (CAP_CHOWN)");
    starts_anew(&stage, "giving it away");
}

#[test]
fn open_to_others() {
    for mode in [0o644, 0o660, 0o606] {
        let stage = deserted();
        fs::set_permissions(stage.arena(), fs::Permissions::from_mode(mode)).unwrap();
        starts_anew(&stage, "opening it to others");
        assert_eq!(fs::metadata(stage.arena()).unwrap().mode() & 0o777, 0o600);
    }
}

#[test]
fn a_symbolic_link() {
    let stage = deserted();
    let target = stage.directory().join("target");
    fs::rename(stage.arena(), &target).unwrap();
    let before = fs::read(&target).unwrap();
    std::os::unix::fs::symlink(&target, stage.arena()).unwrap();
    starts_anew(&stage, "linking it");
    assert!(fs::read(&target).unwrap() == before, "nobody wrote through the link");
    assert!(fs::symlink_metadata(stage.arena()).unwrap().is_file());
}

#[test]
fn a_directory() {
    let stage = deserted();
    fs::remove_file(stage.arena()).unwrap();
    fs::create_dir(stage.arena()).unwrap();
    fs::write(stage.arena().join("precious"), b"kept").unwrap();
    starts_anew(&stage, "making it a directory");
    assert_eq!(fs::read(asides(&stage)[0].join("precious")).unwrap(), b"kept");
}

#[test]
fn a_huge_file_with_holes() {
    let stage = deserted();
    fs::remove_file(stage.arena()).unwrap();
    let file = fs::File::create(stage.arena()).unwrap();
    file.set_len(1 << 30).unwrap();
    fs::set_permissions(stage.arena(), fs::Permissions::from_mode(0o600)).unwrap();
    starts_anew(&stage, "putting a huge file there");
    assert_eq!(
        fs::metadata(&asides(&stage)[0]).unwrap().blocks(),
        0,
        "its holes stay holes"
    );
}

#[test]
fn many_come_at_once() {
    let mut expected = 0;
    let stage = Stage::new();
    // The first round makes the file. In the later ones it is there, deserted, and so full that looking through it
    // takes longer than coming to it.
    for round in 0..12 {
        let mut workers: Vec<Worker> = (0..8).map(|_| counting(&stage)).collect();
        for (index, worker) in workers.iter_mut().enumerate() {
            for by in 1..=20 {
                let status = labels("orders_total", &[&format!("{round} {}", (index as u64 + by) % 30)]);
                worker.send(&Command::Increment(status, 1, 1));
            }
        }
        expected += 8 * 20;
        for worker in &mut workers {
            (0..20).for_each(|_| drop(worker.reply()));
        }
        one_arena(&mut workers);
        for worker in &mut workers {
            assert_eq!(worker.total("orders_total"), expected);
            assert_eq!(worker.notices(), Vec::<String>::new());
        }
        for more in 0..3000 {
            if round == 0 {
                workers[0].increment(labels("orders_total", &[&format!("more{more}")]), 1);
                expected += 1;
            }
        }
        workers.iter_mut().for_each(Worker::exit);
        assert_eq!(asides(&stage), Vec::<PathBuf>::new());
    }
}

/// A small file system, until it is dropped.
struct Mounted(CString);

impl Drop for Mounted {
    fn drop(&mut self) {
        // SAFETY: a C string that outlives the call.
        unsafe { libc::umount2(self.0.as_ptr(), libc::MNT_DETACH) };
    }
}

/// Mounts a small file system at the arena's directory, for this test and the workers that it starts.
fn mount(stage: &Stage, options: &str) -> Mounted {
    let directory = stage.arena().parent().unwrap().to_owned();
    fs::create_dir_all(&directory).unwrap();
    let call = |source: &str, target: &Path, kind: &str, flags: libc::c_ulong, data: &str| {
        let [source, kind, data] = [source, kind, data].map(|text| CString::new(text).unwrap());
        let target = CString::new(target.as_os_str().as_encoded_bytes()).unwrap();
        // SAFETY: C strings that outlive the call.
        let result = unsafe {
            libc::mount(
                source.as_ptr(),
                target.as_ptr(),
                kind.as_ptr(),
                flags,
                data.as_ptr().cast(),
            )
        };
        assert_eq!(result, 0, "mounting takes root: {}", std::io::Error::last_os_error());
    };
    // SAFETY: a plain system call, for this thread and what it starts.
    let result = unsafe { libc::unshare(libc::CLONE_NEWNS) };
    assert_eq!(result, 0, "a mount namespace takes root (CAP_SYS_ADMIN)");
    call("none", Path::new("/"), "none", libc::MS_REC | libc::MS_PRIVATE, "");
    call("tmpfs", &directory, "tmpfs", 0, options);
    Mounted(CString::new(directory.into_os_string().into_encoded_bytes()).unwrap())
}

fn remount_read_only(directory: &Path) {
    let target = CString::new(directory.as_os_str().as_encoded_bytes()).unwrap();
    // SAFETY: a C string that outlives the call, and null where mount(2) wants nothing.
    let result = unsafe {
        libc::mount(
            std::ptr::null(),
            target.as_ptr(),
            std::ptr::null(),
            libc::MS_REMOUNT | libc::MS_RDONLY,
            std::ptr::null(),
        )
    };
    assert_eq!(result, 0, "{}", std::io::Error::last_os_error());
}

/// A process that gets no file counts for itself, and says so.
fn counts_privately(stage: &Stage, why: &str) {
    let mut worker = counting(stage);
    worker.increment(labels("orders_total", &["paid"]), 5);
    let mut child = stage.fork(&mut worker);
    child.increment(labels("orders_total", &["paid"]), 7);
    assert_eq!(worker.total("orders_total"), 12);
    let notices = worker.notices();
    assert_eq!(notices.len(), 2, "{notices:?}");
    assert!(
        notices[0].contains(why) && notices[1].contains("private memory"),
        "{notices:?}"
    );
    assert_eq!(shown(&mut worker), notices);
    assert!(worker.status()["arena"]["path"].is_null());
    assert_eq!(asides(stage), Vec::<PathBuf>::new(), "no drafts are left");
}

#[test]
fn no_room_for_a_file() {
    let stage = Stage::new();
    let _mounted = mount(&stage, "size=32k");
    counts_privately(&stage, "No space left");
}

#[test]
fn a_read_only_file_system() {
    let stage = Stage::new();
    let _mounted = mount(&stage, "size=1m");
    remount_read_only(stage.arena().parent().unwrap());
    counts_privately(&stage, "Read-only");
}

#[test]
fn an_arena_on_a_read_only_file_system() {
    let stage = Stage::new();
    let _mounted = mount(&stage, "size=1m");
    counting(&stage).increment(labels("orders_total", &["paid"]), 1).exit();
    remount_read_only(stage.arena().parent().unwrap());
    let mut worker = counting(&stage);
    worker.increment(labels("orders_total", &["paid"]), 5);
    assert_eq!(worker.total("orders_total"), 5);
    let notices = worker.notices();
    assert!(notices[0].contains("Read-only"), "{notices:?}");
    assert_eq!(shown(&mut worker), notices);
}

#[test]
fn no_room_to_grow() {
    let stage = Stage::new();
    let _mounted = mount(&stage, "size=256k");
    let mut workers = [counting(&stage), counting(&stage)];
    let mut registered = 0;
    while workers[0].status()["dropped"]["arena_full"] == 0 {
        for worker in &mut workers {
            worker.increment(labels("orders_total", &[&registered.to_string()]), 1);
        }
        registered += 1;
        assert!(registered < 5000);
    }
    // The last label set was refused in both; the others go on, through old handles and new ones.
    registered -= 1;
    let mut latecomer = counting(&stage);
    for worker in workers.iter_mut().chain([&mut latecomer]) {
        worker
            .increment(labels("orders_total", &["0"]), 10)
            .increment(labels("orders_total", &["refused"]), 1);
    }
    for worker in workers.iter_mut().chain([&mut latecomer]) {
        assert_eq!(worker.total("orders_total"), 2 * registered + 30);
        assert_eq!(worker.status()["dropped"]["arena_full"], 2 + 3);
        let notices = worker.notices();
        assert!(
            notices.iter().any(|notice| notice.contains("disk is full")),
            "{notices:?}"
        );
        assert!(worker
            .page("prometheus")
            .contains("tasker_telemetry_dropped_samples_total{reason=\"arena_full\"} 5\n"));
    }
    one_arena(&mut workers);
    // What is removed makes room again.
    assert!(workers[0].remove(labels("orders_total", &["0"])));
    for worker in workers.iter_mut().chain([&mut latecomer]) {
        worker.scrape();
    }
    workers[1].increment(labels("orders_total", &["0"]), 3);
    assert_eq!(latecomer.value(labels("orders_total", &["0"])).unwrap().count(), 3);
}
