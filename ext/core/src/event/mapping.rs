//! What is to become of the events of a name or pattern.

use super::error::{Error, Result};
use super::key::{intern, Key};
use super::labels::Limit;
use super::pattern;
use crate::metric::naming;
use serde::{Serialize, Serializer};
use std::sync::Arc;

/// Longest name or pattern, in bytes.
pub(super) const MAX_NAME: usize = 255;
/// Most labels of one mapping.
const MAX_LABELS: usize = 32;

/// Who takes an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Backends {
    /// It is counted.
    pub metrics: bool,
    /// It becomes a span.
    pub traces: bool,
    /// It becomes a line of the log.
    pub logs: bool,
}

impl Backends {
    pub(super) const NONE: Self = Self::of(false, false);
    pub(super) const BOTH: Self = Self::of(true, true);
    pub(super) const METRICS: Self = Self::of(true, false);
    pub(super) const TRACES: Self = Self::of(false, true);

    const fn of(metrics: bool, traces: bool) -> Self {
        Self {
            metrics,
            traces,
            logs: false,
        }
    }

    /// Whether anybody does.
    #[must_use]
    pub fn any(self) -> bool {
        self.metrics || self.traces || self.logs
    }

    /// The names that users type.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        [("metrics", self.metrics), ("traces", self.traces), ("logs", self.logs)]
            .into_iter()
            .filter_map(|(name, takes)| takes.then_some(name))
    }
}

/// Shown as the list of names that it was given as.
impl Serialize for Backends {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        serializer.collect_seq(self.names())
    }
}

/// How dear an event is: `Critical` is never sampled out, and dropped last from a full queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Priority {
    /// Dropped first.
    Low,
    /// As usual.
    #[default]
    Normal,
    /// Dropped late.
    High,
    /// Never sampled out, dropped last.
    Critical,
}

impl Priority {
    /// Every priority, by the name that users type.
    pub const ALL: [(&'static str, Self); 4] = [
        ("low", Self::Low),
        ("normal", Self::Normal),
        ("high", Self::High),
        ("critical", Self::Critical),
    ];

    /// The name that users type.
    #[must_use]
    pub fn name(self) -> &'static str {
        Self::ALL[self as usize].0
    }

    /// The priority of that name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL
            .iter()
            .find(|(known, _)| *known == name)
            .map(|(_, priority)| *priority)
    }
}

/// A payload key that becomes a label.
#[derive(Debug, Clone, Serialize)]
pub struct Label {
    #[serde(serialize_with = "key_name")]
    pub(super) key: Key,
    pub(super) label: String,
    #[serde(serialize_with = "most", skip_serializing_if = "Option::is_none")]
    pub(super) limit: Option<Arc<Limit>>,
}

fn key_name<S: Serializer>(key: &Key, serializer: S) -> std::result::Result<S::Ok, S::Error> {
    serializer.serialize_str(key.name())
}

fn most<S: Serializer>(limit: &Option<Arc<Limit>>, serializer: S) -> std::result::Result<S::Ok, S::Error> {
    limit.as_ref().map(|limit| limit.most()).serialize(serializer)
}

impl Label {
    /// The payload key `key` under the label `label`, with at most `limit` distinct values.
    #[must_use]
    pub fn new(key: &str, label: &str, limit: Option<usize>) -> Self {
        Self {
            key: intern(key),
            label: label.to_owned(),
            limit: limit.map(|most| Arc::new(Limit::new(most))),
        }
    }

    /// Name of the payload key.
    #[must_use]
    pub fn key(&self) -> &'static str {
        self.key.name()
    }

    /// Name of the label.
    #[must_use]
    pub fn label(&self) -> &str {
        &self.label
    }
}

/// What is to become of the events that a pattern means.
#[derive(Debug, Clone, Serialize)]
pub struct Mapping {
    pub(super) pattern: String,
    pub(super) backends: Backends,
    pub(super) sample: f64,
    pub(super) priority: Priority,
    pub(super) labels: Vec<Label>,
    pub(super) enabled: bool,
}

impl Mapping {
    /// Validates a mapping.
    ///
    /// # Errors
    /// Any of [`Error`]'s about mappings.
    pub fn new<S: AsRef<str>>(
        pattern: &str,
        backends: &[S],
        sample: f64,
        priority: &str,
        labels: Vec<Label>,
        enabled: bool,
    ) -> Result<Self> {
        if pattern.is_empty() || pattern.len() > MAX_NAME {
            return Err(Error::Pattern(pattern.chars().take(64).collect()));
        }
        let pattern = pattern.to_owned();
        let mut taken_by = Backends::NONE;
        for given in backends {
            match given.as_ref() {
                "metrics" | "metric" => taken_by.metrics = true,
                "traces" | "trace" => taken_by.traces = true,
                "logs" | "log" => taken_by.logs = true,
                given => {
                    let given = given.to_owned();
                    return Err(Error::Backend { pattern, given });
                }
            }
        }
        if !taken_by.any() {
            return Err(Error::NoBackends(pattern));
        }
        // Said this way round, since NaN is in no range.
        if !(0.0..=1.0).contains(&sample) {
            return Err(Error::Sample { pattern, given: sample });
        }
        let Some(priority) = Priority::from_name(priority) else {
            let given = priority.to_owned();
            return Err(Error::Priority { pattern, given });
        };
        check_labels(&pattern, &labels)?;
        Ok(Self {
            pattern,
            backends: taken_by,
            sample,
            priority,
            labels,
            enabled,
        })
    }

