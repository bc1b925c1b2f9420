//! Who sends: the attributes that all spans of a process share.

use super::derive::Identity;
use opentelemetry::KeyValue;
use opentelemetry_sdk::Resource;

/// What the spans of a process say of it. `more` wins over what is found out here, and its last over its first.
pub(super) fn resource(identity: &Identity, more: &[(String, String)]) -> Resource {
    let mut attributes = vec![
        KeyValue::new("service.name", identity.service.clone()),
        KeyValue::new("deployment.environment.name", identity.environment.clone()),
        KeyValue::new("telemetry.sdk.name", "tasker_telemetry"),
        KeyValue::new("telemetry.sdk.version", env!("CARGO_PKG_VERSION")),
        KeyValue::new("process.pid", i64::from(std::process::id())),
        KeyValue::new("os.type", std::env::consts::OS),
        KeyValue::new("host.arch", architecture()),
    ];
    // What the kernel says; containers name themselves so.
    if let Ok(name) = std::fs::read_to_string("/proc/sys/kernel/hostname") {
        attributes.push(KeyValue::new("host.name", name.trim().to_owned()));
    }
    for (key, value) in more {
        attributes.retain(|attribute| attribute.key.as_str() != key);
        if !value.is_empty() {
            attributes.push(KeyValue::new(key.clone(), value.clone()));
        }
    }
    Resource::builder_empty().with_attributes(attributes).build()
}

/// The architecture by the name that OpenTelemetry gives it.
fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}
