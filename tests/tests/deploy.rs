//! An old and a new release on one arena, in a phased restart.

use std::collections::{HashMap, HashSet};
use std::io::Write;
use std::process;
use tasker_telemetry_tests::protocol::labels;
use tasker_telemetry_tests::{one_arena, until, Command, Reply, Stage, Worker};

fn worker(stage: &Stage, idle_expiry: Option<u64>) -> Worker {
    let mut worker = stage.worker();
    worker.done(Command::Open {
        arena: Some(stage.arena()),
        service: "shop".to_owned(),
        max_series: 100,
        idle_expiry,
        parallel: false,
        default_labels: Vec::new(),
    });
    worker
}

fn declare(worker: &mut Worker, name: &str, help: &str, kind: &str, labels: &[&str], buckets: &[f64]) {
    worker.done(Command::Declare {
        name: name.to_owned(),
        help: help.to_owned(),
        kind: kind.to_owned(),
        labels: labels.iter().map(ToString::to_string).collect(),
        buckets: buckets.to_vec(),
    });
}

fn old_release(stage: &Stage, idle_expiry: Option<u64>) -> Worker {
    let mut worker = worker(stage, idle_expiry);
    declare(&mut worker, "orders_total", "Orders", "counter", &["status"], &[]);
    declare(&mut worker, "latency_seconds", "Latency", "histogram", &[], &[0.1, 1.0]);
    declare(&mut worker, "depth", "Depth", "last", &[], &[]);
    declare(&mut worker, "jobs_total", "Jobs", "counter", &[], &[]);
    declare(&mut worker, "calls", "Calls", "histogram", &[], &[1.0]);
    worker
}

/// With another label, other buckets, another kind, another help text, and a counter whose samples are named as those
/// of an old histogram.
fn new_release(stage: &Stage, idle_expiry: Option<u64>) -> Worker {
    let mut worker = worker(stage, idle_expiry);
    declare(
        &mut worker,
        "orders_total",
        "Orders",
        "counter",
        &["status", "plan"],
        &[],
    );
    declare(
        &mut worker,
        "latency_seconds",
        "Latency",
        "histogram",
        &[],
        &[0.5, 2.0, 5.0],
    );
    declare(&mut worker, "depth", "Depth", "histogram", &[], &[1.0]);
    declare(&mut worker, "jobs_total", "Jobs that were done", "counter", &[], &[]);
    declare(&mut worker, "calls_count", "Calls", "last", &[], &[]);
    worker
}

fn serve_old(worker: &mut Worker) {
    worker
        .increment(labels("orders_total", &["paid"]), 1)
        .observe(labels("latency_seconds", &[]), 0.3)
        .set(labels("depth", &[]), 7.0)
        .increment(labels("jobs_total", &[]), 1)
        .observe(labels("calls", &[]), 0.5);
}

fn serve_new(worker: &mut Worker) {
    worker
        .increment(labels("orders_total", &["paid", "pro"]), 1)
        .observe(labels("latency_seconds", &[]), 0.3)
        .observe(labels("depth", &[]), 7.0)
        .increment(labels("jobs_total", &[]), 1)
        .set(labels("calls_count", &[]), 3.0);
}

/// A page of Prometheus text: every family once, with one type; every sample under its family, and once.
fn check_text(page: &str) {
    let (mut types, mut samples) = (HashMap::new(), HashSet::new());
    let mut family = "";
    for line in page.lines() {
        if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').unwrap();
            assert!(types.insert(name, kind).is_none(), "{name} is there twice:\n{page}");
            family = name;
        } else if !line.starts_with('#') {
            let (sample, value) = line.rsplit_once(' ').unwrap();
            value.parse::<f64>().unwrap_or_else(|_| panic!("{line}"));
            assert!(samples.insert(sample), "{sample} is there twice:\n{page}");
            let name = sample.split('{').next().unwrap();
            let suffix = name
                .strip_prefix(family)
                .unwrap_or_else(|| panic!("{line} under {family}"));
            let allowed: &[&str] = if types[family] == "histogram" {
                &["_bucket", "_sum", "_count"]
            } else {
                &[""]
            };
            assert!(allowed.contains(&suffix), "{line} under {family}");
        }
    }
}

