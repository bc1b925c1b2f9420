//! Reads back what the formats write, whatever the pictures hold.

mod page;
mod pictures;
mod streaming;

use page::{Metadata, Page, Sample};
use pictures::{pictures, Number};
use proptest::prelude::*;
use serde_json::Value as Json;
use std::collections::BTreeMap;
use tasker_telemetry_core::export::formats::{Kind, Renderer};
use tasker_telemetry_core::snapshot::{Family, Point, Snapshot, Value};

fn render(kind: Kind, snapshot: &Snapshot) -> String {
    let mut out = Vec::new();
    assert!(!Renderer::new(kind, snapshot.clone()).chunk(&mut out, usize::MAX));
    String::from_utf8(out).expect("pages are UTF-8")
}

fn points(family: &Family) -> Vec<Point> {
    let mut point = Point::new();
    let mut load = |index| family.load(index, &mut point).then(|| point.clone());
    (0..family.len()).filter_map(&mut load).collect()
}

type Labels = Vec<(String, String)>;

fn labels(family: &Family, point: &Point) -> Labels {
    let owned = |(name, value): (&str, &str)| (name.to_owned(), value.to_owned());
    point.labels(&family.descriptor).map(owned).collect()
}

/// Non-cumulative buckets, made cumulative, beside their bounds.
fn cumulative(family: &Family, buckets: &[u64]) -> Vec<(f64, u64)> {
    let bounds = family
        .descriptor
        .buckets
        .as_ref()
        .expect("a histogram has bounds")
        .bounds();
    let total = |last: usize| buckets[..=last].iter().sum();
    (0..buckets.len())
        .map(|at| (bounds.get(at).copied().unwrap_or(f64::INFINITY), total(at)))
        .collect()
}

/// The samples of a text page; `open` for OpenMetrics.
fn samples(family: &Family, name: &str, open: bool) -> Vec<Sample<Number>> {
    let mut expected = Vec::new();
    for point in points(family) {
        let labels = labels(family, &point);
        let mut add = |suffix: &str, le: Option<f64>, value: Number| {
            expected.push(Sample {
                name: format!("{name}{suffix}"),
                labels: labels.clone(),
                le,
                value,
            });
        };
        let mut created = open;
        match &point.value {
            Value::Counter(count) => add(if open { "_total" } else { "" }, None, Number::of_count(count)),
            Value::Gauge(value) => {
                created = false;
                add("", None, Number::Float(*value));
            }
            Value::Histogram(histogram) => {
                let buckets = cumulative(family, &histogram.buckets);
                for (bound, total) in &buckets {
                    add("_bucket", Some(*bound), Number::Int(*total));
                }
                let count = ("_count", Number::Int(histogram.buckets.iter().sum()));
                let sum = ("_sum", Number::Float(histogram.sum));
                let ordered = if open { [count, sum] } else { [sum, count] };
                if !open || (histogram.sum >= 0.0 && buckets[0].0 >= 0.0) {
                    for (suffix, value) in ordered {
                        add(suffix, None, value);
                    }
                }
            }
        }
        if created {
            add("_created", None, Number::Float(point.created_at as f64 / 1e9));
        }
    }
    expected
}

fn text_page(snapshot: &Snapshot, open: bool) -> Page<Number> {
    let mut expected = Page::new();
    for family in snapshot.families.iter().filter(|family| !family.superseded) {
        let descriptor = &family.descriptor;
        let kind = descriptor.kind.name();
        let name = match descriptor.name.strip_suffix("_total") {
            Some(base) if open && kind == "counter" => base,
            _ => &descriptor.name,
        };
        let mut metadata = vec![Metadata::new("TYPE", name, kind)];
        if let Some(unit) = descriptor.unit.as_ref().filter(|_| open) {
            metadata.push(Metadata::new("UNIT", name, unit));
        }
        if !descriptor.help.is_empty() {
            let help = Metadata::new("HELP", name, &descriptor.help);
            metadata.insert(if open { metadata.len() } else { 0 }, help);
        }
        expected.metadata.extend(metadata);
        expected.samples.extend(samples(family, name, open));
    }
    expected.ended = open;
    expected
}

fn assert_page(text: &str, expected: &Page<Number>, quoted_help: bool) -> Result<(), TestCaseError> {
    let read = page::read(text, quoted_help);
    prop_assert_eq!(&read.metadata, &expected.metadata);
    prop_assert_eq!(read.ended, expected.ended);
    prop_assert_eq!(read.samples.len(), expected.samples.len());
    for (read, expected) in read.samples.iter().zip(&expected.samples) {
        prop_assert_eq!(&read.name, &expected.name);
        prop_assert_eq!(&read.labels, &expected.labels);
        prop_assert_eq!(read.le, expected.le);
        prop_assert!(expected.value.is_spelled(&read.value), "{:?}: {}", expected, read.value);
    }
    Ok(())
}

