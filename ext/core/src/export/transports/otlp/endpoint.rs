//! The URL of a collector, and what of it requests need.

use super::destination::Protocol;
use super::error::{Error, Result};
use super::source::{Source, Told};
use base64::prelude::{Engine, BASE64_STANDARD};
use http::uri::{Authority, Scheme};
use http::{HeaderValue, Uri};
use percent_encoding::percent_decode_str;

const ACCEPTED: &str = "a URL such as http://collector:4318 or https://collector.example.com/v1/traces";

/// An endpoint that was understood.
pub(super) struct Endpoint {
    pub(super) secure: bool,
    pub(super) host: String,
    pub(super) port: u16,
    /// Where requests go, without user info.
    pub(super) uri: Uri,
    /// The user info as a header.
    pub(super) authorization: Option<HeaderValue>,
}

/// What becomes of the path of an endpoint over HTTP.
enum Rule {
    /// The signal's is taken where it has none.
    Base,
    /// The signal's is appended, whatever it has.
    Prefix,
    /// It is used as it is.
    Whole,
}

impl Endpoint {
    /// The one that is configured, or that a variable tells, or this machine's.
    pub(super) fn resolve(configured: Option<&String>, source: &Source<'_>, protocol: Protocol) -> Result<Self> {
        let (told, rule) = told(configured, source, protocol);
        Self::parse(&told, &rule, source, protocol).ok_or_else(|| Error::Setting {
            // What is refused may hold a password.
            value: without_secrets(&told.value),
            option: told.option,
            accepted: ACCEPTED,
        })
    }

    fn parse(told: &Told, rule: &Rule, source: &Source<'_>, protocol: Protocol) -> Option<Self> {
        let uri: Uri = told.value.parse().ok()?;
        let scheme = uri
            .scheme()
            .filter(|scheme| **scheme == Scheme::HTTP || **scheme == Scheme::HTTPS)?;
        let secure = *scheme == Scheme::HTTPS;
        let authority = uri.authority()?;
        let (host, port) = (authority.host(), authority.port_u16());
        let place = authority.as_str().rsplit('@').next().unwrap_or_default();
        if host.is_empty() || (place.len() > host.len() && port.is_none()) {
            return None;
        }
        let sent = Uri::builder()
            .scheme(scheme.clone())
            .authority(port.map_or_else(|| host.to_owned(), |port| format!("{host}:{port}")))
            .path_and_query(path(&uri, rule, source, protocol))
            .build()
            .ok()?;
        Some(Self {
            secure,
            host: host.trim_start_matches('[').trim_end_matches(']').to_owned(),
            // The default port of a scheme that is written without one is the scheme's, as in any URL.
            port: port.unwrap_or(if secure { 443 } else { 80 }),
            uri: sent,
            authorization: authorization(authority),
        })
    }
}

fn told(configured: Option<&String>, source: &Source<'_>, protocol: Protocol) -> (Told, Rule) {
    let option = |value: String| Told {
        option: source.option("endpoint"),
        value,
    };
    if let Some(value) = configured {
        return (option(value.trim().to_owned()), Rule::Base);
    }
    if let Some(told) = source.own_variable("ENDPOINT") {
        return (told, Rule::Whole);
    }
    if let Some(told) = source.common_variable("ENDPOINT") {
        return (told, Rule::Prefix);
    }
    let port = match protocol {
        Protocol::HttpProtobuf => 4318,
        Protocol::Grpc => 4317,
    };
    (option(format!("http://localhost:{port}")), Rule::Base)
}

/// The path of requests, with the query if there is one.
fn path(uri: &Uri, rule: &Rule, source: &Source<'_>, protocol: Protocol) -> String {
    let own = source.signal.path();
    match (protocol, rule) {
        (Protocol::Grpc, _) => source.signal.service().to_owned(),
        (Protocol::HttpProtobuf, Rule::Base) if uri.path() == "/" && uri.query().is_none() => own.to_owned(),
        (Protocol::HttpProtobuf, Rule::Base | Rule::Whole) => {
            uri.path_and_query().map_or("/", |path| path.as_str()).to_owned()
        }
        (Protocol::HttpProtobuf, Rule::Prefix) => {
            let query = uri.query().map(|query| format!("?{query}")).unwrap_or_default();
            format!("{}{own}{query}", uri.path().trim_end_matches('/'))
        }
    }
}

/// A text that may be a URL, without what stands before an `@` and without a query.
fn without_secrets(text: &str) -> String {
    let scheme = text.find("://").map_or("", |at| &text[..at + 3]);
    let rest = &text[scheme.len()..];
    let (place, query) = rest.split_at(rest.find(['?', '#']).unwrap_or(rest.len()));
    if query.contains('@') {
        // Whether it is a query or a password that goes on there is not known.
        return format!("{scheme}[FILTERED]");
    }
    match place.rfind('@') {
        Some(at) => format!("{scheme}[FILTERED]{}", &place[at..]),
        None => format!("{scheme}{place}"),
    }
}

/// User info as a header, which is what other clients of HTTP make of it.
fn authorization(authority: &Authority) -> Option<HeaderValue> {
    let (user_info, _) = authority.as_str().rsplit_once('@')?;
    let (user, password) = user_info.split_once(':').unwrap_or((user_info, ""));
    let mut plain = percent_decode_str(user).collect::<Vec<u8>>();
    plain.push(b':');
    plain.extend(percent_decode_str(password));
    let mut value = HeaderValue::from_str(&format!("Basic {}", BASE64_STANDARD.encode(plain))).ok()?;
    value.set_sensitive(true);
    Some(value)
}
