use super::{json, number, text, Format};
use crate::metric::Descriptor;
use crate::snapshot::{Family, Point, Snapshot, Value};
use csv_core::Writer;
use std::fmt;

/// CSV by RFC 4180: a header, then one row a sample, each ended by CRLF.
///
/// | column | |
/// |---|---|
/// | `name` | the metric's name, as declared |
/// | `type` | `counter`, `gauge` or `histogram` |
/// | `labels` | a JSON object, in the order of the pages; `{}` for none |
/// | `sample` | `value` of a counter or gauge; of a histogram `bucket` (cumulative), `sum` and `count` |
/// | `le` | the upper bound of a `bucket`, the last being `+Inf`; else empty |
/// | `value` | the number; integers are exact; `NaN`, `+Inf`, `-Inf` |
/// | `taken_at` | when the picture was taken, in seconds since the Unix epoch, so that the files of a day can be joined |
///
/// Adding up the rows whose `sample` is `value`, or `sum` and `count`, gives the totals. What a newer schema superseded
/// is left out, as it is in the text pages; so is a metric without series.
#[derive(Default)]
pub struct Csv {
    writer: Writer,
    bounds: Vec<String>,
    json: Vec<u8>,
    /// Name and type, with which every row of a family begins.
    family: Vec<u8>,
    /// Name, type and labels, with which every row of a point begins.
    point: Vec<u8>,
    /// The last column, with which every row of the file ends.
    taken_at: Vec<u8>,
}

impl fmt::Debug for Csv {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Csv").finish_non_exhaustive()
    }
}

impl Format for Csv {
    fn begin(&mut self, snapshot: &Snapshot, out: &mut Vec<u8>) {
        self.taken_at.clear();
        number::seconds(&mut self.taken_at, snapshot.taken_at);
        out.extend_from_slice(b"name,type,labels,sample,le,value,taken_at\r\n");
    }

    fn begin_family(&mut self, family: &Family, _out: &mut Vec<u8>) {
        let descriptor = &*family.descriptor;
        text::bounds(&mut self.bounds, descriptor, number::bound);
        self.family.clear();
        field(&mut self.writer, &mut self.family, descriptor.name.as_bytes());
        field(&mut self.writer, &mut self.family, descriptor.kind.name().as_bytes());
    }

    fn point(&mut self, descriptor: &Descriptor, point: &Point, out: &mut Vec<u8>) {
        self.json.clear();
        json::labels(&mut self.json, descriptor, point);
        self.point.clear();
        self.point.extend_from_slice(&self.family);
        field(&mut self.writer, &mut self.point, &self.json);
        match &point.value {
            Value::Counter(count) => self.row(out, "value", "", |out| number::count(out, count)),
            Value::Gauge(value) => self.row(out, "value", "", |out| number::float(out, *value)),
            Value::Histogram(histogram) => {
                let mut total = 0u64;
                for (bound, bucket) in self.bounds.iter().zip(&histogram.buckets) {
                    total = total.wrapping_add(*bucket);
                    self.row(out, "bucket", bound, |out| number::integer(out, total));
                }
                self.row(out, "sum", "", |out| number::float(out, histogram.sum));
                self.row(out, "count", "", |out| number::integer(out, histogram.count()));
            }
        }
    }
}

impl Csv {
    fn row(&self, out: &mut Vec<u8>, sample: &str, le: &str, value: impl FnOnce(&mut Vec<u8>)) {
        out.extend_from_slice(&self.point);
        out.extend_from_slice(sample.as_bytes());
        out.push(b',');
        out.extend_from_slice(le.as_bytes());
        out.push(b',');
        value(out);
        out.push(b',');
        out.extend_from_slice(&self.taken_at);
        out.extend_from_slice(b"\r\n");
    }
}

/// Appends a field, quoted where it must be, and a comma.
fn field(writer: &mut Writer, out: &mut Vec<u8>, value: &[u8]) {
    let start = out.len();
    // Room for every byte doubled, two quotes and the comma: the writer is never short of space.
    out.resize(start + 2 * value.len() + 3, 0);
    let (_, _, written) = writer.field(value, &mut out[start..]);
    let (_, closing) = writer.delimiter(&mut out[start + written..]);
    out.truncate(start + written + closing);
}

#[cfg(test)]
mod tests {
    use super::super::testing::{page, shop};
    use super::super::Kind;
    use crate::snapshot::Snapshot;

    #[test]
    fn writes_a_whole_page() {
        let rows = r##"name,type,labels,sample,le,value,taken_at
balance,gauge,{},value,,-0.5,1700000001
checkout_seconds,histogram,"{""plan"":""pro""}",bucket,0.1,1,1700000001
checkout_seconds,histogram,"{""plan"":""pro""}",bucket,1,1,1700000001
checkout_seconds,histogram,"{""plan"":""pro""}",bucket,1e+06,3,1700000001
checkout_seconds,histogram,"{""plan"":""pro""}",bucket,+Inf,4,1700000001
checkout_seconds,histogram,"{""plan"":""pro""}",sum,,1000020.05,1700000001
checkout_seconds,histogram,"{""plan"":""pro""}",count,,4,1700000001
heat,histogram,{},bucket,-1,1,1700000001
heat,histogram,{},bucket,+Inf,3,1700000001
heat,histogram,{},sum,,2,1700000001
heat,histogram,{},count,,3,1700000001
orders,counter,"{""region"":""eu"",""status"":""pa\""id\\\n"",""queue"":""""}",value,,9007199254740993,1700000001
orders,counter,"{""status"":""é😀"",""queue"":""\t""}",value,,2.5,1700000001
queue_depth,gauge,"{""region"":""eu"",""process"":""host-1""}",value,,+Inf,1700000001
queue_depth,gauge,"{""process"":""host-2""}",value,,NaN,1700000001
read_bytes_total,counter,{},value,,3,1700000001
"##;
        assert_eq!(page(Kind::Csv, shop()), rows.replace('\n', "\r\n"));
    }

    #[test]
    fn writes_the_header_even_of_nothing() {
        assert_eq!(
            page(Kind::Csv, Snapshot::default()),
            "name,type,labels,sample,le,value,taken_at\r\n"
        );
    }
}
