//! What stands before the host in a URL.

/// How far the `@` is looked for of a password that has a slash in it.
const LONGEST_USER_INFO: usize = 256;

/// Whether what stands at `at` is no part of a URL. A backslash before a slash is how JSON may write it.
fn is_outside(bytes: &[u8], at: usize) -> bool {
    match bytes[at] {
        b'"' | b'\'' | b'`' | b'<' | b'>' => true,
        b'\\' => matches!(bytes.get(at + 1), Some(b'"' | b'\'' | b'`' | b'n' | b'r' | b't')),
        byte => byte.is_ascii_whitespace(),
    }
}

/// Whether the part of a URL that names user and host ends at `at`.
fn ends_authority(bytes: &[u8], at: usize) -> bool {
    match bytes[at] {
        b'/' | b'?' | b'#' => true,
        b'\\' => matches!(bytes.get(at + 1), Some(b'/' | b'\\')),
        _ => is_outside(bytes, at),
    }
}

/// Behind the `//` that follows a colon, however its slashes are escaped.
pub(super) fn after_slashes(bytes: &[u8], colon: usize) -> Option<usize> {
    let slash = |from: usize| {
        let at = from + bytes[from..].iter().take_while(|byte| **byte == b'\\').count();
        (bytes.get(at) == Some(&b'/')).then_some(at + 1)
    };
    slash(slash(colon + 1)?)
}

/// Where the name and password end of a URL whose authority begins at `from`, if it has any.
pub(super) fn user_info(bytes: &[u8], from: usize) -> Option<usize> {
    let end = |limit: usize, ends: fn(&[u8], usize) -> bool| {
        let limit = bytes.len().min(limit);
        (from..limit).find(|at| ends(bytes, *at)).unwrap_or(limit)
    };
    let at_sign = |to: usize| bytes[from..to].iter().rposition(|byte| *byte == b'@');
    let authority = end(bytes.len(), ends_authority);
    let length = at_sign(authority).or_else(|| {
        // Behind the colon may be a password that should have been escaped, though its beginning looks like a port.
        let named = bytes[from..authority].contains(&b':') && bytes[from] != b'[';
        named
            .then(|| at_sign(end(from + LONGEST_USER_INFO, is_outside)))
            .flatten()
    })?;
    Some(from + length)
}

/// The beginning of a text, without the URL that was cut in the middle: what stands in it before an `@` is masked, but
/// the `@` may have been cut off.
#[must_use]
pub fn without_cut_url(beginning: &str) -> &str {
    let bytes = beginning.as_bytes();
    let mut colons = beginning.rmatch_indices(':');
    let Some(from) = colons.find_map(|(colon, _)| after_slashes(bytes, colon)) else {
        return beginning;
    };
    let whole = (from..bytes.len()).any(|at| is_outside(bytes, at))
        || (bytes.len() - from > LONGEST_USER_INFO && (from..bytes.len()).any(|at| ends_authority(bytes, at)));
    if whole {
        beginning
    } else {
        &beginning[..from]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_that_was_cut_is_left_out() {
        for (text, kept) in [
            ("see https://me:hunt", "see https://"),
            ("see https://ghp_123", "see https://"),
            ("see https://me:hun/ter", "see https://"),
            (r"see https:\/\/me:hun", r"see https:\/\/"),
            (r"see https:\/\/me:hun\", r"see https:\/\/"),
            (r"see https:\/\/a\/b\n, c", r"see https:\/\/a\/b\n, c"),
            ("see https://example.org/ and more", "see https://example.org/ and more"),
            ("nothing: to see", "nothing: to see"),
        ] {
            assert_eq!(without_cut_url(text), kept);
        }
        let long = format!("https://example.org/{}", "x".repeat(LONGEST_USER_INFO));
        assert_eq!(without_cut_url(&long), long);
        let long = format!("https://{}", "x".repeat(LONGEST_USER_INFO));
        assert_eq!(without_cut_url(&long), "https://");
    }
}
