use super::Format;
use crate::export::protobuf::begin;
use crate::metric::{Descriptor, Kind};
use crate::snapshot::{Count, Exemplar, Family, HistogramValue, Point, Snapshot, Value};
use opentelemetry_proto::tonic::common::v1::{any_value, AnyValue, InstrumentationScope, KeyValue};
use opentelemetry_proto::tonic::metrics::v1 as proto;
use opentelemetry_proto::tonic::metrics::v1::{exemplar, number_data_point};
use opentelemetry_proto::tonic::resource::v1::Resource;
use prost::encoding::message;
use prost::Message;

/// An `ExportMetricsServiceRequest` of OpenTelemetry's protocol, as protobuf
/// (<https://opentelemetry.io/docs/specs/otlp/>).
///
/// Metrics have the names that pages print, so that a series is the same one whichever way it comes. Counters are
/// monotonic sums, integers as long as that is exact; histograms have explicit bounds; both are cumulative since their
/// series' creation. Labels are attributes, known units are spelled as OpenTelemetry spells them, and exemplars carry the
/// ids of their spans. A metric without series is left out. So is the sum of a histogram that observes negative values,
/// as the protocol wants it.
///
/// Protobuf says of each message how long it is before it comes, so a metric is held back until its end, or until it has
/// [`PIECE`] bytes: one of very many series comes in several parts of the same name, and a large request in several
/// `ResourceMetrics` of the same resource, as if it had been sent in several requests.
#[derive(Debug, Default)]
pub struct Otlp {
    /// A `ResourceMetrics` and a `ScopeMetrics`, each without what is inside of it.
    resource: Vec<u8>,
    scope: Vec<u8>,
    taken_at: u64,
    /// The family's `Metric`, without its points; the field that they are in, and what is beside them there.
    metric: Vec<u8>,
    field: u32,
    beside: Vec<u8>,
    bounds: Vec<f64>,
    negative_bounds: bool,
    /// Points that are held back, and metrics.
    points: Vec<u8>,
    metrics: Vec<u8>,
}

/// How much is held back before it is written.
const PIECE: usize = 32 * 1024;

const CUMULATIVE: i32 = proto::AggregationTemporality::Cumulative as i32;
/// Fields of `Metric`.
const GAUGE: u32 = 5;
const SUM: u32 = 7;
const HISTOGRAM: u32 = 9;

impl Otlp {
    /// Metrics of a resource with these attributes.
    #[must_use]
    pub fn new(resource: &[(String, String)]) -> Self {
        let attributes = resource.iter().map(|(name, value)| attribute(name, value)).collect();
        Self {
            resource: proto::ResourceMetrics {
                resource: Some(Resource {
                    attributes,
                    ..Resource::default()
                }),
                ..proto::ResourceMetrics::default()
            }
            .encode_to_vec(),
            ..Self::default()
        }
    }

    fn end_metric(&mut self) {
        if self.points.is_empty() {
            return;
        }
        let data = self.points.len() + self.beside.len();
        let mut heading = Vec::new();
        begin(self.field, data, &mut heading);
        begin(2, self.metric.len() + heading.len() + data, &mut self.metrics);
        for part in [&self.metric, &heading, &self.points, &self.beside] {
            self.metrics.extend_from_slice(part);
        }
        self.points.clear();
    }

    fn end_resource(&mut self, out: &mut Vec<u8>) {
        if self.metrics.is_empty() {
            return;
        }
        let mut scope = Vec::with_capacity(8);
        let metrics = self.scope.len() + self.metrics.len();
        begin(2, metrics, &mut scope);
        begin(1, self.resource.len() + scope.len() + metrics, out);
        for part in [&self.resource, &scope, &self.scope, &self.metrics] {
            out.extend_from_slice(part);
        }
        self.metrics.clear();
    }

    fn number(
        &self,
        point: &Point,
        attributes: Vec<KeyValue>,
        value: number_data_point::Value,
    ) -> proto::NumberDataPoint {
        proto::NumberDataPoint {
            attributes,
            time_unix_nano: self.taken_at,
            exemplars: point.exemplars.iter().map(|(_, found)| exemplar(found)).collect(),
            value: Some(value),
            ..proto::NumberDataPoint::default()
        }
    }

