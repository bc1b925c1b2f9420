//! Where OTLP goes, as the application and the `OTEL_*` variables tell it.

use super::error::{Error, Result};
use base64::prelude::{Engine, BASE64_STANDARD};
use http::uri::{Authority, Scheme};
use http::{HeaderMap, HeaderName, HeaderValue, Uri};
use percent_encoding::percent_decode_str;
use std::path::PathBuf;
use std::time::Duration;

/// Reads an environment variable. Nothing here looks at the environment by itself.
pub type Env<'a> = &'a dyn Fn(&str) -> Option<String>;

/// A variable that is set to something; OpenTelemetry takes an empty one as unset.
pub(crate) fn variable(env: Env<'_>, name: &str) -> Option<String> {
    env(name)
        .map(|value| value.trim().to_owned())
        .filter(|value| !value.is_empty())
}

/// An environment in which nothing is set, for what is off: variables that nothing uses cannot be wrong, and applications
/// start with some that are meant for others.
pub(crate) const NOTHING: Env<'static> = &|_| None;

/// Whether `OTEL_SDK_DISABLED` turns everything off. As OpenTelemetry has it, only "true" does.
#[must_use]
pub fn disabled(env: Env<'_>) -> bool {
    variable(env, "OTEL_SDK_DISABLED").is_some_and(|value| value.eq_ignore_ascii_case("true"))
}

/// What is sent: each has a path, a service and variables of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signal {
    /// Spans.
    Traces,
    /// Metrics.
    Metrics,
}

impl Signal {
    fn path(self) -> &'static str {
        match self {
            Self::Traces => "/v1/traces",
            Self::Metrics => "/v1/metrics",
        }
    }

    fn service(self) -> &'static str {
        match self {
            Self::Traces => "/opentelemetry.proto.collector.trace.v1.TraceService/Export",
            Self::Metrics => "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export",
        }
    }

    /// The part of `OTEL_EXPORTER_OTLP_<part>_<setting>`.
    fn part(self) -> &'static str {
        match self {
            Self::Traces => "TRACES",
            Self::Metrics => "METRICS",
        }
    }

    /// Where its options stand in the configuration.
    fn section(self) -> &'static str {
        match self {
            Self::Traces => "traces",
            Self::Metrics => "metrics.otlp",
        }
    }
}

/// How it is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// Protobuf in HTTP/1.1 requests.
    HttpProtobuf,
    /// gRPC.
    Grpc,
}

impl Protocol {
    /// As OpenTelemetry writes it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::HttpProtobuf => "http/protobuf",
            Self::Grpc => "grpc",
        }
    }
}

/// What the application has set; the rest is the environment's or the default.
#[derive(Clone, Default, PartialEq)]
pub struct Options {
    /// A URL.
    pub endpoint: Option<String>,
    /// `http_protobuf`, `http/protobuf` or `grpc`.
    pub protocol: Option<String>,
    /// Headers of every request.
    pub headers: Option<Vec<(String, String)>>,
    /// Seconds that one request may take.
    pub timeout: Option<f64>,
    /// `gzip` or `none`.
    pub compression: Option<String>,
    /// A file with the certificates (PEM) of the authorities to trust instead of the system's.
    pub certificate: Option<PathBuf>,
}

/// An address that was understood.
#[derive(Clone)]
pub struct Destination {
    pub(super) secure: bool,
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) uri: Uri,
    pub(super) headers: HeaderMap,
    /// How it is sent.
    pub protocol: Protocol,
    /// How long one request may take.
    pub timeout: Duration,
    /// Whether bodies are compressed.
    pub gzip: bool,
    /// Whom to trust instead of the system's authorities.
    pub certificate: Option<PathBuf>,
}

