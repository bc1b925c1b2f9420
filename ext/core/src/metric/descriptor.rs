use super::{naming, Buckets, Error, Result};
use std::fmt;

/// How the cells of several processes become one number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Aggregation {
    /// One cell that all processes share; the last write wins.
    #[default]
    Last,
    /// The sum over the live processes.
    Sum,
    /// The least over the live processes.
    Min,
    /// The greatest over the live processes.
    Max,
    /// One series per live process, told apart by the label `process`.
    PerProcess,
}

impl Aggregation {
    /// Every aggregation, by the name that users type.
    pub const ALL: [(&'static str, Aggregation); 5] = [
        ("last", Self::Last),
        ("sum", Self::Sum),
        ("min", Self::Min),
        ("max", Self::Max),
        ("per_process", Self::PerProcess),
    ];

    /// The name that users type.
    #[must_use]
    pub fn name(self) -> &'static str {
        Self::ALL[self as usize].0
    }

    /// The aggregation of that name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL
            .iter()
            .find(|(known, _)| *known == name)
            .map(|(_, aggregation)| *aggregation)
    }

    /// Whether each process counts into a cell of its own.
    #[must_use]
    pub fn per_process_cell(self) -> bool {
        self != Self::Last
    }
}

/// What kind of instrument a metric is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// A total that only grows.
    Counter,
    /// A value that goes up and down.
    Gauge(Aggregation),
    /// Counts per bucket, and the sum of what was observed.
    Histogram,
}

impl Kind {
    /// The kind's name in the exposition formats.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge(_) => "gauge",
            Self::Histogram => "histogram",
        }
    }

    /// Whether each process counts into a cell of its own.
    #[must_use]
    pub fn per_process_cell(&self) -> bool {
        matches!(self, Self::Gauge(aggregation) if aggregation.per_process_cell())
    }
}

/// A metric as it was declared.
#[derive(Debug, Clone, PartialEq)]
pub struct Descriptor {
    /// The name as printed in Prometheus text, prefix included.
    pub name: String,
    /// One line for people; may be empty.
    pub help: String,
    /// Unit by OpenMetrics' rule, the name's suffix; may be absent.
    pub unit: Option<String>,
    /// Counter, gauge or histogram.
    pub kind: Kind,
    /// Label names in declared order.
    pub labels: Vec<String>,
    /// Bounds; `Some` exactly for histograms.
    pub buckets: Option<Buckets>,
}

impl Descriptor {
    /// Validates a declaration.
    ///
    /// `bounds` is read for histograms only; `None` stands for [`super::DEFAULT_BUCKETS`].
    ///
    /// # Errors
    /// Any of [`Error`]'s declaration errors.
    pub fn new(
        name: &str,
        help: &str,
        unit: Option<&str>,
        kind: Kind,
        labels: &[String],
        bounds: Option<Vec<f64>>,
    ) -> Result<Self> {
        check_size(name, help, labels)?;
        naming::check_metric(name)?;
        for (index, label) in labels.iter().enumerate() {
            naming::check_label(name, label)?;
            if labels[..index].contains(label) {
                return Err(Error::DuplicateLabel {
                    metric: name.to_owned(),
                    label: label.clone(),
                });
            }
        }
        if let Some(unit) = unit {
            let suffixed = naming::family(name, &kind)
                .strip_suffix(unit)
                .is_some_and(|rest| rest.ends_with('_'));
            if unit.is_empty() || !suffixed {
                return Err(Error::Unit {
                    metric: name.to_owned(),
                    unit: unit.to_owned(),
                });
            }
        }
        let buckets = match (kind, bounds) {
            (Kind::Histogram, Some(bounds)) => Some(Buckets::new(name, bounds)?),
            (Kind::Histogram, None) => Some(Buckets::default()),
            _ => None,
        };
        Ok(Self {
            name: name.to_owned(),
            help: help.to_owned(),
            unit: unit.map(str::to_owned),
            kind,
            labels: labels.to_vec(),
            buckets,
        })
    }

    /// Whether series of `self` and `other` may stand under one name: all but the help agrees.
    #[must_use]
    pub fn same_schema(&self, other: &Self) -> bool {
        self.name == other.name
            && self.kind == other.kind
            && self.labels == other.labels
            && self.buckets == other.buckets
            && self.unit == other.unit
    }

    /// The schema in words, for error messages and `status`.
    #[must_use]
    pub fn schema(&self) -> Schema<'_> {
        Schema(self)
    }
}

/// Every declaration is kept in the arena for good, so none may be large.
fn check_size(name: &str, help: &str, labels: &[String]) -> Result<()> {
    const NAME: usize = 255;
    const HELP: usize = 4096;
    const LABELS: usize = 64;
    let limit = if name.len() > NAME || labels.iter().any(|label| label.len() > NAME) {
        "names have at most 255 bytes"
    } else if help.len() > HELP {
        "a help text has at most 4096 bytes"
    } else if labels.len() > LABELS {
        "a metric has at most 64 labels"
    } else {
        return Ok(());
    };
    Err(Error::TooLarge {
        metric: name.chars().take(64).collect(),
        limit,
    })
}

/// Prints a descriptor's schema: `counter with labels [status]`.
#[derive(Debug)]
pub struct Schema<'a>(&'a Descriptor);

impl fmt::Display for Schema<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let descriptor = self.0;
        write!(
            f,
            "{} with labels [{}]",
            descriptor.kind.name(),
            descriptor.labels.join(", ")
        )?;
        if let Kind::Gauge(aggregation) = descriptor.kind {
            write!(f, ", aggregation {}", aggregation.name())?;
        }
        if let Some(buckets) = &descriptor.buckets {
            write!(f, ", buckets {:?}", buckets.bounds())?;
        }
        if let Some(unit) = &descriptor.unit {
            write!(f, ", unit {unit}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refuses_what_is_larger_than_any_declaration_is_meant_to_be() {
        let declare =
            |name: &str, help: &str, labels: &[String]| Descriptor::new(name, help, None, Kind::Counter, labels, None);
        let many: Vec<String> = (0..65).map(|label| format!("l{label}")).collect();
        assert!(declare(&"n".repeat(255), &"h".repeat(4096), &many[..64]).is_ok());
        assert!(declare(&"n".repeat(256), "", &[]).is_err());
        assert!(declare("n", &"h".repeat(4097), &[]).is_err());
        assert!(declare("n", "", &many).is_err());
        assert!(declare("n", "", &["l".repeat(256)]).is_err());
    }
}
