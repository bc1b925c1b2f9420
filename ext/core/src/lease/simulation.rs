//! Elections with a clock and processes that are made up: as proptest draws them, and in all interleavings of three.

use super::election::{Ballot, Election, Term};
use crate::arena::interleavings::{explore, step, World};
use proptest::prelude::*;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

const INTERVAL: Duration = Duration::from_secs(10);

/// What the processes of a machine share.
#[derive(Default)]
struct Machine {
    holder: AtomicU64,
    heard: AtomicU64,
    numbers: AtomicU64,
    /// Number of the process that lives in each slot; 0: nobody.
    slots: [AtomicU64; 4],
}

/// One process of it.
struct Process {
    machine: Arc<Machine>,
    slot: u32,
    number: u64,
    /// Whether the arena's file was replaced, or a fork made it another process.
    away: AtomicBool,
}

impl Ballot for Process {
    fn holder(&self) -> u64 {
        step();
        self.machine.holder.load(Ordering::SeqCst)
    }

    fn change(&self, from: u64, to: u64) -> bool {
        step();
        let changed = self
            .machine
            .holder
            .compare_exchange(from, to, Ordering::SeqCst, Ordering::SeqCst);
        changed.is_ok()
    }

    fn heard(&self) -> u64 {
        step();
        self.machine.heard.load(Ordering::SeqCst)
    }

    fn hear(&self, at: u64) {
        step();
        self.machine.heard.store(at, Ordering::SeqCst);
    }

    fn candidate(&self) -> Option<(u32, u64)> {
        (!self.away.load(Ordering::SeqCst)).then_some((self.slot, self.number))
    }

    fn number(&self) -> u64 {
        step();
        self.machine.numbers.fetch_add(1, Ordering::SeqCst) + 1
    }

    fn is_alive(&self, slot: u32, number: u64) -> bool {
        step();
        let incarnation = self.machine.slots[slot as usize].load(Ordering::SeqCst);
        incarnation != 0 && incarnation < number
    }
}

impl Machine {
    /// A new process in a slot that is nobody's.
    fn arrive(self: &Arc<Self>, slot: usize) -> Arc<Process> {
        let number = self.numbers.fetch_add(1, Ordering::SeqCst) + 1;
        self.slots[slot].store(number, Ordering::SeqCst);
        Arc::new(Process {
            machine: Arc::clone(self),
            slot: slot as u32,
            number,
            away: AtomicBool::new(false),
        })
    }

    fn die(&self, process: &Process) {
        self.slots[process.slot as usize].store(0, Ordering::SeqCst);
    }
}

/// A process as the script of a property treats it.
struct Actor {
    process: Arc<Process>,
    election: Election,
    term: Option<Term>,
    stopped: bool,
    /// What it is to do next: the token of the term in which that was asked for, and when.
    deed: Option<(u64, Duration)>,
}

impl Actor {
    fn arriving(machine: &Arc<Machine>, slot: usize) -> Self {
        let process = machine.arrive(slot);
        Self {
            election: Election::of(Arc::clone(&process) as Arc<dyn Ballot>),
            process,
            term: None,
            stopped: false,
            deed: None,
        }
    }

    fn holds(&self, now: Duration) -> bool {
        self.term.as_ref().is_some_and(|term| term.still_held_at(now))
    }
}