/// What a program answers to `input`.
fn run(program: &mut process::Command, input: Vec<u8>) -> process::Output {
    let mut child = program
        .stdin(process::Stdio::piped())
        .stdout(process::Stdio::piped())
        .stderr(process::Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("{program:?}, which bin/setup installs, cannot be run: {error}"));
    let mut stdin = child.stdin.take().unwrap();
    // Beside reading, because either side may have more to say than a pipe holds. A program that ends early says why.
    let writer = std::thread::spawn(move || drop(stdin.write_all(&input)));
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap();
    output
}

/// Pages for those that read them in production. All of a test are read at once, because a program takes long to start.
#[derive(Default)]
struct Pages {
    prometheus: Vec<String>,
    openmetrics: Vec<String>,
}

impl Pages {
    /// Scrapes every process in every format.
    fn scrape(&mut self, workers: &mut [Worker]) {
        for worker in workers {
            let page = worker.page("prometheus");
            check_text(&page);
            self.prometheus.push(page);
            self.openmetrics.push(worker.page("openmetrics"));
            let json: serde_json::Value = serde_json::from_str(&worker.page("json")).unwrap();
            assert!(json.is_object());
        }
    }

    /// Has all pages read by the reference parsers, and the last one by `promtool`.
    fn check(self) {
        promtool_reads(self.prometheus.last().expect("a page"));
        parser_reads("prometheus", &self.prometheus);
        parser_reads("openmetrics", &self.openmetrics);
    }
}

fn promtool_reads(page: &str) {
    let output = run(
        process::Command::new("promtool").args(["check", "metrics"]),
        page.as_bytes().to_vec(),
    );
    let said = [output.stdout, output.stderr].concat();
    // 3 is what it thinks of names: a gauge is better not called `calls_count`.
    assert!(
        matches!(output.status.code(), Some(0 | 3)),
        "{}\n{page}",
        String::from_utf8_lossy(&said)
    );
}

fn parser_reads(format: &str, pages: &[String]) {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../spec/support/openmetrics.py");
    // Debian's Python, which has the parser as a package.
    let output = run(
        process::Command::new("/usr/bin/python3").args([script, format]),
        pages.iter().map(String::as_bytes).collect::<Vec<_>>().join(&0xFF),
    );
    let read = String::from_utf8(output.stdout).unwrap();
    let mut lines = read.lines();
    for page in pages {
        // It ends at the first page that it cannot read.
        let families: Vec<serde_json::Value> = lines
            .next()
            .and_then(|line| serde_json::from_str(line).ok())
            .unwrap_or_else(|| panic!("{}\n{page}", String::from_utf8_lossy(&output.stderr)));
        let names: HashSet<_> = families.iter().map(|family| family["name"].as_str()).collect();
        assert_eq!(names.len(), families.len(), "every family is there once:\n{page}");
        let samples: Vec<_> = families
            .iter()
            .flat_map(|family| family["samples"].as_array().unwrap())
            .collect();
        let written = page.lines().filter(|line| !line.starts_with('#')).count();
        assert_eq!(samples.len(), written, "every sample is read:\n{page}");
        let series: HashSet<_> = samples
            .iter()
            .map(|sample| format!("{}{}", sample[0], sample[1]))
            .collect();
        assert_eq!(series.len(), samples.len(), "every sample is there once:\n{page}");
    }
    assert!(output.status.success());
}

fn total(worker: &mut Worker, name: &str, superseded: bool) -> u64 {
    let mut series = worker.scrape();
    series.retain(|series| series.name == name && series.superseded == superseded);
    series.iter().map(|series| series.value.count()).sum()
}