/// Headers and user info are secrets: only names are shown.
impl std::fmt::Debug for Destination {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Destination")
            .field("endpoint", &self.endpoint())
            .field("protocol", &self.protocol)
            .field(
                "headers",
                &self.headers.keys().map(HeaderName::as_str).collect::<Vec<_>>(),
            )
            .field("timeout", &self.timeout)
            .field("gzip", &self.gzip)
            .field("certificate", &self.certificate)
            .finish()
    }
}

impl std::fmt::Debug for Options {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("otlp::Options").finish_non_exhaustive()
    }
}

/// A value, and where it comes from.
struct Told {
    option: String,
    value: String,
}

impl Told {
    fn wrong(&self, accepted: &'static str) -> Error {
        Error::Setting {
            option: self.option.clone(),
            value: self.value.clone(),
            accepted,
        }
    }
}

/// Looks for a setting in the configuration, the signal's variable and the common one.
struct Source<'a> {
    signal: Signal,
    env: Env<'a>,
}

impl Source<'_> {
    fn option(&self, name: &str) -> String {
        format!("config.{}.{name}", self.signal.section())
    }

    fn own_variable(&self, setting: &str) -> Option<Told> {
        self.variable(format!("OTEL_EXPORTER_OTLP_{}_{setting}", self.signal.part()))
    }

    fn common_variable(&self, setting: &str) -> Option<Told> {
        self.variable(format!("OTEL_EXPORTER_OTLP_{setting}"))
    }

    fn variable(&self, option: String) -> Option<Told> {
        let value = variable(self.env, &option)?;
        Some(Told { option, value })
    }

    fn find(&self, configured: Option<&String>, name: &str, setting: &str) -> Option<Told> {
        configured
            .map(|value| Told {
                option: self.option(name),
                value: value.clone(),
            })
            .or_else(|| self.own_variable(setting))
            .or_else(|| self.common_variable(setting))
    }
}

impl Destination {
    /// What `options` say, completed by the environment.
    ///
    /// # Errors
    /// Which option or variable is wrong, its value and what is accepted.
    pub fn resolve(options: &Options, signal: Signal, env: Env<'_>) -> Result<Self> {
        let source = Source { signal, env };
        let protocol = protocol(source.find(options.protocol.as_ref(), "protocol", "PROTOCOL"))?;
        let gzip = compression(source.find(options.compression.as_ref(), "compression", "COMPRESSION"))?;
        let (address, path) = address(options, &source, protocol)?;
        let secure = address.uri.scheme() == Some(&Scheme::HTTPS);
        let authority = address.uri.authority().ok_or(Error::Endpoint)?;
        let mut headers = headers(options, &source)?;
        if let Some(authorization) = authorization(authority) {
            headers.entry(http::header::AUTHORIZATION).or_insert(authorization);
        }
        let host = authority.host().to_owned();
        let port = authority.port_u16();
        // The default port of a scheme that is written without one is the scheme's, as in any URL.
        let number = port.unwrap_or(if secure { 443 } else { 80 });
        let shown = port.map_or_else(|| host.clone(), |port| format!("{host}:{port}"));
        let uri = Uri::builder()
            .scheme(if secure { Scheme::HTTPS } else { Scheme::HTTP })
            .authority(shown)
            .path_and_query(path)
            .build()
            .map_err(|_| address.told.wrong(ENDPOINT))?;
        Ok(Self {
            secure,
            host: host.trim_start_matches('[').trim_end_matches(']').to_owned(),
            port: number,
            uri,
            headers,
            protocol,
            timeout: timeout(options, &source)?,
            gzip,
            certificate: options.certificate.clone().or_else(|| {
                let told = source
                    .own_variable("CERTIFICATE")
                    .or_else(|| source.common_variable("CERTIFICATE"))?;
                Some(PathBuf::from(told.value))
            }),
        })
    }

    /// The URL that requests go to, without user info and query, where keys may stand.
    #[must_use]
    pub fn endpoint(&self) -> String {
        let scheme = self.uri.scheme_str().unwrap_or_default();
        let authority = self.uri.authority().map_or("", Authority::as_str);
        format!("{scheme}://{authority}{}", self.uri.path())
    }