#[derive(Debug, Clone, Copy)]
enum Event {
    Pass(u64),
    Stop(usize),
    GoOn(usize),
    /// Dies, and another process takes its slot at once.
    Die(usize),
    Resign(usize),
    /// The file is replaced, as far as this process knows; it comes back.
    Leave(usize),
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        6 => (1u64..4_000).prop_map(Event::Pass),
        1 => (0usize..4).prop_map(Event::Stop),
        2 => (0usize..4).prop_map(Event::GoOn),
        1 => (0usize..4).prop_map(Event::Die),
        1 => (0usize..4).prop_map(Event::Resign),
        1 => (0usize..4).prop_map(Event::Leave),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    /// Every process that runs campaigns after each event, in any order.
    #[test]
    fn one_holds_with_tokens_that_grow_and_silence_is_short(
        events in prop::collection::vec((event(), any::<u64>()), 1..200)
    ) {
        let machine = Arc::new(Machine::default());
        let mut actors: Vec<_> = (0..4).map(|slot| Actor::arriving(&machine, slot)).collect();
        let mut now = Duration::from_secs(1000);
        let mut last_token = 0;
        // When the last deed was asked for that was done.
        let mut done = now;
        // When somebody who runs has held the office last.
        let mut held_at = now;
        for (event, order) in events {
            match event {
                Event::Pass(millis) => {
                    // No longer than the pace at once.
                    now += Duration::from_millis(millis).min(Election::pace(INTERVAL));
                }
                Event::Stop(index) => actors[index].stopped = true,
                Event::GoOn(index) => {
                    let actor = &mut actors[index];
                    // Before it does anything else, it finds out.
                    actor.stopped = false;
                    let replaced = actor.term.as_ref().is_some_and(|term| term.token() != last_token);
                    prop_assert!(!(replaced && actor.holds(now)));
                }
                Event::Die(index) => {
                    machine.die(&actors[index].process);
                    actors[index] = Actor::arriving(&machine, index);
                }
                Event::Resign(index) if !actors[index].stopped => {
                    if let Some(term) = actors[index].term.take() {
                        term.resign();
                    }
                }
                Event::Leave(index) => {
                    let away = &actors[index].process.away;
                    away.store(!away.load(Ordering::SeqCst), Ordering::SeqCst);
                    prop_assert!(!(away.load(Ordering::SeqCst) && actors[index].holds(now)));
                }
                Event::Resign(_) => {}
            }
            for turn in 0..actors.len() {
                let actor = &mut actors[(order as usize).wrapping_add(turn) % 4];
                if actor.stopped {
                    continue;
                }
                let held_before = actor.holds(now).then(|| actor.term.as_ref().map(Term::token));
                actor.term = actor.election.campaign_at(now, INTERVAL);
                if let Some(term) = &actor.term {
                    prop_assert!(term.still_held_at(now));
                    match held_before.flatten() {
                        Some(token) => prop_assert_eq!(term.token(), token),
                        None => prop_assert!(term.token() >= last_token),
                    }
                    last_token = last_token.max(term.token());
                    match actor.deed.take() {
                        None => actor.deed = Some((term.token(), now)),
                        // What others may have done meanwhile is newer than a deed of a term before.
                        Some((token, asked)) if token == term.token() => {
                            prop_assert!(asked >= done, "something of {asked:?} is done after something of {done:?}");
                            done = asked;
                        }
                        Some(_) => {}
                    }
                }
            }
            let holders = actors.iter().filter(|actor| actor.holds(now)).count();
            prop_assert!(holders <= 1);
            let running = |actor: &&Actor| !actor.stopped && !actor.process.away.load(Ordering::SeqCst);
            if actors.iter().filter(running).any(|actor| actor.holds(now)) || !actors.iter().any(|actor| running(&actor)) {
                held_at = now;
            }
            prop_assert!(now - held_at < 2 * INTERVAL, "nobody has held it for {:?}", now - held_at);
        }
    }
}

fn alone(machine: &Arc<Machine>, slot: usize) -> Election {
    Election::of(machine.arrive(slot))
}

fn at(seconds: u64) -> Duration {
    Duration::from_secs(1000 + seconds)
}

#[test]
fn a_silent_holder_is_replaced_and_finds_out() {
    let machine = Arc::new(Machine::default());
    let (one, other) = (alone(&machine, 0), alone(&machine, 1));
    let first = one.campaign_at(at(0), INTERVAL).unwrap();
    assert!(other.campaign_at(at(14), INTERVAL).is_none());
    // Nobody may act on a term that others may take away at any moment.
    assert!(first.still_held_at(at(15)));
    assert!(!first.still_held_at(at(16)));
    let second = other.campaign_at(at(16), INTERVAL).unwrap();
    assert!(second.token() > first.token());
    assert!(one.campaign_at(at(16), INTERVAL).is_none());
    assert!(!first.still_held_at(at(16)));
    // What it resigns is not its own.
    first.resign();
    assert!(second.still_held_at(at(17)));
}

#[test]
fn others_see_that_a_holder_leaves_until_it_has() {
    let machine = Arc::new(Machine::default());
    let (one, other) = (alone(&machine, 0), alone(&machine, 1));
    let term = one.campaign_at(at(0), INTERVAL).unwrap();
    assert!(!other.another_leaves());
    term.leave();
    assert!(other.another_leaves() && !one.another_leaves());
    assert!(term.still_held_at(at(1)));
    for renewal in 0..20 {
        let renewed = one.campaign_at(at(renewal), INTERVAL).unwrap();
        assert_eq!(renewed.token(), term.token());
    }
    assert!(other.another_leaves());
    assert!(other.campaign_at(at(20), INTERVAL).is_none());
    term.resign();
    assert!(!other.another_leaves());
    let next = other.campaign_at(at(20), INTERVAL).unwrap();
    assert!(!one.another_leaves());
    // Neither can somebody else say it, nor does anybody wait for the dead.
    next.leave();
    machine.slots[1].store(0, Ordering::SeqCst);
    assert!(!one.another_leaves());
}

