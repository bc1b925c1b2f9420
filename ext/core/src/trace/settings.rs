//! What the application and the `OTEL_*` variables say of traces.

use super::derive::Identity;
use super::limits::Limits;
use super::sampling::{Root, Sampler};
use crate::export::transports::otlp::{
    self, disabled, pairs, variable, Destination, Env, Error, Result, Signal, NOTHING,
};
use std::time::Duration;

/// What the application has set; the rest is the environment's or the default.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Options {
    /// Whether spans are made at all.
    pub enabled: Option<bool>,
    /// Where they go.
    pub otlp: otlp::Options,
    /// Share of the traces that are kept, from 0 to 1.
    pub sample_ratio: Option<f64>,
    /// Spans that wait to be sent.
    pub queue_size: Option<i64>,
    /// `service.name`.
    pub service_name: String,
    /// `deployment.environment.name`.
    pub environment: String,
    /// What the caller knows of the process, such as the language and its version; all else wins over it.
    pub known_attributes: Vec<(String, String)>,
}

/// What was understood.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Whether spans are made at all.
    pub enabled: bool,
    /// Where they go.
    pub destination: Destination,
    /// Which traces are kept.
    pub sampler: Sampler,
    /// Spans that wait to be sent.
    pub queue_size: usize,
    /// Spans of one request.
    pub batch_size: usize,
    /// How long a span waits for others.
    pub delay: Duration,
    /// What one span may hold.
    pub limits: Limits,
    /// What ids are derived within.
    pub identity: Identity,
    /// Attributes of the resource, in the order of their weight.
    pub resource_attributes: Vec<(String, String)>,
}

/// A number of `OTEL_*`, if it is set.
fn number(env: Env<'_>, name: &str, least: u64, most: u64, accepted: &'static str) -> Result<Option<u64>> {
    let Some(value) = variable(env, name) else {
        return Ok(None);
    };
    match value
        .parse::<u64>()
        .ok()
        .filter(|number| (least..=most).contains(number))
    {
        Some(number) => Ok(Some(number)),
        None => Err(Error::Setting {
            option: name.to_owned(),
            value,
            accepted,
        }),
    }
}

const MOST_QUEUED: u64 = 1 << 20;
const QUEUE: &str = "a number from 1 to 1048576";
const LONGEST_DELAY: u64 = 3_600_000;
const DELAY: &str = "milliseconds, from 0 to 3600000";
const COUNT: &str = "a number from 0 to 1048576";
const RATIO: &str = "a number from 0 to 1";
const SAMPLERS: &str = "always_on, always_off, traceidratio, parentbased_always_on, parentbased_always_off or \
                        parentbased_traceidratio";

impl Settings {
    /// What `options` say, completed by the environment, which is not asked where no spans are made but for what
    /// describes the process.
    ///
    /// # Errors
    /// Which option or variable is wrong, its value and what is accepted.
    pub fn resolve(options: &Options, env: Env<'_>) -> Result<Self> {
        let enabled = options.enabled.unwrap_or(false) && !disabled(env) && !is_without_exporter(env);
        let described = match described(env) {
            Err(_) if !enabled => Vec::new(),
            told => told?,
        };
        let env = if enabled { env } else { NOTHING };
        let queue_size = queue_size(options, env)?;
        let batch_size = number(env, "OTEL_BSP_MAX_EXPORT_BATCH_SIZE", 1, MOST_QUEUED, QUEUE)?.unwrap_or(512);
        let delay = number(env, "OTEL_BSP_SCHEDULE_DELAY", 0, LONGEST_DELAY, DELAY)?.unwrap_or(5000);
        let mut destination = Destination::resolve(&options.otlp, Signal::Traces, env)?;
        // The bound that the SDK's batch processor sets to an export holds where it is the tighter one.
        if let Some(millis) = number(env, "OTEL_BSP_EXPORT_TIMEOUT", 1, LONGEST_DELAY, DELAY)? {
            destination.timeout = destination.timeout.min(Duration::from_millis(millis));
        }
        Ok(Self {
            enabled,
            destination,
            sampler: sampler(options, env)?,
            queue_size: queue_size as usize,
            batch_size: batch_size.min(queue_size) as usize,
            delay: Duration::from_millis(delay),
            limits: limits(env)?,
            identity: Identity {
                service: options.service_name.clone(),
                environment: options.environment.clone(),
            },
            resource_attributes: attributes(options, described),
        })
    }
}

/// Whether the environment says that spans are not to be sent.
fn is_without_exporter(env: Env<'_>) -> bool {
    variable(env, "OTEL_TRACES_EXPORTER").is_some_and(|value| value.trim().eq_ignore_ascii_case("none"))
}

