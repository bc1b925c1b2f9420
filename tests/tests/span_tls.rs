//! OTLP over TLS: who is trusted, and who is not.

use rcgen::{date_time_ymd, BasicConstraints, Certificate, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::crypto::ring;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::ServerConfig;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tasker_telemetry_core::export::transports::otlp::{self, Error};
use tasker_telemetry_core::runtime::Runtime;
use tasker_telemetry_core::trace::{Options, Settings, Tracer};
use tasker_telemetry_tests::collector::Collector;
use tasker_telemetry_tests::sending::{Counted, Sending};
use tasker_telemetry_tests::until;

/// An authority, as a file, and a collector for that host that it vouches for.
fn collector(directory: &tempfile::TempDir, host: &str) -> (PathBuf, Collector) {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    let file = directory.path().join(format!("{host}.pem"));
    std::fs::write(&file, authority.pem()).unwrap();
    let key = KeyPair::generate().unwrap();
    let certificate = CertificateParams::new(vec![host.to_owned()])
        .unwrap()
        .signed_by(&key, &authority)
        .unwrap();
    (file, secured(&certificate, &key))
}

fn secured(certificate: &Certificate, key: &KeyPair) -> Collector {
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], key)
        .unwrap();
    Collector::secure(config)
}

fn sending(collector: &Collector, certificate: &Path) -> Sending {
    let certificate = certificate.to_str().unwrap();
    Sending::to(&collector.url(), &[("OTEL_EXPORTER_OTLP_CERTIFICATE", certificate)])
}

#[test]
fn spans_arrive_where_the_certificate_is_trusted() {
    let directory = tempfile::tempdir().unwrap();
    let (authority, collector) = collector(&directory, "localhost");
    let sending = sending(&collector, &authority);
    sending.span("span");
    assert!(sending.flush());
    assert_eq!(collector.taken().len(), 1);
}

/// A server with a certificate of its own making, as `openssl req -x509` makes them, that holds until then.
fn own(directory: &tempfile::TempDir, host: &str, until: i32) -> (PathBuf, Collector) {
    let mut params = CertificateParams::new(vec![host.to_owned()]).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.not_after = date_time_ymd(until, 1, 1);
    let key = KeyPair::generate().unwrap();
    let certificate = params.self_signed(&key).unwrap();
    let file = directory.path().join("own.pem");
    std::fs::write(&file, certificate.pem()).unwrap();
    (file, secured(&certificate, &key))
}

#[test]
fn a_server_may_vouch_for_itself_where_its_own_certificate_is_named() {
    for (host, until, taken) in [("localhost", 3000, 1), ("elsewhere", 3000, 0), ("localhost", 2000, 0)] {
        let directory = tempfile::tempdir().unwrap();
        let (file, collector) = own(&directory, host, until);
        let sending = sending(&collector, &file);
        sending.span("span");
        assert_eq!(
            sending.flush_for(if taken == 1 { 20_000 } else { 300 }),
            taken == 1,
            "{host} {until}"
        );
        assert_eq!(collector.taken().len(), taken, "{host} {until}");
    }
    let directory = tempfile::tempdir().unwrap();
    let (_, another) = own(&directory, "localhost", 3000);
    let (stranger, _) = collector(&directory, "localhost");
    let sending = sending(&another, &stranger);
    sending.span("span");
    assert!(!sending.flush_for(300));
    assert_eq!(another.taken().len(), 0);
}

#[test]
fn nothing_is_sent_to_anybody_else() {
    let directory = tempfile::tempdir().unwrap();
    let (stranger, _) = collector(&directory, "stranger");
    let (authority, elsewhere) = collector(&directory, "elsewhere");
    let (_, unknown) = collector(&directory, "localhost");
    for (collector, authority) in [(&unknown, stranger), (&elsewhere, authority)] {
        let sending = sending(collector, &authority);
        sending.span("span");
        let error = until("the refusal", || sending.tracer.stats().last_error);
        assert!(error.contains("certificate"), "{error}");
        assert!(collector.requests().is_empty());
    }
}

#[test]
fn certificates_that_cannot_be_used_are_refused_at_once() {
    let directory = tempfile::tempdir().unwrap();
    let empty = directory.path().join("empty.pem");
    std::fs::write(&empty, "nothing").unwrap();
    for path in [empty, directory.path().join("missing.pem")] {
        let options = Options {
            enabled: Some(true),
            otlp: otlp::Options {
                endpoint: Some("https://localhost".into()),
                ..otlp::Options::default()
            },
            ..Options::default()
        };
        let settings = Settings::resolve(&options, &|name| {
            (name == "OTEL_EXPORTER_OTLP_CERTIFICATE").then(|| path.to_str().unwrap().to_owned())
        })
        .unwrap();
        let error = Tracer::new(settings, &Runtime::new(), Arc::new(Counted::default())).unwrap_err();
        assert!(matches!(error, Error::Certificate { .. }));
        assert!(error.to_string().contains(path.to_str().unwrap()), "{error}");
    }
}
