use super::{number, text, Format};
use crate::metric::{Descriptor, Kind};
use crate::snapshot::{Family, Point, Snapshot, Value};

/// One JSON document, histograms whole:
///
/// ```json
/// {
///   "taken_at": 1700000000.25,
///   "metrics": [
///     {
///       "name": "orders_total", "type": "counter", "help": "Orders placed", "unit": null,
///       "labels": ["status"], "superseded": false,
///       "series": [
///         { "labels": { "status": "paid" }, "value": 3, "created_at": 1699999990.5 }
///       ]
///     },
///     {
///       "name": "queue_depth", "type": "gauge", "aggregation": "last", "help": "", "unit": null,
///       "labels": [], "superseded": false,
///       "series": [ { "labels": {}, "value": 7.0, "created_at": 1699999990.5 } ]
///     },
///     {
///       "name": "checkout_seconds", "type": "histogram", "help": "", "unit": "seconds",
///       "labels": [], "superseded": false,
///       "series": [
///         { "labels": {}, "count": 2, "sum": 1.5, "buckets": { "0.5": 1, "1": 2, "+Inf": 2 }, "created_at": 1699999990.5 }
///       ]
///     }
///   ]
/// }
/// ```
///
/// Times are seconds since the Unix epoch; `created_at` is `null` where it is not known. Counters to which only integers
/// were added are integers, exact whatever their size; gauges and sums are always floats, and the strings `"NaN"`,
/// `"+Inf"` and `"-Inf"` where JSON has no number. Buckets are cumulative, in ascending order of their upper bounds.
/// A metric that another release left under an older schema stands behind the newest of its name, with `superseded` true.
#[derive(Debug, Default)]
pub struct Json {
    bounds: Vec<String>,
    after_family: bool,
    after_point: bool,
}

impl Format for Json {
    fn shows_superseded(&self) -> bool {
        true
    }

    fn begin(&mut self, snapshot: &Snapshot, out: &mut Vec<u8>) {
        out.extend_from_slice(b"{\"taken_at\":");
        number::seconds(out, snapshot.taken_at);
        out.extend_from_slice(b",\"metrics\":[");
    }

    fn begin_family(&mut self, family: &Family, out: &mut Vec<u8>) {
        let descriptor = &*family.descriptor;
        text::bounds(&mut self.bounds, descriptor, number::bound);
        separate(&mut self.after_family, out);
        self.after_point = false;
        out.extend_from_slice(b"\n{\"name\":");
        string(out, &descriptor.name);
        out.extend_from_slice(b",\"type\":");
        string(out, descriptor.kind.name());
        if let Kind::Gauge(aggregation) = descriptor.kind {
            out.extend_from_slice(b",\"aggregation\":");
            string(out, aggregation.name());
        }
        out.extend_from_slice(b",\"help\":");
        string(out, &descriptor.help);
        out.extend_from_slice(b",\"unit\":");
        match &descriptor.unit {
            Some(unit) => string(out, unit),
            None => out.extend_from_slice(b"null"),
        }
        out.extend_from_slice(b",\"labels\":[");
        let mut after_label = false;
        for label in &descriptor.labels {
            separate(&mut after_label, out);
            string(out, label);
        }
        out.extend_from_slice(b"],\"superseded\":");
        out.extend_from_slice(if family.superseded { b"true" } else { b"false" });
        out.extend_from_slice(b",\"series\":[");
    }

    fn point(&mut self, descriptor: &Descriptor, point: &Point, out: &mut Vec<u8>) {
        separate(&mut self.after_point, out);
        out.extend_from_slice(b"\n{\"labels\":");
        labels(out, descriptor, point);
        match &point.value {
            Value::Counter(count) => {
                out.extend_from_slice(b",\"value\":");
                match count.as_integer() {
                    Some(total) => number::integer(out, total),
                    None => float(out, count.as_f64()),
                }
            }
            Value::Gauge(value) => {
                out.extend_from_slice(b",\"value\":");
                float(out, *value);
            }
            Value::Histogram(histogram) => {
                out.extend_from_slice(b",\"count\":");
                number::integer(out, histogram.count());
                out.extend_from_slice(b",\"sum\":");
                float(out, histogram.sum);
                out.extend_from_slice(b",\"buckets\":{");
                let mut total = 0u64;
                let mut after_bucket = false;
                for (bound, bucket) in self.bounds.iter().zip(&histogram.buckets) {
                    separate(&mut after_bucket, out);
                    total = total.wrapping_add(*bucket);
                    string(out, bound);
                    out.push(b':');
                    number::integer(out, total);
                }
                out.push(b'}');
            }
        }
        out.extend_from_slice(b",\"created_at\":");
        match point.created_at {
            0 => out.extend_from_slice(b"null"),
            created_at => number::seconds(out, created_at),
        }
        out.push(b'}');
    }

