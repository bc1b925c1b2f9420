//! What happens to the arena's file while processes count into it.

use std::fs;
use std::ops::ControlFlow;
use std::path::Path;
use tasker_telemetry_tests::protocol::{bound, labels, Burst};
use tasker_telemetry_tests::{one_arena, usual, while_it_moves, Command, Number, Random, Reply, Stage, Worker};

fn counting(stage: &Stage, path: &Path) -> Worker {
    counting_with(stage, usual(path))
}

/// A counting process with a cap.
fn capped(stage: &Stage, max_series: u32) -> Worker {
    let settings = Command::Open {
        arena: Some(stage.arena()),
        service: "shop".to_owned(),
        max_series,
        idle_expiry: None,
        parallel: false,
        default_labels: Vec::new(),
    };
    counting_with(stage, settings)
}

fn counting_with(stage: &Stage, settings: Command) -> Worker {
    let mut worker = stage.worker();
    worker
        .done(settings)
        .declare("orders_total", "counter", &["status"])
        .declare("latency_seconds", "histogram", &["status"])
        .declare("depth", "last", &[])
        .declare("busy", "sum", &[])
        .bind("orders", "orders_total", &["paid"])
        .bind("latency", "latency_seconds", &["paid"])
        .bind("depth", "depth", &[])
        .bind("busy", "busy", &[]);
    worker
}

/// Counts one order, observes 0.5 and is busy with one.
fn work(worker: &mut Worker) {
    worker
        .increment(bound("orders"), 1)
        .observe(bound("latency"), 0.5)
        .set(bound("busy"), 1.0);
}

fn expect(worker: &mut Worker, orders: u64, busy: f64, depth: f64) {
    assert_eq!(worker.total("orders_total"), orders);
    assert_eq!(worker.value(bound("orders")), Some(Number::Counter(orders, 0.0)));
    let latency = worker.series("latency_seconds");
    assert_eq!(latency.len(), 1);
    assert_eq!(
        latency[0].value,
        Number::Histogram(vec![0, orders, 0, 0], 0.5 * orders as f64)
    );
    assert_eq!(worker.series("busy")[0].value, Number::Gauge(busy));
    assert_eq!(worker.series("depth")[0].value, Number::Gauge(depth));
}

fn told(worker: &mut Worker, what: &str) {
    let notices = worker.notices();
    let told = notices.iter().filter(|notice| notice.contains(what)).count();
    assert_eq!(told, 1, "{notices:?}");
}

/// Does `harm` to the path while three processes count, one of which only has bound handles.
fn survives(harm: impl FnOnce(&Stage, &Path)) {
    let stage = Stage::new();
    let path = stage.arena();
    let mut scraped = counting(&stage, &path);
    let mut active = counting(&stage, &path);
    let mut idle = counting(&stage, &path);
    for worker in [&mut scraped, &mut active, &mut idle] {
        work(worker);
    }
    idle.set(bound("depth"), 3.0);
    let before = one_arena([&mut scraped, &mut active, &mut idle]);
    harm(&stage, &path);

    // The idle one goes on counting into the old file, and is seen all the same.
    idle.increment(bound("orders"), 1).observe(bound("latency"), 0.5);
    active
        .increment(labels("orders_total", &["new"]), 0)
        .increment(bound("orders"), 1)
        .observe(bound("latency"), 0.5);
    expect_of_all(&mut scraped, 5, 3.0);
    told(&mut scraped, "was replaced while in use");
    idle.increment(bound("orders"), 1)
        .observe(bound("latency"), 0.5)
        .set(bound("depth"), 4.0);
    expect_of_all(&mut scraped, 6, 4.0);
    assert_eq!(scraped.status()["arena"]["replaced"].as_array().unwrap().len(), 1);
    let mut newcomer = counting(&stage, &path);
    expect_of_all(&mut newcomer, 6, 4.0);
    work(&mut newcomer);
    scraped.set(bound("depth"), 5.0);

    // Everybody follows, and then all of it is in one place.
    assert_eq!(idle.total("orders_total"), 7);
    let everyone = [&mut scraped, &mut active, &mut idle, &mut newcomer];
    let after = one_arena(everyone);
    assert_ne!(before, after);
    for worker in [&mut scraped, &mut active, &mut idle, &mut newcomer] {
        expect(worker, 7, 4.0, 5.0);
    }
    told(&mut active, "was replaced while in use");
    told(&mut idle, "was replaced while in use");
    assert_eq!(scraped.notices(), Vec::<String>::new());
    let status = scraped.status();
    assert_eq!(status["arena"]["replaced"].as_array().unwrap().len(), 0);
    assert!(status["arena"]["folded"].as_u64() >= Some(1));
    assert!(status["dropped"].as_object().unwrap().values().all(|count| count == 0));
    idle.kill();
    active.kill();
    newcomer.kill();
    expect(&mut scraped, 7, 1.0, 5.0);
}

