//! How this module reads a payload that somebody else holds.

use super::instant;
use super::key::Key;
use std::borrow::Cow;

/// A value in a payload. What is nil is absent.
#[derive(Debug, Clone, PartialEq)]
pub enum Value<'a> {
    /// True or false.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// Any other number.
    Float(f64),
    /// Text, or anything else as text.
    Text(Cow<'a, str>),
    /// A point in time, in nanoseconds since the epoch.
    Time(i64),
}

/// An exception that an event brings.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ErrorInfo<'a> {
    /// Name of its class.
    pub class: Cow<'a, str>,
    /// Its message, not redacted yet.
    pub message: Cow<'a, str>,
    /// Where it was raised, innermost first.
    pub backtrace: Vec<Cow<'a, str>>,
}

/// A payload, wherever it is.
pub trait Payload {
    /// The value under a key; `None` for what is missing or nil.
    fn get(&self, key: Key) -> Option<Value<'_>>;

    /// As [`Self::get`], but the value may be lent: it is good until the borrower returns, which must not ask for
    /// anything else meanwhile.
    fn lend(&self, key: Key, borrower: &mut dyn FnMut(Option<Value<'_>>)) {
        borrower(self.get(key));
    }

    /// Visits all there is; what is nested comes as bounded text. Names and values may be lent: they are good until the
    /// visitor returns, which must not ask for anything else meanwhile.
    fn for_each(&self, visit: &mut dyn FnMut(&str, Value<'_>));

    /// Whether any of [`TIMES`](super::TIMES) may be there: most events are asked for all of them and have none.
    fn tells_times(&self) -> bool {
        true
    }

    /// The exception, if the payload brings one.
    fn error(&self) -> Option<ErrorInfo<'_>> {
        None
    }
}

impl<'a> Value<'a> {
    /// The value as text.
    #[must_use]
    pub fn into_text(self) -> Cow<'a, str> {
        match self {
            Self::Text(text) => text,
            Self::Bool(true) => Cow::Borrowed("true"),
            Self::Bool(false) => Cow::Borrowed("false"),
            Self::Int(int) => Cow::Owned(itoa::Buffer::new().format(int).to_owned()),
            Self::Float(float) => Cow::Owned(ryu::Buffer::new().format(float).to_owned()),
            Self::Time(nanos) => Cow::Owned(instant::print(nanos)),
        }
    }

    /// The value as a finite number; text counts when it is nothing but one.
    #[must_use]
    pub fn number(&self) -> Option<f64> {
        let number = match self {
            Self::Int(int) => *int as f64,
            Self::Float(float) => *float,
            Self::Text(text) => text.trim().parse().ok()?,
            Self::Bool(_) | Self::Time(_) => return None,
        };
        number.is_finite().then_some(number)
    }

    /// The value as a point in time in nanoseconds since the epoch: a time, ISO 8601 text, or seconds since the epoch.
    #[must_use]
    pub fn instant(&self) -> Option<i64> {
        match self {
            Self::Time(nanos) => Some(*nanos),
            Self::Int(seconds) => seconds.checked_mul(instant::SECOND),
            Self::Float(_) => self.number().and_then(instant::of_epoch_seconds),
            Self::Text(text) => instant::parse(text).or_else(|| self.number().and_then(instant::of_epoch_seconds)),
            Self::Bool(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_read_as_text_numbers_and_times() {
        let text = |text: &'static str| Value::Text(Cow::Borrowed(text));
        assert_eq!(Value::Int(-7).into_text(), "-7");
        assert_eq!(Value::Float(1.5).into_text(), "1.5");
        assert_eq!(Value::Bool(true).into_text(), "true");
        assert_eq!(Value::Time(1_500_000_000).into_text(), "1970-01-01T00:00:01.500000000Z");
        assert_eq!(text(" 2.5 ").number(), Some(2.5));
        assert_eq!(text("2.5 s").number(), None);
        assert_eq!(Value::Float(f64::NAN).number(), None);
        assert_eq!(text("inf").number(), None);
        assert_eq!(Value::Int(2).instant(), Some(2_000_000_000));
        assert_eq!(Value::Float(2.25).instant(), Some(2_250_000_000));
        assert_eq!(text("2.25").instant(), Some(2_250_000_000));
        assert_eq!(text("1970-01-01T00:00:02Z").instant(), Some(2_000_000_000));
        assert_eq!(text("yesterday").instant(), None);
        assert_eq!(Value::Int(i64::MAX).instant(), None);
        assert_eq!(Value::Float(1e300).instant(), None);
    }
}
