//! Taking the picture of an arena.

use super::expiry::{Expiry, Survey};
use super::node::{Node, Offset, RecordKind, State, Word};
use super::notice::Level;
use super::records::{Held, MetricCells, Records, Refused};
use super::registry::{Quiescent, Registry};
use super::schema::{self, Owner};
use super::shared::{Arena, Pin};
use super::{aggregate, cells, exemplar, own, process, sys};
use crate::metric::{Aggregation, Descriptor, Kind, LabelKey};
use crate::snapshot::{Family, Point, Points, Snapshot, Value};
use std::collections::{HashMap, HashSet};
use std::sync::atomic::Ordering;
use std::sync::Arc;

/// A scrape that has begun: everything that wants quiet is done, and what was in use stays readable until it is
/// dropped. Taking the picture and rendering it need no lock and no quiet.
pub struct Scrape {
    // A copy, because a fork would inherit a lock that this thread holds without the GVL.
    expiry: Expiry,
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
            self.announce(arena);
            self.fold_olds(arena);
            self.let_go(arena);
        }
        Scrape {
            expiry: Expiry::new(self.settings().idle_expiry),
            pin: arena.and_then(|arena| arena.pin()).map(Arc::new),
        }
    }

    pub(super) fn fold_olds(&self, arena: &Arc<Arena>) {
        self.olds.lock().retain_mut(|old| {
            // Asked before folding, so that nothing is counted between the last fold and the goodbye.
            let alive = old.is_alive();
            let reason = match old.fold(arena) {
                Ok(()) => return alive,
                Err(Refused::Sources) => "too many were before it, and what it counted is lost",
                Err(Refused::Damaged) => "it is damaged",
                Err(Refused::Full | Refused::Cap) => {
                    let message = "a replaced arena cannot be folded in: the disk is full";
                    self.notice(Level::Error, message.to_owned());
                    // There may be room later.
                    return true;
                }
            };
            self.notice(Level::Error, format!("a replaced arena cannot be folded in: {reason}"));
            false
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
        let records = pin.records();
        let walk = Walk::over(&records, self.expiry);
        let mut families = walk.families(pin, &records);
        families.extend(own::families(&pin.arena, &records, &families));
        Snapshot::new(families, taken_at)
    }
}

/// What was counted in arenas that were folded into this one, by the series that it belongs to.
#[derive(Default)]
struct Folded {
    /// By the hash that the series itself has.
    parts: HashMap<u64, Vec<Offset>>,
}

impl Folded {
    fn add(&mut self, part: &Node<'_>) {
        self.parts.entry(part.series_hash()).or_default().push(part.offset);
    }

    fn parts_of<'a>(&self, series: &Node<'a>) -> impl Iterator<Item = Node<'a>> + use<'_, 'a> {
        let series = *series;
        let parts = match self.parts.is_empty() {
            true => None,
            false => self.parts.get(&series.hash()),
        };
        let nodes = parts
            .into_iter()
            .flatten()
            .filter_map(move |offset| series.sibling(*offset));
        nodes.filter(move |part| part.word().in_use() && part.is_part_of(&series))
    }
}

/// One walk over all records.
struct Walk {
    /// Each series in use, by metric, in the order of birth.
    series: HashMap<Offset, Vec<Offset>>,
    /// Newest help text of each name.
    help: HashMap<String, (u64, String)>,
    metrics: Vec<(Offset, Descriptor)>,
    superseded: HashSet<Offset>,
    folded: Folded,
}

/// A series in use.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Born {
    birth: u64,
    offset: Offset,
    metric: Offset,
}

/// Puts series into the order of their birth, digit by digit: comparing them would be half the time that a picture
/// takes.
fn by_birth(mut series: Vec<Born>) -> Vec<Born> {
    const BITS: u32 = 11;
    const DIGITS: usize = 1 << BITS;
    let (first, last) = series.iter().fold((u64::MAX, 0), |(first, last), born| {
        (first.min(born.birth), last.max(born.birth))
    });
    let mut sorted = vec![Born::default(); series.len()];
    let mut shift = 0;
    while shift < u64::BITS && last.saturating_sub(first) >> shift > 0 {
        let digit = |born: &Born| (born.birth - first) as usize >> shift & (DIGITS - 1);
        let mut places = [0; DIGITS];
        series.iter().for_each(|born| places[digit(born)] += 1);
        let mut next = 0;
        for place in &mut places {
            next += std::mem::replace(place, next);
        }
        for born in &series {
            let place = &mut places[digit(born)];
            sorted[*place] = *born;
            *place += 1;
        }
        std::mem::swap(&mut series, &mut sorted);
        shift += BITS;
    }
    series
}

