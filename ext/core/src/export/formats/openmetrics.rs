use super::text::{self, Lines};
use super::{number, Format};
use crate::metric::{naming, Descriptor};
use crate::snapshot::{Family, Point, Value};

/// OpenMetrics text 1.0.0 (<https://prometheus.io/docs/specs/om/open_metrics_spec/>).
///
/// A counter's samples end in `_total`, whether or not its name does. Counters and histograms carry the time of their
/// series' creation (`_created`).
///
/// What the specification has no form for is left out, lest a parser refuse the whole page: `_sum` and `_count` of
/// histograms that have negative bounds or a negative sum, and counters whose total is not a number.
#[derive(Debug, Default)]
pub struct OpenMetrics {
    lines: Lines,
}

impl Format for OpenMetrics {
    fn begin_family(&mut self, family: &Family, out: &mut Vec<u8>) {
        let descriptor = &*family.descriptor;
        let name = naming::family(&descriptor.name, &descriptor.kind);
        self.lines.begin(name, descriptor, number::canonical_bound);
        metadata(out, "TYPE", name);
        out.extend_from_slice(descriptor.kind.name().as_bytes());
        out.push(b'\n');
        if let Some(unit) = &descriptor.unit {
            metadata(out, "UNIT", name);
            out.extend_from_slice(unit.as_bytes());
            out.push(b'\n');
        }
        if !descriptor.help.is_empty() {
            metadata(out, "HELP", name);
            text::escape(out, &descriptor.help, true);
            out.push(b'\n');
        }
    }

    fn point(&mut self, _descriptor: &Descriptor, point: &Point, out: &mut Vec<u8>) {
        match &point.value {
            Value::Counter(count) => {
                if count.as_f64().is_nan() || count.as_f64() < 0.0 {
                    return;
                }
                let labels = self.lines.sample(out, "_total", point);
                number::count(out, count);
                out.push(b'\n');
                if point.created_at != 0 {
                    self.lines.again(out, "_created", labels);
                    number::seconds(out, point.created_at);
                    out.push(b'\n');
                }
            }
            Value::Gauge(value) => {
                self.lines.sample(out, "", point);
                number::float(out, *value);
                out.push(b'\n');
            }
            Value::Histogram(histogram) => {
                self.lines.buckets(out, point, &histogram.buckets);
                if histogram.sum >= 0.0 && !self.lines.negative_bounds() {
                    self.lines.sample(out, "_count", point);
                    number::integer(out, histogram.count());
                    out.push(b'\n');
                    self.lines.sample(out, "_sum", point);
                    number::float(out, histogram.sum);
                    out.push(b'\n');
                }
                if point.created_at != 0 {
                    self.lines.sample(out, "_created", point);
                    number::seconds(out, point.created_at);
                    out.push(b'\n');
                }
            }
        }
    }

    fn end(&mut self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"# EOF\n");
    }
}

fn metadata(out: &mut Vec<u8>, what: &str, name: &str) {
    out.extend_from_slice(b"# ");
    out.extend_from_slice(what.as_bytes());
    out.push(b' ');
    out.extend_from_slice(name.as_bytes());
    out.push(b' ');
}

#[cfg(test)]
mod tests {
    use super::super::testing::{counter, page, shop};
    use super::super::Kind;
    use crate::snapshot::{Count, Family, Snapshot};

    #[test]
    fn writes_a_whole_page() {
        assert_eq!(
            page(Kind::OpenMetrics, shop()),
            r##"# TYPE balance gauge
balance -0.5
# TYPE checkout_seconds histogram
# UNIT checkout_seconds seconds
# HELP checkout_seconds Time to check out
checkout_seconds_bucket{plan="pro",le="0.1"} 1
checkout_seconds_bucket{plan="pro",le="1.0"} 1
checkout_seconds_bucket{plan="pro",le="1e+06"} 3
checkout_seconds_bucket{plan="pro",le="+Inf"} 4
checkout_seconds_count{plan="pro"} 4
checkout_seconds_sum{plan="pro"} 1000020.05
checkout_seconds_created{plan="pro"} 1700000000.25
# TYPE heat histogram
heat_bucket{le="-1.0"} 1
heat_bucket{le="+Inf"} 3
heat_created 1700000000.25
# TYPE never counter
# TYPE orders counter
# HELP orders Orders \\ \"placed\"\n
orders_total{region="eu",status="pa\"id\\\n",queue=""} 9007199254740993
orders_created{region="eu",status="pa\"id\\\n",queue=""} 1700000000.25
orders_total{status="é😀",queue="	"} 2.5
orders_created{status="é😀",queue="	"} 1700000000.25
# TYPE queue_depth gauge
# HELP queue_depth Jobs waiting
queue_depth{region="eu",process="host-1"} +Inf
queue_depth{process="host-2"} NaN
# TYPE read_bytes counter
# UNIT read_bytes bytes
read_bytes_total 3
# EOF
"##
        );
    }

    #[test]
    fn leaves_out_what_the_specification_has_no_form_for() {
        let broken = Family::owned(
            counter("broken_total", None, &[]),
            vec![super::super::testing::count(
                &[],
                Count {
                    int: 1,
                    float: f64::NAN,
                },
            )],
        );
        assert_eq!(
            page(Kind::OpenMetrics, Snapshot::new(vec![broken], 0)),
            "# TYPE broken counter\n# EOF\n"
        );
        assert_eq!(page(Kind::OpenMetrics, Snapshot::default()), "# EOF\n");
    }
}
