//! Recording and reading back within one process.

use super::common::{declare, key, lines, points, registry, snapshot, total};
use std::sync::Arc;
use std::time::Duration;
use tasker_telemetry_core::arena::{Place, Quiescent, Registry, Settings, Threads, OVERFLOW_LABEL};
use tasker_telemetry_core::metric::{Aggregation, Descriptor, Kind};
use tasker_telemetry_core::snapshot::Value;

#[test]
fn counts_what_was_recorded() {
    let registry = registry(|_| {});
    let orders = declare(&registry, "orders_total", Kind::Counter, &["status"]);
    let paid = key(&["paid"]);
    orders.increment_int(paid.as_bytes(), 1);
    orders.series(&paid).increment_int(2);
    orders.increment(paid.as_bytes(), 0.5).unwrap();
    assert_eq!(total(&orders.value(paid.as_bytes()).unwrap()), 3.5);
    assert_eq!(orders.value(key(&["lost"]).as_bytes()), None);
    let all = points(&registry, "orders_total");
    assert_eq!(all.len(), 1);
    assert_eq!(all[0].0, [("status".to_owned(), "paid".to_owned())]);
    assert_eq!(total(&all[0].1), 3.5);
}

#[test]
fn integers_stay_exact_beyond_what_a_float_holds() {
    let registry = registry(|_| {});
    let bytes = declare(&registry, "bytes_total", Kind::Counter, &[]);
    bytes.increment_int(&[], 1 << 53);
    bytes.increment_int(&[], 1);
    let Some(Value::Counter(count)) = bytes.value(&[]) else {
        panic!("a counter")
    };
    assert_eq!(count.as_integer(), Some((1 << 53) + 1));
}

#[test]
fn totals_beyond_what_an_integer_holds_go_on_as_floats() {
    let registry = registry(|_| {});
    let bytes = declare(&registry, "bytes_total", Kind::Counter, &[]);
    bytes.increment_int(&[], u64::MAX);
    bytes.increment_int(&[], 5);
    let two_to_the_64 = 2f64.powi(64);
    assert_eq!(total(&bytes.value(&[]).unwrap()), two_to_the_64 + 4.0);
    bytes.increment_int(&[], u64::MAX);
    assert_eq!(total(&bytes.value(&[]).unwrap()), 2.0 * two_to_the_64);
}

#[test]
fn gauges_and_histograms() {
    let registry = registry(|_| {});
    let depth = declare(&registry, "depth", Kind::Gauge(Aggregation::Last), &[]);
    depth.set(&[], 7.0).unwrap();
    depth.increment(&[], -2.0).unwrap();
    assert_eq!(depth.value(&[]), Some(Value::Gauge(5.0)));
    let latency = declare(&registry, "latency", Kind::Histogram, &[]);
    for value in [0.05, 0.1, 0.5, 9.0] {
        latency.observe(&[], value).unwrap();
    }
    let Some(Value::Histogram(histogram)) = latency.value(&[]) else {
        panic!("a histogram")
    };
    assert_eq!(
        (histogram.buckets.as_slice(), histogram.sum),
        ([2, 1, 1].as_slice(), 9.65)
    );
}

#[test]
fn refuses_and_counts_bad_values() {
    let registry = registry(|_| {});
    let orders = declare(&registry, "orders_total", Kind::Counter, &[]);
    let depth = declare(&registry, "depth", Kind::Gauge(Aggregation::Last), &[]);
    let latency = declare(&registry, "latency", Kind::Histogram, &[]);
    assert!(orders.increment(&[], -1.0).is_err());
    assert!(orders.increment(&[], f64::NAN).is_err());
    assert!(depth.set(&[], f64::NAN).is_err());
    assert!(depth.set(&[], f64::INFINITY).is_ok());
    assert!(latency.observe(&[], f64::INFINITY).is_err());
    assert_eq!(registry.status(Quiescent::promise()).dropped["invalid_value"], 4);
}

#[test]
fn a_handle_to_a_removed_series_starts_anew() {
    let registry = registry(|_| {});
    let orders = declare(&registry, "orders_total", Kind::Counter, &["status"]);
    let paid = orders.series(&key(&["paid"]));
    paid.increment_int(5);
    assert!(paid.remove());
    assert!(!paid.remove());
    assert_eq!(paid.value(), None);
    paid.increment_int(1);
    orders.increment_int(paid.labels(), 1);
    assert_eq!(total(&paid.value().unwrap()), 2.0);
    assert_eq!(points(&registry, "orders_total").len(), 1);
    assert_eq!(orders.clear(), 1);
    assert_eq!(points(&registry, "orders_total").len(), 0);
}

