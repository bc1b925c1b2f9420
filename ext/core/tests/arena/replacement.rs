//! An arena whose file goes away, or comes to be one that this process cannot map, while it is in use.

use super::common::{declare, key, lines, page, registry};
use std::fs;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Arc;
use tasker_telemetry_core::arena::{Place, Quiescent, Registry};
use tasker_telemetry_core::export::formats::{Kind as Format, Renderer};
use tasker_telemetry_core::metric::{Aggregation, Kind};

struct Stage {
    _directory: tempfile::TempDir,
    path: PathBuf,
}

impl Stage {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("arena");
        Self {
            _directory: directory,
            path,
        }
    }

    fn registry(&self) -> Arc<Registry> {
        registry(|settings| {
            settings.place = Place::Path(self.path.clone());
            settings.max_series = 1_000_000;
        })
    }

    fn replace(&self) {
        fs::remove_file(&self.path).unwrap();
    }
}

#[test]
fn keeps_sums_that_fell_and_totals_beyond_integers() {
    let stage = Stage::new();
    let registry = stage.registry();
    let change = declare(&registry, "change", Kind::Histogram, &[]);
    change.observe(&[], 2.0).unwrap();
    change.observe(&[], -5.0).unwrap();
    let big = declare(&registry, "big_total", Kind::Counter, &[]);
    big.increment_int(&[], 1 << 63);
    stage.replace();
    for _ in 0..2 {
        assert_eq!(lines(&registry, "change_sum"), ["change_sum -3"]);
        assert_eq!(lines(&registry, "change_count"), ["change_count 2"]);
    }
    big.increment_int(&[], 1 << 63);
    assert_eq!(lines(&registry, "big_total"), ["big_total 1.8446744073709552e19"]);
}

#[test]
fn goes_on_through_more_replacements_than_it_can_remember_at_once() {
    let stage = Stage::new();
    let registry = stage.registry();
    let counter = declare(&registry, "x_total", Kind::Counter, &[]);
    let descriptors = || fs::read_dir("/proc/self/fd").unwrap().count();
    let mut before = 0;
    for round in 1..=100 {
        counter.increment_int(&[], 1);
        assert_eq!(lines(&registry, "x_total"), [format!("x_total {round}")]);
        stage.replace();
        if round == 50 {
            before = descriptors();
        }
    }
    // Other tests of this binary open files as well, but not one for each round.
    assert!(descriptors() < before + 40);
    let notices = registry.take_notices();
    assert!(notices
        .iter()
        .all(|notice| !notice.message.contains("cannot be folded")));
}

#[test]
fn forgets_dropped_samples_of_folded_arenas_as_well() {
    let stage = Stage::new();
    let registry = stage.registry();
    let counter = declare(&registry, "x_total", Kind::Counter, &[]);
    counter.increment_int(&[], 1);
    counter.increment(&[], -1.0).unwrap_err();
    stage.replace();
    let dropped = |registry: &Arc<Registry>| registry.status(Quiescent::promise()).dropped["invalid_value"];
    assert_eq!(dropped(&registry), 1);
    registry.clear(Quiescent::promise());
    assert_eq!(dropped(&registry), 0);
}

#[test]
fn keeps_help_and_default_labels() {
    let stage = Stage::new();
    let gone = registry(|settings| {
        settings.place = Place::Path(stage.path.clone());
        settings.default_labels = vec![("region".to_owned(), "eu".to_owned())];
    });
    declare(&gone, "x_total", Kind::Counter, &[]).increment_int(&[], 4);
    let stays = stage.registry();
    declare(&stays, "y_total", Kind::Counter, &[]).increment_int(&[], 1);
    drop(gone);
    stage.replace();
    assert_eq!(lines(&stays, "x_total"), ["x_total{region=\"eu\"} 4"]);
    assert_eq!(lines(&stays, "# HELP x_total"), ["# HELP x_total Help"]);
}

#[test]
fn shows_a_page_to_its_end_when_the_arena_is_replaced_meanwhile() {
    let stage = Stage::new();
    let registry = stage.registry();
    let counter = declare(&registry, "x_total", Kind::Counter, &["a"]);
    counter.increment_int(key(&["1"]).as_bytes(), 1);

    let scrape = registry.begin_scrape(Quiescent::promise());
    stage.replace();
    counter.increment_int(key(&["2"]).as_bytes(), 1);
    assert!(page(&scrape).contains("\nx_total{a=\"1\"} 1\n"));
    drop(scrape);

    // What was folded in stays on a page that was begun.
    let scrape = registry.begin_scrape(Quiescent::promise());
    let mut renderer = Renderer::new(Format::Prometheus, scrape.snapshot());
    let mut page = Vec::new();
    renderer.chunk(&mut page, 1);
    stage.replace();
    counter.increment_int(key(&["3"]).as_bytes(), 1);
    renderer.chunk(&mut page, usize::MAX);
    let page = String::from_utf8(page).unwrap();
    assert!(page.contains("\nx_total{a=\"1\"} 1\nx_total{a=\"2\"} 1\n"), "{page}");
    drop(scrape);

    let expected = ["1", "2", "3"].map(|value| format!("x_total{{a=\"{value}\"}} 1"));
    assert_eq!(lines(&registry, "x_total{"), expected);
}

