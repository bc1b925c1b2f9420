//! Keeps secrets out of what leaves: by the name of a key, and inside any [`text`].

mod known;
#[cfg(test)]
mod tests;
mod text;
mod url;
mod value;

use known::Known;
use regex_lite::Regex;
use std::borrow::Cow;

pub use url::without_cut_url;

/// What is filtered where nothing else is said, as in Rails.
pub const DEFAULT_FILTERS: [&str; 9] = [
    "passw",
    "secret",
    "token",
    "_key",
    "crypt",
    "salt",
    "certificate",
    "otp",
    "ssn",
];
/// What stands for a secret where nothing else is said.
pub const DEFAULT_MASK: &str = "[FILTERED]";

/// Finds secrets and masks them.
///
/// As in Rails, a filter with a dot in it, and a pattern with an escaped one, is asked about the whole path of a key
/// (`credit_card.code`); the others are asked about its name.
#[derive(Debug)]
pub struct Redactor {
    names: Filters,
    paths: Filters,
    mask: String,
    known: Known,
}

#[derive(Debug, Default)]
struct Filters {
    /// In lower case.
    parts: Vec<String>,
    patterns: Vec<Regex>,
}

impl Filters {
    fn is_empty(&self) -> bool {
        self.parts.is_empty() && self.patterns.is_empty()
    }

    fn take(&self, text: &str) -> bool {
        let lower = text.to_lowercase();
        self.parts.iter().any(|part| lower.contains(&**part))
            || self.patterns.iter().any(|pattern| pattern.is_match(text))
    }
}

impl Default for Redactor {
    fn default() -> Self {
        Self::new(DEFAULT_FILTERS, DEFAULT_MASK)
    }
}

impl Redactor {
    /// Filters every key that contains one of `filters`, in upper or lower case.
    #[must_use]
    pub fn new<S: AsRef<str>>(filters: impl IntoIterator<Item = S>, mask: &str) -> Self {
        let filters = filters.into_iter().map(|filter| filter.as_ref().to_lowercase());
        // An empty one would filter everything.
        let filters = filters.filter(|filter| !filter.is_empty());
        let (paths, names) = filters.partition(|filter| filter.contains('.'));
        let of = |parts| Filters {
            parts,
            patterns: Vec::new(),
        };
        Self {
            names: of(names),
            paths: of(paths),
            mask: mask.to_owned(),
            known: Known::default(),
        }
    }

    /// Filters every key that matches one of `patterns` as well.
    ///
    /// # Errors
    /// When one of them is no regular expression of Rust's crate `regex-lite`.
    pub fn matching<S: AsRef<str>>(mut self, patterns: impl IntoIterator<Item = S>) -> Result<Self, regex_lite::Error> {
        for pattern in patterns {
            let pattern = pattern.as_ref();
            let filters = if pattern.contains("\\.") {
                &mut self.paths
            } else {
                &mut self.names
            };
            filters.patterns.push(Regex::new(pattern)?);
        }
        Ok(self)
    }

    /// What stands for a secret.
    #[must_use]
    pub fn mask(&self) -> &str {
        &self.mask
    }

    /// Whether the value of `key` is secret, where the key is in nothing else: it is its own path.
    #[inline]
    #[must_use]
    pub fn hides(&self, key: &str) -> bool {
        self.known.ask(key, 0, || self.hides_name(key) || self.paths.take(key))
    }

    /// Whether any filter is asked about paths. Where none is, nobody needs to know them.
    #[inline]
    #[must_use]
    pub fn has_paths(&self) -> bool {
        !self.paths.is_empty()
    }

    /// Whether the value of `key` is secret, at the end of a path: the names of all that it is in and its own, joined
    /// by dots.
    #[must_use]
    pub fn hides_at(&self, path: &str, key: &str) -> bool {
        if self.paths.is_empty() {
            return self.hides(key);
        }
        self.known.ask(key, 1, || self.hides_name(key)) || self.paths.take(path)
    }

    fn hides_name(&self, key: &str) -> bool {
        is_authorization(key) || self.names.take(key)
    }

    /// The value of `key`, without secrets.
    #[must_use]
    pub fn value<'t>(&'t self, key: &str, value: &'t str) -> Cow<'t, str> {
        if self.hides(key) {
            Cow::Borrowed(&self.mask)
        } else {
            self.text(value)
        }
    }

    /// A text without secrets; one that has none stays as it is.
    #[inline]
    #[must_use]
    pub fn text<'t>(&self, text: &'t str) -> Cow<'t, str> {
        text::clean(text, self)
    }
}

/// Whether a key is that of credentials, whatever is filtered.
fn is_authorization(key: &str) -> bool {
    const NAME: &[u8] = b"authorization";
    key.as_bytes()
        .windows(NAME.len())
        .any(|part| part.eq_ignore_ascii_case(NAME))
}
