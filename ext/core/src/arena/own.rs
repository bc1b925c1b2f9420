//! What the gem tells about itself and about the processes: families that are made when a picture is taken.

use super::node::{Node, Offset, RecordKind, State};
use super::procfs::{self, Stat};
use super::records::{MetricCells, Records};
use super::rejection::{Reason, SpanOutcome, CUT_LABELS, DROPPED_CELLS};
use super::schema::{self, Owner};
use super::shared::Arena;
use super::{cells, process, sys};
use crate::metric::{self, naming, Aggregation, Buckets, Descriptor, Kind, LabelKey};
use crate::snapshot::{Count, Family, Point, Value};
use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::Ordering;
use std::sync::Arc;

/// The families that are not counted into records. `counted`: those that are.
pub(super) fn families(arena: &Arc<Arena>, records: &Records<'_>, counted: &[Family]) -> Vec<Family> {
    let mut families = about_the_arena(arena, records, counted);
    families.extend(about_processes(arena, records));
    families
}

/// Counter of samples that the cap sent to a metric's overflow series.
pub(super) const OVERFLOWED: &str = "tasker_telemetry_overflow_samples_total";
/// Histogram of how long scrapes take.
pub(super) const SCRAPES: &str = "tasker_telemetry_scrape_duration_seconds";

const PER_PROCESS: Kind = Kind::Gauge(Aggregation::PerProcess);
/// What is read of every live process, and its help.
const OF_PROCESSES: [(&str, &str, Kind); 5] = [
    (
        "process_resident_memory_bytes",
        "Resident memory of each process",
        PER_PROCESS,
    ),
    (
        "process_cpu_seconds_total",
        "User and system CPU time of each process",
        Kind::Counter,
    ),
    ("process_threads", "Threads of each process", PER_PROCESS),
    (
        "ruby_gc_runs_total",
        "Garbage collections of each process",
        Kind::Counter,
    ),
    (
        "ruby_gc_duration_seconds_total",
        "Time that each process spent in garbage collection",
        Kind::Counter,
    ),
];

/// Checks the name under which a metric of the application would be printed against those that the gem prints.
pub(super) fn check_printed(printed: &str, kind: &Kind) -> metric::Result<()> {
    if printed.starts_with(naming::SELF_PREFIX) {
        return Err(metric::Error::ReservedMetricName(printed.to_owned()));
    }
    for (other, _, other_kind) in &OF_PROCESSES {
        if let Some(sample) = naming::clash((printed, kind), (other, other_kind)) {
            return Err(metric::Error::SampleClash {
                name: printed.to_owned(),
                other: (*other).to_owned(),
                sample,
            });
        }
    }
    Ok(())
}

/// The gem's own metrics that are counted into records.
pub(super) fn counted() -> [Descriptor; 2] {
    let overflowed = "Samples that went to the overflow series of a metric that has reached its cap";
    let scrapes = Descriptor {
        buckets: Buckets::new(
            SCRAPES,
            vec![0.000_1, 0.000_5, 0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0],
        )
        .ok(),
        ..descriptor(SCRAPES, "Time to take and render a page", Kind::Histogram, &[])
    };
    [descriptor(OVERFLOWED, overflowed, Kind::Counter, &["metric"]), scrapes]
}

fn descriptor(name: &str, help: &str, kind: Kind, labels: &[&str]) -> Descriptor {
    Descriptor {
        name: name.to_owned(),
        help: help.to_owned(),
        unit: None,
        kind,
        labels: labels.iter().map(|label| (*label).to_owned()).collect(),
        buckets: None,
    }
}

/// Samples that were dropped, by cell, in this arena and in those folded into it.
pub(super) fn dropped(records: &Records<'_>) -> [u64; DROPPED_CELLS] {
    let mut totals = [0; DROPPED_CELLS];
    let Some(header) = records.header() else { return totals };
    for (index, total) in totals.iter_mut().enumerate() {
        *total = header.dropped(index).load(Ordering::Relaxed);
    }
    for source in header.sources().filter_map(|source| Node::at(records.map, source)) {
        for (total, cell) in totals.iter_mut().zip(source.cells()) {
            *total = total.wrapping_add(cell.load(Ordering::Relaxed));
        }
    }
    totals
}

/// What removed series had counted, by metric: integers or observations, and floats or sums.
pub(super) fn removed(records: &Records<'_>) -> BTreeMap<String, (u64, f64)> {
    let metrics: HashMap<Offset, String> = schema::metrics(records)
        .map(|(offset, descriptor)| (offset, descriptor.name))
        .collect();
    let mut totals: BTreeMap<String, (u64, f64)> = BTreeMap::new();
    let mut add = |metric: Offset, (int, float): (u64, f64)| {
        if let Some(name) = metrics.get(&metric).filter(|_| int != 0 || float != 0.0) {
            let total = totals.entry(name.clone()).or_default();
            *total = (total.0.wrapping_add(int), total.1 + float);
        }
    };
    for node in records.all() {
        match (node.kind(), node.word().state()) {
            (Some(RecordKind::Metric), _) => add(node.offset, MetricCells::removed(&node)),
            // What has not gone to other labels yet still holds its total.
            (Some(RecordKind::Series), Some(State::Removing | State::Removed | State::Claimed)) => {
                add(node.metric(), cells::total(node.cells()));
            }
            _ => {}
        }
    }
    totals
}

