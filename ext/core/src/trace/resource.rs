//! Who sends: the attributes that all spans of a process share.

use super::derive::Identity;
use opentelemetry::KeyValue;
use opentelemetry_sdk::Resource;

/// What the spans of a process say of it. `more` wins over what is found out here, and its last over its first.
pub(super) fn resource(identity: &Identity, more: &[(String, String)]) -> Resource {
    let shared = shared(identity, more)
        .into_iter()
        .map(|(key, value)| KeyValue::new(key, value));
    let mut attributes = vec![KeyValue::new("process.pid", i64::from(std::process::id()))];
    for attribute in shared.chain(given(more, true).map(|(key, value)| KeyValue::new(key, value))) {
        attributes.retain(|known| known.key != attribute.key);
        attributes.push(attribute);
    }
    Resource::builder_empty().with_attributes(attributes).build()
}

/// What all processes of the application on this machine have in common.
#[must_use]
pub fn shared(identity: &Identity, more: &[(String, String)]) -> Vec<(String, String)> {
    let mut attributes = vec![
        ("service.name".to_owned(), identity.service.clone()),
        ("deployment.environment.name".to_owned(), identity.environment.clone()),
        ("telemetry.sdk.name".to_owned(), "tasker_telemetry".to_owned()),
        ("telemetry.sdk.version".to_owned(), env!("CARGO_PKG_VERSION").to_owned()),
        ("os.type".to_owned(), std::env::consts::OS.to_owned()),
        ("host.arch".to_owned(), architecture().to_owned()),
    ];
    // What the kernel says; containers name themselves so.
    if let Ok(name) = std::fs::read_to_string("/proc/sys/kernel/hostname") {
        attributes.push(("host.name".to_owned(), name.trim().to_owned()));
    }
    for (key, value) in given(more, false) {
        attributes.retain(|(known, _)| *known != key);
        attributes.push((key, value));
    }
    attributes.retain(|(_, value)| !value.is_empty());
    attributes
}

/// What is said of the process, or of all else. An empty value takes an attribute away.
fn given(more: &[(String, String)], process: bool) -> impl Iterator<Item = (String, String)> + '_ {
    let of_process = move |key: &str| key.starts_with("process.") == process;
    more.iter()
        .filter(move |(key, _)| of_process(key))
        .map(|(key, value)| (key.clone(), value.clone()))
}

/// The architecture by the name that OpenTelemetry gives it.
fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}