#[test]
fn the_cap_sends_samples_to_one_overflow_series() {
    let registry = registry(|settings| settings.max_series = 10);
    let hits = declare(&registry, "hits_total", Kind::Counter, &["path"]);
    for path in 0..100 {
        hits.increment_int(key(&[&path.to_string()]).as_bytes(), 1);
    }
    let all = points(&registry, "hits_total");
    assert_eq!(all.len(), 11);
    let overflow = all.iter().find(|(labels, _)| labels[0].1 == OVERFLOW_LABEL).unwrap();
    assert_eq!(total(&overflow.1), 90.0);
    assert_eq!(
        total(&points(&registry, "tasker_telemetry_overflow_samples_total")[0].1),
        90.0
    );
    hits.remove(key(&["3"]).as_bytes());
    hits.increment_int(key(&["new"]).as_bytes(), 1);
    assert_eq!(total(&hits.value(key(&["new"]).as_bytes()).unwrap()), 1.0);
}

#[test]
fn removed_records_are_reused() {
    let registry = registry(|settings| settings.max_series = 100);
    let hits = declare(&registry, "hits_total", Kind::Counter, &["path"]);
    let bytes = |registry: &Arc<Registry>| registry.status(Quiescent::promise()).arena.unwrap().bytes;
    for round in 0..200 {
        for path in 0..100 {
            hits.increment_int(key(&[&format!("{round}-{path}")]).as_bytes(), 1);
        }
        for path in 0..100 {
            assert!(
                hits.remove(key(&[&format!("{round}-{path}")]).as_bytes()),
                "{round} {path}"
            );
        }
    }
    assert!(bytes(&registry) < 4 << 20, "{}", bytes(&registry));
}

#[test]
fn idle_series_expire_and_used_ones_stay() {
    let registry = registry(|settings| settings.idle_expiry = Some(Duration::from_millis(1)));
    let hits = declare(&registry, "hits_total", Kind::Counter, &["path"]);
    let (kept, idle) = (hits.series(&key(&["kept"])), hits.series(&key(&["idle"])));
    kept.increment_int(1);
    idle.increment_int(1);
    let deadline = std::time::Instant::now() + Duration::from_secs(10);
    loop {
        kept.increment_int(1);
        let left = points(&registry, "hits_total");
        assert!(left.iter().any(|(labels, _)| labels[0].1 == "kept"));
        if left.len() == 1 {
            break;
        }
        assert!(std::time::Instant::now() < deadline);
    }
    idle.increment_int(1);
    assert_eq!(total(&idle.value().unwrap()), 1.0);
}

#[test]
fn declarations_are_idempotent_and_conflicts_raise() {
    let registry = registry(|_| {});
    let a = declare(&registry, "orders_total", Kind::Counter, &["status"]);
    assert!(Arc::ptr_eq(
        &a,
        &declare(&registry, "orders_total", Kind::Counter, &["status"])
    ));
    let other = Descriptor::new("orders_total", "", None, Kind::Counter, &["plan".to_owned()], None).unwrap();
    assert!(registry.declare(other).unwrap_err().to_string().contains("plan"));
    declare(&registry, "latency", Kind::Histogram, &[]);
    assert!(registry
        .declare(Descriptor::new("latency_count", "", None, Kind::Gauge(Aggregation::Last), &[], None).unwrap())
        .is_err());
}

#[test]
fn prefix_and_default_labels() {
    let registry = registry(|settings| {
        settings.prefix = Some("shop".to_owned());
        settings.default_labels = vec![("region".to_owned(), "eu".to_owned())];
    });
    let orders = declare(&registry, "orders_total", Kind::Counter, &["status"]);
    orders.increment_int(key(&["paid"]).as_bytes(), 1);
    let all = points(&registry, "shop_orders_total");
    assert_eq!(
        all[0].0,
        [
            ("region".to_owned(), "eu".to_owned()),
            ("status".to_owned(), "paid".to_owned())
        ]
    );
    let moved = Settings {
        place: Place::Memory,
        prefix: None,
        ..Settings::default()
    };
    assert!(registry.configure(moved).is_err());
    let relabelled = Settings {
        place: Place::Memory,
        prefix: Some("shop".to_owned()),
        ..Settings::default()
    };
    registry.configure(relabelled).unwrap();
    orders.increment_int(key(&["paid"]).as_bytes(), 1);
    assert_eq!(points(&registry, "shop_orders_total").len(), 2);
}

