//! How far a value reaches in a text that nobody parsed.
//!
//! What is quoted or in brackets says so. Anything else ends where a key of its own follows, or where what it stands in
//! ends: quotes and brackets that were opened before it. Where that is not certain, more is taken rather than less.

/// What a byte means here; quotes and brackets have a number for each kind.
#[derive(Debug, Clone, Copy)]
enum Sign {
    None,
    Escape,
    Quote(u8),
    Opening(u8),
    Closing(u8),
}

const SIGNS: [Sign; 256] = {
    let mut signs = [Sign::None; 256];
    signs[b'\\' as usize] = Sign::Escape;
    let (quotes, opening, closing) = (b"\"'`", b"([{<", b")]}>");
    let mut kind = 0;
    while kind < BRACKETS {
        if kind < QUOTES {
            signs[quotes[kind] as usize] = Sign::Quote(kind as u8);
        }
        signs[opening[kind] as usize] = Sign::Opening(kind as u8);
        signs[closing[kind] as usize] = Sign::Closing(kind as u8);
        kind += 1;
    }
    signs
};
const QUOTES: usize = 3;
const BRACKETS: usize = 4;

/// Schemes of credentials that are one word, and stand before another.
const SCHEMES: [&str; 9] = [
    "basic",
    "bearer",
    "token",
    "apikey",
    "negotiate",
    "ntlm",
    "dpop",
    "gnap",
    "vapid",
];

/// What a place in a text is inside of. It is told of the text from left to right.
#[derive(Debug, Default)]
pub(super) struct Around {
    seen: usize,
    brackets: [usize; BRACKETS],
    /// For each of the quotes that is open, by how many backslashes it is escaped.
    quotes: [Option<usize>; QUOTES],
}

impl Around {
    /// Takes note of all that stands before `to`.
    pub fn read(&mut self, bytes: &[u8], to: usize) {
        let mut escapes = 0;
        for at in self.seen..to {
            match sign(bytes[at]) {
                Sign::None => {}
                Sign::Escape => {
                    escapes += 1;
                    continue;
                }
                Sign::Quote(kind) => {
                    let open = &mut self.quotes[usize::from(kind)];
                    if closes_quote(*open, bytes, at, escapes) {
                        *open = None;
                    } else if open.is_none() && !is_word(bytes, (at - escapes).wrapping_sub(1)) {
                        *open = Some(escapes);
                    }
                }
                Sign::Opening(kind) => self.brackets[usize::from(kind)] += 1,
                Sign::Closing(kind) => {
                    let open = &mut self.brackets[usize::from(kind)];
                    *open = open.saturating_sub(usize::from(!is_arrow(bytes, at)));
                }
            }
            escapes = 0;
        }
        self.seen = self.seen.max(to);
    }

    /// Leaves out what stands before `to`.
    pub fn skip(&mut self, to: usize) {
        self.seen = self.seen.max(to);
    }

    fn is_quoted(&self) -> bool {
        self.quotes.iter().any(Option::is_some)
    }

    /// From where to where the value stands that begins at `at`.
    pub fn value_at(&self, bytes: &[u8], at: usize) -> (usize, usize) {
        if let Some((from, end)) = quoted(bytes, at) {
            let behind = end + count(bytes, end, b'\\') + 1;
            let end = if is_word(bytes, behind) {
                self.word(bytes, behind)
            } else {
                end
            };
            return (from, end);
        }
        bracketed(bytes, at)
            .map(|end| (at, self.word(bytes, end)))
            .unwrap_or_else(|| (at, self.words(bytes, at)))
    }

    /// As [`Self::value_at`], of credentials, which may be many words. In a query the next parameter ends them.
    pub fn credentials_at(&self, bytes: &[u8], at: usize, query: bool) -> (usize, usize) {
        quoted(bytes, at)
            .or_else(|| bracketed(bytes, at).map(|end| (at, end)))
            .unwrap_or_else(|| (at, self.line(bytes, at, query)))
    }

    /// Behind the word at `from`; behind the next one where the first is just the scheme of credentials.
    fn words(&self, bytes: &[u8], from: usize) -> usize {
        let end = self.word(bytes, from);
        let first = &bytes[from..end];
        let blanks = blanks(&bytes[end..]);
        let scheme = SCHEMES
            .iter()
            .any(|scheme| first.eq_ignore_ascii_case(scheme.as_bytes()));
        if blanks == 0 || !scheme {
            return end;
        }
        let (_, second) = quoted(bytes, end + blanks).unwrap_or_else(|| (0, self.word(bytes, end + blanks)));
        if second > end + blanks {
            second
        } else {
            end
        }
    }

    /// Behind the word at `from`, punctuation included.
    pub fn word(&self, bytes: &[u8], from: usize) -> usize {
        self.until(bytes, from, |at| match bytes[at] {
            b',' | b';' | b'&' => is_blank(bytes, at + 1) || parameter_follows(bytes, at + 1),
            byte => byte.is_ascii_whitespace(),
        })
    }

