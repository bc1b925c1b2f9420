//! Taking the picture of an arena.

use super::expiry::{Expiry, Survey};
use super::layout::Header;
use super::node::{Node, Offset, RecordKind, State};
use super::records::{Held, MetricCells, Records};
use super::registry::{Level, Quiescent, Registry};
use super::schema::{self, Owner};
use super::shared::{Arena, Pin};
use super::{aggregate, cells, own, sys};
use crate::metric::{Aggregation, Descriptor, Kind};
use crate::snapshot::{Family, Point, Points, Snapshot, Value};
use std::collections::HashMap;
use std::sync::atomic::Ordering;
use std::sync::Arc;

/// A scrape that has begun: everything that wants quiet is done, and what was in use stays readable until it is
/// dropped. Taking the picture and rendering it need no lock and no quiet.
pub struct Scrape {
    registry: Arc<Registry>,
    pin: Option<Arc<Pin>>,
}

impl std::fmt::Debug for Scrape {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Scrape").finish_non_exhaustive()
    }
}

impl Registry {
    /// Begins a scrape: opens the arena if need be, follows it if it was replaced, folds in what was counted
    /// elsewhere, shows every declared metric, and lets go of removed series.
    pub fn begin_scrape(self: &Arc<Self>, _: Quiescent) -> Scrape {
        let _slow = self.slow();
        let arena = self.ready().map(|arena| self.follow(arena));
        if let Some(arena) = &arena {
            self.show_declared(arena);
            self.fold_olds(arena);
            self.let_go(arena);
        }
        Scrape {
            registry: Arc::clone(self),
            pin: arena.map(|arena| Arc::new(arena.pin())),
        }
    }

    fn show_declared(&self, arena: &Arc<Arena>) {
        let Some(records) = arena.records() else { return };
        for metric in self.declared() {
            if self.metric_record(arena, &records, &metric).is_err() {
                self.notice(
                    Level::Error,
                    "new metrics cannot be registered: the arena's disk is full".to_owned(),
                );
                return;
            }
        }
    }

    fn fold_olds(&self, arena: &Arc<Arena>) {
        self.olds.lock().retain_mut(|old| {
            // Asked before folding, so that nothing is counted between the last fold and the goodbye.
            let alive = old.is_alive();
            match old.fold(arena) {
                Ok(()) => alive,
                Err(_) => {
                    self.notice(
                        Level::Error,
                        "a replaced arena cannot be folded in: the disk is full".to_owned(),
                    );
                    true
                }
            }
        });
    }
}

impl Scrape {
    /// The picture. Removes series that have been idle too long on the way.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        let taken_at = sys::wall_clock();
        let Some(pin) = &self.pin else {
            return Snapshot::new(Vec::new(), taken_at);
        };
        let Some(records) = pin.arena.records() else {
            return Snapshot::new(Vec::new(), taken_at);
        };
        let walk = Walk::over(&records, Expiry::new(self.registry.settings().idle_expiry));
        let mut families = walk.families(pin, &records);
        families.extend(own::families(&self.registry, &pin.arena, &records, &families));
        Snapshot::new(families, taken_at)
    }
}

/// One walk over all records.
struct Walk {
    survey: Survey,
    /// Metric, birth and place of each series in use.
    series: Vec<(Offset, u64, Offset)>,
    /// Newest help text of each name.
    help: HashMap<String, (u64, String)>,
    metrics: Vec<Offset>,
}

impl Walk {
    fn over(records: &Records<'_>, expiry: Expiry) -> Self {
        let survey = Survey::of(records);
        let known = records.know();
        let numbers = || {
            records
                .header()
                .map(|h| [h.births(), h.removals()].map(|cell| cell.load(Ordering::SeqCst)))
        };
        let before = numbers();
        let mut walk = Self {
            survey,
            series: Vec::new(),
            help: HashMap::new(),
            metrics: Vec::new(),
        };
        let mut unsettled = false;
        for node in records.all() {
            let word = node.word();
            match word.state() {
                Some(State::Live | State::Expiring) => {}
                Some(State::Pending) => {
                    // Its process is about to settle it, or dead; whoever comes first does it.
                    records.settle_abandoned(&node);
                    unsettled = true;
                    continue;
                }
                Some(State::Claimed | State::Removing) => {
                    unsettled = true;
                    continue;
                }
                _ => continue,
            }
            if word.sequence() > known {
                unsettled = true;
                continue;
            }
            match node.kind() {
                Some(RecordKind::Series) if node.source() == 0 => {
                    let held = Held {
                        offset: node.offset,
                        word: word.with(State::Live),
                    };
                    if !expiry.apply(records, &walk.survey, &node, held) {
                        walk.series.push((node.metric(), word.sequence(), node.offset));
                    }
                }
                Some(RecordKind::Metric) => walk.metrics.push(node.offset),
                Some(RecordKind::Help) => walk.read_help(&node),
                _ => {}
            }
        }
        walk.series.sort_unstable();
        if !unsettled && numbers() == before {
            walk.recount(records);
        }
        walk
    }

    fn read_help(&mut self, node: &Node<'_>) {
        let Some((name, text, declared)) = schema::decode_help(node) else {
            return;
        };
        match self.help.get_mut(&name) {
            Some(known) if known.0 >= declared => {}
            Some(known) => *known = (declared, text),
            None => {
                self.help.insert(name, (declared, text));
            }
        }
    }