    /// `text` without the values of the headers and of the endpoint's query, whoever put them there.
    pub(super) fn without_secrets(&self, text: &str) -> String {
        let mut secrets = Vec::new();
        for value in self.headers.values().filter_map(|value| value.to_str().ok()) {
            secrets.push(value.to_owned());
            // Servers may quote a token without its scheme.
            secrets.extend(value.split_whitespace().map(str::to_owned));
        }
        for parameter in self.uri.query().unwrap_or_default().split('&') {
            let value = parameter.split_once('=').map_or(parameter, |(_, value)| value);
            secrets.push(value.to_owned());
            secrets.push(percent_decode_str(value).decode_utf8_lossy().into_owned());
        }
        // Short words are no secrets, and would garble the text.
        let secrets = secrets.iter().filter(|secret| secret.len() > 6);
        secrets.fold(text.to_owned(), |text, secret| text.replace(secret, "[FILTERED]"))
    }
}

const PROTOCOL: &str = "http_protobuf (http/protobuf) or grpc";
const COMPRESSION: &str = "gzip or none";
const ENDPOINT: &str = "a URL such as http://collector:4318 or https://collector.example.com/v1/traces";
const HEADERS: &str = "names and values, in a variable name=value,name=value with the values percent-encoded";

fn protocol(told: Option<Told>) -> Result<Protocol> {
    let Some(told) = told else {
        return Ok(Protocol::HttpProtobuf);
    };
    match told.value.as_str() {
        "http_protobuf" | "http/protobuf" => Ok(Protocol::HttpProtobuf),
        "grpc" => Ok(Protocol::Grpc),
        _ => Err(told.wrong(PROTOCOL)),
    }
}

fn compression(told: Option<Told>) -> Result<bool> {
    let Some(told) = told else { return Ok(false) };
    match told.value.as_str() {
        "gzip" => Ok(true),
        "none" => Ok(false),
        _ => Err(told.wrong(COMPRESSION)),
    }
}

struct Address {
    told: Told,
    uri: Uri,
}

