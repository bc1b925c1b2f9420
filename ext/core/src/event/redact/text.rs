//! Secrets in the middle of a text.
//!
//! A text is looked through once, from left to right, and what looks like a secret is masked: the value of a key whose
//! name is filtered (`token=…`, `token: …`, `"token":"…"`, `:token => "…"`, `<token>…</token>`, `["token", "…"]`),
//! credentials (`Authorization: Basic …`, `Bearer …`), and what stands before the host in a URL. Every byte is looked
//! at a bounded number of times, so that no text is expensive.

use super::url::{after_slashes, user_info};
use super::value::{blanks, is_key, quoted, Around};
use super::{is_authorization, Redactor};
use std::borrow::Cow;

/// What follows the word "bearer" or "basic" where no credentials are meant.
const NO_CREDENTIALS: [&str; 16] = [
    "auth",
    "authentication",
    "authorization",
    "credential",
    "credentials",
    "error",
    "expired",
    "failed",
    "invalid",
    "is",
    "missing",
    "of",
    "realm",
    "scheme",
    "token",
    "tokens",
];

/// A text without secrets.
#[inline]
pub(super) fn clean<'t>(text: &'t str, redactor: &Redactor) -> Cow<'t, str> {
    let first = next_sign(text.as_bytes(), 0);
    if first == text.len() {
        return Cow::Borrowed(text);
    }
    let scanner = Scanner {
        text,
        bytes: text.as_bytes(),
        redactor,
        kept_from: 0,
        result: String::new(),
        around: Around::default(),
        has_end_tags: None,
    };
    scanner.run(first)
}

/// Bytes that a secret may be found by.
const SIGNS: [bool; 256] = {
    let mut signs = [false; 256];
    let bytes = b":=<\"'bB";
    let mut at = 0;
    while at < bytes.len() {
        signs[bytes[at] as usize] = true;
        at += 1;
    }
    signs
};

/// Whether a secret may be found at `at`, where one of those stands.
fn begins(bytes: &[u8], at: usize) -> bool {
    let next = |by: usize| bytes.get(at + by).copied().unwrap_or_default();
    match bytes[at] {
        b':' | b'=' | b'<' => true,
        b'"' | b'\'' => next(1) == b',',
        b'b' | b'B' => matches!((next(1) | 0x20, next(2) | 0x20), (b'e', b'a') | (b'a', b's')),
        _ => false,
    }
}

/// As [`begins`], and sometimes where that is not so. Being without branches, it is asked about many bytes at once.
#[inline]
fn may_begin(byte: u8, next: u8) -> bool {
    let separates = (byte == b':') | (byte == b'=') | (byte == b'<');
    let pairs = ((byte == b'"') | (byte == b'\'')) & (next == b',');
    let names = (byte | 0x20 == b'b') & ((next | 0x20 == b'a') | (next | 0x20 == b'e'));
    separates | pairs | names
}

/// Where something may begin from `from` on; the length where nothing does.
#[inline]
fn next_sign(bytes: &[u8], from: usize) -> usize {
    const CHUNK: usize = 32;
    let mut at = from;
    while at < bytes.len() {
        if let Some(chunk) = bytes.get(at..=at + CHUNK) {
            let pairs = chunk.iter().zip(&chunk[1..]);
            if !pairs.fold(false, |any, (byte, next)| any | may_begin(*byte, *next)) {
                at += CHUNK;
                continue;
            }
        }
        let end = bytes.len().min(at + CHUNK);
        while at < end {
            if SIGNS[usize::from(bytes[at])] && begins(bytes, at) {
                return at;
            }
            at += 1;
        }
    }
    bytes.len()
}

struct Scanner<'t, 'r> {
    text: &'t str,
    bytes: &'t [u8],
    redactor: &'r Redactor,
    /// Where the part begins that is not in `result` yet.
    kept_from: usize,
    result: String,
    around: Around,
    /// Whether there are end tags in it, once that was asked.
    has_end_tags: Option<bool>,
}

