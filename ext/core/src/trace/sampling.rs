//! Which traces are kept. Decided by the trace id alone, so that every process decides alike.

use opentelemetry::trace::{SpanContext, TraceId};

/// The random part of a trace id, as W3C Trace Context level 2 defines it: its last seven bytes.
const RANDOM_BITS: u32 = 56;

/// What is done with a trace that begins here.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Root {
    /// Every one is kept.
    Always,
    /// None is.
    Never,
    /// That share of them, by trace id.
    Ratio(f64),
}

/// Decides once per trace.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sampler {
    /// What is done with a trace that begins here.
    pub root: Root,
    /// Whether a parent's decision is followed.
    pub parent_based: bool,
}

impl Default for Sampler {
    fn default() -> Self {
        Self {
            root: Root::Always,
            parent_based: true,
        }
    }
}

impl Sampler {
    /// Follows a parent, else keeps that share of the traces.
    #[must_use]
    pub fn ratio(ratio: f64) -> Self {
        Self {
            root: Root::Ratio(ratio),
            parent_based: true,
        }
    }

    /// Whether the trace is kept.
    #[must_use]
    pub fn sampled(&self, trace_id: TraceId, parent: Option<&SpanContext>) -> bool {
        if let Some(parent) = parent.filter(|parent| self.parent_based && parent.is_valid()) {
            return parent.is_sampled();
        }
        match self.root {
            Root::Always => true,
            Root::Never => false,
            Root::Ratio(ratio) => {
                let range = 1u64 << RANDOM_BITS;
                let random = u128::from_be_bytes(trace_id.to_bytes()) as u64 & (range - 1);
                // The rule of OpenTelemetry's consistent sampling: kept when the randomness reaches the threshold.
                random >= ((1.0 - ratio) * range as f64) as u64
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trace::ids;
    use opentelemetry::trace::{SpanId, TraceFlags, TraceState};

    #[test]
    fn keeps_its_share_and_a_larger_share_keeps_the_same() {
        let (tenth, half) = (Sampler::ratio(0.1), Sampler::ratio(0.5));
        let traces: Vec<_> = (0..100_000).map(|_| ids::trace_id()).collect();
        let kept: Vec<_> = traces.iter().filter(|trace| tenth.sampled(**trace, None)).collect();
        assert!((9_000..=11_000).contains(&kept.len()), "{}", kept.len());
        assert!(kept.iter().all(|trace| half.sampled(**trace, None)));
    }

    #[test]
    fn the_ends_of_the_range_are_all_and_nothing() {
        for id in [1, u128::MAX, 1 << 55, (1 << 56) - 1] {
            assert!(Sampler::ratio(1.0).sampled(TraceId::from(id), None));
            assert!(!Sampler::ratio(0.0).sampled(TraceId::from(id), None));
        }
    }

    #[test]
    fn follows_a_parent_unless_told_otherwise() {
        let parent = |flags| {
            SpanContext::new(
                TraceId::from(1),
                SpanId::from(1),
                TraceFlags::new(flags),
                true,
                TraceState::NONE,
            )
        };
        let never = Sampler {
            root: Root::Never,
            parent_based: true,
        };
        assert!(never.sampled(TraceId::from(1), Some(&parent(1))));
        assert!(!Sampler::default().sampled(TraceId::from(1), Some(&parent(0))));
        let always = Sampler {
            root: Root::Always,
            parent_based: false,
        };
        assert!(always.sampled(TraceId::from(1), Some(&parent(0))));
        assert!(Sampler::default().sampled(TraceId::from(1), Some(&SpanContext::NONE)));
    }
}