fn queue_size(options: &Options, env: Env<'_>) -> Result<u64> {
    let Some(size) = options.queue_size else {
        return Ok(number(env, "OTEL_BSP_MAX_QUEUE_SIZE", 1, MOST_QUEUED, QUEUE)?.unwrap_or(2048));
    };
    u64::try_from(size)
        .ok()
        .filter(|size| (1..=MOST_QUEUED).contains(size))
        .ok_or_else(|| Error::Setting {
            option: "config.traces.queue_size".to_owned(),
            value: size.to_string(),
            accepted: QUEUE,
        })
}

fn ratio(option: &str, value: f64) -> Result<f64> {
    Some(value)
        .filter(|value| (0.0..=1.0).contains(value))
        .ok_or_else(|| Error::Setting {
            option: option.to_owned(),
            value: value.to_string(),
            accepted: RATIO,
        })
}

fn sampler(options: &Options, env: Env<'_>) -> Result<Sampler> {
    const ARGUMENT: &str = "OTEL_TRACES_SAMPLER_ARG";
    if let Some(value) = options.sample_ratio {
        return Ok(Sampler::ratio(ratio("config.traces.sample_ratio", value)?));
    }
    let Some(name) = variable(env, "OTEL_TRACES_SAMPLER") else {
        return Ok(Sampler::default());
    };
    let (parent_based, root) = match name.strip_prefix("parentbased_") {
        Some(root) => (true, root),
        None => (false, name.as_str()),
    };
    let root = match root {
        "always_on" => Root::Always,
        "always_off" => Root::Never,
        "traceidratio" => Root::Ratio(match variable(env, ARGUMENT) {
            None => 1.0,
            Some(text) => {
                let value = text.parse().map_err(|_| Error::Setting {
                    option: ARGUMENT.to_owned(),
                    value: text,
                    accepted: RATIO,
                })?;
                ratio(ARGUMENT, value)?
            }
        }),
        _ => {
            return Err(Error::Setting {
                option: "OTEL_TRACES_SAMPLER".to_owned(),
                value: name,
                accepted: SAMPLERS,
            })
        }
    };
    Ok(Sampler { root, parent_based })
}

fn limits(env: Env<'_>) -> Result<Limits> {
    let defaults = Limits::default();
    let limit = |names: &[&str], default: usize| -> Result<usize> {
        for name in names {
            if let Some(number) = number(env, name, 0, MOST_QUEUED, COUNT)? {
                return Ok(number as usize);
            }
        }
        Ok(default)
    };
    let nested = limit(
        &["OTEL_EVENT_ATTRIBUTE_COUNT_LIMIT", "OTEL_LINK_ATTRIBUTE_COUNT_LIMIT"],
        defaults.nested_attributes,
    )?;
    Ok(Limits {
        attributes: limit(
            &["OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT", "OTEL_ATTRIBUTE_COUNT_LIMIT"],
            defaults.attributes,
        )?,
        value_length: limit(
            &[
                "OTEL_SPAN_ATTRIBUTE_VALUE_LENGTH_LIMIT",
                "OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT",
            ],
            defaults.value_length,
        )?,
        events: limit(&["OTEL_SPAN_EVENT_COUNT_LIMIT"], defaults.events)?,
        links: limit(&["OTEL_SPAN_LINK_COUNT_LIMIT"], defaults.links)?,
        nested_attributes: nested,
    })
}

/// What the environment says of the process.
///
/// # Errors
/// When that cannot be understood.
pub fn described(env: Env<'_>) -> Result<Vec<(String, String)>> {
    const NAME: &str = "OTEL_RESOURCE_ATTRIBUTES";
    let Some(value) = variable(env, NAME) else {
        return Ok(Vec::new());
    };
    pairs(&value).ok_or(Error::Setting {
        option: NAME.to_owned(),
        value,
        accepted: "key=value,key=value with the values percent-encoded",
    })
}