/// The endpoint and the path of requests to it.
fn address(options: &Options, source: &Source<'_>, protocol: Protocol) -> Result<(Address, String)> {
    let configured = options.endpoint.as_ref().map(|value| Told {
        option: source.option("endpoint"),
        value: value.trim().to_owned(),
    });
    /// What becomes of the path of an endpoint over HTTP.
    enum Path {
        /// The signal's is taken where it has none.
        Base,
        /// The signal's is appended, whatever it has.
        Prefix,
        /// It is used as it is.
        Whole,
    }
    let (told, rule) = if let Some(told) = configured {
        (told, Path::Base)
    } else if let Some(told) = source.own_variable("ENDPOINT") {
        (told, Path::Whole)
    } else if let Some(told) = source.common_variable("ENDPOINT") {
        (told, Path::Prefix)
    } else {
        let port = match protocol {
            Protocol::HttpProtobuf => 4318,
            Protocol::Grpc => 4317,
        };
        let told = Told {
            option: source.option("endpoint"),
            value: format!("http://localhost:{port}"),
        };
        (told, Path::Base)
    };
    // What is refused may hold a password.
    let wrong = || Error::Setting {
        option: told.option.clone(),
        value: without_secrets(&told.value),
        accepted: ENDPOINT,
    };
    let uri: Uri = told.value.parse().map_err(|_| wrong())?;
    let known = uri
        .scheme()
        .is_some_and(|scheme| *scheme == Scheme::HTTP || *scheme == Scheme::HTTPS);
    let host = uri.authority().map_or("", Authority::host);
    let bad_port = uri.authority().is_some_and(|authority| {
        let rest = authority.as_str().rsplit('@').next().unwrap_or_default();
        rest.len() > host.len() && authority.port_u16().is_none()
    });
    if !known || host.is_empty() || bad_port {
        return Err(wrong());
    }
    let given = uri.path_and_query().map_or("/", |path| path.as_str());
    let own = source.signal.path();
    let path = match (protocol, rule) {
        (Protocol::Grpc, _) => source.signal.service().to_owned(),
        (Protocol::HttpProtobuf, Path::Base) if uri.path() == "/" && uri.query().is_none() => own.to_owned(),
        (Protocol::HttpProtobuf, Path::Base | Path::Whole) => given.to_owned(),
        (Protocol::HttpProtobuf, Path::Prefix) => {
            let query = uri.query().map(|query| format!("?{query}")).unwrap_or_default();
            format!("{}{own}{query}", uri.path().trim_end_matches('/'))
        }
    };
    Ok((Address { told, uri }, path))
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

fn headers(options: &Options, source: &Source<'_>) -> Result<HeaderMap> {
    let (option, pairs) = if let Some(headers) = &options.headers {
        (source.option("headers"), headers.clone())
    } else if let Some(told) = source
        .own_variable("HEADERS")
        .or_else(|| source.common_variable("HEADERS"))
    {
        let pairs = pairs(&told.value).ok_or(Error::Header {
            option: told.option.clone(),
            name: None,
            accepted: HEADERS,
        })?;
        (told.option, pairs)
    } else {
        return Ok(HeaderMap::new());
    };
    let mut headers = HeaderMap::new();
    for (name, value) in pairs {
        let parsed = HeaderName::try_from(name.as_str()).ok();
        let (Some(parsed), Ok(mut value)) = (parsed.clone(), HeaderValue::from_str(&value)) else {
            return Err(Error::Header {
                option,
                // What is no name may be a header that was written otherwise, with its value.
                name: parsed.map(|name| name.to_string()),
                accepted: HEADERS,
            });
        };
        value.set_sensitive(true);
        headers.insert(parsed, value);
    }
    Ok(headers)
}

/// `name=value,name=value`, percent-decoded, as W3C Baggage writes it. `None` when it is not of that form.
pub(crate) fn pairs(text: &str) -> Option<Vec<(String, String)>> {
    let decode = |text: &str| {
        let text = percent_decode_str(text.trim()).decode_utf8().ok()?;
        Some(text.into_owned())
    };
    text.split(',')
        .map(str::trim)
        .filter(|pair| !pair.is_empty())
        .map(|pair| {
            let (name, value) = pair.split_once('=')?;
            Some((decode(name).filter(|name| !name.is_empty())?, decode(value)?))
        })
        .collect()
}

fn timeout(options: &Options, source: &Source<'_>) -> Result<Duration> {
    const LONGEST: f64 = 3600.0;
    if let Some(seconds) = options.timeout {
        return Some(seconds)
            .filter(|seconds| *seconds > 0.0 && *seconds <= LONGEST)
            .map(Duration::from_secs_f64)
            .ok_or_else(|| Error::Setting {
                option: source.option("timeout"),
                value: seconds.to_string(),
                accepted: "seconds, more than 0 and at most 3600",
            });
    }
    let told = source
        .own_variable("TIMEOUT")
        .or_else(|| source.common_variable("TIMEOUT"));
    let Some(told) = told else {
        return Ok(Duration::from_secs(10));
    };
    let millis = told
        .value
        .parse::<u64>()
        .ok()
        .filter(|millis| (1..=3_600_000).contains(millis));
    millis
        .map(Duration::from_millis)
        .ok_or_else(|| told.wrong("milliseconds, from 1 to 3600000"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolve(options: &Options, signal: Signal, env: &[(&str, &str)]) -> Result<Destination> {
        Destination::resolve(options, signal, &|name| {
            env.iter()
                .find(|(known, _)| *known == name)
                .map(|(_, value)| (*value).to_owned())
        })
    }

    fn endpoint(configured: Option<&str>, env: &[(&str, &str)]) -> String {
        let options = Options {
            endpoint: configured.map(str::to_owned),
            ..Options::default()
        };
        resolve(&options, Signal::Traces, env).unwrap().endpoint()
    }

    #[test]
    fn the_path_follows_the_rule_of_who_told_the_endpoint() {
        assert_eq!(endpoint(None, &[]), "http://localhost:4318/v1/traces");
        for (configured, expected) in [
            ("http://c:4318", "http://c:4318/v1/traces"),
            ("http://c:4318/", "http://c:4318/v1/traces"),
            ("https://c/own/path", "https://c/own/path"),
            ("http://[::1]:4318", "http://[::1]:4318/v1/traces"),
        ] {
            assert_eq!(endpoint(Some(configured), &[]), expected);
        }
        let base = "OTEL_EXPORTER_OTLP_ENDPOINT";
        let own = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT";
        assert_eq!(endpoint(None, &[(base, "http://c:1")]), "http://c:1/v1/traces");
        assert_eq!(endpoint(None, &[(base, "http://c:1/x/")]), "http://c:1/x/v1/traces");
        assert_eq!(
            endpoint(None, &[(base, "http://c:1"), (own, "http://d:2")]),
            "http://d:2/"
        );
        assert_eq!(endpoint(None, &[(own, "http://d:2/x")]), "http://d:2/x");
        assert_eq!(
            endpoint(Some("http://e:3"), &[(base, "http://c:1"), (own, "http://d:2")]),
            "http://e:3/v1/traces"
        );
        assert_eq!(endpoint(None, &[(base, " ")]), "http://localhost:4318/v1/traces");
    }

    #[test]
    fn signals_and_protocols_differ() {
        let metrics = resolve(&Options::default(), Signal::Metrics, &[]).unwrap();
        assert_eq!(metrics.endpoint(), "http://localhost:4318/v1/metrics");
        let grpc = [("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")];
        let traces = resolve(&Options::default(), Signal::Traces, &grpc).unwrap();
        assert_eq!(
            traces.endpoint(),
            "http://localhost:4317/opentelemetry.proto.collector.trace.v1.TraceService/Export"
        );
        let both = [
            ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"),
            ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "http/protobuf"),
        ];
        assert_eq!(
            resolve(&Options::default(), Signal::Traces, &both).unwrap().protocol,
            Protocol::HttpProtobuf
        );
    }

    #[test]
    fn the_rest_comes_from_the_environment() {
        let env = [
            ("OTEL_EXPORTER_OTLP_HEADERS", "api-key=a%20b%2C, X-Other = c=d "),
            ("OTEL_EXPORTER_OTLP_TIMEOUT", "250"),
            ("OTEL_EXPORTER_OTLP_COMPRESSION", "gzip"),
            ("OTEL_EXPORTER_OTLP_CERTIFICATE", "/ca.pem"),
        ];
        let traces = resolve(&Options::default(), Signal::Traces, &env).unwrap();
        assert_eq!(traces.headers["api-key"], "a b,");
        assert_eq!(traces.headers["x-other"], "c=d");
        assert_eq!((traces.timeout, traces.gzip), (Duration::from_millis(250), true));
        assert_eq!(traces.certificate, Some(PathBuf::from("/ca.pem")));
    }

    #[test]
    fn secrets_are_not_shown() {
        let options = Options {
            endpoint: Some("https://bob:p%40ss@collector:4318".into()),
            headers: Some(vec![("api-key".into(), "hunter2-hunter2".into())]),
            ..Options::default()
        };
        let traces = resolve(&options, Signal::Traces, &[]).unwrap();
        assert_eq!(traces.endpoint(), "https://collector:4318/v1/traces");
        assert_eq!(traces.headers["authorization"], "Basic Ym9iOnBAc3M=");
        for text in [format!("{traces:?}"), format!("{options:?}"), traces.endpoint()] {
            for secret in ["bob", "p%40ss", "Ym9iOnBAc3M=", "hunter2"] {
                assert!(!text.contains(secret), "{text}");
            }
        }
        let quoted = traces.without_secrets("no such key: hunter2-hunter2, Ym9iOnBAc3M=");
        assert_eq!(quoted, "no such key: [FILTERED], [FILTERED]");
    }

    #[test]
    fn neither_are_those_in_a_query() {
        let options = Options {
            endpoint: Some("https://collector/in?tenant=7&api_key=hunter2%2Dhunter2&bare-hunter2".into()),
            ..Options::default()
        };
        let traces = resolve(&options, Signal::Traces, &[]).unwrap();
        assert_eq!(traces.endpoint(), "https://collector/in");
        assert_eq!(
            traces.uri.query(),
            Some("tenant=7&api_key=hunter2%2Dhunter2&bare-hunter2")
        );
        assert!(!format!("{traces:?}").contains("hunter2"));
        let quoted = traces.without_secrets("no key hunter2-hunter2 (hunter2%2Dhunter2) of tenant 7, bare-hunter2");
        assert_eq!(quoted, "no key [FILTERED] ([FILTERED]) of tenant 7, [FILTERED]");
    }

    #[test]
    fn what_is_wrong_is_named() {
        let error =
            |options: Options, env: &[(&str, &str)]| resolve(&options, Signal::Traces, env).unwrap_err().to_string();
        let endpoint = |endpoint: &str| Options {
            endpoint: Some(endpoint.into()),
            ..Options::default()
        };
        for wrong in [
            "",
            "collector:4318",
            "ftp://c",
            "http://",
            "http://c:port",
            "http://c:99999",
            "not a url",
        ] {
            let message = error(endpoint(wrong), &[]);
            assert!(message.starts_with("config.traces.endpoint cannot be"), "{message}");
            assert!(
                message.contains(wrong) && message.contains("a URL such as"),
                "{message}"
            );
        }
        for (wrong, shown) in [
            ("ftp://bob:secret@c", "ftp://[FILTERED]@c"),
            ("bob:secret@c", "[FILTERED]@c"),
            ("http://bob:se:cr:et@c:port", "http://[FILTERED]@c:port"),
            ("ftp://c/in?key=secret", "ftp://c/in"),
            ("ftp://bob:se?cret@c", "ftp://[FILTERED]"),
            ("ftp://c?key=se@cret", "ftp://[FILTERED]"),
        ] {
            let message = error(endpoint(wrong), &[]);
            assert!(message.contains(&format!("cannot be {shown:?}")), "{message}");
        }
        let protocol = Options {
            protocol: Some("http_json".into()),
            ..Options::default()
        };
        assert_eq!(
            error(protocol, &[]),
            "config.traces.protocol cannot be \"http_json\"; accepted: http_protobuf (http/protobuf) or grpc"
        );
        let message = error(Options::default(), &[("OTEL_EXPORTER_OTLP_TRACES_TIMEOUT", "-1")]);
        assert!(
            message.starts_with("OTEL_EXPORTER_OTLP_TRACES_TIMEOUT cannot be \"-1\""),
            "{message}"
        );
        for headers in [
            "nothing",
            "=x",
            "a=%ff",
            "na me=hunter2",
            "a=hunter2\u{1}",
            "Authorization: Basic hunter2=",
            "hunter2:hunter2=x",
        ] {
            let message = error(Options::default(), &[("OTEL_EXPORTER_OTLP_HEADERS", headers)]);
            assert!(message.starts_with("OTEL_EXPORTER_OTLP_HEADERS"), "{message}");
            assert!(!message.contains("hunter2"), "{message}");
        }
        let message = error(
            Options::default(),
            &[("OTEL_EXPORTER_OTLP_HEADERS", "api-key=hunter2\u{1}")],
        );
        assert!(message.contains("\"api-key\""), "{message}");
        let timeout = Options {
            timeout: Some(f64::NAN),
            ..Options::default()
        };
        assert!(error(timeout, &[]).starts_with("config.traces.timeout cannot be \"NaN\""));
    }
}
