//! The reader on any bytes: it does not panic, hang, or reach outside of the file.
//!
//! How many files are tried is told by `TASKER_TELEMETRY_FUZZ`; `TASKER_TELEMETRY_SEED` repeats a run.

use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::path::Path;
use tasker_telemetry_tests::protocol::{bound, labels};
use tasker_telemetry_tests::{Command, Random, Reply, Stage, Worker};
use xxhash_rust::xxh3::xxh3_64;

const LOG_AT: u64 = 20_480;

fn cases() -> u64 {
    std::env::var("TASKER_TELEMETRY_FUZZ")
        .map_or(100, |cases| cases.parse().expect("TASKER_TELEMETRY_FUZZ is a number"))
}

fn declare(worker: &mut Worker) {
    worker
        .declare("orders_total", "counter", &["status"])
        .declare("latency_seconds", "histogram", &["status"])
        .declare("depth", "last", &["queue"])
        .declare("busy", "per_process", &["queue"])
        .declare("load", "sum", &[]);
}

fn fresh(stage: &Stage) -> Worker {
    let mut worker = stage.worker();
    worker.done(Command::Open {
        arena: Some(stage.arena()),
        service: "shop".to_owned(),
        max_series: 50,
        idle_expiry: Some(1),
        parallel: false,
        default_labels: vec![("region".to_owned(), "eu".to_owned())],
    });
    declare(&mut worker);
    worker
}

/// An arena with something of everything in it.
fn populate(worker: &mut Worker) {
    for index in 0..20 {
        let label = index.to_string();
        worker
            .increment(labels("orders_total", &[&label]), 1)
            .observe(labels("latency_seconds", &[&label]), 0.5)
            .set(labels("depth", &[&label]), 1.0)
            .set(labels("busy", &[&label]), 1.0);
        if index % 3 == 0 {
            worker.remove(labels("orders_total", &[&label]));
        }
    }
    worker.set(labels("load", &[]), 1.0);
}

/// Everything that reads or changes the arena. Whatever it answers, it answers.
fn exercise(worker: &mut Worker) -> Result<(), String> {
    let commands = [
        Command::Value(labels("orders_total", &["1"])),
        Command::Increment(labels("orders_total", &["1"]), 1, 1),
        Command::Increment(labels("orders_total", &["3"]), 1, 1),
        Command::Increment(labels("orders_total", &["new"]), 1, 1),
        Command::Observe(labels("latency_seconds", &["1"]), 0.2),
        Command::Set(labels("depth", &["new"]), 1.0),
        Command::Set(labels("busy", &["1"]), 2.0),
        Command::Set(labels("load", &[]), 2.0),
        Command::Value(labels("load", &[])),
        Command::Scrape,
        Command::Status,
        Command::Page("prometheus".to_owned()),
        Command::Page("openmetrics".to_owned()),
        Command::Page("json".to_owned()),
        Command::Page("csv".to_owned()),
        Command::Remove(labels("orders_total", &["1"])),
        Command::Increment(labels("orders_total", &["1"]), 1, 3),
        Command::Clear("latency_seconds".to_owned()),
        Command::ClearAll,
        Command::Scrape,
    ];
    for command in commands {
        worker.send(&command);
        match worker.try_reply() {
            Ok(Reply::Failed(error)) => return Err(format!("{command:?}: {error}")),
            Ok(_) => {}
            Err(error) => return Err(format!("{command:?}: {error}")),
        }
    }
    Ok(())
}

