//! How much a span may hold.

use crate::export::transports::head;
use opentelemetry::{Array, StringValue, Value};

/// Bounds of one span; what is over them is cut or dropped, and dropped counts travel with the span.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Attributes of a span.
    pub attributes: usize,
    /// Bytes of a text, in attributes, names and messages. OpenTelemetry knows no bound unless told; a queue that is
    /// to be bounded needs one.
    pub value_length: usize,
    /// Events of a span.
    pub events: usize,
    /// Links of a span.
    pub links: usize,
    /// Attributes of one event or link.
    pub nested_attributes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            attributes: 128,
            value_length: 16_384,
            events: 128,
            links: 128,
            nested_attributes: 128,
        }
    }
}

impl Limits {
    /// A value whose texts are cut.
    pub(super) fn value(&self, value: Value) -> Value {
        let cut = |text: StringValue| match self.text(text.as_str()) {
            kept if kept.len() < text.as_str().len() => StringValue::from(kept.to_owned()),
            _ => text,
        };
        match value {
            Value::String(text) => Value::String(cut(text)),
            Value::Array(Array::String(texts)) => Value::Array(Array::String(texts.into_iter().map(cut).collect())),
            other => other,
        }
    }

    /// The beginning of a text that is kept.
    pub(super) fn text<'t>(&self, text: &'t str) -> &'t str {
        head(text, self.value_length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cuts_texts_and_nothing_else() {
        let limits = Limits {
            value_length: 3,
            ..Limits::default()
        };
        assert_eq!(limits.value("abcd".into()), "abc".into());
        let texts = |all: [&'static str; 2]| Value::Array(Array::String(all.map(StringValue::from).to_vec()));
        assert_eq!(limits.value(texts(["abcd", "ab"])), texts(["abc", "ab"]));
        assert_eq!(limits.value(12_345.into()), 12_345.into());
    }
}
