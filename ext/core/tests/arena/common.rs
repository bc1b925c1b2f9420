//! A registry of its own for each test, and what is read back from it.

use std::sync::Arc;
use tasker_telemetry_core::arena::{Metric, Place, Quiescent, Registry, Scrape, Settings, Threads};
use tasker_telemetry_core::export::formats::{Kind as Format, Renderer};
use tasker_telemetry_core::metric::{Descriptor, Kind, LabelKey};
use tasker_telemetry_core::snapshot::{Point, Snapshot, Value};

pub fn registry(change: impl FnOnce(&mut Settings)) -> Arc<Registry> {
    let registry = Registry::new(Threads::Serialized);
    let mut settings = Settings {
        place: Place::Memory,
        ..Settings::default()
    };
    change(&mut settings);
    registry.configure(settings).unwrap();
    registry
}

pub fn declare(registry: &Arc<Registry>, name: &str, kind: Kind, labels: &[&str]) -> Arc<Metric> {
    let labels: Vec<String> = labels.iter().map(ToString::to_string).collect();
    registry
        .declare(Descriptor::new(name, "Help", None, kind, &labels, Some(vec![0.1, 1.0])).unwrap())
        .unwrap()
}

pub fn snapshot(registry: &Arc<Registry>) -> Snapshot {
    registry.begin_scrape(Quiescent::promise()).snapshot()
}

pub fn points(registry: &Arc<Registry>, name: &str) -> Vec<(Vec<(String, String)>, Value)> {
    let snapshot = snapshot(registry);
    let mut found = Vec::new();
    for family in snapshot
        .families
        .iter()
        .filter(|family| family.descriptor.name == name && !family.superseded)
    {
        let mut point = Point::new();
        for index in 0..family.len() {
            if family.load(index, &mut point) {
                let labels = point
                    .labels(&family.descriptor)
                    .map(|(n, v)| (n.to_owned(), v.to_owned()))
                    .collect();
                found.push((labels, point.value.clone()));
            }
        }
    }
    found
}

pub fn total(value: &Value) -> f64 {
    match value {
        Value::Counter(count) => count.as_f64(),
        Value::Gauge(value) => *value,
        Value::Histogram(histogram) => histogram.count() as f64,
    }
}

pub fn key(values: &[&str]) -> LabelKey {
    LabelKey::of(values.iter().copied())
}

/// The lines of a page that begin with `name`.
pub fn lines(registry: &Arc<Registry>, name: &str) -> Vec<String> {
    let page = page(&registry.begin_scrape(Quiescent::promise()));
    let found = page.lines().filter(|line| line.starts_with(name));
    found.map(str::to_owned).collect()
}

pub fn page(scrape: &Scrape) -> String {
    let mut page = Vec::new();
    Renderer::new(Format::Prometheus, scrape.snapshot()).chunk(&mut page, usize::MAX);
    String::from_utf8(page).unwrap()
}
