//! Registration, removal and expiry by three processes.

use super::super::layout::Header;
use super::super::map::Mapping;
use super::super::node::{Identity, Node, Offset, RecordKind, State, Word};
use super::super::process::{self, Member};
use super::super::records::{Held, MetricCells, Records};
use super::super::step::step;
use super::super::{cells, place};
use super::game::{self, World};
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

/// An arena with a metric, and the processes that work on it.
struct Table {
    map: Arc<Mapping>,
    processes: Vec<Process>,
}

#[derive(Clone)]
struct Process {
    map: Arc<Mapping>,
    member: Member,
    metric: Offset,
    added: Arc<AtomicU64>,
    /// How often a record was found untouched or made so.
    clears: Arc<AtomicU64>,
    /// Writes that stood: the record's word, and `clears` when they were made.
    stood: Arc<Mutex<Vec<(Word, u64)>>>,
}

static NEVER: AtomicU64 = AtomicU64::new(u64::MAX);

fn records(map: &Mapping, member: Member) -> Records<'_> {
    Records {
        map,
        member,
        buried_at: &NEVER,
    }
}

impl World for Table {
    type Process = Process;

    fn new(players: usize) -> Self {
        let map = Arc::new(place::memory(0).unwrap().map);
        let header = Header::of(&map).unwrap();
        // All are one process to the kernel, which would give them one slot.
        let mut members = vec![process::attach(&map, &header).unwrap()];
        for index in 1..=players {
            members.push(process::occupy(&process::slot(&map, index as u32).unwrap(), &header));
        }
        let identity = Identity {
            kind: RecordKind::Metric,
            metric: 0,
            preset: 0,
            source: 0,
            key: b"metric",
        };
        let (metric, _) = records(&map, members[0])
            .obtain(&identity, &[0; MetricCells::COUNT], None)
            .unwrap();
        let (added, clears) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
        let stood = Arc::default();
        let processes = members
            .into_iter()
            .map(|member| Process {
                map: Arc::clone(&map),
                member,
                metric: metric.offset,
                added: Arc::clone(&added),
                clears: Arc::clone(&clears),
                stood: Arc::clone(&stood),
            })
            .collect();
        Self { map, processes }
    }

    fn process(&self, index: usize) -> &Process {
        &self.processes[index]
    }

    fn check(&self) {
        let mut in_use: HashMap<Vec<u8>, Offset> = HashMap::new();
        for node in self.series().filter(|node| node.word().in_use()) {
            let other = in_use.insert(node.key(), node.offset);
            assert_eq!(other, None, "two records of one key are in use");
        }
    }

    fn conclude(&self) {
        self.check();
        let records = records(&self.map, self.processes[0].member);
        let metric = Node::at(&self.map, self.processes[0].metric).unwrap();
        let mut found = MetricCells::removed(&metric).0;
        for node in self.series() {
            match node.word().state() {
                Some(State::Live | State::Expiring | State::Removing | State::Removed) => {
                    found += cells::total(node.cells()).0;
                }
                state => assert!(matches!(state, Some(State::Free)), "a record was left {state:?}"),
            }
        }
        assert_eq!(found, self.processes[0].added.load(Ordering::SeqCst));
        // Whatever happened, each key can be found or registered.
        for key in [KEYS.a, KEYS.b] {
            let identity = self.processes[0].identity(key.as_bytes());
            records.obtain(&identity, &[0, 0], None).unwrap();
            assert!(records.find(&identity).is_some());
        }
    }
}

impl Table {
    fn series(&self) -> impl Iterator<Item = Node<'_>> {
        records(&self.map, self.processes[0].member)
            .chain(KEYS.bucket)
            .filter(|node| node.kind() == Some(RecordKind::Series))
    }
}

/// Keys whose records hang in one chain.
struct Keys {
    a: &'static str,
    b: &'static str,
    c: &'static str,
    bucket: u64,
}

