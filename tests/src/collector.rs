//! A collector of OTLP over HTTP/1.1 that does as a test tells it, and remembers what it was sent.

use crate::until;
use flate2::read::GzDecoder;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTracePartialSuccess, ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message;
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread::JoinHandle;
use std::time::Instant;

/// What becomes of a request.
#[derive(Debug, Clone)]
pub enum Behaviour {
    /// It is taken.
    Take,
    /// It is taken but for some of its spans, for that reason.
    Partly(i64, &'static str),
    /// It is taken unless its body has more bytes.
    AtMost(usize),
    /// It is answered with that status and those header lines.
    Answer(u16, &'static str),
    /// It is read and never answered, until the collector goes on.
    Hang,
    /// Its connection is closed once it has been read.
    HangUp,
    /// Its connection is closed before its body has been read.
    HangUpEarly,
    /// Its connection is closed in the middle of the answer.
    HangUpInAnswer,
    /// It is taken, and its connection is closed without a word some time after.
    TakeAndClose,
}

/// A request that was read whole.
#[derive(Debug, Clone)]
pub struct Request {
    /// Number of the connection that it came over.
    pub connection: usize,
    /// When it had been read.
    pub at: Instant,
    /// Its path.
    pub path: String,
    /// Its headers, with names in lower case.
    pub headers: HashMap<String, String>,
    /// Its body, decompressed.
    pub body: Vec<u8>,
    /// Whether it was taken.
    pub taken: bool,
}

impl Request {
    /// The message in it.
    pub fn traces(&self) -> ExportTraceServiceRequest {
        ExportTraceServiceRequest::decode(self.body.as_slice()).expect("a trace request")
    }

    /// The spans in it.
    pub fn spans(&self) -> Vec<Span> {
        let scopes = self
            .traces()
            .resource_spans
            .into_iter()
            .flat_map(|resource| resource.scope_spans);
        scopes.flat_map(|scope| scope.spans).collect()
    }

    /// The metrics in it.
    pub fn metrics(&self) -> ExportMetricsServiceRequest {
        ExportMetricsServiceRequest::decode(self.body.as_slice()).expect("a metrics request")
    }
}

#[derive(Default)]
struct State {
    script: VecDeque<Behaviour>,
    otherwise: Option<Behaviour>,
    requests: Vec<Request>,
    streams: Vec<TcpStream>,
    connections: usize,
    hanging: bool,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
    closed: AtomicBool,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no test panics with it")
    }
}

/// A collector on loopback.
pub struct Collector {
    shared: Arc<Shared>,
    address: SocketAddr,
    thread: Option<JoinHandle<()>>,
    secure: bool,
}

impl Collector {
    /// A collector that takes everything.
    pub fn start() -> Self {
        Self::listen("127.0.0.1:0".parse().expect("an address"), None)
    }

    /// The same with TLS.
    pub fn secure(config: ServerConfig) -> Self {
        Self::listen("127.0.0.1:0".parse().expect("an address"), Some(Arc::new(config)))
    }

    /// A collector where another has been.
    pub fn at(address: SocketAddr) -> Self {
        Self::listen(address, None)
    }

    fn listen(address: SocketAddr, tls: Option<Arc<ServerConfig>>) -> Self {
        let listener = until("the port to be free", || TcpListener::bind(address).ok());
        let address = listener.local_addr().expect("bound");
        let shared = Arc::<Shared>::default();
        let (secure, serving) = (tls.is_some(), Arc::clone(&shared));
        let thread = std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                if serving.closed.load(Ordering::SeqCst) {
                    return;
                }
                let number = {
                    let mut state = serving.lock();
                    state.connections += 1;
                    state.streams.extend(stream.try_clone());
                    state.connections
                };
                let (serving, tls) = (Arc::clone(&serving), tls.clone());
                let closing = stream.try_clone();
                std::thread::spawn(move || {
                    // What goes wrong here is seen by whoever is at the other end.
                    let _ = match tls {
                        Some(config) => ServerConnection::new(config)
                            .map_err(io::Error::other)
                            .and_then(|connection| serve(StreamOwned::new(connection, stream), number, &serving)),
                        None => serve(stream, number, &serving),
                    };
                    // Others hold it too, so dropping it would not close it.
                    if let Ok(stream) = closing {
                        let _ = stream.shutdown(Shutdown::Both);
                    }
                });
            }
        });
        Self {
            shared,
            address,
            thread: Some(thread),
            secure,
        }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its base URL.
    pub fn url(&self) -> String {
        let scheme = if self.secure { "https" } else { "http" };
        format!("{scheme}://localhost:{}", self.address.port())
    }

    /// What becomes of the next requests; those after them are taken.
    pub fn script(&self, behaviours: impl IntoIterator<Item = Behaviour>) {
        self.shared.lock().script.extend(behaviours);
    }

    /// What becomes of requests that the script says nothing of. Requests that hang now are let go.
    pub fn otherwise(&self, behaviour: Behaviour) {
        self.shared.lock().otherwise = Some(behaviour);
        self.shared.changed.notify_all();
    }

    /// Every request that was read.
    pub fn requests(&self) -> Vec<Request> {
        self.shared.lock().requests.clone()
    }

    /// Whether a request waits for an answer that does not come.
    pub fn is_hanging(&self) -> bool {
        self.shared.lock().hanging
    }

    /// Connections that were made.
    pub fn connections(&self) -> usize {
        self.shared.lock().connections
    }

    /// How often each span was taken, by its name.
    pub fn taken(&self) -> BTreeMap<String, usize> {
        let mut spans = BTreeMap::new();
        for request in self.requests().iter().filter(|request| request.taken) {
            for span in request.spans() {
                *spans.entry(span.name).or_default() += 1;
            }
        }
        spans
    }

    /// Spans that were taken.
    pub fn spans(&self) -> Vec<Span> {
        let taken = self.requests().into_iter().filter(|request| request.taken);
        taken.flat_map(|request| request.spans()).collect()
    }

    /// Closes it and every connection, as a restart does. Answers where it was.
    pub fn stop(mut self) -> SocketAddr {
        self.close();
        self.address
    }

    /// Closes the connections alone.
    pub fn disconnect(&self) {
        for stream in self.shared.lock().streams.drain(..) {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }

    fn close(&mut self) {
        self.shared.closed.store(true, Ordering::SeqCst);
        // The listener waits for one more connection to see it.
        let _ = TcpStream::connect(self.address);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
        self.disconnect();
        self.shared.changed.notify_all();
    }
}

