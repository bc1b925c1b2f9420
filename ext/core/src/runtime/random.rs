//! A generator of random numbers in each thread, which forked children do not share.

use crate::arena::fork;
use rand::rngs::SmallRng;
use rand::SeedableRng;
use std::cell::RefCell;
use std::time::{SystemTime, UNIX_EPOCH};

/// A generator, and the generation of the process that seeded it: a child must not repeat its parent's numbers.
struct Generator(u32, SmallRng);

thread_local! {
    static GENERATOR: RefCell<Option<Generator>> = const { RefCell::new(None) };
}

fn seeded() -> SmallRng {
    SmallRng::try_from_os_rng().unwrap_or_else(|_| {
        let nanos = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, |since| since.as_nanos() as u64);
        SmallRng::seed_from_u64(nanos ^ u64::from(std::process::id()).rotate_left(32))
    })
}

/// Draws with the thread's own generator.
pub(crate) fn with_random<T>(mut draw: impl FnMut(&mut SmallRng) -> T) -> T {
    let generation = fork::generation();
    let drawn = GENERATOR.try_with(|cell| {
        let mut cell = cell.try_borrow_mut().ok()?;
        let generator = match &mut *cell {
            Some(generator) if generator.0 == generation => generator,
            stale => stale.insert(Generator(generation, seeded())),
        };
        Some(draw(&mut generator.1))
    });
    match drawn {
        Ok(Some(value)) => value,
        // The thread is ending and its generator is gone.
        _ => draw(&mut seeded()),
    }
}
