//! The events that the application registered.

use super::catalogue::built_in;
use super::error::{Error, Result};
use super::mapping::MAX_NAME;
use super::pattern;
use parking_lot::RwLock;
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

/// An event that the application registered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Custom {
    pub description: String,
    pub payload_keys: Vec<String>,
}

/// How many custom events may be registered.
const MOST: usize = 10_000;

/// Events that the application registered.
#[derive(Debug, Default)]
pub(super) struct Registered(RwLock<BTreeMap<String, Arc<Custom>>>);

impl Registered {
    /// Registers an event; again, it replaces what is known of it.
    pub fn add(&self, name: &str, description: &str, payload_keys: &[String]) -> Result<()> {
        let refuse = |rule: Cow<'static, str>| Error::Name {
            name: name.chars().take(64).collect(),
            rule,
        };
        if name.is_empty() || name.len() > MAX_NAME {
            return Err(refuse(format!("a name has 1 to {MAX_NAME} bytes").into()));
        }
        if pattern::is_glob(name) {
            return Err(refuse(
                "it is a pattern; an event has one name, and patterns are mapped".into(),
            ));
        }
        if built_in(name).is_some() {
            return Err(refuse(
                "it is one of the catalogue's own; give yours another name".into(),
            ));
        }
        let mut events = self.0.write();
        if events.len() >= MOST && !events.contains_key(name) {
            return Err(refuse(format!("at most {MOST} events can be registered").into()));
        }
        let custom = Custom {
            description: description.to_owned(),
            payload_keys: payload_keys.to_vec(),
        };
        events.insert(name.to_owned(), Arc::new(custom));
        Ok(())
    }

    pub fn contains(&self, name: &str) -> bool {
        self.0.read().contains_key(name)
    }

    pub fn find(&self, name: &str) -> Option<Arc<Custom>> {
        self.0.read().get(name).cloned()
    }

    pub fn names(&self) -> Vec<String> {
        self.0.read().keys().cloned().collect()
    }

    pub fn clear(&self) {
        self.0.write().clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_custom_events_but_not_those_it_knows() {
        let registered = Registered::default();
        registered
            .add("order.completed", "An order is done", &["order_id".to_owned()])
            .unwrap();
        assert!(registered.contains("order.completed"));
        let refused = |name: &str| registered.add(name, "", &[]).unwrap_err().to_string();
        assert_eq!(
            refused("task.completed"),
            "event \"task.completed\" cannot be registered: it is one of the catalogue's own; give yours another name"
        );
        assert!(refused("").contains("1 to 255 bytes"));
        assert!(refused("order.*").contains("pattern"));
    }
}
