//! Ever new label sets through a cap: the arena stays bounded, and every increment ends in exactly one series.
//!
//! How many label sets is told by `TASKER_TELEMETRY_CHURN`. The whole test is
//! `TASKER_TELEMETRY_CHURN=10000000 cargo test --release -p tasker_telemetry_tests --test churn`.

use std::path::Path;
use std::time::{Duration, Instant};
use tasker_telemetry_tests::protocol::{amount, labels, Churn};
use tasker_telemetry_tests::{until, Command, Random, Reply, Series, Stage, Worker, DEADLINE};

const PROCESSES: usize = 8;
const CAP: usize = 10_000;
const KILLS: u64 = 8;
/// Words of the ledger for each churning process.
const WORDS: usize = 3;

fn churner(stage: &Stage) -> Worker {
    let mut worker = stage.worker();
    worker
        .done(Command::Open {
            arena: Some(stage.arena()),
            service: "shop".to_owned(),
            max_series: CAP as u32,
            idle_expiry: Some(100),
            parallel: false,
            default_labels: Vec::new(),
        })
        .declare("hits_total", "counter", &["path"]);
    worker
}

/// The sets from `first` to `last`, counted into the three words from `row` on.
struct Share {
    row: usize,
    last: u64,
}

impl Share {
    fn begin(&self, worker: &mut Worker, ledger: &Path, words: usize, first: u64, seed: u64) {
        worker.send(&Command::Churn(Churn {
            ledger: ledger.to_owned(),
            words,
            row: self.row,
            counter: "hits_total".to_owned(),
            first,
            sets: self.last - first,
            seed,
        }));
    }
}

/// Total of what a scrape shows; each series holds nothing but what was counted under its own labels.
fn verified(series: &[Series]) -> u64 {
    assert!(series.len() <= CAP + 1, "{} series", series.len());
    for series in series {
        let path = series.label("path");
        if path != "__overflow__" {
            let (value, amount) = (series.value.count(), amount(path.parse().unwrap()));
            // Each label set is counted once or, through a handle that was kept, twice.
            assert!(
                value % amount == 0 && value / amount <= 2,
                "{path}: {value} of {amount}"
            );
        }
    }
    series.iter().map(|series| series.value.count()).sum()
}

fn bytes(worker: &mut Worker) -> u64 {
    worker.status()["arena"]["bytes"].as_u64().unwrap()
}

#[test]
fn ever_new_label_sets() {
    let sets: u64 = std::env::var("TASKER_TELEMETRY_CHURN").map_or(400_000, |sets| {
        sets.parse().expect("TASKER_TELEMETRY_CHURN is a number")
    });
    let mut random = Random::seeded();
    let stage = Stage::new();
    let mut observer = churner(&stage);
    let mut bystander = churner(&stage);
    bystander.increment(labels("hits_total", &["0"]), amount(0));

    // A process that is killed leaves its words as they are; its successor gets new ones.
    let words = (PROCESSES + KILLS as usize) * WORDS;
    let (ledger, path) = stage.ledger(words);
    let each = sets / PROCESSES as u64;
    let mut churning: Vec<(Worker, Share)> = (0..PROCESSES)
        .map(|index| {
            let share = Share {
                row: index * WORDS,
                last: (index as u64 + 1) * each,
            };
            let mut worker = churner(&stage);
            share.begin(&mut worker, &path, words, index as u64 * each + 1, random.draw());
            (worker, share)
        })
        .collect();

    let progress = |churning: &[(Worker, Share)]| -> u64 {
        let left: u64 = churning
            .iter()
            .map(|(_, share)| {
                share
                    .last
                    .saturating_sub(ledger.get(share.row + 2).max(share.last - each))
            })
            .sum();
        each * PROCESSES as u64 - left
    };
    let mut in_flight = 0;
    let mut killed = 0;
    let mut halfway = None;
    let mut next_look = 0;
    let mut waited = Instant::now();
    let mut last = 0;
    loop {
        let now = progress(&churning);
        if now != last {
            (last, waited) = (now, Instant::now());
        }
        assert!(waited.elapsed() < DEADLINE, "nothing moves at {now}");
        if now >= next_look {
            verified(&observer.series("hits_total"));
            next_look += sets / 40;
        }
        if killed < KILLS && now >= (killed + 1) * sets / (KILLS + 2) {
            // One dies in the middle of things, and another takes over the rest of its share.
            let (worker, share) = &mut churning[random.below(PROCESSES as u64) as usize];
            worker.kill();
            in_flight += ledger.get(share.row + 1);
            let next = ledger.get(share.row + 2);
            share.row = (PROCESSES + killed as usize) * WORDS;
            *worker = churner(&stage);
            // The set that it was at is left out: nobody can tell whether it was counted.
            let first = (next + 1).clamp(share.last - each + 1, share.last);
            ledger.set(share.row + 2, first);
            share.begin(worker, &path, words, first, random.draw());
            killed += 1;
            // One that stands still keeps back only what was in use when it last looked.
            match killed {
                3 => bystander.stop(),
                6 => bystander.go_on(),
                _ => {}
            }
        }
        if halfway.is_none() && now >= sets / 2 {
            halfway = Some(bytes(&mut observer));
        }
        if churning
            .iter()
            .all(|(_, share)| ledger.get(share.row + 2) >= share.last)
        {
            break;
        }
        std::thread::park_timeout(Duration::from_millis(1));
    }
    for (worker, _) in &mut churning {
        assert!(matches!(worker.reply(), Reply::Done));
    }

    let returned: u64 = amount(0) + (0..words).step_by(WORDS).map(|row| ledger.get(row)).sum::<u64>();
    // A series may expire between two looks, so all have to before what they had counted is added up.
    until("every series to have been idle for long enough", || {
        (verified(&observer.series("hits_total")) == 0).then_some(())
    });
    let status = observer.status();
    let found = removed(&status);
    println!(
        "{sets} sets: {returned} returned, {found} found, {in_flight} on its way, {} of {:?} bytes",
        status["arena"]["bytes"], halfway
    );
    // A process may also have died between taking the total of a series whose place it reused and adding it to those
    // of removed series: that of one series for each.
    let lost = KILLS * 2 * (1 << 24);
    assert!(
        (returned - lost..=returned + in_flight).contains(&found),
        "{found} of {returned}"
    );
    assert!(
        status["dropped"].as_object().unwrap().values().all(|count| count == 0),
        "{}",
        status["dropped"]
    );

    // Each of the 4096 chains has at most as many records as it ever held at once: with a cap of 10 000 and what eight
    // processes hold back for a moment, about 15 records of 128 bytes. What churned through is a thousand times that.
    let (halfway, end) = (halfway.unwrap(), bytes(&mut observer));
    assert!(end < 16 << 20, "{end} bytes");
    assert!(end <= halfway + (4 << 20), "grew from {halfway} to {end} bytes");
}

fn removed(status: &serde_json::Value) -> u64 {
    status["removed"]["hits_total"]["count"].as_u64().unwrap_or(0)
}