fn expect_of_all(worker: &mut Worker, orders: u64, depth: f64) {
    assert_eq!(worker.total("orders_total"), orders);
    assert_eq!(worker.total("latency_seconds"), orders);
    assert_eq!(worker.series("depth")[0].value, Number::Gauge(depth));
}

#[test]
fn deleted() {
    survives(|_, path| fs::remove_file(path).unwrap());
}

#[test]
fn its_directory_removed() {
    survives(|_, path| fs::remove_dir_all(path.parent().unwrap()).unwrap());
}

#[test]
fn renamed() {
    survives(|stage, path| fs::rename(path, stage.directory().join("elsewhere")).unwrap());
}

#[test]
fn replaced_by_garbage() {
    survives(|stage, path| {
        let garbage = stage.directory().join("garbage");
        fs::write(&garbage, [7; 100_000]).unwrap();
        fs::rename(garbage, path).unwrap();
    });
}

#[test]
fn replaced_by_a_copy_of_itself() {
    survives(|stage, path| {
        let copy = stage.directory().join("copy");
        fs::copy(path, &copy).unwrap();
        fs::rename(copy, path).unwrap();
    });
}

#[test]
fn opened_to_others() {
    use std::os::unix::fs::PermissionsExt;
    // Those who have it mapped need no path to go on; whoever comes next makes a new one.
    let stage = Stage::new();
    let mut first = counting(&stage, &stage.arena());
    work(&mut first);
    fs::set_permissions(stage.arena(), fs::Permissions::from_mode(0o666)).unwrap();
    let mut second = counting(&stage, &stage.arena());
    work(&mut second);
    assert_eq!(first.total("orders_total"), 2);
    assert_eq!(second.total("orders_total"), 2);
    one_arena([&mut first, &mut second]);
}

#[test]
fn replaced_by_another_arena_that_is_in_use() {
    let stage = Stage::new();
    let other = stage.directory().join("other");
    let (mut here, mut there) = (counting(&stage, &stage.arena()), counting(&stage, &other));
    work(&mut here);
    work(&mut there);
    here.set(bound("depth"), 1.0);
    there.set(bound("depth"), 2.0);
    fs::rename(&other, stage.arena()).unwrap();
    assert_eq!(here.total("orders_total"), 2);
    here.increment(bound("orders"), 10);
    there.increment(bound("orders"), 100);
    assert_eq!(here.total("orders_total"), 112);
    told(&mut here, "was replaced while in use");
}

#[test]
fn put_back_to_its_place() {
    let stage = Stage::new();
    let (path, elsewhere) = (stage.arena(), stage.directory().join("elsewhere"));
    let mut workers = [counting(&stage, &path), counting(&stage, &path)];
    workers.iter_mut().for_each(work);
    for round in 0..4 {
        fs::rename(&path, &elsewhere).unwrap();
        // One of them moves and the other stays…
        assert_eq!(workers[0].total("orders_total"), 2 + 2 * round);
        workers.iter_mut().for_each(work);
        assert_eq!(workers[0].total("orders_total"), 4 + 2 * round);
        // …until what they moved to is replaced by what they moved from.
        fs::rename(&elsewhere, &path).unwrap();
        for worker in &mut workers {
            assert_eq!(worker.total("orders_total"), 4 + 2 * round, "in round {round}");
        }
    }
    one_arena(&mut workers);
    workers[0].exit();
    assert_eq!(workers[1].total("orders_total"), 10);
}

