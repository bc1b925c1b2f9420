//! What events become: the functions behind `TaskerTelemetry::EventRouter`.

use crate::error::Result;
use crate::helpers::guard::{answering, caught};
use crate::helpers::telemetry;
use crate::helpers::text::with_name;
use crate::helpers::value::serialized;
use magnus::{function, Object, RModule, RString, Value};
use tasker_telemetry_core::event::{Label, Mapping, DEFAULT_FILTERS};
use tasker_telemetry_core::telemetry::Filter;

pub fn init(native: RModule) -> std::result::Result<(), magnus::Error> {
    native.define_singleton_method("map_event", function!(map, 6))?;
    native.define_singleton_method("unmap_event", function!(unmap, 1))?;
    native.define_singleton_method("event_mappings", function!(mappings, 0))?;
    native.define_singleton_method("event_mapping", function!(mapping, 1))?;
    native.define_singleton_method("register_event", function!(register, 3))?;
    native.define_singleton_method("events", function!(catalogue, 0))?;
    native.define_singleton_method("event_routed?", function!(routed, 1))?;
    native.define_singleton_method("reset_events", function!(reset, 0))?;
    native.define_singleton_method("redact", function!(redact, 1))?;
    native.define_singleton_method("hides?", function!(hides, 2))?;
    native.define_singleton_method("default_filters", function!(default_filters, 0))?;
    native.define_singleton_method("linear?", function!(linear, 1))?;
    native.define_singleton_method("forget_events", function!(forget, 0))?;
    Ok(())
}

fn map(
    pattern: String,
    backends: Vec<String>,
    sample: f64,
    priority: String,
    labels: Vec<(String, String, usize)>,
    enabled: bool,
) -> Result<()> {
    answering(|| {
        let labels = labels
            .iter()
            .map(|(key, label, limit)| Label::new(key, label, (*limit > 0).then_some(*limit)))
            .collect();
        let mapping = Mapping::new(&pattern, &backends, sample, &priority, labels, enabled)?;
        telemetry().events().map(mapping);
        Ok(())
    })
}

fn unmap(pattern: String) -> Result<bool> {
    answering(|| Ok(telemetry().events().unmap(&pattern)))
}

fn mappings() -> Result<Value> {
    answering(|| {
        let mappings = telemetry().events().mappings();
        serialized(&mappings.iter().map(AsRef::as_ref).collect::<Vec<&Mapping>>())
    })
}

fn mapping(name: String) -> Result<Value> {
    answering(|| serialized(&telemetry().events().mapping(&name).as_deref()))
}

fn register(name: String, description: String, payload_keys: Vec<String>) -> Result<()> {
    answering(|| Ok(telemetry().events().register(&name, &description, &payload_keys)?))
}

fn catalogue() -> Result<Value> {
    answering(|| serialized(&telemetry().events().list()))
}

/// Asked by the buses, once for each name.
pub fn routed(name: RString) -> bool {
    let routed = || with_name(name, |name| !telemetry().events().route(name).is_silent());
    caught(routed).flatten().unwrap_or(false)
}

fn reset() -> Result<()> {
    answering(|| {
        telemetry().events().unmap_all();
        Ok(())
    })
}

/// Forgets what was seen of tasks and steps.
fn forget() -> Result<()> {
    answering(|| {
        telemetry().events().forget();
        Ok(())
    })
}

/// A text without the secrets that it shows.
fn redact(text: String) -> Result<String> {
    answering(|| Ok(telemetry().tracing().redactor().text(&text).into_owned()))
}

/// Whether what stands under that name must not be shown, at the end of a path where the name is in something.
fn hides(name: String, path: Option<String>) -> Result<bool> {
    answering(|| {
        let tracing = telemetry().tracing();
        let redactor = tracing.redactor();
        Ok(path.map_or_else(|| redactor.hides(&name), |path| redactor.hides_at(&path, &name)))
    })
}

/// Whether a regular expression is one that the native side can follow.
fn linear(pattern: String) -> Result<bool> {
    answering(|| Ok(Filter::takes(&pattern)))
}

/// Names that are filtered where nobody says which.
fn default_filters() -> Vec<&'static str> {
    DEFAULT_FILTERS.to_vec()
}