/// They are everybody's, so no process's default labels are on them.
fn about_the_arena(arena: &Arc<Arena>, records: &Records<'_>, counted: &[Family]) -> Vec<Family> {
    let created_at = records
        .header()
        .map_or(0, |header| header.created().load(Ordering::Relaxed));
    let point = |labels: &[&str], value: Value| Point {
        defaults: LabelKey::new(),
        values: LabelKey::of(labels.iter().copied()),
        process: String::new(),
        value,
        created_at,
        exemplars: Vec::new(),
    };
    let count = |int: u64| Value::Counter(Count { int, float: 0.0 });
    let gauge = Kind::Gauge(Aggregation::Last);
    let dropped = dropped(records);
    let current = counted.iter().filter(|family| !family.superseded);
    let mut series: Vec<_> = current
        .map(|family| (family.descriptor.name.as_str(), family.len()))
        .collect();
    series.sort_unstable();
    vec![
        Family::owned(
            descriptor(
                "tasker_telemetry_dropped_samples_total",
                "Samples that were not counted, by reason",
                Kind::Counter,
                &["reason"],
            ),
            Reason::ALL
                .iter()
                .map(|reason| point(&[reason.name()], count(dropped[*reason as usize])))
                .collect(),
        ),
        Family::owned(
            descriptor(
                "tasker_telemetry_cut_label_values_total",
                "Label values that were cut because they were too long",
                Kind::Counter,
                &[],
            ),
            vec![point(&[], count(dropped[CUT_LABELS]))],
        ),
        Family::owned(
            descriptor(
                "tasker_telemetry_exported_spans_total",
                "Spans that a collector has taken",
                Kind::Counter,
                &[],
            ),
            vec![point(&[], count(dropped[SpanOutcome::Exported as usize]))],
        ),
        Family::owned(
            descriptor(
                "tasker_telemetry_dropped_spans_total",
                "Spans that were not sent, by reason",
                Kind::Counter,
                &["reason"],
            ),
            SpanOutcome::DROPPED
                .iter()
                .map(|outcome| point(&[outcome.name()], count(dropped[*outcome as usize])))
                .collect(),
        ),
        Family::owned(
            descriptor(
                "tasker_telemetry_series",
                "Series in use, by metric",
                gauge,
                &["metric"],
            ),
            series
                .iter()
                .map(|(name, series)| point(&[name], Value::Gauge(*series as f64)))
                .collect(),
        ),
        Family::owned(
            descriptor("tasker_telemetry_arena_bytes", "Size of the shared arena", gauge, &[]),
            vec![point(&[], Value::Gauge(arena.map.length() as f64))],
        ),
        Family::owned(
            descriptor(
                "tasker_telemetry_processes",
                "Live processes that share the arena",
                gauge,
                &[],
            ),
            vec![point(
                &[],
                Value::Gauge(process::living(records.map, Some(records.member)).count() as f64),
            )],
        ),
    ]
}

fn about_processes(arena: &Arc<Arena>, records: &Records<'_>) -> Vec<Family> {
    let mut families = OF_PROCESSES.map(|(name, help, kind)| (descriptor(name, help, kind, &[]), Vec::new()));

    let namespace = sys::pid_namespace();
    for slot in process::living(&arena.map, Some(records.member)) {
        let owner = Owner::of(&slot);
        let mut defaults = Vec::new();
        if let Some(preset) =
            Node::at(records.map, slot.preset().load(Ordering::Relaxed) as u32).filter(|node| node.offset != 0)
        {
            preset.read_key(&mut defaults);
        }
        let point = |value| Point {
            defaults: LabelKey::packed(defaults.clone()),
            values: LabelKey::new(),
            process: owner.label(),
            value,
            created_at: slot.attached().load(Ordering::Relaxed),
            exemplars: Vec::new(),
        };
        let seconds = |float: f64| Value::Counter(Count { int: 0, float });
        // Another namespace's pids mean other processes here.
        let same_namespace = slot.namespace().load(Ordering::Relaxed) == namespace;
        let stat = Some(owner.pid).filter(|_| same_namespace).and_then(Stat::read);
        if let Some(stat) = stat.filter(|stat| stat.started == slot.started().load(Ordering::Relaxed)) {
            families[0]
                .1
                .push(point(Value::Gauge((stat.resident_pages * procfs::page_size()) as f64)));
            families[1].1.push(point(seconds(
                stat.cpu_ticks as f64 / procfs::ticks_per_second() as f64,
            )));
            families[2].1.push(point(Value::Gauge(stat.threads as f64)));
        }
        let runs = slot.gc_runs().load(Ordering::Relaxed);
        families[3]
            .1
            .push(point(Value::Counter(Count { int: runs, float: 0.0 })));
        families[4]
            .1
            .push(point(seconds(slot.gc_nanos().load(Ordering::Relaxed) as f64 / 1e9)));
    }
    families
        .into_iter()
        .map(|(descriptor, points)| Family::owned(descriptor, points))
        .collect()
}