impl Drop for Collector {
    fn drop(&mut self) {
        self.close();
    }
}

fn serve(stream: impl Read + Write, connection: usize, shared: &Shared) -> io::Result<()> {
    let mut stream = BufReader::new(stream);
    loop {
        let Some((path, headers)) = read_head(&mut stream)? else {
            return Ok(());
        };
        let behaviour = {
            let mut state = shared.lock();
            let otherwise = state.otherwise.clone();
            state.script.pop_front().or(otherwise).unwrap_or(Behaviour::Take)
        };
        if matches!(behaviour, Behaviour::HangUpEarly) {
            return Ok(());
        }
        let length = headers.get("content-length").and_then(|length| length.parse().ok());
        let mut body = vec![0; length.unwrap_or(0)];
        stream.read_exact(&mut body)?;
        if headers
            .get("content-encoding")
            .is_some_and(|encoding| encoding == "gzip")
        {
            let mut plain = Vec::new();
            GzDecoder::new(body.as_slice()).read_to_end(&mut plain)?;
            body = plain;
        }
        let behaviour = match behaviour {
            Behaviour::AtMost(bytes) if body.len() > bytes => Behaviour::Answer(413, ""),
            Behaviour::AtMost(_) => Behaviour::Take,
            other => other,
        };
        let taken = matches!(
            behaviour,
            Behaviour::Take | Behaviour::Partly(..) | Behaviour::TakeAndClose
        );
        shared.lock().requests.push(Request {
            connection,
            at: Instant::now(),
            path,
            headers,
            body,
            taken,
        });
        shared.changed.notify_all();
        let stream = stream.get_mut();
        match behaviour {
            Behaviour::Take | Behaviour::AtMost(_) => answer(stream, 200, "", &[])?,
            Behaviour::TakeAndClose => {
                answer(stream, 200, "", &[])?;
                return Ok(());
            }
            Behaviour::Partly(rejected_spans, error_message) => {
                let response = ExportTraceServiceResponse {
                    partial_success: Some(ExportTracePartialSuccess {
                        rejected_spans,
                        error_message: error_message.to_owned(),
                    }),
                };
                answer(stream, 200, "", &response.encode_to_vec())?;
            }
            Behaviour::Answer(status, lines) => answer(stream, status, lines, b"no")?,
            Behaviour::HangUp | Behaviour::HangUpEarly => return Ok(()),
            Behaviour::HangUpInAnswer => {
                stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\nonly this")?;
                return stream.flush();
            }
            Behaviour::Hang => {
                let mut state = shared.lock();
                state.hanging = true;
                while matches!(state.otherwise, None | Some(Behaviour::Hang)) && !shared.closed.load(Ordering::SeqCst) {
                    state = shared.changed.wait(state).expect("no test panics with it");
                }
                state.hanging = false;
                return Ok(());
            }
        }
    }
}

fn read_head(stream: &mut impl BufRead) -> io::Result<Option<(String, HashMap<String, String>)>> {
    let mut line = String::new();
    if stream.read_line(&mut line)? == 0 {
        return Ok(None);
    }
    let path = line.split(' ').nth(1).unwrap_or_default().to_owned();
    let mut headers = HashMap::new();
    loop {
        line.clear();
        stream.read_line(&mut line)?;
        let Some((name, value)) = line.trim_end().split_once(':') else {
            return Ok(Some((path, headers)));
        };
        headers.insert(name.to_ascii_lowercase(), value.trim().to_owned());
    }
}

fn answer(stream: &mut impl Write, status: u16, lines: &str, body: &[u8]) -> io::Result<()> {
    write!(
        stream,
        "HTTP/1.1 {status} Status\r\ncontent-length: {}\r\n{lines}\r\n",
        body.len()
    )?;
    stream.write_all(body)?;
    stream.flush()
}
