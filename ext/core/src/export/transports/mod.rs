//! Transports: how bytes reach those who want them.

pub mod otlp;

/// The longest beginning of `text` that has at most `limit` bytes.
pub(crate) fn head(text: &str, limit: usize) -> &str {
    if text.len() <= limit {
        return text;
    }
    let mut end = limit;
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cuts_between_characters() {
        assert_eq!(head("aéb", 2), "a");
        assert_eq!(head("aéb", 3), "aé");
        assert_eq!(head("aéb", 9), "aéb");
        assert_eq!(head("é", 0), "");
    }
}