#[test]
fn a_dead_holder_is_replaced_at_once_even_where_its_slot_has_gone_to_another() {
    for successor in [false, true] {
        let machine = Arc::new(Machine::default());
        let (one, other) = (machine.arrive(0), alone(&machine, 1));
        let first = Election::of(Arc::clone(&one) as Arc<dyn Ballot>).campaign_at(at(0), INTERVAL);
        assert!(other.campaign_at(at(0), INTERVAL).is_none());
        machine.die(&one);
        let same_slot = successor.then(|| alone(&machine, 0));
        let second = other.campaign_at(at(0), INTERVAL).unwrap();
        assert!(second.token() > first.unwrap().token());
        assert!(same_slot.is_none_or(|late| late.campaign_at(at(0), INTERVAL).is_none()));
    }
}

#[test]
fn words_that_make_no_sense_keep_nobody_out() {
    for (holder, heard) in [(u64::MAX, u64::MAX), (u64::MAX / 2, 0), (1 << 13, 5), (0, u64::MAX)] {
        let machine = Arc::new(Machine::default());
        machine.holder.store(holder, Ordering::SeqCst);
        machine.heard.store(heard, Ordering::SeqCst);
        let (one, other) = (alone(&machine, 0), alone(&machine, 1));
        let term = one.campaign_at(at(0), INTERVAL).unwrap();
        assert!(term.still_held_at(at(1)));
        assert!(other.campaign_at(at(1), INTERVAL).is_none());
        term.resign();
        assert!(other.campaign_at(at(1), INTERVAL).is_some());
    }
}

/// Three processes and one that was elected before.
struct Room {
    machine: Arc<Machine>,
    players: Vec<Player>,
}

struct Player {
    process: Arc<Process>,
    election: Election,
    terms: Arc<Mutex<Vec<Term>>>,
}

impl World for Room {
    type Process = Player;

    fn new(players: usize) -> Self {
        let machine = Arc::new(Machine::default());
        let terms = Arc::default();
        let player = |slot| {
            let process = machine.arrive(slot);
            Player {
                election: Election::of(Arc::clone(&process) as Arc<dyn Ballot>),
                process,
                terms: Arc::clone(&terms),
            }
        };
        let players = (0..=players).map(player).collect();
        Self { machine, players }
    }

    fn process(&self, index: usize) -> &Player {
        &self.players[index]
    }

    fn conclude(&self) {
        assert_ne!(self.machine.holder.load(Ordering::SeqCst), 0);
        let terms = self.players[0].terms.lock().unwrap();
        let now = at(20);
        let mut holders: Vec<_> = terms
            .iter()
            .filter(|term| term.still_held_at(now))
            .map(Term::token)
            .collect();
        holders.dedup();
        assert_eq!(holders.len(), 1, "one term is held: {terms:?}");
        assert!(terms.iter().all(|term| term.token() <= holders[0]), "{terms:?}");
    }
}

impl Player {
    fn campaign(&self, now: Duration) {
        if let Some(term) = self.election.campaign_at(now, INTERVAL) {
            self.terms.lock().unwrap().push(term);
        }
    }
}

#[test]
fn three_campaign_at_once() {
    let campaign = |player: &Player| player.campaign(at(20));
    explore::<Room>(&|_| {}, &[&campaign, &campaign, &campaign]);
}

#[test]
fn a_holder_renews_while_others_find_it_silent() {
    let campaign = |player: &Player| player.campaign(at(20));
    let twice = |player: &Player| {
        player.campaign(at(20));
        player.campaign(at(20));
    };
    explore::<Room>(&|before| before.campaign(at(0)), &[&campaign, &twice, &campaign]);
    let silent = |player: &Player| {
        player.campaign(at(0));
        player.campaign(at(20));
    };
    explore::<Room>(&|_| {}, &[&silent, &campaign, &campaign]);
}

#[test]
fn a_holder_dies_while_others_campaign() {
    let campaign = |player: &Player| player.campaign(at(20));
    let before = |player: &Player| player.campaign(at(19));
    // It is ended by another, who then campaigns himself.
    let kill = |player: &Player| {
        step();
        let machine = &player.process.machine;
        machine.slots[3].store(0, Ordering::SeqCst);
        player.campaign(at(20));
    };
    explore::<Room>(&before, &[&kill, &campaign, &campaign]);
}
