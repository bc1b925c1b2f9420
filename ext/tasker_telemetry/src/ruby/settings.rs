use crate::error::{Error, Result};
use magnus::{RHash, Ruby, StaticSymbol, TryConvert, Value};
use std::path::PathBuf;
use std::time::Duration;
use tasker_telemetry_core::arena::{Place, Settings};

/// Reads the Hash that lib/ makes of its validated configuration. There are no defaults here: a key that is missing
/// is a mistake of lib/'s, and raises.
pub fn read(ruby: &Ruby, given: RHash) -> Result<Settings> {
    let mut default_labels = Vec::new();
    fetch::<RHash>(ruby, given, "default_labels")?.foreach(|name: String, value: String| {
        default_labels.push((name, value));
        Ok(magnus::r_hash::ForEach::Continue)
    })?;
    Ok(Settings {
        place: place(fetch(ruby, given, "place")?)?,
        service: fetch(ruby, given, "service")?,
        environment: fetch(ruby, given, "environment")?,
        fallback_dir: fetch(ruby, given, "fallback_dir")?,
        prefix: fetch(ruby, given, "prefix")?,
        enabled: fetch(ruby, given, "enabled")?,
        default_labels,
        max_series: fetch(ruby, given, "max_series")?,
        idle_expiry: seconds(fetch(ruby, given, "idle_expiry")?)?,
    })
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
