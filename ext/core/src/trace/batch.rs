//! Spans on their way, and the requests that they fill.

use super::encode::Encoded;
use super::request::Envelope;
use crate::export::transports::otlp::{Client, LARGEST, SMALLEST};
use bytes::Bytes;
use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;
use std::time::Instant;

/// Spans on their way: made a request once, so that whatever happens the same ids are sent again.
pub(super) struct Batch {
    /// The requests that are still to be taken; none while they are being made.
    pub(super) parts: VecDeque<Part>,
    /// Spans in them.
    pub(super) spans: usize,
    /// Number of its oldest span in the queue.
    pub(super) oldest: u64,
    /// When its first part was tried first.
    pub(super) since: Instant,
}

/// Spans of one request.
#[derive(Clone)]
pub(super) struct Part {
    batch: Arc<[Encoded]>,
    range: Range<usize>,
    /// Bytes of the request, before they are compressed.
    length: usize,
    /// The request as it is sent.
    pub(super) body: Bytes,
}

impl Part {
    /// The spans in as many requests as it takes for each to be small enough.
    pub(super) fn of(spans: Vec<Encoded>, envelope: &Envelope, client: &Client) -> VecDeque<Self> {
        let lengths: Vec<usize> = spans.iter().map(Envelope::room).collect();
        let batch = Arc::from(spans);
        let ranges = cut(&lengths, LARGEST.saturating_sub(envelope.length())).into_iter();
        ranges
            .map(|range| Self::new(Arc::clone(&batch), range, envelope, client))
            .collect()
    }

    fn new(batch: Arc<[Encoded]>, range: Range<usize>, envelope: &Envelope, client: &Client) -> Self {
        let request = Bytes::from(envelope.request(&batch[range.clone()]));
        Self {
            length: request.len(),
            body: client.prepare(&request),
            batch,
            range,
        }
    }

    /// How many there are.
    pub(super) fn spans(&self) -> usize {
        self.range.len()
    }

    /// The same spans in two parts, for a collector to which this one is too large; `None` where that would not help.
    pub(super) fn halves(&self, envelope: &Envelope, client: &Client) -> Option<[Self; 2]> {
        let Range { start, end } = self.range;
        if self.spans() < 2 || self.length <= SMALLEST {
            return None;
        }
        let middle = start + self.spans() / 2;
        let half = |range| Self::new(Arc::clone(&self.batch), range, envelope, client);
        Some([half(start..middle), half(middle..end)])
    }
}

/// Ranges of what is so long, each of `most` in sum, unless one alone is more than that.
fn cut(lengths: &[usize], most: usize) -> Vec<Range<usize>> {
    let (mut ranges, mut start, mut sum) = (Vec::new(), 0, 0);
    for (at, length) in lengths.iter().enumerate() {
        if at > start && sum + length > most {
            ranges.push(start..at);
            (start, sum) = (at, 0);
        }
        sum += length;
    }
    ranges.push(start..lengths.len());
    ranges
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_cut_is_small_enough_and_all_there() {
        assert_eq!(cut(&[1, 1, 1, 1], 2), [0..2, 2..4]);
        assert_eq!(cut(&[1, 1, 2, 1], 3), [0..2, 2..4]);
        assert_eq!(cut(&[9, 1, 9, 9], 3), [0..1, 1..2, 2..3, 3..4]);
    }
}