fn json_is(json: &Json, expected: Number) -> bool {
    match json {
        Json::String(text) => expected.is_spelled(text) && !expected.is_finite(),
        number => expected.is_finite() && expected.is_spelled(&number.to_string()),
    }
}

fn object(labels: Labels) -> Json {
    Json::Object(labels.into_iter().map(|(name, value)| (name, value.into())).collect())
}

proptest! {
    #[test]
    fn prometheus_text_reads_back(snapshot in pictures()) {
        assert_page(&render(Kind::Prometheus, &snapshot), &text_page(&snapshot, false), false)?;
    }

    #[test]
    fn openmetrics_reads_back(snapshot in pictures()) {
        assert_page(&render(Kind::OpenMetrics, &snapshot), &text_page(&snapshot, true), true)?;
    }

    #[test]
    fn json_reads_back(snapshot in pictures()) {
        let document: Json = serde_json::from_str(&render(Kind::Json, &snapshot)).expect("JSON");
        let families = document["metrics"].as_array().expect("metrics");
        prop_assert_eq!(families.len(), snapshot.families.len());
        for (read, family) in families.iter().zip(&snapshot.families) {
            let descriptor = &family.descriptor;
            prop_assert_eq!(&read["name"], &descriptor.name);
            prop_assert_eq!(&read["help"], &descriptor.help);
            prop_assert_eq!(&read["type"], descriptor.kind.name());
            prop_assert_eq!(&read["superseded"], family.superseded);
            prop_assert_eq!(read["unit"].as_str(), descriptor.unit.as_deref());
            let series = read["series"].as_array().expect("series");
            let points = points(family);
            prop_assert_eq!(series.len(), points.len());
            for (read, point) in series.iter().zip(&points) {
                prop_assert_eq!(&read["labels"], &object(labels(family, point)));
                match &point.value {
                    Value::Counter(count) => prop_assert!(json_is(&read["value"], Number::of_count(count))),
                    Value::Gauge(value) => prop_assert!(json_is(&read["value"], Number::Float(*value))),
                    Value::Histogram(histogram) => {
                        prop_assert_eq!(read["count"].as_u64(), Some(histogram.buckets.iter().sum()));
                        prop_assert!(json_is(&read["sum"], Number::Float(histogram.sum)));
                        let read = read["buckets"].as_object().expect("buckets");
                        let expected = cumulative(family, &histogram.buckets);
                        prop_assert_eq!(read.len(), expected.len());
                        let by_bound: BTreeMap<u64, &Json> = read
                            .iter()
                            .map(|(bound, total)| (bound.parse::<f64>().expect("a bound").to_bits(), total))
                            .collect();
                        for (bound, total) in expected {
                            prop_assert_eq!(by_bound[&bound.to_bits()].as_u64(), Some(total));
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn csv_reads_back(snapshot in pictures()) {
        let text = render(Kind::Csv, &snapshot);
        let mut reader = csv::Reader::from_reader(text.as_bytes());
        let rows: Vec<csv::StringRecord> = reader.records().map(|row| row.expect("a row")).collect();
        let mut expected = Vec::new();
        for family in snapshot.families.iter().filter(|family| !family.superseded) {
            // The samples of Prometheus text, under the names that the columns have for them.
            for sample in samples(family, "", false) {
                expected.push((family, sample));
            }
        }
        prop_assert_eq!(rows.len(), expected.len());
        for (row, (family, sample)) in rows.iter().zip(expected) {
            let column = sample.name.strip_prefix('_').unwrap_or("value");
            prop_assert_eq!(&row[0], &family.descriptor.name);
            prop_assert_eq!(&row[1], family.descriptor.kind.name());
            prop_assert_eq!(serde_json::from_str::<Json>(&row[2]).expect("labels"), object(sample.labels));
            prop_assert_eq!(&row[3], column);
            prop_assert_eq!(row[4].parse().ok(), sample.le);
            prop_assert!(sample.value.is_spelled(&row[5]), "{:?}: {}", sample.value, &row[5]);
            prop_assert_eq!(row[6].parse::<f64>().expect("a time"), snapshot.taken_at as f64 / 1e9);
        }
    }

    #[test]
    fn pieces_of_any_size_make_the_same_page(snapshot in pictures(), at_least in 0usize..600) {
        for kind in Kind::ALL {
            let mut whole = Vec::new();
            Renderer::new(kind, snapshot.clone()).chunk(&mut whole, usize::MAX);
            let mut renderer = Renderer::new(kind, snapshot.clone());
            let (mut joined, mut piece, mut more) = (Vec::new(), Vec::new(), true);
            while more {
                piece.clear();
                more = renderer.chunk(&mut piece, at_least);
                prop_assert!(!more || piece.len() >= at_least);
                joined.extend_from_slice(&piece);
            }
            prop_assert!(kind.is_binary() || String::from_utf8(joined.clone()).is_ok());
            prop_assert_eq!(joined, whole);
            prop_assert!(!renderer.chunk(&mut piece, at_least));
        }
    }
}
