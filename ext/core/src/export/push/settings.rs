//! What the application and the `OTEL_*` variables say of the push.

use crate::export::transports::otlp::{self, Destination, Env, Error, Signal, NOTHING};
use std::time::Duration;

/// What the application has set; the rest is the environment's or the default.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Options {
    /// Whether metrics are pushed at all.
    pub enabled: Option<bool>,
    /// Where they go.
    pub otlp: otlp::Options,
    /// Seconds between two pushes.
    pub interval: Option<f64>,
}

/// What was understood.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Whether metrics are pushed at all.
    pub enabled: bool,
    /// Where they go.
    pub destination: Destination,
    /// Time between two pushes.
    pub interval: Duration,
}

impl Settings {
    /// What `options` say, completed by the environment, which is not asked where nothing is pushed.
    ///
    /// # Errors
    /// Which option or variable is wrong, its value and what is accepted.
    pub fn resolve(options: &Options, env: Env<'_>) -> otlp::Result<Self> {
        let enabled = options.enabled.unwrap_or(false) && !otlp::disabled(env);
        let env = if enabled { env } else { NOTHING };
        Ok(Self {
            enabled,
            destination: Destination::resolve(&options.otlp, Signal::Metrics, env)?,
            interval: interval(options, env)?,
        })
    }
}

fn interval(options: &Options, env: Env<'_>) -> otlp::Result<Duration> {
    const NAME: &str = "OTEL_METRIC_EXPORT_INTERVAL";
    if let Some(seconds) = options.interval {
        return Some(seconds)
            .filter(|seconds| (0.1..=86_400.0).contains(seconds))
            .map(Duration::from_secs_f64)
            .ok_or_else(|| Error::Setting {
                option: "config.metrics.otlp.interval".to_owned(),
                value: seconds.to_string(),
                accepted: "seconds, from 0.1 to 86400",
            });
    }
    let Some(value) = otlp::variable(env, NAME) else {
        return Ok(Duration::from_secs(60));
    };
    let millis = value.parse().ok().filter(|millis| (100..=86_400_000).contains(millis));
    millis.map(Duration::from_millis).ok_or_else(|| Error::Setting {
        option: NAME.to_owned(),
        value,
        accepted: "milliseconds, from 100 to 86400000",
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_interval_is_the_applications_or_the_environments() {
        let resolve = |interval, value: &str| {
            let options = Options {
                enabled: Some(true),
                interval,
                ..Options::default()
            };
            let value = value.to_owned();
            Settings::resolve(&options, &move |name| {
                (name == "OTEL_METRIC_EXPORT_INTERVAL").then(|| value.clone())
            })
            .map(|settings| settings.interval)
            .map_err(|error| error.to_string())
        };
        assert_eq!(resolve(None, ""), Ok(Duration::from_secs(60)));
        assert_eq!(resolve(None, "1500"), Ok(Duration::from_millis(1500)));
        assert_eq!(resolve(Some(0.5), "1500"), Ok(Duration::from_millis(500)));
        assert!(resolve(None, "soon")
            .unwrap_err()
            .starts_with("OTEL_METRIC_EXPORT_INTERVAL cannot be \"soon\""));
        assert!(resolve(Some(f64::NAN), "")
            .unwrap_err()
            .starts_with("config.metrics.otlp.interval"));
    }

    #[test]
    fn variables_are_of_no_account_where_nothing_is_pushed() {
        let wrong = |name: &str| match name {
            "OTEL_METRIC_EXPORT_INTERVAL" => Some("soon".to_owned()),
            "OTEL_EXPORTER_OTLP_PROTOCOL" => Some("http/json".to_owned()),
            _ => None,
        };
        let off = Options::default();
        assert!(!Settings::resolve(&off, &wrong).unwrap().enabled);
        let on = Options {
            enabled: Some(true),
            ..Options::default()
        };
        let disabled = |name: &str| match name {
            "OTEL_SDK_DISABLED" => Some("true".to_owned()),
            other => wrong(other),
        };
        assert!(!Settings::resolve(&on, &disabled).unwrap().enabled);
        assert!(Settings::resolve(&on, &wrong).is_err());
        let options = Options {
            interval: Some(0.0),
            ..off
        };
        assert!(Settings::resolve(&options, &|_| None).is_err());
    }
}
