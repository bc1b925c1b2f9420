//! Names of metrics and labels, by the rules of the Prometheus data model
//! (<https://prometheus.io/docs/concepts/data_model/>) and OpenMetrics 1.0
//! (<https://prometheus.io/docs/specs/om/open_metrics_spec/>).

use super::{Error, Kind, Result};

/// Prefix of the metrics that the gem keeps about itself.
pub const SELF_PREFIX: &str = "tasker_telemetry_";

const LABEL_GRAMMAR: &str = "it must match [a-zA-Z_][a-zA-Z0-9_]*";
const LABEL_INTERNAL: &str = "names that begin with \"__\" are reserved by Prometheus";
const LABEL_RESERVED: &str = "\"le\", \"quantile\" and \"process\" are written by the exporter itself";

/// Checks a metric name against the data model's grammar and the gem's own prefix.
///
/// # Errors
/// [`Error::MetricName`] or [`Error::ReservedMetricName`].
pub fn check_metric(name: &str) -> Result<()> {
    if !matches_grammar(name, true) {
        return Err(Error::MetricName(name.to_owned()));
    }
    if name.starts_with(SELF_PREFIX) {
        return Err(Error::ReservedMetricName(name.to_owned()));
    }
    Ok(())
}

/// Checks one label name of `metric`.
///
/// # Errors
/// [`Error::LabelName`], with the rule that was broken.
pub fn check_label(metric: &str, label: &str) -> Result<()> {
    label_rule(label).map_err(|rule| Error::LabelName {
        metric: metric.to_owned(),
        label: label.to_owned(),
        rule,
    })
}

/// Checks a label name.
///
/// # Errors
/// The rule that was broken.
pub fn label_rule(label: &str) -> std::result::Result<(), &'static str> {
    if !matches_grammar(label, false) {
        Err(LABEL_GRAMMAR)
    } else if label.starts_with("__") {
        Err(LABEL_INTERNAL)
    } else if matches!(label, "le" | "quantile" | "process") {
        Err(LABEL_RESERVED)
    } else {
        Ok(())
    }
}

/// Checks what is put before names of metrics, with `_` between.
///
/// # Errors
/// The rule that was broken.
pub fn prefix_rule(prefix: &str) -> std::result::Result<(), &'static str> {
    if !matches_grammar(prefix, true) {
        Err("it must match [a-zA-Z_:][a-zA-Z0-9_:]*")
    } else if prefix.ends_with('_') {
        Err("it must not end in _, which is put behind it anyway")
    } else if format!("{prefix}_").starts_with(SELF_PREFIX) {
        Err("names that begin with \"tasker_telemetry_\" are the gem's own")
    } else {
        Ok(())
    }
}

fn matches_grammar(name: &str, colons: bool) -> bool {
    let allowed = |c: u8| c.is_ascii_alphanumeric() || c == b'_' || (colons && c == b':');
    !name.is_empty() && !name.as_bytes()[0].is_ascii_digit() && name.bytes().all(allowed)
}

/// Name of the OpenMetrics family: a counter's without its `_total`.
#[must_use]
pub fn family<'a>(name: &'a str, kind: &Kind) -> &'a str {
    match kind {
        Kind::Counter => name
            .strip_suffix("_total")
            .filter(|family| !family.is_empty())
            .unwrap_or(name),
        _ => name,
    }
}

/// Every name under which samples of a metric are printed, in Prometheus text or OpenMetrics, its family's included.
#[must_use]
pub fn sample_names(name: &str, kind: &Kind) -> Vec<String> {
    let suffixes: &[&str] = match kind {
        Kind::Counter => &["", "_total", "_created"],
        Kind::Gauge(_) => &[""],
        Kind::Histogram => &["", "_bucket", "_sum", "_count", "_created"],
    };
    let family = family(name, kind);
    suffixes.iter().map(|suffix| format!("{family}{suffix}")).collect()
}

/// The first sample name that metrics `a` and `b` would both print, if any.
#[must_use]
pub fn clash(a: (&str, &Kind), b: (&str, &Kind)) -> Option<String> {
    let taken = sample_names(b.0, b.1);
    sample_names(a.0, a.1).into_iter().find(|name| taken.contains(name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metric::Aggregation;

    #[test]
    fn accepts_the_grammar_and_nothing_else() {
        for good in ["a", "_a", "a:b", "http_requests_total", "A9"] {
            assert_eq!(check_metric(good), Ok(()));
        }
        for bad in ["", "9a", "a-b", "a b", "é", "a.b", "a\n"] {
            assert!(check_metric(bad).is_err(), "{bad:?}");
        }
        assert!(matches!(
            check_metric("tasker_telemetry_x"),
            Err(Error::ReservedMetricName(_))
        ));
    }

    #[test]
    fn refuses_labels_that_the_exposition_uses() {
        assert_eq!(check_label("m", "status"), Ok(()));
        for bad in ["", "1a", "a:b", "__name__", "le", "quantile", "process", "é"] {
            assert!(check_label("m", bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn finds_clashing_samples() {
        let histogram = ("latency", &Kind::Histogram);
        assert_eq!(
            clash(("latency_count", &Kind::Gauge(Aggregation::Last)), histogram).as_deref(),
            Some("latency_count")
        );
        assert_eq!(
            clash(("orders", &Kind::Counter), ("orders_total", &Kind::Counter)).as_deref(),
            Some("orders")
        );
        assert_eq!(clash(("depth", &Kind::Gauge(Aggregation::Last)), histogram), None);
    }
}
