//! Random trace and span ids.

use crate::runtime::with_random;
use opentelemetry::trace::{SpanId, TraceId};
use rand::RngCore;

/// A new trace id; never zero, which W3C calls invalid.
#[must_use]
pub fn trace_id() -> TraceId {
    loop {
        let id = with_random(|random| u128::from(random.next_u64()) << 64 | u128::from(random.next_u64()));
        if id != 0 {
            return TraceId::from(id);
        }
    }
}

/// A new span id; never zero.
#[must_use]
pub fn span_id() -> SpanId {
    loop {
        let id = with_random(RngCore::next_u64);
        if id != 0 {
            return SpanId::from(id);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn ids_of_all_threads_differ() {
        let threads: Vec<_> = (0..4)
            .map(|_| std::thread::spawn(|| (0..1000).map(|_| (trace_id(), span_id())).collect::<Vec<_>>()))
            .collect();
        let all: Vec<_> = threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect();
        let traces: HashSet<_> = all.iter().map(|(trace, _)| *trace).collect();
        let spans: HashSet<_> = all.iter().map(|(_, span)| *span).collect();
        assert_eq!((traces.len(), spans.len()), (all.len(), all.len()));
    }
}
