//! What is told of a span, as attributes in which nothing stands that must not be shown.

use super::encode::{EncodedKey, Writer};
use crate::event::{without_cut_url, Payload, Redactor, Value};
use crate::export::transports::head;
use once_cell::race::OnceBox;
use opentelemetry::{Key, KeyValue};
use std::borrow::Cow;
use xxhash_rust::xxh3::xxh3_64;

/// Bytes of an attribute's name, at most.
const LONGEST_NAME: usize = 256;
/// Names that are remembered. Whoever makes names of what comes in pays for each of the others every time.
const REMEMBERED: usize = 1024;
/// Places where a name may stand.
const TRIED: usize = 4;

/// What the event `exception` and the status say.
const TOLD_ELSEWHERE: [&str; 5] = [
    "exception",
    "exception_object",
    "exception_class",
    "error_class",
    "backtrace",
];

/// Makes attributes of payloads.
pub struct Attributes {
    redactor: Redactor,
    /// By hash. Written once each and never waited for, since any thread may ask, and one that wrote may not live on in
    /// a fork's child.
    names: Box<[OnceBox<Name>]>,
}

/// What is decided by a name alone.
struct Name {
    text: Box<str>,
    key: Key,
    encoded: EncodedKey,
    is_hidden: bool,
    is_told_elsewhere: bool,
}

impl std::fmt::Debug for Attributes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Attributes")
            .field("redactor", &self.redactor)
            .finish_non_exhaustive()
    }
}

impl Attributes {
    /// Attributes without what `redactor` hides.
    #[must_use]
    pub fn new(redactor: Redactor) -> Self {
        Self {
            redactor,
            names: (0..REMEMBERED).map(|_| OnceBox::new()).collect(),
        }
    }

    /// What must not be shown.
    #[must_use]
    pub fn redactor(&self) -> &Redactor {
        &self.redactor
    }

    /// A payload as attributes.
    #[must_use]
    pub fn of(&self, payload: &dyn Payload) -> Vec<KeyValue> {
        let mut attributes = Vec::with_capacity(8);
        payload.for_each(&mut |name, value| {
            let add = |name: &Name| {
                if !name.is_told_elsewhere {
                    attributes.push(self.attribute(name, value));
                }
            };
            self.with(name, add);
        });
        attributes
    }

    /// Writes a payload as attributes.
    pub(super) fn write(&self, payload: &dyn Payload, out: &mut Writer<'_>) {
        payload.for_each(&mut |name, value| {
            let add = |name: &Name| {
                if !name.is_told_elsewhere {
                    out.add(&name.encoded, &self.shown(name, value));
                }
            };
            self.with(name, add);
        });
    }

    /// One attribute.
    #[must_use]
    pub fn one(&self, name: &str, value: Value<'_>) -> KeyValue {
        self.with(name, |name| self.attribute(name, value))
    }

    fn attribute(&self, name: &Name, value: Value<'_>) -> KeyValue {
        let value: opentelemetry::Value = match self.shown(name, value) {
            Value::Bool(value) => value.into(),
            Value::Int(value) => value.into(),
            Value::Float(value) => value.into(),
            text_or_time => text_or_time.into_text().into_owned().into(),
        };
        KeyValue::new(name.key.clone(), value)
    }

    /// What may be shown of a value.
    fn shown<'v>(&'v self, name: &Name, value: Value<'v>) -> Value<'v> {
        match value {
            _ if name.is_hidden => Value::Text(Cow::Borrowed(self.redactor.mask())),
            Value::Text(text) => Value::Text(self.scrubbed(text)),
            other => other,
        }
    }

    /// What needs no scrubbing is not copied.
    fn scrubbed<'t>(&self, text: Cow<'t, str>) -> Cow<'t, str> {
        let scrubbed = match self.redactor.text(&text) {
            Cow::Borrowed(_) => None,
            Cow::Owned(scrubbed) => Some(scrubbed),
        };
        scrubbed.map_or(text, Cow::Owned)
    }

    #[inline]
    fn with<T>(&self, text: &str, then: impl FnOnce(&Name) -> T) -> T {
        if text.len() > LONGEST_NAME {
            return then(&self.decide(text));
        }
        let hash = xxh3_64(text.as_bytes()) as usize;
        for place in (0..TRIED).map(|step| &self.names[hash.wrapping_add(step) % REMEMBERED]) {
            let name = place.get_or_init(|| Box::new(self.decide(text)));
            if *name.text == *text {
                return then(name);
            }
        }
        then(&self.decide(text))
    }

    #[cold]
    fn decide(&self, text: &str) -> Name {
        let key = self.named(text);
        Name {
            text: text.into(),
            encoded: EncodedKey::new(key.as_str()),
            key,
            is_hidden: self.redactor.hides(text),
            is_told_elsewhere: TOLD_ELSEWHERE.contains(&text),
        }
    }

    /// A name as it may be shown: whoever makes names of what comes in has anything in them.
    fn named(&self, name: &str) -> Key {
        let kept = head(name, LONGEST_NAME);
        let kept = if kept.len() < name.len() {
            without_cut_url(kept)
        } else {
            kept
        };
        let shown: std::sync::Arc<str> = self.redactor.text(kept).into();
        shown.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::testing::{text, Map};
    use crate::trace::encode::encode;
    use crate::trace::{Limits, SpanId, SpanRecord, TraceId};

    fn attributes() -> Attributes {
        Attributes::new(Redactor::default())
    }

    #[test]
    fn what_is_hidden_stays_hidden() {
        let attributes = attributes();
        for _ in 0..2 {
            let secret = attributes.one("password", text("hunter2"));
            assert_eq!(secret, KeyValue::new("password", "[FILTERED]"));
            assert_eq!(attributes.one("amount", Value::Int(3)), KeyValue::new("amount", 3));
            assert_eq!(
                attributes.one("note", text("token=hunter2")),
                KeyValue::new("note", "token=[FILTERED]")
            );
            let named = attributes.one("token=hunter2", text("x"));
            assert!(!named.key.as_str().contains("hunter2"), "{named:?}");
        }
    }

    #[test]
    fn what_is_written_is_what_is_made() {
        let attributes = attributes();
        let payload = Map::of([
            ("password", text("hunter2")),
            ("note", text("token=hunter2")),
            ("empty", text("")),
            ("amount", Value::Int(-3)),
            ("rate", Value::Float(0.5)),
            ("done", Value::Bool(false)),
            ("at", Value::Time(1)),
            ("exception_class", text("told elsewhere")),
        ]);
        let record = SpanRecord::new(TraceId::from(1), SpanId::from(2), "span", 1, 2);
        let made = SpanRecord {
            attributes: attributes.of(&payload),
            ..record.clone()
        };
        let limits = Limits::default();
        let written = encode(&record, &limits, |out| attributes.write(&payload, out));
        assert_eq!(made.attributes.len(), 7);
        assert_eq!(written, encode(&made, &limits, |_| {}));
    }

    #[test]
    fn more_names_than_are_remembered_are_told_apart() {
        let attributes = attributes();
        for round in 0..2 {
            for number in 0..3 * REMEMBERED {
                let name = format!("name {number}");
                let attribute = attributes.one(&name, Value::Int(round));
                assert_eq!(attribute, KeyValue::new(name, round));
            }
        }
    }

    #[test]
    fn a_long_name_is_cut() {
        let name = "é".repeat(LONGEST_NAME);
        let attribute = attributes().one(&name, Value::Bool(true));
        assert_eq!(attribute.key.as_str(), &name[..LONGEST_NAME]);
    }
}
