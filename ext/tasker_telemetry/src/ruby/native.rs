//! The functions of `TaskerTelemetry::Native`, which lib/ calls and applications do not.

use super::counter::Counter;
use super::gauge::Gauge;
use super::histogram::Histogram;
use super::instrument::{Class, Instrument};
use super::page::{encoded, Page, Rendering};
use super::{settings, snapshot};
use crate::error::{Error, Result};
use crate::helpers::guard::{answering, caught, take_messages};
use crate::helpers::{payload, registry, telemetry, value::serialized};
use magnus::typed_data::Obj;
use magnus::value::{Lazy, ReprValue};
use magnus::{function, IntoValue, Object, RArray, RHash, RModule, RString, Ruby, Value};
use std::time::Duration;
use tasker_telemetry_core::arena::{Level, Quiescent};
use tasker_telemetry_core::export::formats;
use tasker_telemetry_core::metric::{Aggregation, Buckets, Descriptor, Kind};

pub fn init(ruby: &Ruby, native: RModule) -> Result<(), magnus::Error> {
    Lazy::force(&OBJECTS, ruby);
    native.define_singleton_method("configure", function!(configure, 1))?;
    native.define_singleton_method("counter", function!(counter, 5))?;
    native.define_singleton_method("gauge", function!(gauge, 6))?;
    native.define_singleton_method("histogram", function!(histogram, 6))?;
    native.define_singleton_method("export", function!(export, 1))?;
    native.define_singleton_method("page", function!(page, 1))?;
    native.define_singleton_method("formats", function!(formats, 0))?;
    native.define_singleton_method("snapshot", function!(rows, 0))?;
    native.define_singleton_method("status", function!(status, 0))?;
    native.define_singleton_method("take_notices", function!(take_notices, 0))?;
    native.define_singleton_method("clear", function!(clear, 0))?;
    native.define_singleton_method("scraped", function!(scraped, 1))?;
    native.define_singleton_method("arena_id", function!(arena_id, 0))?;
    #[cfg(feature = "failpoints")]
    super::failpoint::init(native)?;
    Ok(())
}

fn configure(ruby: &Ruby, given: RHash) -> Result<()> {
    answering(|| {
        let metrics = settings::metrics(ruby, given)?;
        let tracing = settings::telemetry(ruby, given)?;
        // What can be wrong with the second is known before the first takes effect.
        telemetry().check(&tracing, &env)?;
        registry().configure(metrics)?;
        telemetry().configure(tracing, &env)?;
        payload::ask(settings::asks(ruby, given)?);
        Ok(())
    })
}

fn env(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

fn counter(
    ruby: &Ruby,
    name: String,
    help: String,
    labels: Vec<String>,
    unit: Option<String>,
    own: bool,
) -> Result<Value> {
    declare::<Counter>(ruby, Kind::Counter, name, help, labels, unit, None, own)
}

fn gauge(
    ruby: &Ruby,
    name: String,
    help: String,
    labels: Vec<String>,
    unit: Option<String>,
    aggregation: String,
    own: bool,
) -> Result<Value> {
    let Some(aggregation) = Aggregation::from_name(&aggregation) else {
        let known: Vec<_> = Aggregation::ALL.iter().map(|(name, _)| format!(":{name}")).collect();
        let known = known.join(", ");
        return Err(Error::Undeclarable(format!(
            "aggregation {aggregation:?} of metric {name:?} is not known; accepted: {known}"
        )));
    };
    declare::<Gauge>(ruby, Kind::Gauge(aggregation), name, help, labels, unit, None, own)
}

fn histogram(
    ruby: &Ruby,
    name: String,
    help: String,
    labels: Vec<String>,
    unit: Option<String>,
    buckets: Option<Vec<f64>>,
    own: bool,
) -> Result<Value> {
    declare::<Histogram>(ruby, Kind::Histogram, name, help, labels, unit, buckets, own)
}

/// The objects of all metrics, by name: the same declaration answers the same object.
static OBJECTS: Lazy<RHash> = Lazy::new(Ruby::hash_new);

#[allow(clippy::too_many_arguments)] // They are Ruby's, plus the kind.
fn declare<T: Class>(
    ruby: &Ruby,
    kind: Kind,
    name: String,
    help: String,
    labels: Vec<String>,
    unit: Option<String>,
    buckets: Option<Vec<f64>>,
    own: bool,
) -> Result<Value> {
    answering(|| {
        let metric = if own {
            // The rules for names keep the application out of the gem's own.
            let buckets = match (kind, buckets) {
                (Kind::Histogram, Some(bounds)) => Some(Buckets::new(&name, bounds)?),
                (Kind::Histogram, None) => Some(Buckets::default()),
                _ => None,
            };
            registry().declare_own(Descriptor {
                name,
                help,
                unit,
                kind,
                labels,
                buckets,
            })?
        } else {
            registry().declare(Descriptor::new(&name, &help, unit.as_deref(), kind, &labels, buckets)?)?
        };
        let objects = ruby.get_inner(&OBJECTS);
        let name = metric.descriptor().name.clone();
        if let Some(object) = objects.get(name.as_str()) {
            return Ok(object);
        }
        let object = ruby.obj_wrap(T::from(Instrument::new(metric)));
        object.freeze();
        objects.aset(name, object)?;
        Ok(object.into_value_with(ruby))
    })
}

fn format(name: &str) -> Result<formats::Kind> {
    formats::find(name).ok_or_else(|| {
        let known: Vec<_> = formats::Kind::ALL
            .iter()
            .map(|kind| format!(":{}", kind.name()))
            .collect();
        Error::Argument(format!("format {name:?} is not known; {} are", known.join(", ")))
    })
}

fn export(ruby: &Ruby, name: String) -> Result<RString> {
    answering(|| {
        let kind = format(&name)?;
        let page = Rendering::begin(kind).rest()?;
        Ok(encoded(ruby, kind, &page))
    })
}

fn page(ruby: &Ruby, name: String) -> Result<Obj<Page>> {
    answering(|| Ok(ruby.obj_wrap(Page::begin(format(&name)?))))
}

fn formats(ruby: &Ruby) -> Result<RHash> {
    answering(|| {
        let formats = ruby.hash_new();
        for kind in formats::Kind::ALL {
            formats.aset(kind.name(), kind.content_type())?;
        }
        Ok(formats)
    })
}

fn rows(ruby: &Ruby) -> Result<RArray> {
    answering(|| snapshot::rows(ruby))
}

fn status() -> Result<Value> {
    answering(|| serialized(&registry().status(Quiescent::promise())))
}

fn take_notices(ruby: &Ruby) -> Result<RArray> {
    answering(|| {
        let notices = ruby.ary_new();
        for notice in registry().take_notices() {
            let level = match notice.level {
                Level::Warn => "warn",
                Level::Error => "error",
            };
            notices.push((ruby.to_symbol(level), notice.message))?;
        }
        for message in take_messages() {
            notices.push((ruby.to_symbol("error"), message))?;
        }
        Ok(notices)
    })
}

fn clear() -> Result<usize> {
    answering(|| Ok(registry().clear(Quiescent::promise())))
}

fn scraped(seconds: f64) {
    if let Ok(duration) = Duration::try_from_secs_f64(seconds) {
        caught(|| registry().scraped(duration));
    }
}

fn arena_id() -> Result<Option<String>> {
    answering(|| Ok(registry().arena_id()))
}