    fn end_family(&mut self, _family: &Family, out: &mut Vec<u8>) {
        out.extend_from_slice(b"]}");
    }

    fn end(&mut self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"\n]}\n");
    }
}

/// Appends a point's labels as an object.
pub(super) fn labels(out: &mut Vec<u8>, descriptor: &Descriptor, point: &Point) {
    out.push(b'{');
    let mut after_label = false;
    for (name, value) in point.labels(descriptor) {
        separate(&mut after_label, out);
        string(out, name);
        out.push(b':');
        string(out, value);
    }
    out.push(b'}');
}

fn string(out: &mut Vec<u8>, text: &str) {
    // Neither a string nor a buffer in memory has a way to fail.
    let _infallible = serde_json::to_writer(out, text);
}

fn float(out: &mut Vec<u8>, value: f64) {
    if value.is_finite() {
        out.extend_from_slice(ryu::Buffer::new().format_finite(value).as_bytes());
    } else {
        string(out, number::special(value));
    }
}

fn separate(after: &mut bool, out: &mut Vec<u8>) {
    if std::mem::replace(after, true) {
        out.push(b',');
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{page, shop};
    use super::super::Kind;
    use crate::snapshot::Snapshot;

    #[test]
    fn writes_a_whole_page() {
        assert_eq!(
            page(Kind::Json, shop()),
            concat!(
                r##"{"taken_at":1700000001,"metrics":["##,
                "\n",
                r##"{"name":"balance","type":"gauge","aggregation":"last","help":"","unit":null,"labels":[],"superseded":false,"series":["##,
                "\n",
                r##"{"labels":{},"value":-0.5,"created_at":1700000000.25}]},"##,
                "\n",
                r##"{"name":"checkout_seconds","type":"histogram","help":"Time to check out","unit":"seconds","labels":["plan"],"superseded":false,"series":["##,
                "\n",
                r##"{"labels":{"plan":"pro"},"count":4,"sum":1000020.05,"buckets":{"0.1":1,"1":1,"1e+06":3,"+Inf":4},"created_at":1700000000.25}]},"##,
                "\n",
                r##"{"name":"heat","type":"histogram","help":"","unit":null,"labels":[],"superseded":false,"series":["##,
                "\n",
                r##"{"labels":{},"count":3,"sum":2.0,"buckets":{"-1":1,"+Inf":3},"created_at":1700000000.25}]},"##,
                "\n",
                r##"{"name":"never_total","type":"counter","help":"","unit":null,"labels":["status"],"superseded":false,"series":[]},"##,
                "\n",
                r##"{"name":"orders","type":"counter","help":"Orders \\ \"placed\"\n","unit":null,"labels":["status","queue"],"superseded":false,"series":["##,
                "\n",
                r##"{"labels":{"region":"eu","status":"pa\"id\\\n","queue":""},"value":9007199254740993,"created_at":1700000000.25},"##,
                "\n",
                r##"{"labels":{"status":"é😀","queue":"\t"},"value":2.5,"created_at":1700000000.25}]},"##,
                "\n",
                r##"{"name":"orders","type":"counter","help":"","unit":null,"labels":[],"superseded":true,"series":["##,
                "\n",
                r##"{"labels":{},"value":11,"created_at":1700000000.25}]},"##,
                "\n",
                r##"{"name":"queue_depth","type":"gauge","aggregation":"per_process","help":"Jobs waiting","unit":null,"labels":[],"superseded":false,"series":["##,
                "\n",
                r##"{"labels":{"region":"eu","process":"host-1"},"value":"+Inf","created_at":1700000000.25},"##,
                "\n",
                r##"{"labels":{"process":"host-2"},"value":"NaN","created_at":1700000000.25}]},"##,
                "\n",
                r##"{"name":"read_bytes_total","type":"counter","help":"","unit":"bytes","labels":[],"superseded":false,"series":["##,
                "\n",
                r##"{"labels":{},"value":3,"created_at":null}]}"##,
                "\n]}\n",
            )
        );
    }

    #[test]
    fn writes_a_document_even_of_nothing() {
        assert_eq!(
            page(Kind::Json, Snapshot::default()),
            "{\"taken_at\":0,\"metrics\":[\n]}\n"
        );
    }
}
