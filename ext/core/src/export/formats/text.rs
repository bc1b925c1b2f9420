//! What Prometheus text and OpenMetrics have in common: escaping, labels, lines.

use super::number;
use crate::metric::{Descriptor, LabelValues};
use crate::snapshot::Point;
use std::ops::Range;

/// Appends `text` with backslashes and newlines escaped, and double quotes where `quotes` says so. Every other
/// character stands for itself in both formats.
pub(super) fn escape(out: &mut Vec<u8>, text: &str, quotes: bool) {
    if is_plain(text.as_bytes()) {
        out.extend_from_slice(text.as_bytes());
    } else {
        escape_special(out, text.as_bytes(), quotes);
    }
}

/// Appends a label's value, escaped; `false`, and nothing appended, when it is not UTF-8.
#[inline]
fn escape_value(out: &mut Vec<u8>, value: &[u8]) -> bool {
    if is_plain(value) {
        out.extend_from_slice(value);
        return true;
    }
    let text = std::str::from_utf8(value);
    if let Ok(text) = text {
        escape_special(out, text.as_bytes(), true);
    }
    text.is_ok()
}

/// Whether all of `bytes` are ASCII, and none wants escaping: nearly all values are so, and short.
#[inline]
fn is_plain(bytes: &[u8]) -> bool {
    // Eight bytes at a time, the last eight once more.
    match bytes.last_chunk::<8>() {
        Some(last) => !any_special(*last) && !bytes.chunks_exact(8).any(|word| word.try_into().is_ok_and(any_special)),
        None => bytes
            .iter()
            .all(|byte| byte.is_ascii() && !matches!(byte, b'\\' | b'\n' | b'"')),
    }
}

/// Whether a byte of `word` is a backslash, a newline or a quote, or no ASCII.
#[inline]
fn any_special(word: [u8; 8]) -> bool {
    const ONES: u64 = 0x0101_0101_0101_0101;
    let word = u64::from_ne_bytes(word);
    // The high bit of each byte that is `byte`; higher ones may be wrong, so this answers only whether there is any.
    let has = |byte: u8| {
        let zero = word ^ (ONES * u64::from(byte));
        zero.wrapping_sub(ONES) & !zero
    };
    (word | has(b'\\') | has(b'\n') | has(b'"')) & (ONES << 7) != 0
}

#[cold]
fn escape_special(out: &mut Vec<u8>, text: &[u8], quotes: bool) {
    for byte in text {
        match byte {
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\\' => out.extend_from_slice(b"\\\\"),
            b'"' if quotes => out.extend_from_slice(b"\\\""),
            plain => out.push(*plain),
        }
    }
}

/// How the lines of one family begin.
///
/// Every piece between two label values is made once per family, so that a line is a few copies.
#[derive(Debug, Default)]
pub(super) struct Lines {
    name: Vec<u8>,
    /// What stands before the first label: `{status="`.
    opening: Vec<u8>,
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
        self.opening.clear();
        if let Some(label) = descriptor.labels.first() {
            self.opening.extend_from_slice(format!("{{{label}=\"").as_bytes());
        }
        bounds(&mut self.bounds, descriptor, spell);
    }

    /// Appends a sample of `point` up to its value, and answers where in `out` its labels stand.
    #[inline]
    pub(super) fn sample(&self, out: &mut Vec<u8>, suffix: &str, point: &Point) -> Range<usize> {
        out.extend_from_slice(&self.name);
        out.extend_from_slice(suffix.as_bytes());
        let start = out.len();
        if !self.declared_labels(out, point) {
            out.truncate(start);
            out.push(b'{');
            if self.labels(out, point) {
                out.extend_from_slice(b"} ");
            } else {
                out.truncate(start);
                out.push(b' ');
            }
        }
        start..out.len()
    }

    /// Appends the labels with their braces where declared ones are all there is, as on nearly every line: each piece
    /// that is copied by itself costs about as much as one that is three times as long. `false` where it is otherwise,
    /// and what was appended is to be taken back.
    #[inline]
    fn declared_labels(&self, out: &mut Vec<u8>, point: &Point) -> bool {
        if !point.defaults.as_bytes().is_empty() || !point.process.is_empty() || self.opening.is_empty() {
            return false;
        }
        let mut values = LabelValues::new(point.values.as_bytes());
        for (index, piece) in self.between.iter().enumerate() {
            let Some(value) = values.next_bytes() else { return false };
            out.extend_from_slice(if index == 0 { &self.opening } else { piece });
            if !escape_value(out, value) {
                return false;
            }
        }
        out.extend_from_slice(b"\"} ");
        true
    }

    /// Appends another sample of the same point, whose `labels` stand where [`Self::sample`] said.
    #[inline]
    pub(super) fn again(&self, out: &mut Vec<u8>, suffix: &str, labels: Range<usize>) {
        out.extend_from_slice(&self.name);
        out.extend_from_slice(suffix.as_bytes());
        out.extend_from_within(labels);
    }

    /// Appends the `_bucket` lines of a histogram, each with what `note` appends to it.
    pub(super) fn buckets(
        &mut self,
        out: &mut Vec<u8>,
        point: &Point,
        buckets: &[u64],
        note: impl Fn(&mut Vec<u8>, usize),
    ) {
        let mut labels = std::mem::take(&mut self.labels);
        labels.clear();
        if self.labels(&mut labels, point) {
            labels.push(b',');
        }
        let mut total = 0u64;
        for (index, (bound, bucket)) in self.bounds.iter().zip(buckets).enumerate() {
            total = total.wrapping_add(*bucket);
            out.extend_from_slice(&self.name);
            out.extend_from_slice(b"_bucket{");
            out.extend_from_slice(&labels);
            out.extend_from_slice(b"le=\"");
            out.extend_from_slice(bound.as_bytes());
            out.extend_from_slice(b"\"} ");
            number::integer(out, total);
            note(out, index);
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
        let start = out.len();
        let mut defaults = LabelValues::new(point.defaults.as_bytes());
        while let (Some(name), Some(value)) = (defaults.next(), defaults.next()) {
            if out.len() > start {
                out.extend_from_slice(b"\",");
            }
            out.extend_from_slice(name.as_bytes());
            out.extend_from_slice(b"=\"");
            escape(out, value, true);
        }
        let mut values = LabelValues::new(point.values.as_bytes());
        for piece in &self.between {
            let Some(value) = values.next_bytes() else { break };
            let before = out.len();
            // The piece ends the value before it, if there is one.
            out.extend_from_slice(if before > start { piece } else { &piece[2..] });
            if !escape_value(out, value) {
                out.truncate(before);
                break;
            }
        }
        if !point.process.is_empty() {
            let piece = b"\",process=\"";
            out.extend_from_slice(if out.len() > start { piece } else { &piece[2..] });
            escape(out, &point.process, true);
        }
        let any = out.len() > start;
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