#[test]
fn goes_on_in_the_same_arena_when_it_comes_back_under_a_page() {
    let stage = Stage::new();
    let registry = stage.registry();
    let counter = declare(&registry, "x_total", Kind::Counter, &["a"]);
    counter.increment_int(key(&["1"]).as_bytes(), 1);
    let scrape = registry.begin_scrape(Quiescent::promise());
    let away = stage.path.with_extension("away");
    fs::rename(&stage.path, &away).unwrap();
    counter.increment_int(key(&["2"]).as_bytes(), 1);
    fs::rename(&away, &stage.path).unwrap();
    counter.increment_int(key(&["3"]).as_bytes(), 1);
    assert!(page(&scrape).contains("\nx_total{a=\"1\"} 1\n"));
    drop(scrape);
    for _ in 0..2 {
        counter.increment_int(key(&["1"]).as_bytes(), 1);
        assert_eq!(lines(&registry, "x_total{").len(), 3);
    }
    assert_eq!(lines(&registry, "x_total{a=\"1\"}"), ["x_total{a=\"1\"} 3"]);
}

#[test]
fn gives_up_an_arena_by_process_gauges_too() {
    let stage = Stage::new();
    let registry = stage.registry();
    let busy = declare(&registry, "busy", Kind::Gauge(Aggregation::Sum), &["a"]);
    busy.set(key(&["1"]).as_bytes(), 7.0).unwrap();
    stage.replace();
    assert_eq!(lines(&registry, "busy"), ["busy{a=\"1\"} 7"]);
}

const LIMITED: &str = "TASKER_TELEMETRY_TEST_LIMITED";

/// What the test of that name does in a process that may have 100 MB of address space.
fn limited(test: &str, arena: &Path) -> Output {
    let script = format!("ulimit -v 100000; exec \"$0\" --exact {test} --nocapture --test-threads 1");
    let mut command = Command::new("sh");
    command.args(["-c", &script]).arg(std::env::current_exe().unwrap());
    command.env(LIMITED, arena).env("MALLOC_ARENA_MAX", "1");
    command.output().unwrap()
}

/// Counts into the arena that the environment names, as a process of little address space; nothing by itself.
#[test]
fn with_little_address_space() {
    let Some(path) = std::env::var_os(LIMITED) else { return };
    let registry = registry(|settings| settings.place = Place::Path(path.into()));
    let counter = declare(&registry, "x_total", Kind::Counter, &["a"]);
    counter.increment_int(key(&["limited"]).as_bytes(), 1);
    assert_eq!(lines(&registry, "x_total{a=\"limited\"}"), ["x_total{a=\"limited\"} 1"]);
    for notice in registry.take_notices() {
        println!("notice: {}", notice.message);
    }
}

#[test]
fn leaves_an_arena_in_place_that_is_too_large_to_map() {
    let stage = Stage::new();
    let registry = stage.registry();
    let counter = declare(&registry, "x_total", Kind::Counter, &["a"]);
    let tail = "x".repeat(10_000);
    for number in 0..12_000 {
        counter.increment_int(key(&[&format!("{number}{tail}")]).as_bytes(), 1);
    }
    let outcome = limited("replacement::with_little_address_space", &stage.path);
    assert!(outcome.status.success(), "{outcome:?}");
    let told = String::from_utf8(outcome.stdout).unwrap();
    assert!(told.contains("larger than the address space"), "{told}");
    assert!(told.contains("1 passed"), "{told}");
    let beside = fs::read_dir(stage.path.parent().unwrap()).unwrap().count();
    assert_eq!(beside, 1, "something was moved aside");
}

#[test]
fn reads_nothing_behind_its_mapping() {
    let stage = Stage::new();
    let registry = stage.registry();
    declare(&registry, "x_total", Kind::Counter, &["a"]).increment_int(key(&["a"]).as_bytes(), 1);
    drop(registry);
    // The head of a chain that points to what the file has, and a small mapping has not.
    let file = fs::OpenOptions::new().read(true).write(true).open(&stage.path).unwrap();
    file.set_len(120 << 20).unwrap();
    let mut heads = [0; 4 * 4096];
    file.read_exact_at(&mut heads, 4096).unwrap();
    let empty = heads.chunks(4).position(|head| head == [0; 4]).unwrap() as u64;
    file.write_all_at(&((110u32 << 20) / 64).to_le_bytes(), 4096 + 4 * empty)
        .unwrap();
    let outcome = limited("replacement::with_little_address_space", &stage.path);
    assert!(outcome.status.success(), "{outcome:?}");
}
