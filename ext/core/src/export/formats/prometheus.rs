use super::text::{self, Lines};
use super::{number, Format};
use crate::metric::Descriptor;
use crate::snapshot::{Family, Point, Value};

/// Prometheus text 0.0.4 (<https://prometheus.io/docs/instrumenting/exposition_formats/>).
///
/// Names are printed as declared. A metric without series prints its `HELP` and `TYPE`, so that it can be found before
/// it is first counted.
#[derive(Debug, Default)]
pub struct Prometheus {
    lines: Lines,
}

impl Format for Prometheus {
    fn begin_family(&mut self, family: &Family, out: &mut Vec<u8>) {
        let descriptor = &*family.descriptor;
        self.lines.begin(&descriptor.name, descriptor, number::bound);
        if !descriptor.help.is_empty() {
            out.extend_from_slice(b"# HELP ");
            out.extend_from_slice(descriptor.name.as_bytes());
            out.push(b' ');
            text::escape(out, &descriptor.help, false);
            out.push(b'\n');
        }
        out.extend_from_slice(b"# TYPE ");
        out.extend_from_slice(descriptor.name.as_bytes());
        out.push(b' ');
        out.extend_from_slice(descriptor.kind.name().as_bytes());
        out.push(b'\n');
    }

    fn point(&mut self, _descriptor: &Descriptor, point: &Point, out: &mut Vec<u8>) {
        match &point.value {
            Value::Counter(count) => {
                self.lines.sample(out, "", point);
                number::count(out, count);
            }
            Value::Gauge(value) => {
                self.lines.sample(out, "", point);
                number::float(out, *value);
            }
            Value::Histogram(histogram) => {
                self.lines.buckets(out, point, &histogram.buckets, |_, _| {});
                self.lines.sample(out, "_sum", point);
                number::float(out, histogram.sum);
                out.push(b'\n');
                self.lines.sample(out, "_count", point);
                number::integer(out, histogram.count());
            }
        }
        out.push(b'\n');
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{page, shop};
    use super::super::Kind;

    #[test]
    fn writes_a_whole_page() {
        assert_eq!(
            page(Kind::Prometheus, shop()),
            r##"# TYPE balance gauge
balance -0.5
# HELP checkout_seconds Time to check out
# TYPE checkout_seconds histogram
checkout_seconds_bucket{plan="pro",le="0.1"} 1
checkout_seconds_bucket{plan="pro",le="1"} 1
checkout_seconds_bucket{plan="pro",le="1e+06"} 3
checkout_seconds_bucket{plan="pro",le="+Inf"} 4
checkout_seconds_sum{plan="pro"} 1000020.05
checkout_seconds_count{plan="pro"} 4
# TYPE heat histogram
heat_bucket{le="-1"} 1
heat_bucket{le="+Inf"} 3
heat_sum 2
heat_count 3
# TYPE never_total counter
# HELP orders Orders \\ "placed"\n
# TYPE orders counter
orders{region="eu",status="pa\"id\\\n",queue=""} 9007199254740993
orders{status="é😀",queue="	"} 2.5
# HELP queue_depth Jobs waiting
# TYPE queue_depth gauge
queue_depth{region="eu",process="host-1"} +Inf
queue_depth{process="host-2"} NaN
# TYPE read_bytes_total counter
read_bytes_total 3
"##
        );
    }
}
