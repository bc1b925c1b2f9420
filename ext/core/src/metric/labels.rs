use std::borrow::Cow;
use xxhash_rust::xxh3::xxh3_64;

/// Longest label value that is kept whole, in bytes of UTF-8. A longer one is cut and marked (see [`LabelKey::push`]).
pub const MAX_LABEL_BYTES: usize = 16_384;

/// Label values in declared order, packed for hashing, comparing and storing: each value is a
/// little-endian `u32` length followed by its UTF-8 bytes.
#[derive(Debug, PartialEq, Eq, Hash, Default)]
pub struct LabelKey(Vec<u8>);

impl Clone for LabelKey {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }

    /// Reuses what is allocated.
    fn clone_from(&mut self, source: &Self) {
        self.0.clone_from(&source.0);
    }
}

impl LabelKey {
    /// An empty key; push one value per declared label.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// An empty key that reuses `buffer`'s allocation.
    #[must_use]
    pub fn reusing(mut buffer: Vec<u8>) -> Self {
        buffer.clear();
        Self(buffer)
    }

    /// A key that was packed before.
    pub(crate) fn packed(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }

    /// The allocation, to be given to [`Self::reusing`].
    #[must_use]
    pub fn into_buffer(self) -> Vec<u8> {
        self.0
    }

    /// A key of `values`.
    pub fn of<'a>(values: impl IntoIterator<Item = &'a str>) -> Self {
        let mut key = Self::new();
        for value in values {
            key.push(value);
        }
        key
    }

    /// Appends a value and answers whether it had to be cut.
    ///
    /// A value over [`MAX_LABEL_BYTES`] is cut at a character's boundary and marked with `…` and the XXH3 hash of the
    /// whole, so that two long values that differ only behind the cut stay two series.
    pub fn push(&mut self, value: &str) -> bool {
        if value.len() <= MAX_LABEL_BYTES {
            self.append(value.as_bytes());
            return false;
        }
        let mark = format!("…{:016x}", xxh3_64(value.as_bytes()));
        let mut end = MAX_LABEL_BYTES - mark.len();
        while !value.is_char_boundary(end) {
            end -= 1;
        }
        self.append(format!("{}{mark}", &value[..end]).as_bytes());
        true
    }

    /// Appends a value of any bytes; what is not UTF-8 becomes U+FFFD. Answers whether it had to be cut.
    pub fn push_bytes(&mut self, value: &[u8]) -> bool {
        match String::from_utf8_lossy(value) {
            Cow::Borrowed(text) => self.push(text),
            Cow::Owned(text) => self.push(&text),
        }
    }

    fn append(&mut self, value: &[u8]) {
        self.0.extend_from_slice(&(value.len() as u32).to_le_bytes());
        self.0.extend_from_slice(value);
    }

    /// The packed bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

/// Reads packed label values back (see [`LabelKey`]); ends early where the bytes are not a key.
#[derive(Debug, Clone)]
pub struct LabelValues<'a>(&'a [u8]);

impl<'a> LabelValues<'a> {
    /// Values packed in `bytes`.
    #[must_use]
    pub fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// The next value, as bytes that need not be UTF-8: for who looks at each of them anyway.
    pub(crate) fn next_bytes(&mut self) -> Option<&'a [u8]> {
        let (length, rest) = self.0.split_first_chunk::<4>()?;
        let (value, rest) = rest.split_at_checked(u32::from_le_bytes(*length) as usize)?;
        self.0 = rest;
        Some(value)
    }
}

impl<'a> Iterator for LabelValues<'a> {
    type Item = &'a str;

    fn next(&mut self) -> Option<&'a str> {
        std::str::from_utf8(self.next_bytes()?).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_back_what_was_pushed() {
        let key = LabelKey::of(["paid", "", "a\"b\\c\nd\0é"]);
        assert_eq!(
            LabelValues::new(key.as_bytes()).collect::<Vec<_>>(),
            ["paid", "", "a\"b\\c\nd\0é"]
        );
    }

    #[test]
    fn keeps_values_apart_that_concatenate_alike() {
        assert_ne!(LabelKey::of(["ab", "c"]), LabelKey::of(["a", "bc"]));
    }

    #[test]
    fn cuts_and_marks_long_values_and_keeps_them_distinct() {
        let long = |last: char| format!("{}{last}", "é".repeat(MAX_LABEL_BYTES));
        let (mut a, mut b) = (LabelKey::new(), LabelKey::new());
        assert!(a.push(&long('a')) && b.push(&long('b')));
        assert_ne!(a, b);
        let text = LabelValues::new(a.as_bytes()).next().unwrap();
        assert!(text.len() <= MAX_LABEL_BYTES && text.contains('…'));
        assert!(!LabelKey::new().push(&"x".repeat(MAX_LABEL_BYTES)));
    }

    #[test]
    fn never_panics_on_foreign_bytes() {
        assert_eq!(LabelValues::new(&[255, 255, 255, 255, 1]).count(), 0);
        assert_eq!(LabelValues::new(&[1, 0]).count(), 0);
        assert_eq!(LabelValues::new(&[1, 0, 0, 0, 0xff]).count(), 0);
    }
}