    /// Mends the counts of series where a process was killed between registering and counting: only when nothing was
    /// registered or removed while we walked.
    fn recount(&self, records: &Records<'_>) {
        for offset in &self.metrics {
            let Some(metric) = Node::at(records.map, *offset) else {
                continue;
            };
            let Some(count) = metric.cells().get(MetricCells::SERIES) else {
                continue;
            };
            let counted = count.load(Ordering::SeqCst);
            if self.of(*offset).count() as u64 == counted {
                continue;
            }
            let Some(descriptor) = schema::decode(&metric) else {
                continue;
            };
            let overflow = super::instrument::overflow_key(&descriptor);
            let mut point = Point::new();
            let mut capped = |node: &Node<'_>| {
                load_labels(node, &descriptor.kind, &mut point);
                point.values != overflow
            };
            let nodes = self.of(*offset).filter_map(|series| Node::at(records.map, *series));
            let found = nodes.filter(|node| capped(node)).count() as u64;
            if found != counted {
                let _ = count.compare_exchange(counted, found, Ordering::SeqCst, Ordering::SeqCst);
            }
        }
    }

    fn of(&self, metric: Offset) -> impl Iterator<Item = &Offset> {
        let start = self.series.partition_point(|(of, ..)| *of < metric);
        self.series[start..]
            .iter()
            .take_while(move |(of, ..)| *of == metric)
            .map(|(_, _, offset)| offset)
    }

    fn families(&self, pin: &Arc<Pin>, records: &Records<'_>) -> Vec<Family> {
        let mut families = Vec::new();
        for offset in &self.metrics {
            let Some(mut descriptor) = Node::at(records.map, *offset).and_then(|node| schema::decode(&node)) else {
                continue;
            };
            if let Some((_, text)) = self.help.get(&descriptor.name) {
                descriptor.help.clone_from(text);
            }
            let superseded = self.survey.superseded.contains(offset);
            let series: Vec<Offset> = self.of(*offset).copied().collect();
            if superseded && series.is_empty() {
                continue;
            }
            let descriptor = Arc::new(descriptor);
            let points: Arc<dyn Points> = match descriptor.kind {
                Kind::Gauge(aggregation @ (Aggregation::Sum | Aggregation::Min | Aggregation::Max)) => {
                    Arc::new(aggregated(records, &descriptor, aggregation, &series))
                }
                kind => Arc::new(Pinned {
                    folded: Header::of(&pin.arena.map).is_some_and(|header| header.sources().next().is_some()),
                    pin: Arc::clone(pin),
                    kind,
                    series,
                }),
            };
            families.push(Family::new(descriptor, superseded, points));
        }
        families
    }
}

/// Series of living processes as one point per label set, in the order of their first registration.
fn aggregated(
    records: &Records<'_>,
    descriptor: &Descriptor,
    aggregation: Aggregation,
    series: &[Offset],
) -> Vec<Point> {
    let mut points: Vec<Point> = Vec::new();
    let mut places: HashMap<(Vec<u8>, Vec<u8>), usize> = HashMap::new();
    let mut point = Point::new();
    for node in series.iter().filter_map(|offset| Node::at(records.map, *offset)) {
        load_labels(&node, &descriptor.kind, &mut point);
        point.process.clear();
        point.created_at = node.created();
        cells::read(&descriptor.kind, node.cells(), &mut point.value, false);
        let labels = (point.defaults.as_bytes().to_vec(), point.values.as_bytes().to_vec());
        match places.get(&labels) {
            None => {
                places.insert(labels, points.len());
                points.push(point.clone());
            }
            Some(place) => {
                if let (Value::Gauge(known), Value::Gauge(more)) = (&mut points[*place].value, &point.value) {
                    *known = aggregate(aggregation, *known, *more);
                }
            }
        }
    }
    points
}

fn load_labels(node: &Node<'_>, kind: &Kind, point: &mut Point) {
    let mut defaults = std::mem::take(&mut point.defaults).into_buffer();
    defaults.clear();
    node.read_preset(&mut defaults);
    point.defaults = crate::metric::LabelKey::packed(defaults);
    let mut values = std::mem::take(&mut point.values).into_buffer();
    values.clear();
    node.read_key(&mut values);
    point.process.clear();
    if kind.per_process_cell() {
        if let Some(owner) = Owner::take_from(&mut values) {
            point.process = owner.label();
        }
    }
    point.values = crate::metric::LabelKey::packed(values);
}

/// Points that are read from the arena one by one.
struct Pinned {
    pin: Arc<Pin>,
    kind: Kind,
    series: Vec<Offset>,
    folded: bool,
}

impl Points for Pinned {
    fn count(&self) -> usize {
        self.series.len()
    }

    fn load(&self, index: usize, point: &mut Point) -> bool {
        let map = &self.pin.arena.map;
        let Some(node) = self.series.get(index).and_then(|offset| Node::at(map, *offset)) else {
            return false;
        };
        if !node.word().in_use() {
            return false;
        }
        load_labels(&node, &self.kind, point);
        point.created_at = node.created();
        cells::read(&self.kind, node.cells(), &mut point.value, false);
        if self.folded {
            if let Some(records) = self.pin.arena.records() {
                for part in records.folded(&node) {
                    cells::read(&self.kind, part.cells(), &mut point.value, true);
                }
            }
        }
        true
    }
}