    fn histogram(&self, point: &Point, attributes: Vec<KeyValue>, value: &HistogramValue) -> proto::HistogramDataPoint {
        proto::HistogramDataPoint {
            attributes,
            start_time_unix_nano: self.start(point),
            time_unix_nano: self.taken_at,
            count: value.count(),
            sum: (value.sum >= 0.0 && !self.negative_bounds).then_some(value.sum),
            bucket_counts: value.buckets.clone(),
            explicit_bounds: self.bounds.clone(),
            exemplars: point.exemplars.iter().map(|(_, found)| exemplar(found)).collect(),
            ..proto::HistogramDataPoint::default()
        }
    }

    /// When the series began; one that is younger than the picture began with it.
    fn start(&self, point: &Point) -> u64 {
        point.created_at.min(self.taken_at)
    }
}

impl Format for Otlp {
    fn begin(&mut self, snapshot: &Snapshot, _out: &mut Vec<u8>) {
        self.taken_at = snapshot.taken_at;
        self.scope = proto::ScopeMetrics {
            scope: Some(InstrumentationScope {
                name: "tasker_telemetry".to_owned(),
                version: env!("CARGO_PKG_VERSION").to_owned(),
                ..InstrumentationScope::default()
            }),
            ..proto::ScopeMetrics::default()
        }
        .encode_to_vec();
    }

    fn begin_family(&mut self, family: &Family, _out: &mut Vec<u8>) {
        let descriptor = &*family.descriptor;
        self.metric = proto::Metric {
            name: descriptor.name.clone(),
            description: descriptor.help.clone(),
            unit: descriptor.unit.as_deref().map(unit).unwrap_or_default(),
            ..proto::Metric::default()
        }
        .encode_to_vec();
        (self.field, self.beside) = match descriptor.kind {
            Kind::Counter => (
                SUM,
                proto::Sum {
                    aggregation_temporality: CUMULATIVE,
                    is_monotonic: true,
                    ..proto::Sum::default()
                }
                .encode_to_vec(),
            ),
            Kind::Gauge(_) => (GAUGE, Vec::new()),
            Kind::Histogram => (
                HISTOGRAM,
                proto::Histogram {
                    aggregation_temporality: CUMULATIVE,
                    ..proto::Histogram::default()
                }
                .encode_to_vec(),
            ),
        };
        self.bounds = descriptor
            .buckets
            .as_ref()
            .map_or_else(Vec::new, |buckets| buckets.bounds().to_vec());
        self.negative_bounds = self.bounds.first().is_some_and(|bound| *bound < 0.0);
    }

    fn point(&mut self, descriptor: &Descriptor, point: &Point, out: &mut Vec<u8>) {
        let attributes = point
            .labels(descriptor)
            .map(|(name, value)| attribute(name, value))
            .collect();
        match &point.value {
            Value::Counter(total) => {
                let mut number = self.number(point, attributes, count(total));
                number.start_time_unix_nano = self.start(point);
                message::encode(1, &number, &mut self.points);
            }
            Value::Gauge(value) => {
                let number = self.number(point, attributes, number_data_point::Value::AsDouble(*value));
                message::encode(1, &number, &mut self.points);
            }
            Value::Histogram(value) => {
                let histogram = self.histogram(point, attributes, value);
                message::encode(1, &histogram, &mut self.points);
            }
        }
        if self.points.len() >= PIECE {
            self.end_metric();
            self.end_resource(out);
        }
    }

    fn end_family(&mut self, _family: &Family, out: &mut Vec<u8>) {
        self.end_metric();
        if self.metrics.len() >= PIECE {
            self.end_resource(out);
        }
    }

    fn end(&mut self, out: &mut Vec<u8>) {
        self.end_resource(out);
    }
}

fn attribute(name: &str, value: &str) -> KeyValue {
    KeyValue {
        key: name.to_owned(),
        value: Some(AnyValue {
            value: Some(any_value::Value::StringValue(value.to_owned())),
        }),
        ..KeyValue::default()
    }
}

fn count(total: &Count) -> number_data_point::Value {
    match total.as_integer().and_then(|total| i64::try_from(total).ok()) {
        Some(total) => number_data_point::Value::AsInt(total),
        None => number_data_point::Value::AsDouble(total.as_f64()),
    }
}

