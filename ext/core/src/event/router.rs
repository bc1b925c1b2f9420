//! From names to routes.

use super::catalogue;
use super::entry::Entry;
use super::mapping::Mapping;
use super::pattern;
use super::registered::Registered;
use super::route::Route;
use hashbrown::HashTable;
use parking_lot::RwLock;
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::Arc;
use xxhash_rust::xxh3::xxh3_64;

/// How many names are remembered.
const CACHED: usize = 10_000;

/// What was mapped.
#[derive(Debug, Default)]
struct Mapped {
    exact: HashMap<String, Arc<Mapping>>,
    /// The one that is meant first: by literal characters, then the one mapped last.
    globs: Vec<Arc<Mapping>>,
}

/// Mappings, and the routes that follow from them.
///
/// Lock order: `mapped`, then `cache`. Neither is held while anything else is called.
#[derive(Debug, Default)]
pub(super) struct Router {
    mapped: RwLock<Mapped>,
    generation: AtomicU64,
    cache: RwLock<HashTable<(u64, Arc<Route>)>>,
    pub registered: Registered,
}

impl Router {
    /// Maps a pattern; one that is mapped already is replaced.
    pub fn map(&self, mut mapping: Mapping) {
        let mut mapped = self.mapped.write();
        if mapping.is_glob() {
            let same = |other: &Arc<Mapping>| other.pattern == mapping.pattern;
            if let Some(at) = mapped.globs.iter().position(same) {
                let before = mapped.globs.remove(at);
                mapping.succeed(&before);
            }
            let literals = pattern::literals(&mapping.pattern);
            let at = mapped
                .globs
                .partition_point(|other| pattern::literals(&other.pattern) > literals);
            mapped.globs.insert(at, Arc::new(mapping));
        } else {
            if let Some(before) = mapped.exact.get(&mapping.pattern) {
                mapping.succeed(before);
            }
            mapped.exact.insert(mapping.pattern.clone(), Arc::new(mapping));
        }
        self.forget();
    }

    /// Takes back what was mapped; `false` when there was nothing.
    pub fn unmap(&self, pattern: &str) -> bool {
        let mut mapped = self.mapped.write();
        let before = mapped.globs.len();
        mapped.globs.retain(|mapping| mapping.pattern != pattern);
        let removed = mapped.exact.remove(pattern).is_some() || mapped.globs.len() != before;
        self.forget();
        removed
    }

    /// Takes back everything that was mapped or registered.
    pub fn clear(&self) {
        let mut mapped = self.mapped.write();
        *mapped = Mapped::default();
        self.registered.clear();
        self.forget();
    }

    /// Makes every route anew. To be called with `mapped` held.
    fn forget(&self) {
        let mut cache = self.cache.write();
        self.generation.fetch_add(1, Ordering::Release);
        cache.clear();
    }

    /// Makes routes anew after something was registered.
    pub fn renew(&self) {
        let _mapped = self.mapped.write();
        self.forget();
    }

    pub fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    /// The route of a name.
    #[inline]
    pub fn route(&self, name: &str) -> Arc<Route> {
        let hash = xxh3_64(name.as_bytes());
        {
            let cache = self.cache.read();
            if let Some((_, route)) = cache.find(hash, |(_, route)| *route.name == *name) {
                return Arc::clone(route);
            }
        }
        self.find(name, hash)
    }

    #[cold]
    fn find(&self, name: &str, hash: u64) -> Arc<Route> {
        let generation = self.generation();
        let route = Arc::new(Route::new(name, generation, self.mapping(name)));
        if name.len() > super::mapping::MAX_NAME {
            return route;
        }
        let mut cache = self.cache.write();
        // What was mapped in between makes the route an old one.
        if generation != self.generation() {
            return route;
        }
        if let Some((_, faster)) = cache.find(hash, |(_, route)| *route.name == *name) {
            return Arc::clone(faster);
        }
        if cache.len() >= CACHED {
            cache.clear();
        }
        cache.insert_unique(hash, (hash, Arc::clone(&route)), |(hash, _)| *hash);
        route
    }

    /// The mapping of a name: what was mapped, else what the catalogue says.
    pub fn mapping(&self, name: &str) -> Option<Arc<Mapping>> {
        let mapped = {
            let mapped = self.mapped.read();
            let glob = || {
                mapped
                    .globs
                    .iter()
                    .find(|mapping| pattern::matches(&mapping.pattern, name))
            };
            mapped.exact.get(name).or_else(glob).cloned()
        };
        mapped.or_else(|| {
            let custom = || self.registered.contains(name).then(|| catalogue::custom_mapping(name));
            let default = catalogue::built_in(name).map(Entry::mapping).or_else(custom);
            default.map(Arc::new)
        })
    }