static KEYS: std::sync::LazyLock<Keys> = std::sync::LazyLock::new(|| {
    // The metric's record is the first of every table, so its offset, and with it all hashes, are always the same.
    let process = Table::new(0).processes[0].clone();
    let bucket = |key: &str| process.identity(key.as_bytes()).hash() % super::super::layout::BUCKETS;
    let mut same = (10_000..)
        .map(|number: u32| number.to_string())
        .filter(|key| bucket(key) == bucket("10000"))
        .map(|key| -> &'static str { key.leak() });
    let mut next = || same.next().unwrap();
    Keys {
        a: next(),
        b: next(),
        c: next(),
        bucket: bucket("10000"),
    }
});

impl Process {
    fn records(&self) -> Records<'_> {
        records(&self.map, self.member)
    }

    fn identity<'k>(&self, key: &'k [u8]) -> Identity<'k> {
        Identity {
            kind: RecordKind::Series,
            metric: self.metric,
            preset: 0,
            source: 0,
            key,
        }
    }

    fn obtain(&self, key: &str) -> Held {
        self.records()
            .obtain(&self.identity(key.as_bytes()), &[0, 0], None)
            .unwrap()
            .0
    }

    /// Writes as a handle does; `false` when the record is out of use.
    fn write(&self, held: Held, key: &str) -> bool {
        let node = Node::at(&self.map, held.offset).unwrap();
        let expiring = held.word.with(State::Expiring);
        let in_use = || node.word() == held.word || node.advance(expiring, held.word) || node.word() == held.word;
        if !in_use() {
            return false;
        }
        // From here on it counts as used, although a process that is held up now writes later.
        node.touched().store(1, Ordering::SeqCst);
        let made = (held.word, self.clears.load(Ordering::SeqCst));
        step();
        let cell = &node.cells()[cells::COUNTER_INT];
        cell.fetch_add(1, Ordering::SeqCst);
        self.added.fetch_add(1, Ordering::SeqCst);
        step();
        assert_eq!(node.key(), key.as_bytes(), "a write went into another series");
        let stands = in_use();
        if stands {
            self.stood.lock().unwrap().push(made);
        } else {
            step();
            assert_eq!(
                node.key(),
                key.as_bytes(),
                "a record went to another series while it was held"
            );
            cell.fetch_sub(1, Ordering::SeqCst);
            self.added.fetch_sub(1, Ordering::SeqCst);
        }
        stands
    }

    /// Lets go of everything, as a scrape does.
    fn let_go(&self) {
        let removals = Header::of(&self.map).unwrap().removals().load(Ordering::SeqCst);
        step();
        let slot = process::slot(&self.map, self.member.slot).unwrap();
        slot.released().fetch_max(removals, Ordering::SeqCst);
    }

    /// Counts `times` through one handle, which finds or registers a record whenever it has none.
    fn count(&self, key: &str, times: usize) {
        let mut held = self.obtain(key);
        for _ in 0..times {
            while !self.write(held, key) {
                held = self.obtain(key);
            }
        }
        self.let_go();
    }

    fn remove(&self, key: &str) {
        if let Some(held) = self.records().find(&self.identity(key.as_bytes())) {
            self.records().remove(held);
        }
        self.let_go();
    }

    fn expire(&self, key: &str) {
        if let Some(held) = self.records().find(&self.identity(key.as_bytes())) {
            let node = Node::at(&self.map, held.offset).unwrap();
            node.touched().store(0, Ordering::SeqCst);
            self.clears.fetch_add(1, Ordering::SeqCst);
            step();
            if self.records().expire(held) {
                let since = (held.word, self.clears.load(Ordering::SeqCst));
                assert!(
                    !self.stood.lock().unwrap().contains(&since),
                    "a series in use has expired"
                );
            }
        }
        self.let_go();
    }

    /// Settles what others left behind, as a scrape does.
    fn settle(&self) {
        for node in self.records().chain(KEYS.bucket) {
            if node.word().state() == Some(State::Pending) {
                self.records().settle_abandoned(&node);
            }
        }
    }

    /// Leaves a record of `key` behind, shown but not settled, and two free ones before it in the chain.
    fn die_registering(&self, key: &str) {
        let held = [key, KEYS.b, KEYS.c].map(|key| self.obtain(key));
        for (held, state) in held.into_iter().zip([State::Pending, State::Free, State::Free]) {
            let node = Node::at(&self.map, held.offset).unwrap();
            assert!(node.advance(held.word, Word::new(state, held.word.sequence())));
        }
        let slot = process::slot(&self.map, self.member.slot).unwrap();
        slot.incarnation().store(0, Ordering::SeqCst);
    }
}

/// What a process does.
type Part = dyn Fn(&Process) + Sync;

fn explore(before: &Part, parts: &[&Part]) {
    // Found outside of the game, since each step of one looks at them.
    std::sync::LazyLock::force(&KEYS);
    game::explore::<Table>(before, parts);
}

#[test]
fn three_register_one_key() {
    let count = |process: &Process| process.count(KEYS.a, 1);
    explore(&|_| {}, &[&count, &count, &count]);
}

#[test]
fn one_key_is_registered_while_another_process_settles_it() {
    let count = |process: &Process| process.count(KEYS.a, 1);
    explore(
        &|dead| dead.die_registering(KEYS.a),
        &[&Process::settle, &count, &count],
    );
}

#[test]
fn a_series_is_removed_while_others_count() {
    let before = |process: &Process| process.count(KEYS.a, 1);
    let remove = |process: &Process| process.remove(KEYS.a);
    let twice = |process: &Process| process.count(KEYS.a, 2);
    let once = |process: &Process| process.count(KEYS.a, 1);
    explore(&before, &[&remove, &twice, &once]);
}

#[test]
fn a_record_goes_to_another_key_while_it_is_held() {
    let before = |process: &Process| process.count(KEYS.a, 1);
    let remove = |process: &Process| {
        process.remove(KEYS.a);
        process.count(KEYS.b, 1);
    };
    let twice = |process: &Process| process.count(KEYS.a, 2);
    let other = |process: &Process| process.count(KEYS.b, 1);
    explore(&before, &[&remove, &twice, &other]);
}

#[test]
fn a_series_expires_while_others_count() {
    let before = |process: &Process| process.count(KEYS.a, 1);
    let expire = |process: &Process| process.expire(KEYS.a);
    let twice = |process: &Process| process.count(KEYS.a, 2);
    explore(&before, &[&expire, &twice, &expire]);
}