#[test]
fn disabled_instruments_do_nothing() {
    let registry = registry(|settings| settings.enabled = false);
    let orders = declare(&registry, "orders_total", Kind::Counter, &[]);
    orders.increment_int(&[], 1);
    assert_eq!(orders.value(&[]), None);
    assert!(snapshot(&registry).families.is_empty());
    registry
        .configure(Settings {
            place: Place::Memory,
            ..Settings::default()
        })
        .unwrap();
    orders.increment_int(&[], 1);
    assert_eq!(total(&orders.value(&[]).unwrap()), 1.0);
}

#[test]
fn threads_lose_nothing() {
    let registry = Registry::new(Threads::Parallel);
    registry
        .configure(Settings {
            place: Place::Memory,
            ..Settings::default()
        })
        .unwrap();
    let hits = declare(&registry, "hits_total", Kind::Counter, &["path"]);
    let latency = declare(&registry, "latency", Kind::Histogram, &[]);
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                for round in 0..20_000u32 {
                    hits.increment_int(key(&[&(round % 50).to_string()]).as_bytes(), 1);
                    latency.observe(&[], 0.5).unwrap();
                }
            });
        }
    });
    let all = points(&registry, "hits_total");
    assert_eq!(all.len(), 50);
    assert_eq!(all.iter().map(|(_, value)| total(value)).sum::<f64>(), 160_000.0);
    let Some(Value::Histogram(histogram)) = latency.value(&[]) else {
        panic!("a histogram")
    };
    assert_eq!((histogram.count(), histogram.sum), (160_000, 80_000.0));
}

#[test]
fn totals_of_both_kinds_never_go_round() {
    let registry = registry(|_| {});
    let counter = declare(&registry, "x_total", Kind::Counter, &[]);
    counter.increment_int(&[], u64::MAX - 1);
    counter.increment(&[], 5.0).unwrap();
    assert_eq!(lines(&registry, "x_total"), ["x_total 1.8446744073709552e19"]);
}

#[test]
fn the_cap_never_keeps_out_what_tells_of_caps() {
    let registry = registry(|settings| settings.max_series = 1);
    for name in ["a_total", "b_total", "c_total"] {
        let counter = declare(&registry, name, Kind::Counter, &["x"]);
        for value in ["1", "2"] {
            counter.increment_int(key(&[value]).as_bytes(), 1);
        }
    }
    let told = lines(&registry, "tasker_telemetry_overflow_samples_total{");
    let expected =
        ["a", "b", "c"].map(|name| format!("tasker_telemetry_overflow_samples_total{{metric=\"{name}_total\"}} 1"));
    assert_eq!(told, expected);
}

#[test]
fn what_tells_of_drops_does_not_expire() {
    let registry = registry(|settings| {
        settings.max_series = 1;
        settings.idle_expiry = Some(Duration::from_millis(1));
    });
    let counter = declare(&registry, "x_total", Kind::Counter, &["a"]);
    for value in ["1", "2"] {
        counter.increment_int(key(&[value]).as_bytes(), 1);
    }
    let deadline = std::time::Instant::now() + Duration::from_secs(30);
    while !points(&registry, "x_total").is_empty() {
        assert!(std::time::Instant::now() < deadline);
    }
    assert_eq!(lines(&registry, "tasker_telemetry_overflow_samples_total{").len(), 1);
}

#[test]
fn what_a_page_kept_goes_to_other_labels_afterwards() {
    let registry = registry(|settings| settings.max_series = 1_000_000);
    let counter = declare(&registry, "x_total", Kind::Counter, &["a"]);
    let count = |number: u64| counter.increment_int(key(&[&number.to_string()]).as_bytes(), 1);
    (0..2_000).for_each(count);
    let scrape = registry.begin_scrape(Quiescent::promise());
    for number in 0..1_000u64 {
        counter.remove(key(&[&number.to_string()]).as_bytes());
    }
    (10_000..10_500).for_each(count);
    assert_eq!(points(&registry, "x_total").len(), 1_500);
    drop(scrape);
    // What the page kept goes to other labels now: the arena does not grow any more.
    snapshot(&registry);
    let bytes = || registry.status(Quiescent::promise()).arena.unwrap().bytes;
    let before = bytes();
    (20_000..20_900).for_each(count);
    assert_eq!(bytes(), before);
}