    /// What was mapped: exact names in order, then patterns, the one that is meant first first.
    pub fn mappings(&self) -> Vec<Arc<Mapping>> {
        let mapped = self.mapped.read();
        let mut exact: Vec<_> = mapped.exact.values().cloned().collect();
        exact.sort_by(|a, b| a.pattern.cmp(&b.pattern));
        exact.extend(mapped.globs.iter().cloned());
        exact
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::mapping::Label;
    use proptest::prelude::*;

    fn mapping(pattern: &str, priority: &str) -> Mapping {
        Mapping::new(pattern, &["logs"], 1.0, priority, Vec::new(), true).unwrap()
    }

    #[test]
    fn the_most_specific_mapping_is_meant() {
        let router = Router::default();
        let meant = |name: &str| router.mapping(name).map(|mapping| mapping.pattern.clone());
        for pattern in ["*", "order.*", "*.completed", "order.line.*", "order.completed"] {
            router.map(mapping(pattern, "low"));
        }
        assert_eq!(meant("order.completed").as_deref(), Some("order.completed"));
        assert_eq!(meant("order.line.completed").as_deref(), Some("order.line.*"));
        assert_eq!(meant("order.failed").as_deref(), Some("order.*"));
        assert_eq!(meant("cart.completed").as_deref(), Some("*.completed"));
        assert_eq!(meant("cart.failed").as_deref(), Some("*"));
        // Users' mappings go before the catalogue's, however general.
        assert_eq!(meant("task.failed").as_deref(), Some("*"));
        router.unmap("*");
        assert_eq!(meant("task.failed").as_deref(), Some("task.failed"));
        assert_eq!(meant("cart.failed"), None);
    }

    #[test]
    fn of_equals_the_last_is_meant() {
        let router = Router::default();
        let meant = || router.mapping("order.failed").unwrap().pattern.clone();
        router.map(mapping("order.*", "low"));
        router.map(mapping("*failed", "low"));
        router.map(mapping("*.faile*", "low"));
        assert_eq!(meant(), "*.faile*");
        router.map(mapping("*failed*", "low"));
        router.map(mapping("*r.fail*", "low"));
        assert_eq!(meant(), "*r.fail*");
        router.map(mapping("*.faile*", "low"));
        assert_eq!(meant(), "*.faile*");
    }

    #[test]
    fn mapping_again_replaces_at_once() {
        let router = Router::default();
        router.map(mapping("order.*", "low"));
        let before = router.route("order.failed");
        assert_eq!(before.decision(true).priority, crate::event::Priority::Low);
        router.map(mapping("order.*", "high"));
        assert_ne!(before.generation, router.generation());
        assert_eq!(
            router.route("order.failed").decision(true).priority,
            crate::event::Priority::High
        );
        assert_eq!(router.mappings().len(), 1);
    }

    #[test]
    fn limits_outlive_the_mapping_that_they_came_with() {
        let router = Router::default();
        let limited = || {
            let labels = vec![Label::new("status", "status", Some(1))];
            Mapping::new("order.*", &["logs"], 1.0, "low", labels, true).unwrap()
        };
        router.map(limited());
        let limit = |router: &Router| Arc::clone(router.mapping("order.x").unwrap().labels[0].limit.as_ref().unwrap());
        assert!(limit(&router).admits("paid"));
        router.map(limited());
        assert!(!limit(&router).admits("open"));
    }

    #[test]
    fn remembers_a_bounded_number_of_names() {
        let router = Router::default();
        router.map(mapping("*", "low"));
        for name in 0..25_000 {
            router.route(&format!("event.{name}"));
        }
        router.route(&"x".repeat(1_000_000));
        assert!(router.cache.read().len() <= CACHED);
        assert!(Arc::ptr_eq(&router.route("event.24999"), &router.route("event.24999")));
    }

    #[test]
    fn routes_while_others_map() {
        let router = Router::default();
        router.map(mapping("order.*", "low"));
        let stop = std::sync::atomic::AtomicBool::new(false);
        std::thread::scope(|scope| {
            let readers: Vec<_> = (0..10)
                .map(|thread| {
                    let (router, stop) = (&router, &stop);
                    scope.spawn(move || {
                        let mut routed = 0_u64;
                        while !stop.load(Ordering::Relaxed) || routed < 1000 {
                            let route = router.route(&format!("order.{}", (routed + thread) % 50));
                            assert!(route.backends().logs, "an order is always mapped");
                            routed += 1;
                        }
                        routed
                    })
                })
                .collect();
            for round in 0..500 {
                router.map(mapping("order.*", if round % 2 == 0 { "high" } else { "low" }));
                router.map(mapping(&format!("order.{}", round % 50), "high"));
                router.unmap(&format!("order.{}", (round + 25) % 50));
            }
            router.map(mapping("order.*", "critical"));
            stop.store(true, Ordering::Relaxed);
            assert!(readers.into_iter().all(|reader| reader.join().unwrap() >= 1000));
        });
        // Nothing that was looked up on the way has outlived what was mapped last.
        assert_eq!(
            router.route("order.x").decision(true).priority,
            crate::event::Priority::Critical
        );
        for number in 0..50 {
            let route = router.route(&format!("order.{number}"));
            let mapping = router.mapping(&format!("order.{number}")).unwrap();
            assert_eq!(route.decision(true).priority, mapping.priority);
        }
    }

    proptest! {
        /// Against the rule as it is written.
        #[test]
        fn means_what_the_rule_says(patterns in proptest::collection::vec("[ab*]{1,4}", 0..8), name in "[ab]{1,4}") {
            let router = Router::default();
            let mut order: Vec<String> = Vec::new();
            for pattern in patterns {
                router.map(mapping(&pattern, "low"));
                order.retain(|other| *other != pattern);
                order.push(pattern);
            }
            let rank = |pattern: &String| (!pattern::is_glob(pattern), pattern::literals(pattern));
            let meant = order.iter().filter(|pattern| pattern::matches(pattern, &name)).max_by_key(|pattern| rank(pattern));
            prop_assert_eq!(router.mapping(&name).map(|mapping| mapping.pattern.clone()), meant.cloned());
        }
    }
}
