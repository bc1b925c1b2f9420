//! The catalogue as people read it.

use super::catalogue::{self, BUILT_IN};
use super::entry::Entry;
use super::instruments::{counter_name, timer_name};
use super::mapping::{Label, Priority};
use super::route::Route;
use super::router::Router;
use super::told::{Family, Kind};
use crate::event::pattern;
use serde::Serialize;
use std::collections::BTreeSet;

/// An event that is known by name.
#[derive(Debug, Clone, Serialize)]
pub struct Listed {
    /// The event's name.
    pub name: String,
    /// What it tells; empty where it was only mapped.
    pub description: String,
    /// What its payload brings, as far as is known.
    pub payload_keys: Vec<String>,
    /// Where in the course of events it stands.
    pub kind: Kind,
    /// Who takes it; nobody where its mapping is off.
    pub backends: Vec<&'static str>,
    /// The share that is taken.
    pub sample: f64,
    /// How dear it is.
    pub priority: Priority,
    /// Whether its mapping is on.
    pub enabled: bool,
    /// What becomes a label.
    pub labels: Vec<Label>,
    /// What it is counted in.
    pub metrics: Vec<ListedMetric>,
    /// Whether the application brought it.
    pub custom: bool,
}

/// A metric that an event makes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ListedMetric {
    /// Its name, without the application's prefix.
    pub name: String,
    /// `counter` or `histogram`
    pub kind: &'static str,
    /// Names of its labels.
    pub labels: Vec<String>,
}

/// The catalogue's events in its own order, then the application's by name.
pub(super) fn list(router: &Router) -> Vec<Listed> {
    let mut custom: BTreeSet<String> = router.registered.names().into_iter().collect();
    let mapped = router.mappings();
    let named = mapped.iter().filter(|mapping| !pattern::is_glob(mapping.pattern()));
    custom.extend(named.map(|mapping| mapping.pattern().to_owned()));
    let custom = custom
        .iter()
        .map(String::as_str)
        .filter(|name| catalogue::built_in(name).is_none());
    let names = BUILT_IN.iter().map(|entry| entry.name).chain(custom);
    names.map(|name| listed(router, name)).collect()
}

fn listed(router: &Router, name: &str) -> Listed {
    let route = router.route(name);
    let mapping = router.mapping(name);
    let registered = router.registered.find(name);
    let (description, payload_keys) = match (route.entry, &registered) {
        (
            Some(Entry {
                description,
                payload_keys,
                ..
            }),
            _,
        ) => {
            let keys = payload_keys.iter().map(|key| (*key).to_owned()).collect();
            ((*description).to_owned(), keys)
        }
        (None, Some(custom)) => (custom.description.clone(), custom.payload_keys.clone()),
        (None, None) => Default::default(),
    };
    Listed {
        name: name.to_owned(),
        description,
        payload_keys,
        kind: route.kind(),
        backends: route.backends().names().collect(),
        sample: mapping.as_ref().map_or(0.0, |mapping| mapping.sample()),
        priority: mapping
            .as_ref()
            .map_or_else(Default::default, |mapping| mapping.priority()),
        enabled: mapping.as_ref().is_some_and(|mapping| mapping.is_enabled()),
        labels: route.labels().to_vec(),
        metrics: metrics(router, &route),
        custom: route.entry.is_none(),
    }
}

fn metrics(router: &Router, route: &Route) -> Vec<ListedMetric> {
    if !route.backends().metrics {
        return Vec::new();
    }
    let metric = |name, kind, labels: Vec<(String, _)>| ListedMetric {
        name,
        kind,
        labels: labels.into_iter().map(|(label, _)| label).collect(),
    };
    let name = counter_name(route.name(), route.family(), route.transition());
    let mut metrics = vec![metric(name, "counter", super::instruments::counter_labels(route))];
    // A task or step has a length at its end; other points in the catalogue only when published around a block.
    let engine = matches!(route.family(), Family::Task | Family::Step);
    if route.kind() == Kind::End || (route.kind() == Kind::Point && !engine) {
        let (name, _) = timer_name(route.name(), route.outcome(), route.kind());
        metrics.push(metric(
            name,
            "histogram",
            super::instruments::timer_labels(router, route),
        ));
    }
    metrics
}

#[cfg(test)]
mod tests {
    use crate::event::testing::{events, map};

    #[test]
    fn lists_what_is_built_in_registered_and_mapped() {
        let events = events();
        events
            .register("order.shipped", "An order left", &["order_id".to_owned()])
            .unwrap();
        map(&events, "cart.completed", &["metrics", "logs"], &["plan"]);
        map(&events, "cart.*", &["logs"], &[]);
        let list = events.list();
        assert_eq!(list.len(), 56 + 2);
        let listed = |name: &str| serde_json::to_value(list.iter().find(|event| event.name == name).unwrap()).unwrap();
        assert_eq!(
            listed("order.shipped"),
            serde_json::json!({
                "name": "order.shipped", "description": "An order left", "payload_keys": ["order_id"], "kind": "point",
                "backends": ["metrics", "traces"], "sample": 1.0, "priority": "normal", "enabled": true, "labels": [],
                "metrics": [
                    { "name": "order_shipped_total", "kind": "counter", "labels": [] },
                    { "name": "order_shipped_duration_seconds", "kind": "histogram", "labels": [] }
                ],
                "custom": true
            })
        );
        assert_eq!(
            listed("cart.completed"),
            serde_json::json!({
                "name": "cart.completed", "description": "", "payload_keys": [], "kind": "end",
                "backends": ["metrics", "logs"], "sample": 1.0, "priority": "normal", "enabled": true,
                "labels": [{ "key": "plan", "label": "plan" }],
                "metrics": [
                    { "name": "cart_completed_total", "kind": "counter", "labels": ["plan"] },
                    { "name": "cart_duration_seconds", "kind": "histogram", "labels": ["plan", "outcome"] }
                ],
                "custom": true
            })
        );
        let failed = listed("step.failed");
        assert_eq!(failed["custom"], false);
        assert_eq!(
            failed["metrics"],
            serde_json::json!([
                { "name": "step_failed_total", "kind": "counter", "labels": ["task_name", "namespace", "step_name"] },
                {
                    "name": "step_duration_seconds", "kind": "histogram",
                    "labels": ["task_name", "namespace", "step_name", "outcome"]
                }
            ])
        );
        assert_eq!(listed("memory.spike_detected")["priority"], "critical");
        assert_eq!(listed("step.handle")["metrics"], serde_json::json!([]));
    }
}