    pub(super) fn built_in(name: &str, backends: Backends, sample: f64, priority: Priority) -> Self {
        Self {
            pattern: name.to_owned(),
            backends,
            sample,
            priority,
            labels: Vec::new(),
            enabled: true,
        }
    }

    /// The name or pattern.
    #[must_use]
    pub fn pattern(&self) -> &str {
        &self.pattern
    }

    /// Who takes the events.
    #[must_use]
    pub fn backends(&self) -> Backends {
        self.backends
    }

    /// The share of the events that is taken.
    #[must_use]
    pub fn sample(&self) -> f64 {
        self.sample
    }

    /// How dear the events are.
    #[must_use]
    pub fn priority(&self) -> Priority {
        self.priority
    }

    /// What becomes a label.
    #[must_use]
    pub fn labels(&self) -> &[Label] {
        &self.labels
    }

    /// Whether the mapping is on.
    #[must_use]
    pub fn is_enabled(&self) -> bool {
        self.enabled
    }

    pub(super) fn is_glob(&self) -> bool {
        pattern::is_glob(&self.pattern)
    }

    /// Goes on with the values that the mapping which this one replaces has let through.
    pub(super) fn succeed(&mut self, before: &Self) {
        for label in &mut self.labels {
            let same = |other: &&Label| other.key == label.key && other.label == label.label;
            let known = before.labels.iter().find(same).and_then(|other| other.limit.as_ref());
            if let (Some(limit), Some(known)) = (&mut label.limit, known) {
                if limit.most() == known.most() {
                    *limit = Arc::clone(known);
                }
            }
        }
    }
}

fn check_labels(pattern: &str, labels: &[Label]) -> Result<()> {
    for (index, label) in labels.iter().enumerate() {
        let repeated = labels[..index].iter().any(|other| other.label == label.label);
        let rule = match naming::label_rule(&label.label) {
            Err(rule) => rule,
            Ok(()) if repeated => "every label of an event must be distinct",
            Ok(()) if index >= MAX_LABELS => "an event has at most 32 labels",
            Ok(()) if label.label.len() > MAX_NAME => "names have at most 255 bytes",
            Ok(()) if label.key().is_empty() => "the payload key is empty",
            Ok(()) if label.limit.as_ref().is_some_and(|limit| limit.most() == 0) => "its limit must be at least 1",
            Ok(()) => continue,
        };
        return Err(Error::Label {
            pattern: pattern.to_owned(),
            label: label.label.clone(),
            rule,
        });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mapping(backends: &[&str], sample: f64, priority: &str, labels: Vec<Label>) -> Result<Mapping> {
        Mapping::new("order.*", backends, sample, priority, labels, true)
    }

    #[test]
    fn takes_singular_and_plural_backends() {
        let all = mapping(&["metric", "traces", "log"], 0.0, "critical", Vec::new()).unwrap();
        assert_eq!(
            all.backends().names().collect::<Vec<_>>(),
            ["metrics", "traces", "logs"]
        );
        assert_eq!(all.priority(), Priority::Critical);
        assert!(mapping(&["metrics"], 1.0, "low", Vec::new()).is_ok());
    }

    #[test]
    fn refuses_what_it_does_not_know_and_names_what_is_accepted() {
        let refused = |mapping: Result<Mapping>| mapping.unwrap_err().to_string();
        assert_eq!(
            refused(mapping(&["metrics", "statsd"], 1.0, "normal", Vec::new())),
            "backend \"statsd\" of event \"order.*\" is not known; accepted: metrics, traces, logs"
        );
        assert_eq!(
            refused(mapping(&[], 1.0, "normal", Vec::new())),
            "event \"order.*\" has no backends; accepted: at least one of metrics, traces, logs \
             (enabled: false turns it off)"
        );
        for (rate, printed) in [(7.5, "7.5"), (-0.1, "-0.1"), (f64::NAN, "NaN"), (f64::INFINITY, "inf")] {
            assert_eq!(
                refused(mapping(&["logs"], rate, "normal", Vec::new())),
                format!("sample {printed} of event \"order.*\" is not valid; accepted: a number from 0 to 1")
            );
        }
        assert_eq!(
            refused(mapping(&["logs"], 1.0, "urgent", Vec::new())),
            "priority \"urgent\" of event \"order.*\" is not known; accepted: low, normal, high, critical"
        );
        assert!(refused(Mapping::new("", &["logs"], 1.0, "low", Vec::new(), true)).contains("1 to 255 bytes"));
    }

    #[test]
    fn refuses_labels_that_no_metric_can_have() {
        let refused = |label: Label| {
            mapping(&["metrics"], 1.0, "normal", vec![label])
                .unwrap_err()
                .to_string()
        };
        assert_eq!(
            refused(Label::new("state", "le", None)),
            "label \"le\" of event \"order.*\" is not valid: \"le\", \"quantile\" and \"process\" are written by the \
             exporter itself"
        );
        assert!(refused(Label::new("a b", "a b", None)).contains("must match"));
        assert!(refused(Label::new("", "x", None)).contains("empty"));
        assert!(refused(Label::new("x", "x", Some(0))).contains("at least 1"));
        let twice = vec![Label::new("a", "x", None), Label::new("b", "x", None)];
        assert!(mapping(&["metrics"], 1.0, "normal", twice)
            .unwrap_err()
            .to_string()
            .contains("distinct"));
    }
}
