//! What counters, gauges and histograms share.

use super::bound::{Bound, BoundClass};
use super::refusal::{of_labels, refuse, report};
use crate::error::Result;
use crate::helpers::arguments::Arguments;
use crate::helpers::jump::Jump;
use crate::helpers::labels::Labels;
use crate::helpers::method::define;
use crate::helpers::value::{value as to_ruby, zero};
use magnus::{IntoValue, RClass, Ruby, TypedData, Value};
use std::sync::Arc;
use tasker_telemetry_core::arena::{Metric, Rejection};
use tasker_telemetry_core::metric::LabelKey;

/// A metric of the core, and its labels as callers write them.
pub struct Instrument {
    pub metric: Arc<Metric>,
    labels: Labels,
}

/// A Ruby class of instruments.
pub trait Class: TypedData + From<Instrument> + AsRef<Instrument> + 'static {
    /// What `with` answers.
    type Bound: BoundClass;
}

impl Instrument {
    pub fn new(metric: Arc<Metric>) -> Self {
        let labels = Labels::new(&metric.descriptor().labels);
        Self { metric, labels }
    }

    /// Writes to the series that the keywords name. What is refused is counted and told to lib/.
    #[inline(always)]
    pub fn record(
        &self,
        ruby: &Ruby,
        arguments: &Arguments<'_>,
        write: impl FnOnce(&Arc<Metric>, &[u8]) -> Result<(), Rejection>,
    ) -> Result<(), Jump> {
        let written = self
            .labels
            .packed(ruby, arguments.keywords, |key| write(&self.metric, key.as_bytes()))?;
        match written {
            Ok(Ok(())) => Ok(()),
            Ok(Err(rejection)) => report(&self.metric, &rejection),
            Err(refusal) => refuse(&self.metric, &of_labels(&self.metric, refusal)),
        }
    }

    /// Reads the series that the keywords name. Labels that name none are told to lib/, but not counted: no sample is
    /// lost.
    fn read<T>(
        &self,
        ruby: &Ruby,
        arguments: &Arguments<'_>,
        read: impl FnOnce(&Arc<Metric>, &LabelKey) -> T,
    ) -> Result<Result<T, Rejection>> {
        arguments.expect_keywords()?;
        match self
            .labels
            .packed(ruby, arguments.keywords, |key| read(&self.metric, key))?
        {
            Ok(found) => Ok(Ok(found)),
            Err(refusal) => {
                let rejection = of_labels(&self.metric, refusal);
                report(&self.metric, &rejection)?;
                Ok(Err(rejection))
            }
        }
    }
}

/// Defines the methods that every class of instruments has.
pub fn define_shared<T: Class>(class: RClass) {
    define(class, c"with", with::<T>);
    define(class, c"value", value::<T>);
    define(class, c"remove", remove::<T>);
    define(class, c"clear", clear::<T>);
    define(class, c"name", name::<T>);
    define(class, c"help", help::<T>);
    define(class, c"unit", unit::<T>);
    define(class, c"label_names", label_names::<T>);
    define(class, c"inspect", inspect::<T>);
}

fn with<T: Class>(ruby: &Ruby, this: &T, arguments: &Arguments<'_>) -> Result<Value> {
    let instrument = this.as_ref();
    let series = instrument.read(ruby, arguments, Metric::series)?;
    let bound = Bound::new(Arc::clone(&instrument.metric), series);
    Ok(ruby.obj_wrap(T::Bound::from(bound)).into_value_with(ruby))
}

fn value<T: Class>(ruby: &Ruby, this: &T, arguments: &Arguments<'_>) -> Result<Value> {
    let instrument = this.as_ref();
    let descriptor = instrument.metric.descriptor();
    let found = instrument.read(ruby, arguments, |metric, key| metric.value(key.as_bytes()))?;
    to_ruby(
        ruby,
        descriptor,
        &found.ok().flatten().unwrap_or_else(|| zero(descriptor)),
    )
}

fn remove<T: Class>(ruby: &Ruby, this: &T, arguments: &Arguments<'_>) -> Result<Value> {
    let removed = this
        .as_ref()
        .read(ruby, arguments, |metric, key| metric.remove(key.as_bytes()))?;
    Ok(ruby.into_value(removed.unwrap_or(false)))
}

fn clear<T: Class>(ruby: &Ruby, this: &T, arguments: &Arguments<'_>) -> Result<Value> {
    arguments.expect_nothing()?;
    Ok(ruby.into_value(this.as_ref().metric.clear()))
}

fn name<T: Class>(ruby: &Ruby, this: &T, arguments: &Arguments<'_>) -> Result<Value> {
    arguments.expect_nothing()?;
    Ok(ruby.into_value(ruby.to_symbol(&this.as_ref().metric.descriptor().name)))
}

fn help<T: Class>(ruby: &Ruby, this: &T, arguments: &Arguments<'_>) -> Result<Value> {
    arguments.expect_nothing()?;
    Ok(ruby.into_value(this.as_ref().metric.descriptor().help.as_str()))
}

fn unit<T: Class>(ruby: &Ruby, this: &T, arguments: &Arguments<'_>) -> Result<Value> {
    arguments.expect_nothing()?;
    Ok(ruby.into_value(this.as_ref().metric.descriptor().unit.as_deref()))
}

fn label_names<T: Class>(ruby: &Ruby, this: &T, arguments: &Arguments<'_>) -> Result<Value> {
    arguments.expect_nothing()?;
    Ok(ruby.into_value(ruby.ary_from_iter(this.as_ref().labels.symbols())))
}

fn inspect<T: Class>(ruby: &Ruby, this: &T, arguments: &Arguments<'_>) -> Result<Value> {
    arguments.expect_nothing()?;
    let descriptor = this.as_ref().metric.descriptor();
    let class = T::class_for(ruby, this);
    Ok(ruby.into_value(format!("#<{class} {}: {}>", descriptor.name, descriptor.schema())))
}
