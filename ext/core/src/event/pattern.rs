//! Names of events, exact or with `*` for any run of characters, dots included.

/// Whether `name` is one that `pattern` means.
///
/// ```
/// use tasker_telemetry_core::event::pattern::matches;
/// assert!(matches("order.*", "order.line.added"));
/// assert!(matches("*.failed", "order.failed"));
/// assert!(!matches("order.*", "order"));
/// ```
#[must_use]
pub fn matches(pattern: &str, name: &str) -> bool {
    let (pattern, name) = (pattern.as_bytes(), name.as_bytes());
    let (mut at, mut from) = (0, 0);
    // Where the last star stands, and how far it reaches so far.
    let mut star: Option<(usize, usize)> = None;
    while from < name.len() {
        match (pattern.get(at), star) {
            (Some(b'*'), _) => {
                star = Some((at, from));
                at += 1;
            }
            (Some(byte), _) if *byte == name[from] => {
                at += 1;
                from += 1;
            }
            (_, Some((stands, reaches))) => {
                star = Some((stands, reaches + 1));
                at = stands + 1;
                from = reaches + 1;
            }
            _ => return false,
        }
    }
    pattern[at..].iter().all(|byte| *byte == b'*')
}

/// Whether the pattern means more than one name.
#[must_use]
pub fn is_glob(pattern: &str) -> bool {
    pattern.contains('*')
}

/// How many characters the pattern fixes: of two patterns that mean a name the one with more is meant.
#[must_use]
pub fn literals(pattern: &str) -> usize {
    pattern.chars().filter(|character| *character != '*').count()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The definition, by trying everything.
    fn defined(pattern: &[u8], name: &[u8]) -> bool {
        match pattern.split_first() {
            None => name.is_empty(),
            Some((b'*', rest)) => (0..=name.len()).any(|from| defined(rest, &name[from..])),
            Some((byte, rest)) => name.first() == Some(byte) && defined(rest, &name[1..]),
        }
    }

    proptest! {
        #[test]
        fn means_what_the_definition_says(pattern in "[ab.*]{0,8}", name in "[ab.]{0,10}") {
            prop_assert_eq!(matches(&pattern, &name), defined(pattern.as_bytes(), name.as_bytes()));
        }
    }

    #[test]
    fn a_star_may_stand_for_nothing() {
        assert!(matches("order*", "order"));
        assert!(matches("*", ""));
        assert!(matches("**", "a"));
        assert!(!matches("", "a"));
        assert!(matches("*é*", "caféteria"));
        assert_eq!(literals("*é.*"), 2);
    }

    #[test]
    fn a_hostile_pattern_takes_no_time() {
        assert!(!matches(&"*a".repeat(120), &"a".repeat(100)));
        assert!(!matches(&format!("{}b", "*a".repeat(50)), &"a".repeat(10_000)));
    }
}
