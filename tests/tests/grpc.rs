//! OTLP over gRPC, against a server of hyper's and h2's.

use base64::prelude::{Engine, BASE64_STANDARD_NO_PAD};
use bytes::Bytes;
use flate2::read::GzDecoder;
use http::{HeaderMap, Request, Response};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use prost::Message;
use std::collections::VecDeque;
use std::convert::Infallible;
use std::io::Read;
use std::net::SocketAddr;
use std::sync::{mpsc, Arc, Mutex};
use std::time::{Duration, Instant};
use tasker_telemetry_core::export::transports::otlp;
use tasker_telemetry_core::trace::{DropReason, SpanKind};
use tasker_telemetry_tests::sending::Sending;
use tasker_telemetry_tests::until;

/// Trailers, and whether they come instead of a body.
type Script = Arc<Mutex<VecDeque<(HeaderMap, bool)>>>;
type Seen = Arc<Mutex<Vec<Call>>>;

struct Call {
    at: Instant,
    path: String,
    headers: HeaderMap,
    names: Vec<String>,
    ids: Vec<Vec<u8>>,
}

struct Server {
    address: SocketAddr,
    script: Script,
    seen: Seen,
}

impl Server {
    fn start() -> Self {
        let (script, seen) = (Script::default(), Seen::default());
        let (sender, receiver) = mpsc::channel();
        let of_server = (Arc::clone(&script), Arc::clone(&seen));
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            runtime.block_on(async move {
                let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
                sender.send(listener.local_addr().unwrap()).unwrap();
                while let Ok((stream, _)) = listener.accept().await {
                    let (script, seen) = of_server.clone();
                    let service = service_fn(move |request| call(request, Arc::clone(&script), Arc::clone(&seen)));
                    let connection = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
                    tokio::spawn(connection.serve_connection(TokioIo::new(stream), service));
                }
            });
        });
        Self {
            address: receiver.recv().unwrap(),
            script,
            seen,
        }
    }

    fn sending(&self, env: &[(&str, &str)]) -> Sending {
        let options = otlp::Options {
            endpoint: Some(format!("http://{}", self.address)),
            protocol: Some("grpc".into()),
            headers: Some(vec![("api-key".into(), "hunter2-hunter2".into())]),
        };
        Sending::with(options, env)
    }

    /// What the next call ends with.
    fn then(&self, status: i32, more: &[(&'static str, &str)], at_once: bool) {
        let mut trailers = HeaderMap::new();
        trailers.insert("grpc-status", status.into());
        for (name, value) in more {
            trailers.insert(*name, value.parse().unwrap());
        }
        self.script.lock().unwrap().push_back((trailers, at_once));
    }
}

async fn call(
    request: Request<Incoming>,
    script: Script,
    seen: Seen,
) -> Result<Response<BoxBody<Bytes, Infallible>>, Infallible> {
    let (parts, body) = request.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    let length = u32::from_be_bytes(body[1..5].try_into().unwrap()) as usize;
    assert_eq!(body.len(), 5 + length);
    let mut message = body[5..].to_vec();
    if body[0] == 1 {
        assert_eq!(parts.headers["grpc-encoding"], "gzip");
        let mut plain = Vec::new();
        GzDecoder::new(message.as_slice()).read_to_end(&mut plain).unwrap();
        message = plain;
    }
    let message = ExportTraceServiceRequest::decode(message.as_slice()).unwrap();
    let spans = message
        .resource_spans
        .into_iter()
        .flat_map(|resource| resource.scope_spans);
    let spans: Vec<_> = spans.flat_map(|scope| scope.spans).collect();
    seen.lock().unwrap().push(Call {
        at: Instant::now(),
        path: parts.uri.path().to_owned(),
        headers: parts.headers,
        names: spans.iter().map(|span| span.name.clone()).collect(),
        ids: spans.into_iter().map(|span| span.span_id).collect(),
    });
    let (trailers, at_once) = script.lock().unwrap().pop_front().unwrap_or_else(|| {
        let mut trailers = HeaderMap::new();
        trailers.insert("grpc-status", 0.into());
        (trailers, false)
    });
    let mut response = Response::new(if at_once {
        Full::default().boxed()
    } else {
        let end = std::future::ready(Some(Ok(trailers.clone())));
        Full::new(Bytes::from_static(&[0; 5])).with_trailers(end).boxed()
    });
    response
        .headers_mut()
        .insert("content-type", "application/grpc".parse().unwrap());
    if at_once {
        response.headers_mut().extend(trailers);
    }
    Ok(response)
}

/// `google.rpc.Status` with a `RetryInfo` of that many seconds, as it stands in a trailer.
fn retry_info(code: u8, seconds: u8) -> String {
    let url = b"type.googleapis.com/google.rpc.RetryInfo";
    let value = [10, 2, 8, seconds];
    let mut any = vec![10, url.len() as u8];
    any.extend_from_slice(url);
    any.extend_from_slice(&[18, value.len() as u8]);
    any.extend_from_slice(&value);
    let mut status = vec![8, code, 26, any.len() as u8];
    status.extend_from_slice(&any);
    BASE64_STANDARD_NO_PAD.encode(status)
}

#[test]
fn spans_arrive_with_headers_and_compressed() {
    for compression in ["none", "gzip"] {
        let server = Server::start();
        let sending = server.sending(&[("OTEL_EXPORTER_OTLP_COMPRESSION", compression)]);
        (0..600).for_each(|index| sending.span(format!("span {index}")));
        assert!(sending.flush());
        let seen = server.seen.lock().unwrap();
        assert_eq!(seen.iter().map(|call| call.names.len()).sum::<usize>(), 600);
        assert_eq!(
            seen[0].path,
            "/opentelemetry.proto.collector.trace.v1.TraceService/Export"
        );
        assert_eq!(seen[0].headers["content-type"], "application/grpc");
        assert_eq!(seen[0].headers["te"], "trailers");
        assert_eq!(seen[0].headers["grpc-timeout"], "10000m");
        assert_eq!(seen[0].headers["api-key"], "hunter2-hunter2");
        assert_eq!(sending.totals.exported(), 600);
    }
}

#[test]
fn a_server_that_is_busy_is_left_alone_for_as_long_as_it_asks() {
    let server = Server::start();
    let sending = server.sending(&[]);
    server.then(8, &[("grpc-status-details-bin", &retry_info(8, 2))], false);
    server.then(14, &[("grpc-message", "gone%20away: hunter2-hunter2")], true);
    sending.span("span");
    until("it to arrive", || {
        (server.seen.lock().unwrap().len() == 3).then_some(())
    });
    until("it to be counted", || (sending.totals.exported() == 1).then_some(()));
    let seen = server.seen.lock().unwrap();
    assert!(seen[1].at - seen[0].at >= Duration::from_secs(2));
    assert!(seen.iter().all(|call| call.ids == seen[0].ids));
    let error = sending.tracer.stats().last_error.unwrap();
    assert_eq!(error, "gRPC status 14 (UNAVAILABLE): gone away: [FILTERED]");
}

#[test]
fn what_is_refused_for_good_is_dropped() {
    let server = Server::start();
    let sending = server.sending(&[]);
    server.then(16, &[("grpc-message", "no")], true);
    server.then(8, &[], false);
    for expected in ["UNAUTHENTICATED", "RESOURCE_EXHAUSTED"] {
        sending.span("refused");
        assert!(!sending.flush());
        assert!(sending.tracer.stats().last_error.unwrap().contains(expected));
    }
    sending.span("taken");
    assert!(sending.flush());
    assert_eq!(sending.totals.dropped(DropReason::Rejected), 2);
}

#[test]
fn a_server_that_finds_a_request_too_large_gets_smaller_ones() {
    for status in [8, 11] {
        let server = Server::start();
        let sending = server.sending(&[("OTEL_BSP_SCHEDULE_DELAY", "3600000")]);
        (0..3).for_each(|_| server.then(status, &[("grpc-message", "too large")], true));
        for index in 0..400 {
            let mut span = sending.tracer.start(format!("{index}"), SpanKind::Internal, None);
            span.set_attribute("text", "x".repeat(1_000));
            span.end(None);
        }
        assert!(sending.flush());
        let seen = server.seen.lock().unwrap();
        let counts: Vec<usize> = seen.iter().map(|call| call.names.len()).collect();
        assert_eq!(counts, [400, 200, 100, 50, 50, 100, 200]);
        assert_eq!(sending.totals.exported(), 400);
    }
}

#[test]
fn a_server_that_speaks_something_else_is_tried_again() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let _ = std::io::Write::write_all(&mut &stream, b"HTTP/1.1 400 Bad Request\r\n\r\n");
        }
    });
    let sending = Sending::with(
        otlp::Options {
            endpoint: Some(format!("http://{address}")),
            protocol: Some("grpc".into()),
            headers: None,
        },
        &[],
    );
    sending.span("span");
    until("an error", || sending.tracer.stats().last_error);
    assert!(!sending.flush_for(20));
    assert_eq!(sending.tracer.stats().queued, 1);
}
