//! Who tells a setting: the configuration, or one of the `OTEL_*` variables.

use super::error::Error;

/// Reads an environment variable. Nothing here looks at the environment by itself.
pub type Env<'a> = &'a dyn Fn(&str) -> Option<String>;

/// A variable that is set to something; OpenTelemetry takes an empty one as unset.
pub(crate) fn variable(env: Env<'_>, name: &str) -> Option<String> {
    env(name)
        .map(|value| value.trim().to_owned())
        .filter(|value| !value.is_empty())
}

/// An environment in which nothing is set, for what is off: variables that nothing uses cannot be wrong, and applications
/// start with some that are meant for others.
pub(crate) const NOTHING: Env<'static> = &|_| None;

/// Whether `OTEL_SDK_DISABLED` turns everything off. As OpenTelemetry has it, only "true" does.
#[must_use]
pub fn disabled(env: Env<'_>) -> bool {
    variable(env, "OTEL_SDK_DISABLED").is_some_and(|value| value.eq_ignore_ascii_case("true"))
}

/// What is sent: each has a path, a service and variables of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signal {
    /// Spans.
    Traces,
    /// Metrics.
    Metrics,
}

impl Signal {
    pub(super) fn path(self) -> &'static str {
        match self {
            Self::Traces => "/v1/traces",
            Self::Metrics => "/v1/metrics",
        }
    }

    pub(super) fn service(self) -> &'static str {
        match self {
            Self::Traces => "/opentelemetry.proto.collector.trace.v1.TraceService/Export",
            Self::Metrics => "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export",
        }
    }

    /// The part of `OTEL_EXPORTER_OTLP_<part>_<setting>`.
    fn part(self) -> &'static str {
        match self {
            Self::Traces => "TRACES",
            Self::Metrics => "METRICS",
        }
    }

    /// Where its options stand in the configuration.
    fn section(self) -> &'static str {
        match self {
            Self::Traces => "traces",
            Self::Metrics => "metrics.otlp",
        }
    }
}

/// A value, and where it comes from.
pub(super) struct Told {
    pub(super) option: String,
    pub(super) value: String,
}

impl Told {
    pub(super) fn wrong(&self, accepted: &'static str) -> Error {
        Error::Setting {
            option: self.option.clone(),
            value: self.value.clone(),
            accepted,
        }
    }
}

/// Looks for a setting in the configuration, the signal's variable and the common one.
pub(super) struct Source<'a> {
    pub(super) signal: Signal,
    pub(super) env: Env<'a>,
}

impl Source<'_> {
    pub(super) fn option(&self, name: &str) -> String {
        format!("config.{}.{name}", self.signal.section())
    }

    pub(super) fn own_variable(&self, setting: &str) -> Option<Told> {
        self.variable(format!("OTEL_EXPORTER_OTLP_{}_{setting}", self.signal.part()))
    }

    pub(super) fn common_variable(&self, setting: &str) -> Option<Told> {
        self.variable(format!("OTEL_EXPORTER_OTLP_{setting}"))
    }

    fn variable(&self, option: String) -> Option<Told> {
        let value = variable(self.env, &option)?;
        Some(Told { option, value })
    }

    /// The signal's variable, else the common one.
    pub(super) fn any_variable(&self, setting: &str) -> Option<Told> {
        self.own_variable(setting).or_else(|| self.common_variable(setting))
    }
}
