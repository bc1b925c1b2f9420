//! The spans that are current, in each thread and fiber.

use opentelemetry::trace::{SpanContext, SpanId};
use parking_lot::Mutex;
use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

/// Fibers that are remembered. Fibers that die with a span open leave their entry behind until it is the oldest.
const MOST_FIBERS: usize = 4096;
/// Spans that are open in one fiber at once; of more, the newest are not remembered.
const DEEPEST: usize = 512;

#[derive(Default)]
struct Fiber {
    stack: Vec<SpanContext>,
    touched: u64,
}

#[derive(Default)]
struct All {
    fibers: HashMap<u64, Fiber, BuildHasherDefault<Number>>,
    clock: u64,
    /// The memory of a stack that became empty, for the next.
    spare: Option<Vec<SpanContext>>,
}

/// Keys are numbers that were given one after the other: nobody chooses them, so a multiplication spreads them well.
#[derive(Default)]
struct Number(u64);

impl Hasher for Number {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.write_u64(u64::from(*byte)));
    }

    fn write_u64(&mut self, number: u64) {
        self.0 = (self.0 ^ number).wrapping_mul(0x9E37_79B9_7F4A_7C15).rotate_left(26);
    }
}

/// A stack of current spans for each key. The key names a fiber, and with it its thread.
///
/// Ends may get lost: a span that ends takes those above it along, and the end of a span that is no longer there does
/// nothing.
#[derive(Default)]
pub struct Contexts {
    all: Mutex<All>,
}

impl std::fmt::Debug for Contexts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Contexts").finish_non_exhaustive()
    }
}

impl Contexts {
    /// The innermost span that is open in the fiber.
    #[must_use]
    pub fn current(&self, fiber: u64) -> Option<SpanContext> {
        self.all.lock().fibers.get(&fiber)?.stack.last().cloned()
    }

    /// Makes a span, or a remote context, the current one.
    pub fn push(&self, fiber: u64, context: SpanContext) {
        let all = &mut *self.all.lock();
        all.clock += 1;
        if all.fibers.len() >= MOST_FIBERS && !all.fibers.contains_key(&fiber) {
            all.forget_oldest();
        }
        let spare = &mut all.spare;
        let entry = all.fibers.entry(fiber).or_insert_with(|| Fiber {
            stack: spare.take().unwrap_or_default(),
            touched: 0,
        });
        entry.touched = all.clock;
        if entry.stack.len() < DEEPEST {
            entry.stack.push(context);
        }
    }

    /// Ends a span and what is still open above it. Answers what is current then; `None` where the span was not there.
    pub fn pop(&self, fiber: u64, span: SpanId) -> Option<Option<SpanContext>> {
        let all = &mut *self.all.lock();
        let entry = all.fibers.get_mut(&fiber)?;
        let at = entry.stack.iter().rposition(|context| context.span_id() == span)?;
        entry.stack.truncate(at);
        let current = entry.stack.last().cloned();
        if current.is_none() {
            all.spare = all.fibers.remove(&fiber).map(|fiber| fiber.stack);
        }
        Some(current)
    }

    /// Takes one out whose end will not be told, and leaves those above it.
    pub fn remove(&self, fiber: u64, span: SpanId) {
        let all = &mut *self.all.lock();
        let Some(entry) = all.fibers.get_mut(&fiber) else {
            return;
        };
        // Events of one step may stand inside each other.
        if let Some(at) = entry.stack.iter().rposition(|context| context.span_id() == span) {
            entry.stack.remove(at);
        }
        if entry.stack.is_empty() {
            all.fibers.remove(&fiber);
        }
    }

    /// Fibers with an open span.
    #[must_use]
    pub fn len(&self) -> usize {
        self.all.lock().fibers.len()
    }

    /// Whether no span is open.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl All {
    /// Makes room for many at once, so that the search for the oldest is paid for rarely.
    fn forget_oldest(&mut self) {
        let mut ages: Vec<u64> = self.fibers.values().map(|fiber| fiber.touched).collect();
        let (_, oldest, _) = ages.select_nth_unstable(MOST_FIBERS / 8);
        let oldest = *oldest;
        self.fibers.retain(|_, fiber| fiber.touched > oldest);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trace::ids;
    use opentelemetry::trace::{TraceFlags, TraceState};

    fn context() -> SpanContext {
        SpanContext::new(
            ids::trace_id(),
            ids::span_id(),
            TraceFlags::SAMPLED,
            false,
            TraceState::NONE,
        )
    }

    #[test]
    fn fibers_are_apart() {
        let contexts = Contexts::default();
        let (a, b) = (context(), context());
        contexts.push(1, a.clone());
        contexts.push(2, b.clone());
        assert_eq!(contexts.current(1), Some(a.clone()));
        assert_eq!(contexts.current(2), Some(b));
        assert!(contexts.pop(2, a.span_id()).is_none());
        assert!(contexts.pop(1, a.span_id()).is_some());
        assert_eq!(contexts.current(1), None);
        assert_eq!(contexts.len(), 1);
    }

    #[test]
    fn one_that_is_taken_out_leaves_those_above_it() {
        let contexts = Contexts::default();
        let (a, b) = (context(), context());
        contexts.push(1, a.clone());
        contexts.push(1, b.clone());
        contexts.remove(1, a.span_id());
        contexts.remove(2, a.span_id());
        assert_eq!(contexts.current(1), Some(b.clone()));
        contexts.push(1, b.clone());
        contexts.remove(1, b.span_id());
        assert_eq!(contexts.current(1), Some(b.clone()));
        contexts.remove(1, b.span_id());
        assert!(contexts.is_empty());
    }

    #[test]
    fn a_lost_end_is_made_up_for_by_the_next_outer_one() {
        let contexts = Contexts::default();
        let (outer, middle, lost) = (context(), context(), context());
        for each in [&outer, &middle, &lost] {
            contexts.push(1, each.clone());
        }
        assert!(contexts.pop(1, middle.span_id()).is_some());
        assert_eq!(contexts.current(1), Some(outer.clone()));
        assert!(contexts.pop(1, lost.span_id()).is_none());
        assert!(contexts.pop(1, outer.span_id()).is_some());
        assert!(contexts.is_empty());
    }

    #[test]
    fn dead_fibers_and_endless_depth_are_bounded() {
        let contexts = Contexts::default();
        for fiber in 0..3 * MOST_FIBERS as u64 {
            contexts.push(fiber, context());
        }
        assert!(contexts.len() <= MOST_FIBERS);
        let last = 3 * MOST_FIBERS as u64 - 1;
        assert!(contexts.current(last).is_some());
        let bottom = context();
        contexts.push(last + 1, bottom.clone());
        for _ in 0..2 * DEEPEST {
            contexts.push(last + 1, context());
        }
        assert!(contexts.pop(last + 1, bottom.span_id()).is_some());
        assert_eq!(contexts.current(last + 1), None);
    }
}