#[test]
fn whoever_is_never_scraped_brings_along_what_he_counted() {
    let stage = Stage::new();
    let mut recluse = counting(&stage, &stage.arena());
    work(&mut recluse);
    fs::remove_file(stage.arena()).unwrap();
    let mut scraped = counting(&stage, &stage.arena());
    work(&mut scraped);
    work(&mut recluse);
    assert_eq!(scraped.total("orders_total"), 1, "nobody knows of the old file yet");
    recluse.increment(labels("orders_total", &["new"]), 1);
    assert_eq!(scraped.total("orders_total"), 4);
    recluse.kill();
    assert_eq!(scraped.total("orders_total"), 4);
}

#[test]
fn the_last_words_of_an_idle_process_are_heard() {
    let stage = Stage::new();
    let mut idle = counting(&stage, &stage.arena());
    let mut scraped = counting(&stage, &stage.arena());
    work(&mut idle);
    work(&mut scraped);
    fs::remove_file(stage.arena()).unwrap();
    assert_eq!(scraped.total("orders_total"), 2);
    idle.increment(bound("orders"), 5);
    idle.kill();
    assert_eq!(scraped.total("orders_total"), 7);
    assert_eq!(scraped.total("orders_total"), 7);
}

#[test]
fn nothing_can_be_made_in_its_place() {
    let stage = Stage::new();
    let directory = stage.arena().parent().unwrap().to_owned();
    let mut workers = [counting(&stage, &stage.arena()), counting(&stage, &stage.arena())];
    workers.iter_mut().for_each(work);
    fs::remove_dir_all(&directory).unwrap();
    // A file where the directory was: no process can make a new arena, so all go on in the old one.
    fs::write(&directory, b"in the way").unwrap();
    workers.iter_mut().for_each(work);
    for worker in &mut workers {
        worker.increment(labels("orders_total", &["new"]), 1);
    }
    for worker in &mut workers {
        assert_eq!(worker.total("orders_total"), 6);
        told(worker, "no new one can be made");
    }
    fs::remove_file(&directory).unwrap();
    for worker in &mut workers {
        assert_eq!(worker.total("orders_total"), 6);
    }
    one_arena(&mut workers);
}

#[test]
fn a_gauge_goes_on_with_its_last_value_however_often() {
    let stage = Stage::new();
    let mut workers = [counting(&stage, &stage.arena()), counting(&stage, &stage.arena())];
    // Keeps the first file in use.
    let mut idle = counting(&stage, &stage.arena());
    work(&mut idle);
    // Many, because what is folded first is decided by hash.
    let queues: Vec<String> = (0..32).map(|queue| queue.to_string()).collect();
    for round in 0..4 {
        let expected = Number::Gauge(f64::from(round));
        let [setting, other] = &mut workers;
        setting.declare("level", "last", &["queue"]);
        for queue in &queues {
            setting.set(labels("level", &[queue]), f64::from(round));
        }
        for worker in [setting, other] {
            let levels = worker.series("level");
            assert_eq!(levels.len(), queues.len());
            assert!(
                levels.iter().all(|series| series.value == expected),
                "in round {round}: {levels:?}"
            );
        }
        workers.swap(0, 1);
        fs::remove_file(stage.arena()).unwrap();
        // Before anything is set in the new one.
        let levels = workers[0].series("level");
        assert!(
            levels.iter().all(|series| series.value == expected),
            "after round {round}: {levels:?}"
        );
    }
}

