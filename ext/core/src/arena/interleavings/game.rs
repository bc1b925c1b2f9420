use std::cell::Cell;
use std::sync::{Arc, Condvar, Mutex};

thread_local! {
    static TURN: Cell<Option<(usize, Arc<Game>)>> = const { Cell::new(None) };
}

/// Waits for this thread's turn to go on; nothing outside of a game.
pub(crate) fn step() {
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
    /// What holds at every moment.
    check: Box<dyn Fn() + Send + Sync>,
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
        (self.check)();
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

    fn play(self: &Arc<Self>, player: usize, part: impl FnOnce()) {
        // Before anything that can fail: the others wait for a player that does not leave.
        let _leave = Leave(self, player);
        self.wait(self.state.lock().unwrap(), player);
        TURN.set(Some((player, Arc::clone(self))));
        part();
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

/// What processes share, and the processes that work on it.
pub(crate) trait World: Send + Sync + 'static {
    /// One of them.
    type Process;
    /// Makes it for so many players, and one process more for what is done before.
    fn new(players: usize) -> Self;
    /// One of the processes; the last is the one of before.
    fn process(&self, index: usize) -> &Self::Process;
    /// What holds at every moment.
    fn check(&self) {}
    /// What holds when all have finished.
    fn conclude(&self);
}

/// What a process does.
pub(crate) type Part<'a, W> = dyn Fn(&<W as World>::Process) + Sync + 'a;

/// Plays once; answers the number of steps.
fn play<W: World>(before: &Part<'_, W>, parts: &[&Part<'_, W>], plan: &[Interruption]) -> usize {
    let world = Arc::new(W::new(parts.len()));
    before(world.process(parts.len()));
    let game = Arc::new(Game {
        state: Mutex::new(Turns {
            player: 0,
            done: vec![false; parts.len()],
            steps: 0,
            planned: 0,
        }),
        bell: Condvar::new(),
        plan: plan.to_vec(),
        check: {
            let world = Arc::clone(&world);
            Box::new(move || world.check())
        },
    });
    let failed = std::thread::scope(|scope| {
        let players: Vec<_> = parts
            .iter()
            .enumerate()
            .map(|(player, part)| {
                let (game, world) = (&game, &world);
                scope.spawn(move || game.play(player, || part(world.process(player))))
            })
            .collect();
        players.into_iter().filter_map(|player| player.join().err()).count() > 0
    });
    assert!(!failed, "the plan that failed: {plan:?}");
    let conclusion = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| world.conclude()));
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
pub(crate) fn explore<W: World>(before: &Part<'_, W>, parts: &[&Part<'_, W>]) {
    let most = play::<W>(before, parts, &[]) + 20;
    for player in 0..parts.len() {
        for first in 0..most {
            play::<W>(before, parts, &[(first, player)]);
        }
    }
    for (one, other) in (0..parts.len()).flat_map(|one| (0..parts.len()).map(move |other| (one, other))) {
        for first in 0..most {
            // Every third is enough for the second: what lies between two looks at a word is seen by nobody.
            for second in (first + 1..most + 20).step_by(if one == other { 7 } else { 3 }) {
                play::<W>(before, parts, &[(first, one), (second, other)]);
            }
        }
    }
    let mut below = random();
    for _ in 0..500 {
        let mut plan: Vec<Interruption> = (0..3 + below(6))
            .map(|_| (below(most + 40), below(parts.len())))
            .collect();
        plan.sort_unstable();
        play::<W>(before, parts, &plan);
    }
}