    /// Behind the credentials at `from`: at the end of the line, or before the next header.
    fn line(&self, bytes: &[u8], from: usize, query: bool) -> usize {
        let mut first_word = true;
        let mut string_to = from;
        let mut ends = |at: usize| {
            let byte = bytes[at];
            first_word &= !byte.is_ascii_whitespace();
            match byte {
                b'\r' | b'\n' => return true,
                _ if at < string_to => {}
                b',' => return header_follows(bytes, at + 1),
                b'&' => return query && first_word && parameter_follows(bytes, at + 1),
                b'"' => {
                    let before = bytes[from..at].iter().rev();
                    let escapes = before.take_while(|byte| **byte == b'\\').count();
                    string_to = closing_quote(bytes, at + 1, b'"', escapes) + escapes + 1;
                }
                _ => {}
            }
            false
        };
        let mut end = self.until(bytes, from, &mut ends);
        // Whoever put a header in quotes may not have escaped its own: its parameters go on.
        while bytes.get(end).copied().is_some_and(is_quote) && credentials_go_on(bytes, end + 1) {
            end = self.until(bytes, end + 1, &mut ends);
        }
        let last = bytes[from..end].iter().rposition(|byte| !matches!(byte, b' ' | b'\t'));
        from + last.map_or(0, |last| last + 1)
    }

    /// Where `ends` says so, or where what is around ends.
    fn until(&self, bytes: &[u8], from: usize, mut ends: impl FnMut(usize) -> bool) -> usize {
        let mut inner = [0_usize; BRACKETS];
        let mut escapes = 0;
        for at in from..bytes.len() {
            if ends(at) {
                return at;
            }
            match sign(bytes[at]) {
                Sign::None => {
                    let newline = escapes % 2 == 1 && matches!(bytes[at], b'n' | b'r' | b't');
                    if newline && self.is_quoted() {
                        return at - escapes;
                    }
                }
                Sign::Escape => {
                    escapes += 1;
                    continue;
                }
                Sign::Quote(kind) => {
                    if closes_quote(self.quotes[usize::from(kind)], bytes, at, escapes) {
                        return at - escapes;
                    }
                }
                Sign::Opening(kind) => inner[usize::from(kind)] += 1,
                Sign::Closing(_) if is_arrow(bytes, at) => {}
                Sign::Closing(kind) => {
                    let open = &mut inner[usize::from(kind)];
                    if *open == 0 && self.brackets[usize::from(kind)] > 0 && !is_word(bytes, at + 1) {
                        return at;
                    }
                    *open = open.saturating_sub(1);
                }
            }
            escapes = 0;
        }
        bytes.len()
    }
}

/// Whether the quote at `at` closes one that is open: it is escaped no more than that, and no apostrophe in a word.
fn closes_quote(open: Option<usize>, bytes: &[u8], at: usize, escapes: usize) -> bool {
    open.is_some_and(|open| escapes <= open) && !is_word(bytes, at + 1)
}

fn sign(byte: u8) -> Sign {
    SIGNS[usize::from(byte)]
}

fn is_quote(byte: u8) -> bool {
    matches!(sign(byte), Sign::Quote(_))
}

/// Whether what looks like a bracket at `at` is the end of an arrow.
fn is_arrow(bytes: &[u8], at: usize) -> bool {
    bytes[at] == b'>' && at > 0 && matches!(bytes[at - 1], b'=' | b'-')
}

/// Whether a letter or a digit stands at `at`.
fn is_word(bytes: &[u8], at: usize) -> bool {
    bytes
        .get(at)
        .is_some_and(|byte| byte.is_ascii_alphanumeric() || *byte == b'_' || *byte >= 0x80)
}

fn is_blank(bytes: &[u8], at: usize) -> bool {
    bytes.get(at).is_none_or(u8::is_ascii_whitespace)
}

/// What a name is made of.
pub(super) fn is_key(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte >= 0x80 || matches!(byte, b'_' | b'-' | b'.' | b'[' | b']' | b'%' | b'?')
}

/// How many blanks `bytes` begin with.
pub(super) fn blanks(bytes: &[u8]) -> usize {
    bytes.iter().take_while(|byte| matches!(byte, b' ' | b'\t')).count()
}

/// Where a quoted value stands: `"…"`, `\"…\"`, and with what languages write before the quote, `:"…"` or `b'…'`.
pub(super) fn quoted(bytes: &[u8], at: usize) -> Option<(usize, usize)> {
    let is_quote = |at: usize| bytes.get(at).copied().is_some_and(is_quote);
    let prefixed = matches!(bytes.get(at), Some(b':' | b'b' | b'u')) && is_quote(at + 1);
    let start = at + usize::from(prefixed);
    let escapes = count(bytes, start, b'\\');
    let from = start + escapes + 1;
    is_quote(from - 1).then(|| {
        let end = closing_quote(bytes, from, bytes[from - 1], escapes);
        (if prefixed { at } else { from }, end)
    })
}

