//! A reader of text pages that shares nothing with their writer. It panics at whatever is not a page.

/// What a page says.
#[derive(Debug)]
pub struct Page<V> {
    pub metadata: Vec<Metadata>,
    pub samples: Vec<Sample<V>>,
    /// Whether it ends in `# EOF`.
    pub ended: bool,
}

impl<V> Page<V> {
    pub fn new() -> Self {
        Self {
            metadata: Vec::new(),
            samples: Vec::new(),
            ended: false,
        }
    }
}

/// A line of `TYPE`, `UNIT` or `HELP`.
#[derive(Debug, PartialEq)]
pub struct Metadata {
    pub what: String,
    pub name: String,
    pub text: String,
}

impl Metadata {
    pub fn new(what: &str, name: &str, text: &str) -> Self {
        let [what, name, text] = [what, name, text].map(str::to_owned);
        Self { what, name, text }
    }
}

#[derive(Debug)]
pub struct Sample<V> {
    pub name: String,
    /// All but `le`.
    pub labels: Vec<(String, String)>,
    pub le: Option<f64>,
    pub value: V,
}

/// Reads a page; `quoted_help` where the format escapes quotes in `HELP`.
pub fn read(text: &str, quoted_help: bool) -> Page<String> {
    let mut page = Page::new();
    let text = text.strip_suffix('\n').unwrap_or(text);
    for line in text.split('\n').filter(|_| !text.is_empty()) {
        assert!(!page.ended, "behind the end: {line:?}");
        if line == "# EOF" {
            page.ended = true;
        } else if let Some(rest) = line.strip_prefix("# ") {
            let [what, name, text] = rest.splitn(3, ' ').collect::<Vec<_>>()[..] else {
                panic!("not metadata: {line:?}");
            };
            let text = if what == "HELP" {
                unescape(text, quoted_help)
            } else {
                text.to_owned()
            };
            page.metadata.push(Metadata::new(what, name, &text));
        } else {
            page.samples.push(sample(line));
        }
    }
    page
}

fn sample(line: &str) -> Sample<String> {
    let end = line.find(['{', ' ']).expect("a name ends");
    let (name, mut rest) = line.split_at(end);
    let mut labels = Vec::new();
    if let Some(inside) = rest.strip_prefix('{') {
        rest = inside;
        loop {
            let (name, behind) = rest.split_once("=\"").expect("a label begins");
            let end = closing_quote(behind);
            labels.push((name.to_owned(), unescape(&behind[..end], true)));
            rest = &behind[end + 1..];
            match rest.strip_prefix(',') {
                Some(next) => rest = next,
                None => break,
            }
        }
        rest = rest.strip_prefix('}').expect("labels end");
    }
    let le = labels
        .iter()
        .position(|(name, _)| name == "le")
        .map(|at| labels.remove(at).1);
    Sample {
        name: name.to_owned(),
        labels,
        le: le.map(|text| text.parse().expect("a bound")),
        value: rest.strip_prefix(' ').expect("a value").to_owned(),
    }
}

fn closing_quote(text: &str) -> usize {
    let mut escaped = false;
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            b'"' if !escaped => return at,
            _ => escaped = byte == b'\\' && !escaped,
        }
    }
    panic!("no closing quote: {text:?}");
}

fn unescape(text: &str, quotes: bool) -> String {
    let mut plain = String::new();
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        plain.push(match (character, quotes) {
            ('\\', _) => match (characters.next(), quotes) {
                (Some('n'), _) => '\n',
                (Some('\\'), _) => '\\',
                (Some('"'), true) => '"',
                (other, _) => panic!("not an escape: {other:?} in {text:?}"),
            },
            ('"', true) => panic!("a bare quote in {text:?}"),
            (other, _) => other,
        });
    }
    plain
}
