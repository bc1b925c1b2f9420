//! Where OTLP goes, as the application and the `OTEL_*` variables tell it.

use super::endpoint::Endpoint;
use super::error::{Error, Result};
use super::source::{Env, Signal, Source, Told};
use http::uri::Authority;
use http::{HeaderMap, HeaderName, HeaderValue, Uri};
use percent_encoding::percent_decode_str;
use std::path::PathBuf;
use std::time::Duration;

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

impl Destination {
    /// What `options` say, completed by the environment.
    ///
    /// # Errors
    /// Which option or variable is wrong, its value and what is accepted.
    pub fn resolve(options: &Options, signal: Signal, env: Env<'_>) -> Result<Self> {
        let source = Source { signal, env };
        let protocol = protocol(options, &source)?;
        let endpoint = Endpoint::resolve(options.endpoint.as_ref(), &source, protocol)?;
        let mut headers = headers(options, &source)?;
        if let Some(authorization) = endpoint.authorization {
            headers.entry(http::header::AUTHORIZATION).or_insert(authorization);
        }
        let certificate = source.any_variable("CERTIFICATE");
        Ok(Self {
            secure: endpoint.secure,
            host: endpoint.host,
            port: endpoint.port,
            uri: endpoint.uri,
            headers,
            protocol,
            timeout: timeout(&source)?,
            gzip: compression(&source)?,
            certificate: certificate.map(|told| PathBuf::from(told.value)),
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
const HEADERS: &str = "names and values, in a variable name=value,name=value with the values percent-encoded";

fn protocol(options: &Options, source: &Source<'_>) -> Result<Protocol> {
    let configured = options.protocol.as_ref().map(|value| Told {
        option: source.option("protocol"),
        value: value.clone(),
    });
    let Some(told) = configured.or_else(|| source.any_variable("PROTOCOL")) else {
        return Ok(Protocol::HttpProtobuf);
    };
    match told.value.as_str() {
        "http_protobuf" | "http/protobuf" => Ok(Protocol::HttpProtobuf),
        "grpc" => Ok(Protocol::Grpc),
        _ => Err(told.wrong(PROTOCOL)),
    }
}

fn compression(source: &Source<'_>) -> Result<bool> {
    let Some(told) = source.any_variable("COMPRESSION") else {
        return Ok(false);
    };
    match told.value.as_str() {
        "gzip" => Ok(true),
        "none" => Ok(false),
        _ => Err(told.wrong(COMPRESSION)),
    }
}

fn headers(options: &Options, source: &Source<'_>) -> Result<HeaderMap> {
    let (option, pairs) = if let Some(headers) = &options.headers {
        (source.option("headers"), headers.clone())
    } else if let Some(told) = source.any_variable("HEADERS") {
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

fn timeout(source: &Source<'_>) -> Result<Duration> {
    let Some(told) = source.any_variable("TIMEOUT") else {
        return Ok(Duration::from_secs(10));
    };
    let millis = told.value.parse().ok();
    let millis = millis.filter(|millis| (1..=3_600_000).contains(millis));
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
    }
}