#[test]
fn at_the_cap() {
    // What is folded in takes its place under the cap: otherwise each replacement would let in as much again.
    let stage = Stage::new();
    let mut workers = [capped(&stage, 3), capped(&stage, 3)];
    for round in 0..4 {
        for (index, worker) in workers.iter_mut().enumerate() {
            for set in 0..4 {
                worker.increment(labels("orders_total", &[&format!("{round} {index} {set}")]), 1);
            }
        }
        for worker in &mut workers {
            let series = worker.series("orders_total");
            let total: u64 = series.iter().map(|series| series.value.count()).sum();
            assert_eq!((series.len(), total), (3 + 1, 8 * (round + 1)), "{series:?}");
        }
        fs::remove_file(stage.arena()).unwrap();
    }
}

#[test]
fn deleted_again_and_again_while_eight_count() {
    const WORKERS: usize = 8;
    const DELETIONS: u64 = 12;
    let mut random = Random::seeded();
    let stage = Stage::new();
    // A metric at its cap looks where the file is at each sample of a label set that has no series.
    let mut workers: Vec<_> = (0..WORKERS).map(|_| capped(&stage, 200)).collect();
    workers.iter_mut().for_each(work);
    let mut observer = capped(&stage, 200);
    observer.scrape();
    let enough = WORKERS * 2;
    let words = enough + 1;
    let (ledger, path) = stage.ledger(words);
    for (index, worker) in workers.iter_mut().enumerate() {
        worker.send(&Command::Burst(Burst {
            ledger: path.clone(),
            words,
            row: index * 2,
            enough,
            threads: 1,
            counter: "orders_total".to_owned(),
            histogram: "latency_seconds".to_owned(),
            variants: 5000,
            bound: index % 2 == 1,
        }));
    }
    let (mut deletions, mut due) = (0, random.below(10_000));
    while_it_moves("the arena to be deleted often enough", || {
        let written = ledger.total(0, enough);
        if written >= due {
            due = written + random.below(10_000);
            fs::remove_file(stage.arena()).expect("whoever was scraped last has made a new one");
            deletions += 1;
            observer.scrape();
        }
        match deletions {
            DELETIONS => ControlFlow::Break(()),
            _ => ControlFlow::Continue(written),
        }
    });
    ledger.set(enough, 1);
    for worker in &mut workers {
        assert!(matches!(worker.reply(), Reply::Done));
    }
    // Each brings along what it knows of.
    workers.iter_mut().for_each(|worker| drop(worker.scrape()));
    let returned = |word: usize| -> u64 { (word..enough).step_by(2).map(|index| ledger.get(index)).sum() };
    let (orders, observations) = (returned(0) + WORKERS as u64, returned(1) + WORKERS as u64);
    for worker in workers.iter_mut().chain([&mut observer]) {
        assert_eq!(worker.total("orders_total"), orders);
        assert_eq!(worker.total("latency_seconds"), observations);
        told(worker, "was replaced while in use");
    }
    one_arena(workers.iter_mut().chain([&mut observer]));
    assert_eq!(
        observer.status()["arena"]["folded"],
        DELETIONS,
        "each of them took an arena away"
    );
}

#[test]
fn an_arena_that_was_away_for_a_moment_does_not_become_its_own_predecessor() {
    let stage = Stage::new();
    let (arena, away) = (stage.arena(), stage.directory().join("away"));
    let mut worker = counting(&stage, &arena);
    work(&mut worker);
    worker.done(Command::Arm("follow:displaced=stop".to_owned()));
    fs::rename(&arena, &away).unwrap();
    // A label value that is new makes it look where the file is.
    worker.send(&Command::Increment(labels("orders_total", &["lost"]), 5, 1));
    worker.wait_stopped();
    fs::rename(&away, &arena).unwrap();
    worker.go_on();
    assert!(matches!(worker.reply(), Reply::Done));
    for _ in 0..3 {
        assert_eq!(worker.total("orders_total"), 6);
    }
    let status = worker.status();
    assert_eq!(status["arena"]["folded"], 0);
    assert_eq!(status["arena"]["replaced"], serde_json::json!([]));
    assert_eq!(worker.notices(), Vec::<String>::new());
}