/// Writes a few strange numbers to strange places.
fn disturb(file: &File, random: &mut Random) {
    let mut first = [0; 136];
    file.read_exact_at(&mut first, 0).unwrap();
    let tail = u64::from_le_bytes(first[128..].try_into().unwrap()).clamp(LOG_AT + 64, 1 << 20);
    for _ in 0..=random.below(20) {
        let strange = [
            0,
            1,
            7,
            u64::MAX,
            u64::from(u32::MAX),
            1 << 47,
            tail,
            tail / 64,
            LOG_AT / 64 + random.below(tail / 64),
            random.draw(),
            random.draw() & 0xFF,
        ];
        let value = strange[random.below(strange.len() as u64) as usize].to_le_bytes();
        let at = match random.below(4) {
            0 => random.below(LOG_AT),
            _ => LOG_AT + random.below(tail - LOG_AT),
        };
        // A byte, a half or a word, where one can stand.
        let size = [1, 4, 8][random.below(3) as usize];
        file.write_all_at(&value[..size as usize], at / size * size).unwrap();
    }
}

/// Makes the header look right again.
fn repair(file: &File) {
    let mut header = [0; 128];
    file.read_exact_at(&mut header, 0).unwrap();
    let checksum = xxh3_64(&header[24..72]).to_le_bytes();
    file.write_all_at(&checksum, 16).unwrap();
}

fn open(path: &Path) -> File {
    OpenOptions::new().read(true).write(true).open(path).unwrap()
}

#[test]
fn files_that_nobody_uses() {
    let mut random = Random::seeded();
    for case in 0..cases() {
        let stage = Stage::new();
        let mut worker = fresh(&stage);
        populate(&mut worker);
        worker.exit();
        let file = open(&stage.arena());
        disturb(&file, &mut random);
        repair(&file);
        let mut reader = fresh(&stage);
        exercise(&mut reader).unwrap_or_else(|error| panic!("case {case}: {error}"));
        reader.exit();
    }
}

#[test]
fn files_that_somebody_vouches_for() {
    // While a process holds its slot its file is taken for good: whatever stands in it is really read.
    let mut random = Random::seeded();
    for case in 0..cases() {
        let stage = Stage::new();
        let mut holder = fresh(&stage);
        populate(&mut holder);
        holder.bind("one", "orders_total", &["1"]).increment(bound("one"), 1);
        let file = open(&stage.arena());
        let mut reader = fresh(&stage);
        let early = random.below(2) == 0;
        if early {
            populate(&mut reader);
        }
        disturb(&file, &mut random);
        repair(&file);
        for worker in [&mut reader, &mut holder] {
            exercise(worker).unwrap_or_else(|error| panic!("case {case}: {error}"));
            worker.exit();
        }
    }
}

#[test]
fn any_bytes_behind_a_good_header() {
    let mut random = Random::seeded();
    for case in 0..cases() {
        let stage = Stage::new();
        let mut worker = fresh(&stage);
        populate(&mut worker);
        let mut bytes = fs::read(stage.arena()).unwrap();
        let from = [128, 256, 512, 1024, 4096, LOG_AT as usize][random.below(6) as usize];
        let until = (from + random.below(40_000) as usize).min(bytes.len());
        bytes[from..until]
            .iter_mut()
            .for_each(|byte| *byte = random.draw() as u8);
        // While it is in use, or after.
        if random.below(2) == 0 {
            worker.exit();
        }
        open(&stage.arena()).write_all_at(&bytes, 0).unwrap();
        let mut reader = fresh(&stage);
        exercise(&mut reader).unwrap_or_else(|error| panic!("case {case}: {error}"));
        reader.exit();
    }
}

#[test]
fn any_bytes() {
    let mut random = Random::seeded();
    for case in 0..cases() {
        let stage = Stage::new();
        fs::create_dir_all(stage.arena().parent().unwrap()).unwrap();
        let bytes: Vec<u8> = (0..random.below(100_000)).map(|_| random.draw() as u8).collect();
        fs::write(stage.arena(), bytes).unwrap();
        fs::set_permissions(stage.arena(), fs::Permissions::from_mode(0o600)).unwrap();
        if random.below(2) == 0 {
            open(&stage.arena())
                .write_all_at(b"TSKTELEM\x01\0\0\0\0\0\0\0", 0)
                .unwrap();
        }
        let mut reader = fresh(&stage);
        exercise(&mut reader).unwrap_or_else(|error| panic!("case {case}: {error}"));
        reader.exit();
    }
}
