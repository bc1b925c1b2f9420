//! Connections to a collector: TCP, TLS where the endpoint is `https`, HTTP/1.1 or HTTP/2 on top.

use super::destination::{Destination, Protocol};
use super::error::{Error, Result};
use super::resolve::Resolver;
use super::trust::Trust;
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};
use tokio_rustls::TlsConnector;

/// Makes connections.
pub(super) struct Connector {
    host: String,
    port: u16,
    protocol: Protocol,
    tls: Option<(TlsConnector, ServerName<'static>)>,
    /// How long one address is tried while there are others.
    patience: Duration,
}

impl std::fmt::Debug for Connector {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Connector").finish_non_exhaustive()
    }
}

/// Whose signature is trusted: the authorities of a file, else those of the system. What the file holds is answered too.
fn authorities(file: Option<&Path>) -> Result<(RootCertStore, Vec<CertificateDer<'static>>)> {
    let mut store = RootCertStore::empty();
    let (option, certificates, mut problem) = match file {
        Some(path) => {
            let mut problem = None;
            let certificates: Vec<CertificateDer<'static>> = match CertificateDer::pem_file_iter(path) {
                Ok(found) => found
                    .filter_map(|one| one.map_err(|e| problem = Some(e.to_string())).ok())
                    .collect(),
                Err(error) => {
                    problem = Some(error.to_string());
                    Vec::new()
                }
            };
            (format!("certificate {}", path.display()), certificates, problem)
        }
        None => {
            let found = rustls_native_certs::load_native_certs();
            let problem = found.errors.first().map(ToString::to_string);
            ("the system's certificates".to_owned(), found.certs, problem)
        }
    };
    let named = if file.is_some() {
        certificates.clone()
    } else {
        Vec::new()
    };
    let (added, _) = store.add_parsable_certificates(certificates);
    if added == 0 {
        let problem = problem.take().unwrap_or_else(|| "none is there".to_owned());
        return Err(Error::Certificate { option, problem });
    }
    Ok((store, named))
}

impl Connector {
    pub(super) fn new(destination: &Destination) -> Result<Self> {
        let tls = if destination.secure {
            Some(tls(destination)?)
        } else {
            None
        };
        Ok(Self {
            host: destination.host.clone(),
            port: destination.port,
            protocol: destination.protocol,
            tls,
            patience: (destination.timeout / 3).min(Duration::from_secs(3)),
        })
    }

    pub(super) async fn connect(&self) -> io::Result<Connection> {
        let addresses = Resolver::system().await.resolve(&self.host, self.port).await?;
        let stream = self.dial(&addresses).await?;
        stream.set_nodelay(true)?;
        match &self.tls {
            None => self.handshake(stream).await,
            Some((connector, name)) => self.handshake(connector.connect(name.clone(), stream).await?).await,
        }
    }

    /// The first address that takes the connection.
    async fn dial(&self, addresses: &[SocketAddr]) -> io::Result<TcpStream> {
        let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
        for (index, address) in addresses.iter().enumerate() {
            let attempt = TcpStream::connect(address);
            let result = if index + 1 == addresses.len() {
                attempt.await
            } else {
                timeout(self.patience, attempt)
                    .await
                    .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
            };
            match result {
                Ok(stream) => return Ok(stream),
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    async fn handshake<S>(&self, stream: S) -> io::Result<Connection>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let stream = TokioIo::new(stream);
        let (sender, driver) = match self.protocol {
            Protocol::HttpProtobuf => {
                let (sender, driver) = http1::handshake(stream).await.map_err(io::Error::other)?;
                (Sender::Http1(sender), tokio::spawn(async { drop(driver.await) }))
            }
            Protocol::Grpc => {
                let (sender, driver) = http2::handshake(TokioExecutor::new(), stream)
                    .await
                    .map_err(io::Error::other)?;
                (Sender::Http2(sender), tokio::spawn(async { drop(driver.await) }))
            }
        };
        Ok(Connection {
            sender,
            driver,
            used: false,
        })
    }
}

fn tls(destination: &Destination) -> Result<(TlsConnector, ServerName<'static>)> {
    let failed = |problem: String| Error::Certificate {
        option: "TLS".to_owned(),
        problem,
    };
    let (authorities, named) = authorities(destination.certificate.as_deref())?;
    let provider = Arc::new(ring::default_provider());
    let trust = Trust::new(authorities, named, Arc::clone(&provider)).map_err(|error| failed(error.to_string()))?;
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| failed(error.to_string()))?
        .dangerous()
        .with_custom_certificate_verifier(trust)
        .with_no_client_auth();
    config.alpn_protocols = vec![match destination.protocol {
        Protocol::HttpProtobuf => b"http/1.1".to_vec(),
        Protocol::Grpc => b"h2".to_vec(),
    }];
    let name = ServerName::try_from(destination.host.clone()).map_err(|error| failed(error.to_string()))?;
    Ok((TlsConnector::from(Arc::new(config)), name))
}

enum Sender {
    Http1(http1::SendRequest<Full<Bytes>>),
    Http2(http2::SendRequest<Full<Bytes>>),
}

/// A connection that is open. Dropping it closes the socket, whatever is in flight.
pub(super) struct Connection {
    sender: Sender,
    driver: JoinHandle<()>,
    used: bool,
}

impl Connection {
    pub(super) fn is_open(&self) -> bool {
        !self.driver.is_finished()
            && match &self.sender {
                Sender::Http1(sender) => !sender.is_closed(),
                Sender::Http2(sender) => !sender.is_closed(),
            }
    }

    /// Whether it has carried a request.
    pub(super) fn is_used(&self) -> bool {
        self.used
    }

    pub(super) async fn send(&mut self, request: Request<Full<Bytes>>) -> hyper::Result<Response<Incoming>> {
        self.used = true;
        match &mut self.sender {
            Sender::Http1(sender) => {
                sender.ready().await?;
                sender.send_request(request).await
            }
            Sender::Http2(sender) => {
                sender.ready().await?;
                sender.send_request(request).await
            }
        }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.driver.abort();
    }
}