fn exemplar(found: &Exemplar) -> proto::Exemplar {
    proto::Exemplar {
        time_unix_nano: found.at,
        span_id: found.span_id.to_vec(),
        trace_id: found.trace_id.to_vec(),
        value: Some(exemplar::Value::AsDouble(found.value)),
        ..proto::Exemplar::default()
    }
}

/// A unit by its name in UCUM, which OpenTelemetry uses; what has none there is an annotation.
fn unit(name: &str) -> String {
    match name {
        "nanoseconds" => "ns",
        "microseconds" => "us",
        "milliseconds" => "ms",
        "seconds" => "s",
        "minutes" => "min",
        "hours" => "h",
        "days" => "d",
        "bits" => "bit",
        "bytes" => "By",
        "kilobytes" => "kBy",
        "megabytes" => "MBy",
        "gigabytes" => "GBy",
        "kibibytes" => "KiBy",
        "mebibytes" => "MiBy",
        "gibibytes" => "GiBy",
        "meters" => "m",
        "grams" => "g",
        "kilograms" => "kg",
        "celsius" => "Cel",
        "hertz" => "Hz",
        "joules" => "J",
        "watts" => "W",
        "volts" => "V",
        "amperes" => "A",
        "ratio" => "1",
        "percent" => "%",
        other => return format!("{{{other}}}"),
    }
    .to_owned()
}

#[cfg(test)]
mod tests {
    use super::super::testing::{counter, shop};
    use super::super::Renderer;
    use super::*;
    use crate::metric::LabelKey;
    use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
    use proto::metric::Data;
    use proto::number_data_point::Value as Number;
    use std::sync::Arc;

    fn request(format: Otlp, snapshot: Snapshot) -> ExportMetricsServiceRequest {
        let mut out = Vec::new();
        assert!(!Renderer::with(Box::new(format), snapshot).chunk(&mut out, usize::MAX));
        ExportMetricsServiceRequest::decode(&*out).unwrap()
    }

    fn text(attributes: &[KeyValue]) -> Vec<(String, String)> {
        let text = |attribute: &KeyValue| match attribute.value.as_ref().and_then(|value| value.value.as_ref()) {
            Some(any_value::Value::StringValue(value)) => (attribute.key.clone(), value.clone()),
            other => panic!("{other:?}"),
        };
        attributes.iter().map(text).collect()
    }

    fn pair(name: &str, value: &str) -> (String, String) {
        (name.to_owned(), value.to_owned())
    }

    #[test]
    fn writes_a_whole_request() {
        let resource = [pair("service.name", "shop"), pair("service.instance.id", "0a1b")];
        let mut snapshot = shop();
        snapshot.taken_at = 1_700_000_060_000_000_000;
        let request = request(Otlp::new(&resource), snapshot);
        let [of_resource] = &request.resource_metrics[..] else {
            panic!("{} resources", request.resource_metrics.len())
        };
        assert_eq!(text(&of_resource.resource.as_ref().unwrap().attributes), resource);
        let [scope] = &of_resource.scope_metrics[..] else {
            panic!("{} scopes", of_resource.scope_metrics.len())
        };
        assert_eq!(scope.scope.as_ref().unwrap().name, "tasker_telemetry");
        let units: Vec<_> = scope
            .metrics
            .iter()
            .map(|metric| (&*metric.name, &*metric.unit))
            .collect();
        assert_eq!(
            units,
            [
                ("balance", ""),
                ("checkout_seconds", "s"),
                ("heat", ""),
                ("orders", ""),
                ("queue_depth", ""),
                ("read_bytes_total", "By"),
            ]
        );
        let metric = |name: &str| scope.metrics.iter().find(|metric| metric.name == name).unwrap();

        let Some(Data::Sum(orders)) = &metric("orders").data else {
            panic!()
        };
        assert_eq!(metric("orders").description, "Orders \\ \"placed\"\n");
        assert!(orders.is_monotonic);
        assert_eq!(orders.aggregation_temporality, CUMULATIVE);
        let values: Vec<_> = orders.data_points.iter().map(|point| point.value.unwrap()).collect();
        assert_eq!(values, [Number::AsInt(9_007_199_254_740_993), Number::AsDouble(2.5)]);
        assert_eq!(
            text(&orders.data_points[0].attributes),
            [pair("region", "eu"), pair("status", "pa\"id\\\n"), pair("queue", "")]
        );
        assert_eq!(orders.data_points[0].start_time_unix_nano, 1_700_000_000_250_000_000);
        assert_eq!(orders.data_points[0].time_unix_nano, 1_700_000_060_000_000_000);

        let Some(Data::Gauge(depth)) = &metric("queue_depth").data else {
            panic!()
        };
        assert_eq!(depth.data_points[0].value, Some(Number::AsDouble(f64::INFINITY)));
        assert_eq!(
            text(&depth.data_points[0].attributes),
            [pair("region", "eu"), pair("process", "host-1")]
        );

        let Some(Data::Histogram(checkout)) = &metric("checkout_seconds").data else {
            panic!()
        };
        assert_eq!(checkout.aggregation_temporality, CUMULATIVE);
        let point = &checkout.data_points[0];
        assert_eq!((point.count, point.sum), (4, Some(1_000_020.05)));
        assert_eq!(point.explicit_bounds, [0.1, 1.0, 1e6]);
        assert_eq!(point.bucket_counts, [1, 0, 2, 1]);
        let Some(Data::Histogram(heat)) = &metric("heat").data else {
            panic!()
        };
        assert_eq!(heat.data_points[0].sum, None);
    }

