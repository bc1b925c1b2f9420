//! What Prometheus text and OpenMetrics have in common: escaping, labels, lines.

use super::number;
use crate::metric::{Descriptor, LabelValues};
use crate::snapshot::Point;

/// Appends `text` with backslashes and newlines escaped, and double quotes where `quotes` says so. Every other
/// character stands for itself in both formats.
#[inline]
pub(super) fn escape(out: &mut Vec<u8>, text: &str, quotes: bool) {
    let is_special = |byte: u8| byte == b'\\' || byte == b'\n' || (byte == b'"' && quotes);
    // Pieces of one size without an early exit become vector instructions; nearly all values need no more than this.
    let any_special = |piece: &[u8]| piece.iter().fold(false, |any, byte| any | is_special(*byte));
    let pieces = text.as_bytes().chunks_exact(8);
    if !any_special(pieces.remainder()) && !pieces.into_iter().any(any_special) {
        out.extend_from_slice(text.as_bytes());
        return;
    }
    for byte in text.bytes() {
        match byte {
            b'\n' => out.extend_from_slice(b"\\n"),
            special if is_special(special) => out.extend_from_slice(&[b'\\', special]),
            plain => out.push(plain),
        }
    }
}

/// How the lines of one family begin.
///
/// Every piece between two label values is made once per family, so that a line is a few copies.
#[derive(Debug, Default)]
pub(super) struct Lines {
    name: Vec<u8>,
    /// For each declared label the piece between the value before it and its own: `",status="`.
    between: Vec<Vec<u8>>,
    /// The values of `le`, `+Inf` last; empty for all but histograms.
    bounds: Vec<String>,
    labels: Vec<u8>,
}

impl Lines {
    /// Prepares for the family of `descriptor`, whose samples' names begin with `name`.
    pub(super) fn begin(&mut self, name: &str, descriptor: &Descriptor, spell: fn(f64) -> String) {
        self.name.clear();
        self.name.extend_from_slice(name.as_bytes());
        let between = |label: &String| format!("\",{label}=\"").into_bytes();
        self.between.clear();
        self.between.extend(descriptor.labels.iter().map(between));
        bounds(&mut self.bounds, descriptor, spell);
    }

    /// Appends a sample of `point` up to the space before its value.
    #[inline]
    pub(super) fn sample(&self, out: &mut Vec<u8>, suffix: &str, point: &Point) {
        out.extend_from_slice(&self.name);
        out.extend_from_slice(suffix.as_bytes());
        out.push(b'{');
        if self.labels(out, point) {
            out.extend_from_slice(b"} ");
        } else {
            out.pop();
            out.push(b' ');
        }
    }

    /// Appends the `_bucket` lines of a histogram.
    pub(super) fn buckets(&mut self, out: &mut Vec<u8>, point: &Point, buckets: &[u64]) {
        let mut labels = std::mem::take(&mut self.labels);
        labels.clear();
        if self.labels(&mut labels, point) {
            labels.push(b',');
        }
        let mut total = 0u64;
        for (bound, bucket) in self.bounds.iter().zip(buckets) {
            total = total.wrapping_add(*bucket);
            out.extend_from_slice(&self.name);
            out.extend_from_slice(b"_bucket{");
            out.extend_from_slice(&labels);
            out.extend_from_slice(b"le=\"");
            out.extend_from_slice(bound.as_bytes());
            out.extend_from_slice(b"\"} ");
            number::integer(out, total);
            out.push(b'\n');
        }
        self.labels = labels;
    }

    /// Whether a bucket ends below zero.
    pub(super) fn negative_bounds(&self) -> bool {
        self.bounds.first().is_some_and(|bound| bound.starts_with('-'))
    }

    /// Appends `name="value",…` without braces, in the order of [`Point::labels`]; `false` when there is none.
    #[inline]
    fn labels(&self, out: &mut Vec<u8>, point: &Point) -> bool {
        let mut any = false;
        let mut between = |out: &mut Vec<u8>, piece: &[u8]| {
            let skipped = if std::mem::replace(&mut any, true) { 0 } else { 2 };
            out.extend_from_slice(&piece[skipped..]);
        };
        let mut defaults = LabelValues::new(point.defaults.as_bytes());
        while let (Some(name), Some(value)) = (defaults.next(), defaults.next()) {
            between(out, b"\",");
            out.extend_from_slice(name.as_bytes());
            out.extend_from_slice(b"=\"");
            escape(out, value, true);
        }
        for (piece, value) in self.between.iter().zip(LabelValues::new(point.values.as_bytes())) {
            between(out, piece);
            escape(out, value, true);
        }
        if !point.process.is_empty() {
            between(out, b"\",process=\"");
            escape(out, &point.process, true);
        }
        if any {
            out.push(b'"');
        }
        any
    }
}

/// Puts the values of `le` of a histogram's bounds into `bounds`, `+Inf` last; none for other kinds.
pub(super) fn bounds(bounds: &mut Vec<String>, descriptor: &Descriptor, spell: fn(f64) -> String) {
    bounds.clear();
    if let Some(buckets) = &descriptor.buckets {
        bounds.extend(buckets.bounds().iter().copied().chain([f64::INFINITY]).map(spell));
    }
}
