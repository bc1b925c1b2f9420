//! What bound counters, gauges and histograms share.

use super::amount::amount;
use super::refusal::{labelled_twice, refuse, report};
use crate::error::Result;
use crate::helpers::arguments::Arguments;
use crate::helpers::jump::Jump;
use crate::helpers::method::define;
use crate::helpers::number::Number;
use crate::helpers::value::{value as to_ruby, zero};
use magnus::{RClass, Ruby, TypedData, Value};
use std::sync::Arc;
use tasker_telemetry_core::arena::{Metric, Rejection, Series};

/// A series of the core. Where the labels named none, what they were refused for: then each write is refused likewise,
/// so that what is lost shows.
pub struct Bound {
    pub metric: Arc<Metric>,
    series: Result<Arc<Series>, Rejection>,
}

/// A Ruby class of bound instruments.
pub trait BoundClass: TypedData + From<Bound> + AsRef<Bound> + 'static {}

impl<T: TypedData + From<Bound> + AsRef<Bound> + 'static> BoundClass for T {}

impl Bound {
    pub fn new(metric: Arc<Metric>, series: Result<Arc<Series>, Rejection>) -> Self {
        Self { metric, series }
    }

    /// Writes the amount that was given to the series. What is refused is counted and told to lib/.
    #[inline(always)]
    pub fn record(
        &self,
        ruby: &Ruby,
        arguments: &Arguments<'_>,
        default: Option<Number>,
        write: impl FnOnce(&Arc<Series>, Number) -> Result<(), Rejection>,
    ) -> Result<(), Jump> {
        let Some(amount) = amount(ruby, &self.metric, arguments, default)? else {
            return Ok(());
        };
        match (&self.series, arguments.keywords) {
            (Ok(series), None) => match write(series, amount) {
                Ok(()) => Ok(()),
                Err(rejection) => report(&self.metric, &rejection),
            },
            (Ok(_), Some(_)) => refuse(&self.metric, &labelled_twice(&self.metric)),
            (Err(rejection), _) => refuse(&self.metric, rejection),
        }
    }
}

/// Defines the methods that every bound class has.
pub fn define_shared<T: BoundClass>(class: RClass) {
    define(class, c"value", value::<T>);
    define(class, c"remove", remove::<T>);
    define(class, c"inspect", inspect::<T>);
}

fn value<T: BoundClass>(ruby: &Ruby, this: &T, arguments: &Arguments<'_>) -> Result<Value> {
    arguments.expect_nothing()?;
    let bound = this.as_ref();
    let descriptor = bound.metric.descriptor();
    let found = bound.series.as_ref().ok().and_then(|series| series.value());
    to_ruby(ruby, descriptor, &found.unwrap_or_else(|| zero(descriptor)))
}

fn remove<T: BoundClass>(ruby: &Ruby, this: &T, arguments: &Arguments<'_>) -> Result<Value> {
    arguments.expect_nothing()?;
    let bound = this.as_ref();
    let removed = bound.series.as_ref().is_ok_and(|series| series.remove());
    Ok(ruby.into_value(removed))
}

fn inspect<T: BoundClass>(ruby: &Ruby, this: &T, arguments: &Arguments<'_>) -> Result<Value> {
    arguments.expect_nothing()?;
    let descriptor = this.as_ref().metric.descriptor();
    let class = T::class_for(ruby, this);
    Ok(ruby.into_value(format!("#<{class} {}: {}>", descriptor.name, descriptor.schema())))
}
