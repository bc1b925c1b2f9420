//! What `configure` decides about metrics.

use crate::metric::naming;
use std::path::PathBuf;
use std::time::Duration;

/// Where the arena is.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Place {
    /// `/dev/shm/tasker_telemetry-<uid>/`, else the application's own directory, else memory, with a warning.
    #[default]
    Auto,
    /// This file.
    Path(PathBuf),
    /// Memory that only this process and its forks share.
    Memory,
}

/// Settings of a [`super::Registry`].
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// Where the arena is.
    pub place: Place,
    /// Service name; with the environment it is what releases of one application have in common.
    pub service: String,
    /// Environment.
    pub environment: String,
    /// Directory to fall back to where there is no shared memory: the application's `tmp/`.
    pub fallback_dir: Option<PathBuf>,
    /// Put before the name of every metric that the application declares, with `_` between.
    pub prefix: Option<String>,
    /// `false`: instruments do nothing.
    pub enabled: bool,
    /// On every series of this process.
    pub default_labels: Vec<(String, String)>,
    /// How many series a metric may have.
    pub max_series: u32,
    /// After how long without a write a series is removed.
    pub idle_expiry: Option<Duration>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            place: Place::Auto,
            service: "app".to_owned(),
            environment: "development".to_owned(),
            fallback_dir: None,
            prefix: None,
            enabled: true,
            default_labels: Vec::new(),
            max_series: 10_000,
            idle_expiry: None,
        }
    }
}

/// Why settings were refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The setting decides where samples are, and there are samples.
    #[error("config.{option} cannot become {given} after the first sample; it is {current}")]
    Frozen {
        /// The option.
        option: &'static str,
        /// The value in force.
        current: String,
        /// The value asked for.
        given: String,
    },
    /// The prefix would make invalid names.
    #[error("config.metrics.prefix cannot be {prefix:?}: {rule}")]
    Prefix {
        /// The prefix as given.
        prefix: String,
        /// What is accepted.
        rule: &'static str,
    },
    /// With the prefix, or without the one before, a metric would pass for one of the gem's own.
    #[error("config.metrics.prefix cannot be {prefix:?}: {clash}")]
    PrefixClash {
        /// The prefix as given.
        prefix: String,
        /// The metric, under the name that it would be printed with.
        clash: crate::metric::Error,
    },
    /// A default label's name is not valid.
    #[error("config.metrics.default_labels cannot have {label:?}: {rule}")]
    DefaultLabel {
        /// The label.
        label: String,
        /// What is accepted.
        rule: &'static str,
    },
    /// A default label is also declared by a metric.
    #[error("config.metrics.default_labels cannot have {label:?}: metric {metric:?} declares that label itself")]
    DefaultLabelDeclared {
        /// The label.
        label: String,
        /// A metric that declares it.
        metric: String,
    },
}

impl Settings {
    pub(super) fn check(&self) -> Result<(), Error> {
        if let Some(prefix) = &self.prefix {
            if let Err(rule) = naming::prefix_rule(prefix) {
                return Err(Error::Prefix {
                    prefix: prefix.clone(),
                    rule,
                });
            }
        }
        for (label, _) in &self.default_labels {
            if let Err(rule) = naming::label_rule(label) {
                return Err(Error::DefaultLabel {
                    label: label.clone(),
                    rule,
                });
            }
        }
        Ok(())
    }

    /// An error when `other` differs in a setting that says where samples are.
    pub(super) fn check_unmoved(&self, other: &Self) -> Result<(), Error> {
        let place = |settings: &Self| match &settings.place {
            Place::Auto => "the default".to_owned(),
            Place::Memory => ":memory".to_owned(),
            Place::Path(path) => format!("{path:?}"),
        };
        let prefix = |settings: &Self| {
            settings
                .prefix
                .as_ref()
                .map_or("nil".to_owned(), |prefix| format!("{prefix:?}"))
        };
        let quoted = |text: &str| format!("{text:?}");
        let moved = [
            ("metrics.arena", place(self), place(other)),
            ("service_name", quoted(&self.service), quoted(&other.service)),
            ("environment", quoted(&self.environment), quoted(&other.environment)),
            ("metrics.prefix", prefix(self), prefix(other)),
        ];
        match moved.into_iter().find(|(_, current, given)| current != given) {
            Some((option, current, given)) => Err(Error::Frozen { option, current, given }),
            None => Ok(()),
        }
    }

    /// Name under which a metric of the application is printed.
    pub(super) fn printed_name(&self, name: &str, own: bool) -> String {
        match &self.prefix {
            Some(prefix) if !own => format!("{prefix}_{name}"),
            _ => name.to_owned(),
        }
    }
}
