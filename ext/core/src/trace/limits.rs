//! How much a span may hold.

use crate::export::transports::head;
use opentelemetry::{Array, KeyValue, StringValue, Value};

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
    #[inline]
    fn is_exceeded(&self, value: &Value) -> bool {
        let exceeds = |text: &StringValue| text.as_str().len() > self.value_length;
        match value {
            Value::String(text) => exceeds(text),
            Value::Array(Array::String(texts)) => texts.iter().any(exceeds),
            _ => false,
        }
    }

    pub(super) fn value(&self, value: Value) -> Value {
        let cut = |text: &StringValue| StringValue::from(head(text.as_str(), self.value_length).to_owned());
        match value {
            Value::String(text) if text.as_str().len() > self.value_length => Value::String(cut(&text)),
            Value::Array(Array::String(texts)) => Value::Array(Array::String(
                texts
                    .into_iter()
                    .map(|text| {
                        if text.as_str().len() > self.value_length {
                            cut(&text)
                        } else {
                            text
                        }
                    })
                    .collect(),
            )),
            other => other,
        }
    }

    pub(super) fn text(&self, text: String) -> String {
        if text.len() > self.value_length {
            head(&text, self.value_length).to_owned()
        } else {
            text
        }
    }

    /// Cuts values, keeps the first `limit` of `attributes` and answers how many were dropped.
    pub(super) fn attributes(&self, attributes: &mut Vec<KeyValue>, limit: usize) -> u32 {
        let dropped = attributes.len().saturating_sub(limit);
        attributes.truncate(limit);
        for attribute in attributes {
            if self.is_exceeded(&attribute.value) {
                let value = std::mem::replace(&mut attribute.value, Value::Bool(false));
                attribute.value = self.value(value);
            }
        }
        dropped as u32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_what_it_drops() {
        let limits = Limits {
            value_length: 3,
            ..Limits::default()
        };
        let mut attributes = vec![
            KeyValue::new("a", "abcd"),
            KeyValue::new("b", Value::Array(Array::String(vec!["abcd".into(), "ab".into()]))),
            KeyValue::new("c", 1),
        ];
        assert_eq!(limits.attributes(&mut attributes, 2), 1);
        assert_eq!(attributes[0].value.as_str(), "abc");
        assert_eq!(
            attributes[1].value,
            Value::Array(Array::String(vec!["abc".into(), "ab".into()]))
        );
    }
}
