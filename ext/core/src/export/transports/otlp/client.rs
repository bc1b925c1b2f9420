//! Requests to a collector.
//!
//! HTTP is hyper's, one connection at a time. gRPC is one unary call of bytes that are already encoded, which takes five
//! bytes of framing over the same HTTP/2: that is all that is used of it, so no gRPC library is.

use super::answer::{self, Answer, RpcStatus};
use super::connection::{Connection, Connector};
use super::destination::{Destination, Protocol};
use super::error::Result;
use crate::export::transports::head;
use base64::prelude::{Engine, BASE64_STANDARD};
use bytes::{BufMut, Bytes, BytesMut};
use flate2::write::GzEncoder;
use flate2::Compression;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE, HOST, RETRY_AFTER, TE, USER_AGENT};
use http::{HeaderMap, HeaderValue, Method, Request, Version};
use http_body_util::{BodyExt, Full, Limited};
use prost::Message;
use std::io::Write;
use std::sync::Arc;
use tokio::time::timeout;

/// Bytes of a message that any collector should take: servers of gRPC take 4 MiB unless they are told otherwise.
pub const LARGEST: usize = 3 << 20;
/// Bytes that nobody takes for too many. A server that says so of less means something else, and to cut it up further
/// would only add to what it has to do.
pub const SMALLEST: usize = 64 << 10;
/// Bytes of an answer that are read.
const LONGEST_ANSWER: usize = 1 << 20;
/// Bytes that are shown of what a server said.
const LONGEST_MESSAGE: usize = 200;
const AGENT: &str = concat!("tasker_telemetry/", env!("CARGO_PKG_VERSION"));

/// All that requests to one destination share. It holds no connection.
#[derive(Debug)]
pub struct Client {
    destination: Destination,
    connector: Connector,
}

impl Client {
    /// A client for a destination.
    ///
    /// # Errors
    /// When the certificates to trust cannot be used.
    pub fn new(destination: Destination) -> Result<Self> {
        let connector = Connector::new(&destination)?;
        Ok(Self { destination, connector })
    }

    /// Where it sends to.
    #[must_use]
    pub fn destination(&self) -> &Destination {
        &self.destination
    }

    /// The body of a request for an encoded message: compressed and framed once, however often it is sent.
    #[must_use]
    pub fn prepare(&self, message: &Bytes) -> Bytes {
        let compressed = self.destination.gzip.then(|| compress(message)).flatten();
        let is_compressed = compressed.is_some();
        let content = compressed.map_or_else(|| message.clone(), Bytes::from);
        if self.destination.protocol != Protocol::Grpc {
            return content;
        }
        let mut body = BytesMut::with_capacity(5 + content.len());
        body.put_u8(u8::from(is_compressed));
        body.put_u32(content.len() as u32);
        body.put_slice(&content);
        body.freeze()
    }

    /// A session, which keeps a connection for as long as it lives. It belongs to the runtime that it is used in.
    #[must_use]
    pub fn session(self: &Arc<Self>) -> Session {
        Session {
            client: Arc::clone(self),
            connection: None,
        }
    }

    fn request(&self, body: Bytes) -> Request<Full<Bytes>> {
        let destination = &self.destination;
        let mut headers = HeaderMap::new();
        headers.insert(USER_AGENT, HeaderValue::from_static(AGENT));
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = Method::POST;
        match destination.protocol {
            Protocol::HttpProtobuf => {
                headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/x-protobuf"));
                if destination.gzip {
                    headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
                }
                let authority = destination.uri.authority().map_or("", |authority| authority.as_str());
                if let Ok(host) = HeaderValue::from_str(authority) {
                    headers.insert(HOST, host);
                }
                let path = destination.uri.path_and_query().cloned();
                *request.uri_mut() = path.map(http::Uri::from).unwrap_or_default();
            }
            Protocol::Grpc => {
                headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
                headers.insert(TE, HeaderValue::from_static("trailers"));
                if destination.gzip {
                    headers.insert("grpc-encoding", HeaderValue::from_static("gzip"));
                }
                let millis = destination.timeout.as_millis().max(1);
                if let Ok(timeout) = HeaderValue::from_str(&format!("{millis}m")) {
                    headers.insert("grpc-timeout", timeout);
                }
                *request.version_mut() = Version::HTTP_2;
                *request.uri_mut() = destination.uri.clone();
            }
        }
        for (name, value) in &destination.headers {
            headers.insert(name, value.clone());
        }
        *request.headers_mut() = headers;
        request
    }
}

fn compress(message: &[u8]) -> Option<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::with_capacity(message.len() / 4 + 64), Compression::fast());
    encoder.write_all(message).ok()?;
    encoder.finish().ok()
}