impl Walk {
    fn over(records: &Records<'_>, expiry: Expiry) -> Self {
        let known = records.know();
        let numbers = || {
            records
                .header()
                .map(|h| [h.births(), h.removals()].map(|cell| cell.load(Ordering::SeqCst)))
        };
        let before = numbers();
        let mut walk = Self {
            series: HashMap::new(),
            help: HashMap::new(),
            metrics: Vec::new(),
            superseded: HashSet::new(),
            folded: Folded::default(),
        };
        let living = process::incarnations(records.map, records.member);
        let (mut unsettled, mut series) = (false, Vec::new());
        for node in records.all() {
            let word = node.word();
            match word.state() {
                Some(State::Live | State::Expiring) if word.sequence() <= known => {
                    walk.take(&node, word.sequence(), &mut series);
                }
                Some(State::Free | State::Removed) | None => {}
                // Left by a process that is gone, it is on its way to nothing.
                Some(State::Claimed) if !living.contains(&word.sequence()) => {}
                state => {
                    unsettled = true;
                    // Its process is about to do it, or dead; whoever comes first does it.
                    match state {
                        Some(State::Pending) => records.settle_abandoned(&node),
                        Some(State::Removing) => records.number(&node, word),
                        _ => {}
                    }
                }
            }
        }
        let survey = Survey::of(records, &walk.metrics, living);
        if expiry.is_due(&survey) {
            series.retain(|born| {
                let Some(node) = Node::at(records.map, born.offset) else {
                    return false;
                };
                let held = Held {
                    offset: born.offset,
                    word: Word::new(State::Live, born.birth),
                };
                !expiry.apply(records, &survey, &node, held)
            });
        }
        for same in by_birth(series).chunk_by(|a, b| a.metric == b.metric) {
            if let Some(first) = same.first() {
                let places = walk.series.entry(first.metric).or_default();
                places.extend(same.iter().map(|born| born.offset));
            }
        }
        walk.superseded = survey.superseded;
        if !unsettled && numbers() == before {
            walk.recount(records);
        }
        walk
    }

    fn take(&mut self, node: &Node<'_>, birth: u64, series: &mut Vec<Born>) {
        match node.kind() {
            Some(RecordKind::Series) if node.source() == 0 => {
                series.push(Born {
                    birth,
                    offset: node.offset,
                    metric: node.metric(),
                });
            }
            Some(RecordKind::Series) => self.folded.add(node),
            Some(RecordKind::Metric) => self
                .metrics
                .extend(schema::decode(node).map(|metric| (node.offset, metric))),
            Some(RecordKind::Help) => self.read_help(node),
            _ => {}
        }
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
        for (offset, descriptor) in &self.metrics {
            let Some(metric) = Node::at(records.map, *offset) else {
                continue;
            };
            let Some(count) = metric.cells().get(MetricCells::SERIES) else {
                continue;
            };
            let counted = count.load(Ordering::SeqCst);
            let series = self.of(*offset);
            if series.len() as u64 == counted {
                continue;
            }
            let overflow = super::instrument::overflow_key(descriptor);
            let mut point = Point::new();
            let mut capped = |node: &Node<'_>| {
                load_labels(node, &descriptor.kind, &mut point);
                point.values != overflow
            };
            let nodes = series.iter().filter_map(|series| Node::at(records.map, *series));
            let found = nodes.filter(|node| capped(node)).count() as u64;
            if found != counted {
                let _ = count.compare_exchange(counted, found, Ordering::SeqCst, Ordering::SeqCst);
            }
        }
    }

    fn of(&self, metric: Offset) -> &[Offset] {
        self.series.get(&metric).map_or(&[], Vec::as_slice)
    }

    fn families(mut self, pin: &Arc<Pin>, records: &Records<'_>) -> Vec<Family> {
        let folded = Arc::new(std::mem::take(&mut self.folded));
        let mut families = Vec::new();
        for (offset, descriptor) in &self.metrics {
            let mut descriptor = descriptor.clone();
            if let Some((_, text)) = self.help.get(&descriptor.name) {
                descriptor.help.clone_from(text);
            }
            let superseded = self.superseded.contains(offset);
            let series = self.of(*offset).to_vec();
            if superseded && series.is_empty() {
                continue;
            }
            let descriptor = Arc::new(descriptor);
            let points: Arc<dyn Points> = match descriptor.kind {
                Kind::Gauge(aggregation @ (Aggregation::Sum | Aggregation::Min | Aggregation::Max)) => {
                    Arc::new(aggregated(records, &descriptor, aggregation, &series))
                }
                kind => Arc::new(Pinned {
                    folded: Arc::clone(&folded),
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
    let nodes = series.iter().filter_map(|offset| Node::at(records.map, *offset));
    for node in nodes.filter(|node| node.word().in_use()) {
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
    point.defaults = LabelKey::packed(defaults);
    let mut values = std::mem::take(&mut point.values).into_buffer();
    values.clear();
    node.read_key(&mut values);
    point.process.clear();
    if kind.per_process_cell() {
        if let Some(owner) = Owner::take_from(&mut values) {
            point.process = owner.label();
        }
    }
    point.values = LabelKey::packed(values);
}

/// Points that are read from the arena one by one.
struct Pinned {
    pin: Arc<Pin>,
    kind: Kind,
    series: Vec<Offset>,
    folded: Arc<Folded>,
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
        point.exemplars.clear();
        exemplar::collect(map, &node, &self.kind, &mut point.exemplars);
        for part in self.folded.parts_of(&node) {
            cells::read(&self.kind, part.cells(), &mut point.value, true);
            exemplar::collect(map, &part, &self.kind, &mut point.exemplars);
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn puts_any_births_into_their_order(births in prop::collection::vec(prop_oneof![0u64..5000, any::<u64>()], 0..300)) {
            let series: Vec<_> = (0..).zip(births).map(|(offset, birth)| Born { birth, offset, metric: 1 }).collect();
            let mut expected = series.clone();
            expected.sort_by_key(|born| born.birth);
            prop_assert_eq!(by_birth(series), expected);
        }
    }
}