    #[test]
    fn exemplars_carry_their_ids() {
        let found = Exemplar {
            value: 0.25,
            trace_id: *b"0123456789abcdef",
            span_id: *b"01234567",
            at: 5,
        };
        let mut point = super::super::testing::count(&[], Count { int: 1, float: 0.0 });
        point.exemplars = vec![(0, found)];
        let family = Family::owned(counter("hits_total", None, &[]), vec![point]);
        let request = request(Otlp::default(), Snapshot::new(vec![family], 7));
        let Some(Data::Sum(hits)) = &request.resource_metrics[0].scope_metrics[0].metrics[0].data else {
            panic!()
        };
        let [written] = &hits.data_points[0].exemplars[..] else {
            panic!()
        };
        assert_eq!(
            (&*written.trace_id, &*written.span_id),
            (&b"0123456789abcdef"[..], &b"01234567"[..])
        );
        assert_eq!(
            (written.time_unix_nano, written.value),
            (5, Some(exemplar::Value::AsDouble(0.25)))
        );
        // It was created later than the picture was taken.
        assert_eq!(hits.data_points[0].start_time_unix_nano, 7);
    }

    struct Many;

    impl crate::snapshot::Points for Many {
        fn count(&self) -> usize {
            10_000
        }

        fn load(&self, index: usize, point: &mut Point) -> bool {
            point.values = LabelKey::of([index.to_string().as_str()]);
            point.value = Value::Counter(Count {
                int: index as u64,
                float: 0.0,
            });
            true
        }
    }

    #[test]
    fn many_series_come_in_parts_and_each_once() {
        let many = Family::new(Arc::new(counter("hits_total", None, &["id"])), false, Arc::new(Many));
        let mut renderer = Renderer::with(
            Box::new(Otlp::new(&[pair("service.name", "shop")])),
            Snapshot::new(vec![many], 7),
        );
        let (mut whole, mut piece, mut more) = (Vec::new(), Vec::new(), true);
        while more {
            piece.clear();
            more = renderer.chunk(&mut piece, 1);
            assert!(piece.len() < 2 * PIECE);
            whole.extend_from_slice(&piece);
        }
        let request = ExportMetricsServiceRequest::decode(&*whole).unwrap();
        assert!(request.resource_metrics.len() > 5);
        let mut seen = Vec::new();
        for of_resource in &request.resource_metrics {
            assert_eq!(of_resource.resource.as_ref().unwrap().attributes.len(), 1);
            for metric in &of_resource.scope_metrics[0].metrics {
                let Some(Data::Sum(sum)) = &metric.data else { panic!() };
                assert!(sum.is_monotonic);
                seen.extend(sum.data_points.iter().map(|point| point.value));
            }
        }
        let expected: Vec<_> = (0..10_000).map(|index| Some(Number::AsInt(index))).collect();
        assert_eq!(seen, expected);
    }

    #[test]
    fn a_picture_of_nothing_is_an_empty_request() {
        assert_eq!(request(Otlp::default(), Snapshot::default()).resource_metrics, []);
        let none = Family::owned(counter("never_total", None, &[]), Vec::new());
        assert_eq!(
            request(Otlp::default(), Snapshot::new(vec![none], 1)).resource_metrics,
            []
        );
    }
}