/// What is said of the process, in the order of its weight.
fn attributes(options: &Options, described: Vec<(String, String)>) -> Vec<(String, String)> {
    let mut attributes = options.known_attributes.clone();
    attributes.extend(described);
    // Those two are told in places of their own.
    attributes.retain(|(key, _)| key != "service.name" && key != "deployment.environment.name");
    attributes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolve(options: &Options, env: &[(&str, &str)]) -> Result<Settings> {
        Settings::resolve(options, &|name| {
            env.iter()
                .find(|(known, _)| *known == name)
                .map(|(_, value)| (*value).to_owned())
        })
    }

    fn enabled() -> Options {
        Options {
            enabled: Some(true),
            ..Options::default()
        }
    }

    #[test]
    fn defaults_are_those_of_opentelemetry() {
        let settings = resolve(&Options::default(), &[]).unwrap();
        assert!(!settings.enabled);
        assert_eq!((settings.queue_size, settings.batch_size), (2048, 512));
        assert_eq!(settings.delay, Duration::from_secs(5));
        assert_eq!(settings.sampler, Sampler::default());
    }

    #[test]
    fn the_environment_fills_in_and_the_application_wins() {
        let env = [
            ("OTEL_BSP_MAX_QUEUE_SIZE", "100"),
            ("OTEL_BSP_SCHEDULE_DELAY", "10"),
            ("OTEL_BSP_EXPORT_TIMEOUT", "700"),
            ("OTEL_TRACES_SAMPLER", "traceidratio"),
            ("OTEL_TRACES_SAMPLER_ARG", "0.25"),
            (
                "OTEL_RESOURCE_ATTRIBUTES",
                "service.name=other,team=a%2Cb,deployment.environment.name=test",
            ),
            ("OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT", "3"),
            ("OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT", "9"),
        ];
        let options = Options {
            service_name: "shop".into(),
            environment: "production".into(),
            known_attributes: vec![("known".into(), "first".into())],
            ..enabled()
        };
        let settings = resolve(&options, &env).unwrap();
        assert_eq!((settings.queue_size, settings.batch_size), (100, 100));
        assert_eq!(settings.delay, Duration::from_millis(10));
        assert_eq!(settings.destination.timeout, Duration::from_millis(700));
        assert_eq!(
            settings.sampler,
            Sampler {
                root: Root::Ratio(0.25),
                parent_based: false
            }
        );
        assert_eq!(
            (&*settings.identity.service, &*settings.identity.environment),
            ("shop", "production")
        );
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        assert_eq!(
            settings.resource_attributes,
            [pair("known", "first"), pair("team", "a,b")]
        );
        assert_eq!((settings.limits.attributes, settings.limits.value_length), (3, 9));
        let options = Options {
            queue_size: Some(7),
            sample_ratio: Some(0.5),
            ..enabled()
        };
        let settings = resolve(&options, &env).unwrap();
        assert_eq!((settings.queue_size, settings.sampler), (7, Sampler::ratio(0.5)));
    }

    #[test]
    fn the_sdk_is_disabled_by_true_alone() {
        for (value, is_enabled) in [
            ("true", false),
            ("TRUE", false),
            ("1", true),
            ("false", true),
            ("", true),
        ] {
            let settings = resolve(&enabled(), &[("OTEL_SDK_DISABLED", value)]).unwrap();
            assert_eq!(settings.enabled, is_enabled, "{value}");
        }
    }

    /// Every variable, with a value that cannot be used.
    const WRONG: [(&str, &str); 8] = [
        ("OTEL_TRACES_SAMPLER", "xray"),
        ("OTEL_BSP_MAX_QUEUE_SIZE", "many"),
        ("OTEL_BSP_EXPORT_TIMEOUT", "long"),
        ("OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT", "-3"),
        ("OTEL_RESOURCE_ATTRIBUTES", "nothing"),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/json"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "collector"),
        ("OTEL_EXPORTER_OTLP_TRACES_HEADERS", "none"),
    ];

    #[test]
    fn variables_are_of_no_account_where_no_spans_are_made() {
        let disabled = [&WRONG[..], &[("OTEL_SDK_DISABLED", "true")]].concat();
        let without = [&WRONG[..], &[("OTEL_TRACES_EXPORTER", "none")]].concat();
        for (options, env) in [
            (Options::default(), &WRONG[..]),
            (enabled(), &disabled),
            (enabled(), &without),
        ] {
            let settings = resolve(&options, env).unwrap();
            assert!(!settings.enabled && settings.resource_attributes.is_empty());
        }
        // What describes the process is for metrics as well.
        let settings = resolve(&Options::default(), &[("OTEL_RESOURCE_ATTRIBUTES", "team=a")]).unwrap();
        assert_eq!(settings.resource_attributes, [("team".to_owned(), "a".to_owned())]);
        let told = |options: Options| resolve(&options, &[("OTEL_SDK_DISABLED", "true")]).unwrap_err();
        let options = Options {
            sample_ratio: Some(2.0),
            ..enabled()
        };
        assert!(told(options).to_string().starts_with("config.traces.sample_ratio"));
    }

    #[test]
    fn what_is_wrong_is_named() {
        let message = |options: Options, env: &[(&str, &str)]| resolve(&options, env).unwrap_err().to_string();
        for ratio in [-0.1, 1.1, f64::NAN, f64::INFINITY] {
            let options = Options {
                sample_ratio: Some(ratio),
                ..Options::default()
            };
            let message = message(options, &[]);
            assert!(message.starts_with("config.traces.sample_ratio cannot be"), "{message}");
        }
        for size in [0, -1, i64::MAX] {
            let options = Options {
                queue_size: Some(size),
                ..Options::default()
            };
            let message = message(options, &[]);
            assert!(
                message.contains("queue_size") && message.contains(&size.to_string()),
                "{message}"
            );
        }
        for (name, value) in WRONG {
            let message = message(enabled(), &[(name, value)]);
            assert!(message.starts_with(name), "{message}");
        }
    }
}
