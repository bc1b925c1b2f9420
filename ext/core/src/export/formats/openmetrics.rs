use super::text::{self, Lines};
use super::{number, Format};
use crate::metric::{naming, Descriptor};
use crate::snapshot::{Family, Point, Value};

/// OpenMetrics text 1.0.0 (<https://prometheus.io/docs/specs/om/open_metrics_spec/>).
///
/// A counter's samples end in `_total`, whether or not its name does. Counters and histograms carry the time of their
/// series' creation (`_created`); a counter's `_total` and a histogram's buckets carry their latest exemplar, if they have
/// one.
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
                exemplar(out, point, 0);
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
                self.lines.buckets(out, point, &histogram.buckets, |out, bucket| {
                    exemplar(out, point, bucket);
                });
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

/// Appends the exemplar of `point` at `index`, if it has one. Its labels are 63 characters, of the 128 that there may be.
fn exemplar(out: &mut Vec<u8>, point: &Point, index: usize) {
    let Some(exemplar) = point.exemplar(index) else { return };
    out.extend_from_slice(b" # {trace_id=\"");
    number::hex(out, &exemplar.trace_id);
    out.extend_from_slice(b"\",span_id=\"");
    number::hex(out, &exemplar.span_id);
    out.extend_from_slice(b"\"} ");
    number::float(out, exemplar.value);
    out.push(b' ');
    number::seconds(out, exemplar.at);
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
    use crate::snapshot::{Count, Exemplar, Family, Point, Snapshot};

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
    fn writes_exemplars_behind_totals_and_buckets() {
        let exemplar = |value, at| Exemplar {
            value,
            trace_id: *b"0123456789abcdef",
            span_id: [0, 1, 2, 0xfd, 0xfe, 0xff, 0x10, 0x20],
            at,
        };
        let mut snapshot = Vec::new();
        for family in shop().families {
            let mut points = Vec::new();
            let mut point = Point::new();
            for index in 0..family.len() {
                assert!(family.load(index, &mut point));
                point.exemplars = vec![
                    (0, exemplar(-0.5, 1_700_000_001_000_000_000)),
                    (2, exemplar(7.0, 1_500_000)),
                ];
                points.push(point.clone());
            }
            if ["balance", "checkout_seconds", "read_bytes_total"].contains(&family.descriptor.name.as_str()) {
                snapshot.push(Family::new(family.descriptor, false, std::sync::Arc::new(points)));
            }
        }
        let page = page(Kind::OpenMetrics, Snapshot::new(snapshot, 0));
        let ids = r#"trace_id="30313233343536373839616263646566",span_id="000102fdfeff1020""#;
        let expected = [
            "balance -0.5".to_owned(),
            format!(r#"checkout_seconds_bucket{{plan="pro",le="0.1"}} 1 # {{{ids}}} -0.5 1700000001"#),
            r#"checkout_seconds_bucket{plan="pro",le="1.0"} 1"#.to_owned(),
            format!(r#"checkout_seconds_bucket{{plan="pro",le="1e+06"}} 3 # {{{ids}}} 7 0.0015"#),
            r#"checkout_seconds_bucket{plan="pro",le="+Inf"} 4"#.to_owned(),
            r#"checkout_seconds_count{plan="pro"} 4"#.to_owned(),
            r#"checkout_seconds_sum{plan="pro"} 1000020.05"#.to_owned(),
            r#"checkout_seconds_created{plan="pro"} 1700000000.25"#.to_owned(),
            format!("read_bytes_total 3 # {{{ids}}} -0.5 1700000001"),
        ];
        let samples: Vec<_> = page.lines().filter(|line| !line.starts_with('#')).collect();
        assert_eq!(samples, expected);
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
