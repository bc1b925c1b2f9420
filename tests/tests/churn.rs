//! Ever new label sets through a cap: the arena stays bounded, and every increment ends in exactly one series.
//!
//! How many label sets is told by `TASKER_TELEMETRY_CHURN`. The whole test is
//! `TASKER_TELEMETRY_CHURN=10000000 cargo test --release -p tasker_telemetry_tests --test churn`.

use std::ops::ControlFlow;
use std::path::Path;
use tasker_telemetry_tests::protocol::{amount, Churn};
use tasker_telemetry_tests::{until, while_it_moves, Command, Random, Reply, Series, Stage, Worker};

const PROCESSES: usize = 8;
const CAP: usize = 10_000;
/// Counts samples that the cap kept out of series of their own.
const OVERFLOWED: &str = "tasker_telemetry_overflow_samples_total";
const KILLS: u64 = 8;
const CHAINS: u64 = 4096;
/// Bytes of a record of a counter with a short label.
const RECORD: u64 = 128;
/// A chain has at most as many records as it ever held at once. With a cap of 10 000, as many again that a process which
/// stands still keeps back, and what the others have not let go of yet, that is seven on average; the longest that any
/// chain ever was is well below this. Without reuse all would be twice as long after 300 000 series, and ever longer.
const CHAIN: u64 = 32;
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

/// The sets up to `last`, counted into the three words from `row` on.
struct Share {
    row: usize,
    last: u64,
    /// Of how many in 64 the series is removed at once.
    removed: u64,
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
            removed: self.removed,
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

#[test]
fn ever_new_label_sets() {
    let sets: u64 = std::env::var("TASKER_TELEMETRY_CHURN").map_or(400_000, |sets| {
        sets.parse().expect("TASKER_TELEMETRY_CHURN is a number")
    });
    let mut random = Random::seeded();
    let stage = Stage::new();
    let mut observer = churner(&stage);

    // A process that is killed leaves its words as they are; its successor gets new ones.
    let words = (1 + PROCESSES + KILLS as usize) * WORDS;
    let (ledger, path) = stage.ledger(words);
    let each = sets / PROCESSES as u64;

    // More at once than the cap lets in. Nobody has looked for idle series so far, so none is found idle in time.
    let mut bystander = churner(&stage);
    let filling = Share {
        row: words - WORDS,
        last: sets + 1 + CAP as u64 * 11 / 10,
        removed: 0,
    };
    filling.begin(&mut bystander, &path, words, sets + 1, random.draw());
    while_it_moves("the cap to be reached", || match ledger.get(filling.row + 2) {
        next if next == filling.last => ControlFlow::Break(()),
        next => ControlFlow::Continue(next),
    });
    assert!(matches!(bystander.reply(), Reply::Done));
    assert!(observer.total(OVERFLOWED) > 0, "the cap was reached");

    let mut churning: Vec<(Worker, Share)> = (0..PROCESSES)
        .map(|index| {
            let share = Share {
                row: index * WORDS,
                last: (index as u64 + 1) * each,
                // Those who leave nearly all to expiry bring the metric to its cap again and again.
                removed: [48, 48, 4][index % 3],
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
    let mut next_look = 0;
    while_it_moves("all label sets to have been written", || {
        let now = progress(&churning);
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
        let done = churning
            .iter()
            .all(|(_, share)| ledger.get(share.row + 2) >= share.last);
        if done && killed == KILLS {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(now)
        }
    });
    for (worker, _) in &mut churning {
        assert!(matches!(worker.reply(), Reply::Done));
    }

    let returned: u64 = (0..words).step_by(WORDS).map(|row| ledger.get(row)).sum::<u64>();
    // A series may expire between two looks, so all have to before what they had counted is added up.
    until("every series to have been idle for long enough", || {
        (verified(&observer.series("hits_total")) == 0).then_some(())
    });
    let status = observer.status();
    let found = removed(&status, "hits_total");
    println!(
        "{sets} sets: {returned} returned, {found} found, {in_flight} on its way, {} overflowed, {} bytes",
        removed(&status, OVERFLOWED),
        status["arena"]["bytes"]
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

    let end = status["arena"]["bytes"].as_u64().unwrap();
    assert!(end < CHAINS * CHAIN * RECORD, "{end} bytes");
}

/// What series of a metric had counted that were removed or have expired.
fn removed(status: &serde_json::Value, metric: &str) -> u64 {
    status["removed"][metric]["count"].as_u64().unwrap_or(0)
}