/// Where the quote stands that closes: one that is escaped no more than the opening one was, and not doubled, as SQL
/// escapes it.
fn closing_quote(bytes: &[u8], from: usize, quote: u8, escapes: usize) -> usize {
    let (mut at, mut run) = (from, 0);
    while at < bytes.len() {
        if bytes[at] == b'\\' {
            run += 1;
        } else if bytes[at] == quote && run <= escapes {
            let doubled = run == 0 && at > from && bytes.get(at + 1) == Some(&quote);
            if !doubled {
                return at - run;
            }
            at += 1;
        } else {
            run = 0;
        }
        at += 1;
    }
    bytes.len()
}

/// Behind the brackets that a value begins with; of an object that was inspected, `#<…>`.
fn bracketed(bytes: &[u8], at: usize) -> Option<usize> {
    let from = at + usize::from(bytes.get(at) == Some(&b'#') && bytes.get(at + 1) == Some(&b'<'));
    matches!(sign(*bytes.get(from)?), Sign::Opening(_)).then(|| closing_bracket(bytes, from))
}

/// Behind the bracket that closes the one at `from`, strings left out of account. Angle brackets are few where they do
/// not begin the value, and stand for comparisons.
fn closing_bracket(bytes: &[u8], from: usize) -> usize {
    let angles = bytes[from] == b'<';
    let (mut depth, mut escapes, mut at) = (0_usize, 0, from);
    while at < bytes.len() {
        let byte = bytes[at];
        match sign(byte) {
            Sign::Escape => {
                escapes += 1;
                at += 1;
                continue;
            }
            Sign::Opening(_) if angles || byte != b'<' => depth += 1,
            Sign::Closing(_) if angles || byte != b'>' => {
                depth -= usize::from(!is_arrow(bytes, at));
                if depth == 0 {
                    return at + 1;
                }
            }
            Sign::Quote(_) if byte == b'"' || !is_word(bytes, at - 1) => {
                let end = closing_quote(bytes, at + 1, byte, escapes);
                at = end + count(bytes, end, b'\\');
            }
            _ => {}
        }
        escapes = 0;
        at += 1;
    }
    bytes.len()
}

/// How many times `byte` stands from `at` on.
fn count(bytes: &[u8], at: usize, byte: u8) -> usize {
    bytes
        .get(at..)
        .map_or(0, |rest| rest.iter().take_while(|found| **found == byte).count())
}

/// Behind the name that begins at `at`, quoted or not, and whether it is quoted.
fn name(bytes: &[u8], at: usize, is_name: fn(u8) -> bool) -> Option<(usize, bool)> {
    let escapes = count(bytes, at, b'\\');
    let is_quoted = bytes.get(at + escapes).copied().is_some_and(is_quote);
    let from = if is_quoted { at + escapes + 1 } else { at };
    let mut end = from + bytes[from..].iter().take_while(|byte| is_name(**byte)).count();
    if end == from {
        return None;
    }
    if is_quoted {
        end += count(bytes, end, b'\\');
        end += usize::from(bytes.get(end).copied().is_some_and(is_quote));
    }
    Some((end + blanks(&bytes[end..]), is_quoted))
}

/// Whether a key and its separator begin at `at`: `b=2`, `"b": 2`, `:b=>2`.
fn parameter_follows(bytes: &[u8], at: usize) -> bool {
    let symbol = bytes.get(at) == Some(&b':');
    let Some((end, is_quoted)) = name(bytes, at + usize::from(symbol), is_key) else {
        return false;
    };
    match bytes.get(end) {
        Some(b'=') => true,
        Some(b':') => is_quoted,
        _ => false,
    }
}

/// Whether a comma and a parameter without quotes are at `at`: `, response="…"`.
fn credentials_go_on(bytes: &[u8], at: usize) -> bool {
    if bytes.get(at) != Some(&b',') {
        return false;
    }
    let at = at + 1 + blanks(&bytes[at + 1..]);
    let after = name(bytes, at, is_key);
    after.is_some_and(|(end, is_quoted)| {
        !is_quoted && bytes[end..].starts_with(b"=") && !bytes[end..].starts_with(b"=>")
    })
}

/// Whether a header or another entry of a Hash begins behind the blanks at `at`: `Host: x`, `"Host"=>"x"`.
fn header_follows(bytes: &[u8], at: usize) -> bool {
    let at = at + blanks(&bytes[at..]);
    let symbol = bytes.get(at) == Some(&b':');
    let is_name = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    let Some((end, _)) = name(bytes, at + usize::from(symbol), is_name) else {
        return false;
    };
    let rest = &bytes[end..];
    rest.starts_with(b"=>") || (rest.starts_with(b":") && !rest.starts_with(b"://"))
}