/// Sends requests one after the other, over one connection while it lasts.
pub struct Session {
    client: Arc<Client>,
    connection: Option<Connection>,
}

/// Why there is no answer.
struct Failure {
    error: String,
    /// Whether the connection had been used before, and the server may have closed it in the meantime.
    stale: bool,
}

impl Session {
    /// Sends a body that [`Client::prepare`] made. After any failure the next one goes over a new connection.
    pub async fn send(&mut self, body: Bytes) -> Answer {
        let limit = self.client.destination.timeout;
        let answer = match timeout(limit, self.exchange(body)).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(failure)) => Answer::Retry {
                error: failure.error,
                after: None,
            },
            Err(_) => Answer::Retry {
                error: format!("no answer within {} s", limit.as_secs_f64()),
                after: None,
            },
        };
        let clean = |error: String| {
            let text = self.client.destination.without_secrets(&error);
            head(&text, LONGEST_MESSAGE).to_owned()
        };
        if !matches!(answer, Answer::Taken { .. }) {
            self.connection = None;
        }
        answer.reworded(clean)
    }

    async fn exchange(&mut self, body: Bytes) -> std::result::Result<Answer, Failure> {
        match self.attempt(body.clone()).await {
            // Servers close connections that idle. That is no failure of the collector, so it is tried again at once;
            // the ids are the same, should the first have arrived.
            Err(failure) if failure.stale => {
                self.connection = None;
                self.attempt(body).await
            }
            other => other,
        }
    }

    async fn attempt(&mut self, body: Bytes) -> std::result::Result<Answer, Failure> {
        let mut connection = match self.connection.take().filter(Connection::is_open) {
            Some(connection) => connection,
            None => self.client.connector.connect().await.map_err(|error| Failure {
                error: format!("cannot connect: {error}"),
                stale: false,
            })?,
        };
        let stale = connection.is_used();
        let failure = |error: String| Failure { error, stale };
        let response = connection
            .send(self.client.request(body))
            .await
            .map_err(|error| failure(reason(&error)))?;
        let (parts, body) = response.into_parts();
        let body = Limited::new(body, LONGEST_ANSWER)
            .collect()
            .await
            .map_err(|error| Failure {
                error: reason(error.as_ref()),
                stale: false,
            })?;
        let trailers = body.trailers().cloned();
        let answer = match self.client.destination.protocol {
            Protocol::HttpProtobuf => answer_of_http(&parts, &body.to_bytes()),
            Protocol::Grpc => answer_of_grpc(&parts, trailers.as_ref(), &body.to_bytes()),
        };
        self.connection = Some(connection);
        Ok(answer)
    }
}

/// An error with what caused it: hyper says only the outermost.
fn reason(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

fn answer_of_http(parts: &http::response::Parts, body: &[u8]) -> Answer {
    if parts.status.is_success() {
        return answer::taken(body);
    }
    let retry_after = parts.headers.get(RETRY_AFTER).and_then(|value| value.to_str().ok());
    answer::failed(parts.status, retry_after)
}

fn answer_of_grpc(parts: &http::response::Parts, trailers: Option<&HeaderMap>, body: &[u8]) -> Answer {
    let find = |name: &str| {
        trailers
            .and_then(|trailers| trailers.get(name))
            .or_else(|| parts.headers.get(name))
            .and_then(|value| value.to_str().ok())
    };
    let Some(code) = find("grpc-status").and_then(|code| code.parse::<i32>().ok()) else {
        if parts.status.is_success() {
            return Answer::Retry {
                error: "the answer has no gRPC status".to_owned(),
                after: None,
            };
        }
        // What stands in front of the collector answered.
        let retry_after = parts.headers.get(RETRY_AFTER).and_then(|value| value.to_str().ok());
        return answer::failed(parts.status, retry_after);
    };
    if code == 0 {
        // Five bytes of framing; a compressed answer was not asked for.
        return answer::taken(body.get(5..).unwrap_or_default());
    }
    let message = find("grpc-message").unwrap_or_default();
    let message = percent_encoding::percent_decode_str(message).decode_utf8_lossy();
    let details = find("grpc-status-details-bin")
        .and_then(|text| BASE64_STANDARD.decode(pad(text)).ok())
        .and_then(|bytes| RpcStatus::decode(bytes.as_slice()).ok());
    answer::rpc_failed(code, &message, details.as_ref())
}

/// gRPC leaves the padding of base64 away, or not.
fn pad(text: &str) -> String {
    let bare = text.trim_end_matches('=');
    format!("{bare}{}", "=".repeat((4 - bare.len() % 4) % 4))
}