#[test]
fn a_phased_restart() {
    let stage = Stage::new();
    let mut old: Vec<Worker> = (0..4).map(|_| old_release(&stage, None)).collect();
    let mut new: Vec<Worker> = Vec::new();
    let mut pages = Pages::default();
    let (mut of_old, mut of_new) = (0, 0);
    for step in 0..=4 {
        for _ in 0..5 {
            old.iter_mut().for_each(serve_old);
            new.iter_mut().for_each(serve_new);
            of_old += old.len() as u64;
            of_new += new.len() as u64;
            pages.scrape(&mut old);
            pages.scrape(&mut new);
        }
        if step < 4 {
            old.remove(0).exit();
            new.push(new_release(&stage, None));
        }
    }
    assert_eq!((of_old, of_new), (5 * (4 + 3 + 2 + 1), 5 * (1 + 2 + 3 + 4)));
    one_arena(&mut new);

    let worker = &mut new[0];
    for (name, superseded, expected) in [
        ("orders_total", true, of_old),
        ("orders_total", false, of_new),
        ("latency_seconds", true, of_old),
        ("latency_seconds", false, of_new),
        ("depth", false, of_new),
        ("calls", true, of_old),
        ("jobs_total", false, of_old + of_new),
        ("jobs_total", true, 0),
    ] {
        assert_eq!(
            total(worker, name, superseded),
            expected,
            "{name}, superseded: {superseded}"
        );
    }
    let status = worker.status();
    let mut superseded: Vec<_> = status["superseded"]
        .as_array()
        .unwrap()
        .iter()
        .map(|superseded| superseded["name"].as_str().unwrap().to_owned())
        .collect();
    superseded.sort();
    assert_eq!(superseded, ["calls", "depth", "latency_seconds", "orders_total"]);
    assert!(status["dropped"].as_object().unwrap().values().all(|count| count == 0));
    assert_eq!(status["notices"].as_array().unwrap().len(), 0);
    let json: serde_json::Value = serde_json::from_str(&worker.page("json")).unwrap();
    assert!(json.to_string().contains("\"superseded\":true"));
    let page = worker.page("prometheus");
    assert!(page.contains("# HELP jobs_total Jobs that were done\n"), "{page}");
    assert!(page.contains("\norders_total{status=\"paid\",plan=\"pro\"} "), "{page}");
    assert!(!page.contains("\norders_total{status=\"paid\"} "), "{page}");
    pages.scrape(&mut new);
    pages.check();
}

#[test]
fn pages_stay_valid_while_both_count() {
    // Both write and declare as fast as they can while others scrape: no page may ever show two schemas of a name.
    let stage = Stage::new();
    let mut scrapers = [old_release(&stage, None), new_release(&stage, None)];
    let mut pages = Pages::default();
    for round in 0..15 {
        let mut writers = [(old_release(&stage, None), false), (new_release(&stage, None), true)];
        if round % 2 == 0 {
            writers.reverse();
        }
        for (writer, new) in &mut writers {
            let values: &[&str] = if *new { &["paid", "pro"] } else { &["paid"] };
            for _ in 0..20 {
                writer.send(&Command::Increment(labels("orders_total", values), 1, 50));
            }
        }
        pages.scrape(&mut scrapers);
        for (writer, _) in &mut writers {
            (0..20).for_each(|_| assert!(matches!(writer.reply(), Reply::Done)));
        }
    }
    let expected = 15 * 20 * 50;
    for superseded in [false, true] {
        assert_eq!(total(&mut scrapers[0], "orders_total", superseded), expected);
    }
    pages.check();
}

#[test]
fn superseded_series_go_when_they_are_idle() {
    let stage = Stage::new();
    let mut old = old_release(&stage, Some(50));
    serve_old(&mut old);
    let mut new = new_release(&stage, Some(50));
    serve_new(&mut new);
    assert_eq!(total(&mut new, "orders_total", true), 1);
    old.exit();
    until("the old series to go", || {
        serve_new(&mut new);
        let series = new.scrape();
        assert!(series
            .iter()
            .any(|series| series.name == "orders_total" && !series.superseded));
        (!series.iter().any(|series| series.superseded)).then_some(())
    });
    let status = new.status();
    assert_eq!(status["superseded"].as_array().unwrap().len(), 0);
    assert_eq!(status["removed"]["orders_total"]["count"], 1);
}

#[test]
fn the_release_that_was_declared_last_is_shown() {
    let stage = Stage::new();
    let mut old = old_release(&stage, None);
    serve_old(&mut old);
    assert_eq!(total(&mut old, "orders_total", false), 1);
    let mut new = new_release(&stage, None);
    serve_new(&mut new);
    assert_eq!(total(&mut old, "orders_total", true), 1);
    // Rolled back: the old schema is the newest again, and goes on with its totals.
    let mut back = old_release(&stage, None);
    serve_old(&mut back);
    let mut everyone = [old, new, back];
    for worker in &mut everyone {
        assert_eq!(total(worker, "orders_total", false), 2);
        assert_eq!(total(worker, "orders_total", true), 1);
    }
    let mut pages = Pages::default();
    pages.scrape(&mut everyone);
    pages.check();
}
