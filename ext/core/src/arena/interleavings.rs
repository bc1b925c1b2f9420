//! Registration, removal and expiry under interleavings of three processes: every one with a single interruption, a grid
//! of those with two, and hundreds with more.
//!
//! The real code runs, on one thread for each process. At every look at or change of a record's word the thread asks
//! whether it may go on ([`step`]); a plan says after which steps another one goes on instead. So a plan that fails
//! fails each time.

use super::layout::Header;
use super::map::Mapping;
use super::node::{Identity, Node, Offset, RecordKind, State, Word};
use super::process::{self, Member};
use super::records::{Held, MetricCells, Records};
use super::{cells, place};
use std::cell::Cell;
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex};

thread_local! {
    static TURN: Cell<Option<(usize, Arc<Game>)>> = const { Cell::new(None) };
}

/// Waits for this thread's turn to go on; nothing outside of a game.
pub(super) fn step() {
    if let Some((player, game)) = TURN.take() {
        game.step(player);
        TURN.set(Some((player, game)));
    }
}

/// After so many steps this player goes on.
type Interruption = (usize, usize);

struct Game {
    state: Mutex<Turns>,
    bell: Condvar,
    plan: Vec<Interruption>,
    table: Table,
}

struct Turns {
    player: usize,
    done: Vec<bool>,
    steps: usize,
    planned: usize,
}

impl Game {
    fn step(&self, player: usize) {
        let mut turns = self.state.lock().unwrap();
        turns.steps += 1;
        self.table.check();
        while let Some((_, next)) = self.plan.get(turns.planned).filter(|(at, _)| *at <= turns.steps) {
            turns.planned += 1;
            if !turns.done[*next] {
                turns.player = *next;
            }
        }
        self.bell.notify_all();
        self.wait(turns, player);
    }

    fn wait(&self, mut turns: std::sync::MutexGuard<'_, Turns>, player: usize) {
        while turns.player != player {
            turns = self.bell.wait(turns).unwrap();
        }
    }

    fn play(self: &Arc<Self>, player: usize, part: &Part) {
        // Before anything that can fail: the others wait for a player that does not leave.
        let _leave = Leave(self, player);
        self.wait(self.state.lock().unwrap(), player);
        TURN.set(Some((player, Arc::clone(self))));
        part(&self.table.processes[player]);
    }
}

/// Lets the others go on when a player has finished or failed.
struct Leave<'a>(&'a Game, usize);

impl Drop for Leave<'_> {
    fn drop(&mut self) {
        TURN.set(None);
        let mut turns = match self.0.state.lock() {
            Ok(turns) => turns,
            Err(poisoned) => poisoned.into_inner(),
        };
        turns.done[self.1] = true;
        turns.player = turns.done.iter().position(|done| !done).unwrap_or(usize::MAX);
        self.0.bell.notify_all();
    }
}

/// What a process does.
type Part = dyn Fn(&Process) + Sync;

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

impl Table {
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

    fn series(&self) -> impl Iterator<Item = Node<'_>> {
        records(&self.map, self.processes[0].member)
            .chain(KEYS.bucket)
            .filter(|node| node.kind() == Some(RecordKind::Series))
    }

    /// What holds at every moment.
    fn check(&self) {
        let mut in_use: HashMap<Vec<u8>, Offset> = HashMap::new();
        for node in self.series().filter(|node| node.word().in_use()) {
            let other = in_use.insert(node.key(), node.offset);
            assert_eq!(other, None, "two records of one key are in use");
        }
    }

    /// What holds when all have finished.
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
    let bucket = |key: &str| process.identity(key.as_bytes()).hash() % super::layout::BUCKETS;
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

/// Plays once; answers the number of steps.
fn play(before: &Part, parts: &[&Part], plan: &[Interruption]) -> usize {
    // Found outside of the game, since each step of one looks at them.
    std::sync::LazyLock::force(&KEYS);
    let table = Table::new(parts.len());
    // The last process of the table is the one of before.
    before(&table.processes[parts.len()]);
    let game = Arc::new(Game {
        state: Mutex::new(Turns {
            player: 0,
            done: vec![false; parts.len()],
            steps: 0,
            planned: 0,
        }),
        bell: Condvar::new(),
        plan: plan.to_vec(),
        table,
    });
    let failed = std::thread::scope(|scope| {
        let players: Vec<_> = parts
            .iter()
            .enumerate()
            .map(|(player, part)| {
                let game = &game;
                scope.spawn(move || game.play(player, *part))
            })
            .collect();
        players.into_iter().filter_map(|player| player.join().err()).count() > 0
    });
    assert!(!failed, "the plan that failed: {plan:?}");
    let conclusion = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| game.table.conclude()));
    assert!(conclusion.is_ok(), "the plan that failed: {plan:?}");
    let steps = game.state.lock().unwrap().steps;
    steps
}

/// Numbers that follow from `TASKER_TELEMETRY_SEED`, from 1 without it.
fn random() -> impl FnMut(usize) -> usize {
    let mut seed = std::env::var("TASKER_TELEMETRY_SEED").map_or(1, |seed| seed.parse::<u64>().unwrap());
    println!("TASKER_TELEMETRY_SEED={seed}");
    move |limit| {
        seed = seed
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (seed >> 33) as usize % limit
    }
}

/// Plays every plan of one interruption, a grid of those of two, and some hundreds of up to eight.
fn explore(before: &Part, parts: &[&Part]) {
    let most = play(before, parts, &[]) + 20;
    for player in 0..parts.len() {
        for first in 0..most {
            play(before, parts, &[(first, player)]);
        }
    }
    for (one, other) in (0..parts.len()).flat_map(|one| (0..parts.len()).map(move |other| (one, other))) {
        for first in 0..most {
            // Every third is enough for the second: what lies between two looks at a word is seen by nobody.
            for second in (first + 1..most + 20).step_by(if one == other { 7 } else { 3 }) {
                play(before, parts, &[(first, one), (second, other)]);
            }
        }
    }
    let mut below = random();
    for _ in 0..500 {
        let mut plan: Vec<Interruption> = (0..3 + below(6))
            .map(|_| (below(most + 40), below(parts.len())))
            .collect();
        plan.sort_unstable();
        play(before, parts, &plan);
    }
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
