use crate::error::{Error, Result};
use magnus::{RHash, Ruby, StaticSymbol, TryConvert, Value};
use std::path::PathBuf;
use std::time::Duration;
use tasker_telemetry_core::arena::{Place, Settings};
use tasker_telemetry_core::export::push;
use tasker_telemetry_core::export::transports::otlp;
use tasker_telemetry_core::telemetry::{self, Filter};
use tasker_telemetry_core::trace;

/// Reads the Hash that lib/ makes of its validated configuration. There are no defaults here: a key that is missing
/// is a mistake of lib/'s, and raises.
pub fn metrics(ruby: &Ruby, given: RHash) -> Result<Settings> {
    Ok(Settings {
        place: place(fetch(ruby, given, "place")?)?,
        service: fetch(ruby, given, "service")?,
        environment: fetch(ruby, given, "environment")?,
        fallback_dir: fetch(ruby, given, "fallback_dir")?,
        prefix: fetch(ruby, given, "prefix")?,
        enabled: fetch(ruby, given, "enabled")?,
        default_labels: pairs(fetch(ruby, given, "default_labels")?)?,
        max_series: fetch(ruby, given, "max_series")?,
        idle_expiry: seconds(fetch(ruby, given, "idle_expiry")?)?,
    })
}

/// What is about spans, and about what must not be shown.
pub fn telemetry(ruby: &Ruby, given: RHash) -> Result<telemetry::Settings> {
    let traces: RHash = fetch(ruby, given, "traces")?;
    let push: RHash = fetch(ruby, given, "otlp")?;
    let filter: RHash = fetch(ruby, given, "filter")?;
    Ok(telemetry::Settings {
        traces: trace::Options {
            enabled: fetch(ruby, traces, "enabled")?,
            otlp: otlp(ruby, traces)?,
            sample_ratio: fetch(ruby, traces, "sample_ratio")?,
            queue_size: fetch(ruby, traces, "queue_size")?,
            service_name: fetch(ruby, given, "service")?,
            environment: fetch(ruby, given, "environment")?,
            known_attributes: pairs(fetch(ruby, given, "process")?)?,
        },
        push: push::Options {
            enabled: fetch(ruby, push, "enabled")?,
            otlp: otlp(ruby, push)?,
            interval: fetch(ruby, push, "interval")?,
        },
        filter: Filter {
            names: fetch(ruby, filter, "names")?,
            patterns: fetch(ruby, filter, "patterns")?,
            mask: fetch(ruby, filter, "mask")?,
        },
    })
}

/// Whether there are filters that only Ruby can apply.
pub fn asks(ruby: &Ruby, given: RHash) -> Result<bool> {
    fetch(ruby, fetch(ruby, given, "filter")?, "ask")
}

fn otlp(ruby: &Ruby, given: RHash) -> Result<otlp::Options> {
    Ok(otlp::Options {
        endpoint: fetch(ruby, given, "endpoint")?,
        protocol: fetch(ruby, given, "protocol")?,
        headers: fetch::<Option<RHash>>(ruby, given, "headers")?.map(pairs).transpose()?,
    })
}

fn pairs(given: RHash) -> Result<Vec<(String, String)>> {
    let mut pairs = Vec::new();
    given.foreach(|name: String, value: String| {
        pairs.push((name, value));
        Ok(magnus::r_hash::ForEach::Continue)
    })?;
    Ok(pairs)
}

fn fetch<T: TryConvert>(ruby: &Ruby, given: RHash, key: &str) -> Result<T> {
    Ok(given.fetch(ruby.to_symbol(key))?)
}

/// A Symbol names a kind of place, a String is a path, so that a file may be called "memory".
fn place(given: Value) -> Result<Place> {
    if let Some(symbol) = StaticSymbol::from_value(given) {
        return match symbol.name()? {
            "auto" => Ok(Place::Auto),
            "memory" => Ok(Place::Memory),
            other => Err(Error::Argument(format!(
                "place :{other} is not known; :auto, :memory and a path are"
            ))),
        };
    }
    Ok(Place::Path(PathBuf::try_convert(given)?))
}

fn seconds(given: Option<f64>) -> Result<Option<Duration>> {
    given
        .map(|seconds| {
            Duration::try_from_secs_f64(seconds)
                .map_err(|error| Error::Argument(format!("{seconds} is no number of seconds: {error}")))
        })
        .transpose()
}