impl<'t> Scanner<'t, '_> {
    fn run(mut self, first: usize) -> Cow<'t, str> {
        let mut at = first;
        while at < self.bytes.len() {
            let seen = match self.bytes[at] {
                b':' | b'=' => self.separator(at),
                b'<' => self.tag(at),
                b'"' | b'\'' => self.pair(at),
                _ => self.credentials(at),
            };
            at = next_sign(self.bytes, seen);
        }
        if self.kept_from == 0 {
            return Cow::Borrowed(self.text);
        }
        self.result.push_str(&self.text[self.kept_from..]);
        Cow::Owned(self.result)
    }

    /// Masks what is between two places, both of them beside ASCII characters.
    fn mask(&mut self, from: usize, to: usize) {
        if from < to {
            self.around.read(self.bytes, from);
            self.around.skip(to);
            self.result.push_str(&self.text[self.kept_from..from]);
            self.result.push_str(self.redactor.mask());
            self.kept_from = to;
        }
    }

    /// Looks at a `:` or `=`, and answers where to look on.
    fn separator(&mut self, at: usize) -> usize {
        let bytes = self.bytes;
        match bytes.get(at + 1) {
            Some(b':') if bytes[at] == b':' => return at + 2,
            Some(b'/' | b'\\') if bytes[at] == b':' => {
                if let Some(from) = after_slashes(bytes, at) {
                    let to = user_info(bytes, from).unwrap_or(from);
                    self.mask(from, to);
                    return to;
                }
            }
            _ => {}
        }
        let mut end = at + 1;
        while bytes.get(end) == Some(&b'=') {
            end += 1;
        }
        if bytes[end - 1] == b'=' && bytes.get(end) == Some(&b'>') {
            end += 1;
        }
        let key = self.key_before(at);
        if key.is_empty() || !self.redactor.hides(key) {
            return end;
        }
        let start = end + blanks(&bytes[end..]);
        self.around.read(bytes, at);
        let (from, to) = if is_authorization(key) {
            let query = start == at + 1 && bytes[at] == b'=';
            self.around.credentials_at(bytes, start, query)
        } else {
            self.around.value_at(bytes, start)
        };
        self.mask(from, to);
        to.max(end)
    }

    /// The name before a separator, quoted or not.
    fn key_before(&self, separator: usize) -> &'t str {
        let bytes = &self.bytes[self.kept_from..separator];
        let mut end = bytes.len();
        while end > 0 && matches!(bytes[end - 1], b' ' | b'\t') {
            end -= 1;
        }
        if end > 0 && matches!(bytes[end - 1], b'"' | b'\'' | b'`') {
            end -= 1;
            while end > 0 && bytes[end - 1] == b'\\' {
                end -= 1;
            }
        }
        let length = bytes[..end].iter().rev().take_while(|byte| is_key(**byte)).count();
        let end = self.kept_from + end;
        &self.text[end - length..end]
    }

    /// Looks at a quote before a comma, where the value follows of a key that stands alone with it in brackets, and
    /// answers where to look on.
    fn pair(&mut self, at: usize) -> usize {
        let bytes = self.bytes;
        let escapes = bytes[..at].iter().rev().take_while(|byte| **byte == b'\\').count();
        let key = self.key_before(at - escapes);
        let opening = (at - escapes).checked_sub(key.len() + escapes + 2);
        let alone = opening.is_some_and(|opening| matches!(bytes[opening], b'[' | b'('));
        if !alone || key.is_empty() || !self.redactor.hides(key) {
            return at + 1;
        }
        let start = at + 2 + blanks(&bytes[at + 2..]);
        let Some((from, to)) = quoted(bytes, start) else {
            return at + 1;
        };
        let behind = bytes.get(to + escapes + 1..).unwrap_or_default();
        if is_authorization(key) || matches!(behind.get(blanks(behind)), None | Some(b']' | b')')) {
            self.mask(from, to);
            return to.max(at + 1);
        }
        at + 1
    }

    /// Looks at a `<`, where the tag may stand of an element whose content is secret, and answers where to look on.
    fn tag(&mut self, at: usize) -> usize {
        let bytes = self.bytes;
        let is_name = |byte: &u8| is_key(*byte) || *byte == b':';
        let name = at + 1;
        let name_end = name + bytes[name..].iter().take_while(|byte| is_name(byte)).count();
        if name_end == name || !self.redactor.hides(&self.text[name..name_end]) {
            return at + 1;
        }
        // Ruby shows objects as `#<Token …>`, and `a<token` compares where there is no document.
        let document = *self.has_end_tags.get_or_insert_with(|| self.text.contains("</"));
        let before = if at > 0 { bytes[at - 1] } else { b' ' };
        if before == b'#' || (!document && before.is_ascii_alphanumeric()) {
            return at + 1;
        }
        let length = bytes[name_end..].iter().position(|byte| matches!(byte, b'<' | b'>'));
        let tag_end = name_end + length.unwrap_or(0);
        if bytes.get(tag_end) != Some(&b'>') {
            return at + 1;
        }
        let attributes = name_end + blanks(&bytes[name_end..tag_end]);
        if bytes[tag_end - 1] == b'/' {
            self.mask(attributes, tag_end - 1);
            return tag_end;
        }
        let content = tag_end + 1;
        self.mask(attributes, tag_end);
        self.around.read(bytes, content);
        let content_end = if document {
            self.element_end(&bytes[name..name_end], content)
        } else {
            self.around.word(bytes, content)
        };
        self.mask(content, content_end);
        content_end
    }

    /// Where the end tag stands of the element whose content begins at `from`. A document that was cut lacks it.
    fn element_end(&self, name: &[u8], from: usize) -> usize {
        let mut at = from;
        while let Some(length) = self.text[at..].find("</") {
            at += length + 2;
            let rest = &self.bytes[at..];
            let ends = |byte: &u8| *byte == b'>' || byte.is_ascii_whitespace();
            let named = rest.len() > name.len() && rest[..name.len()].eq_ignore_ascii_case(name);
            if named && ends(&rest[name.len()]) {
                return at - 2;
            }
        }
        self.bytes.len()
    }

    /// Masks what follows the word `Bearer` or `Basic`, and answers where to look on.
    fn credentials(&mut self, at: usize) -> usize {
        let bytes = self.bytes;
        let rest = &bytes[at..];
        let is = |word: &[u8]| rest.len() > word.len() && rest[..word.len()].eq_ignore_ascii_case(word);
        let (length, bearer) = if is(b"bearer") {
            (6, true)
        } else if is(b"basic") {
            (5, false)
        } else {
            return at + 1;
        };
        let inside = at > 0 && (bytes[at - 1].is_ascii_alphanumeric() || bytes[at - 1] == b'_');
        let gap = blanks(&rest[length..]);
        if inside || gap == 0 {
            return at + length;
        }
        let mut from = at + length + gap;
        from += bytes[from..]
            .iter()
            .take_while(|byte| matches!(byte, b'\\' | b'"' | b'\''))
            .count();
        let is_token =
            |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'~' | b'+' | b'/' | b'=' | b'-');
        let to = from + bytes[from..].iter().take_while(|byte| is_token(byte)).count();
        if is_credential(&self.text[from..to], bearer) {
            self.mask(from, to);
            return to;
        }
        // What looks like `realm=` is to be looked at as a key.
        at + length
    }
}

/// Whether a word behind `Bearer` or `Basic` is meant to be secret.
fn is_credential(word: &str, bearer: bool) -> bool {
    let plain = word.trim_end_matches(['.', '=']);
    if plain.is_empty()
        || NO_CREDENTIALS.iter().any(|known| plain.eq_ignore_ascii_case(known))
        || word.starts_with("realm=")
    {
        return false;
    }
    // "Basic" is a word of many sentences: what follows it has to look like what a machine wrote.
    let machine = || {
        let upper = plain.chars().skip(1).any(|c| c.is_ascii_uppercase());
        word.len() >= 6 && (upper || word.ends_with('=') || plain.contains(|c: char| c.is_ascii_digit() || c == '+'))
    };
    bearer || machine()
}
