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
    #[error("{0} cannot change after the first sample")]
    Frozen(&'static str),
    /// The prefix would make invalid names.
    #[error("metrics.prefix {0:?} is not valid: it must match [a-zA-Z_:][a-zA-Z0-9_:]*")]
    Prefix(String),
    /// A default label's name is not valid.
    #[error("metrics.default_labels: label {0:?} is not valid: {1}")]
    DefaultLabel(String, String),
    /// A default label is also declared by a metric.
    #[error("metrics.default_labels: label {label:?} is declared by metric {metric:?}")]
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
            if naming::check_metric(prefix).is_err() {
                return Err(Error::Prefix(prefix.clone()));
            }
        }
        for (label, _) in &self.default_labels {
            if let Err(error) = naming::check_label("default_labels", label) {
                return Err(Error::DefaultLabel(label.clone(), error.to_string()));
            }
        }
        Ok(())
    }

    /// The first setting that differs from `other`'s and says where samples are.
    pub(super) fn moved(&self, other: &Self) -> Option<&'static str> {
        [
            ("metrics.arena", self.place != other.place),
            ("service_name", self.service != other.service),
            ("environment", self.environment != other.environment),
            ("metrics.prefix", self.prefix != other.prefix),
        ]
        .into_iter()
        .find_map(|(name, differs)| differs.then_some(name))
    }

    /// Name under which a metric of the application is printed.
    pub(super) fn printed_name(&self, name: &str, own: bool) -> String {
        match &self.prefix {
            Some(prefix) if !own => format!("{prefix}_{name}"),
            _ => name.to_owned(),
        }
    }
}
