//! How a page becomes requests.
//!
//! A page is an `ExportMetricsServiceRequest`: a list of `ResourceMetrics`, one after the other, of which any part is such
//! a request as well.

use bytes::{Buf, Bytes};
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use prost::encoding::decode_varint;
use prost::Message;
use std::collections::VecDeque;

/// A page in requests of up to `most` bytes, or of a single `ResourceMetrics` that has more.
pub(super) fn cut(page: &Bytes, most: usize) -> VecDeque<Bytes> {
    let mut requests = VecDeque::new();
    let (mut from, mut to) = (0, 0);
    while to < page.len() {
        let length = first(&page[to..]);
        if to > from && to + length - from > most {
            requests.push_back(page.slice(from..to));
            from = to;
        }
        to += length;
    }
    requests.push_back(page.slice(from..));
    requests
}

/// Bytes of the first field of a message. Where it is none, all of it: whom it is sent to will say so.
fn first(message: &[u8]) -> usize {
    let mut rest = message;
    let fields = decode_varint(&mut rest).and_then(|_key| decode_varint(&mut rest));
    let length = fields.map_or(usize::MAX, |length| usize::try_from(length).unwrap_or(usize::MAX));
    (message.len() - rest.remaining())
        .saturating_add(length)
        .min(message.len())
}

/// Data points of a request.
pub(super) fn points(request: &Bytes) -> u64 {
    let request = ExportMetricsServiceRequest::decode(&**request).unwrap_or_default();
    let scopes = request.resource_metrics.iter().flat_map(|each| &each.scope_metrics);
    let metrics = scopes.flat_map(|scope| &scope.metrics);
    let points = metrics.map(|metric| match &metric.data {
        Some(Data::Gauge(gauge)) => gauge.data_points.len(),
        Some(Data::Sum(sum)) => sum.data_points.len(),
        Some(Data::Histogram(histogram)) => histogram.data_points.len(),
        _ => 0,
    });
    points.sum::<usize>() as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use opentelemetry_proto::tonic::metrics::v1::{Gauge, Metric, NumberDataPoint, ResourceMetrics, ScopeMetrics};

    /// A page of so many pieces, each of one point and about 50 bytes.
    fn page(pieces: usize) -> Bytes {
        let piece = |number: usize| ResourceMetrics {
            schema_url: format!("{number:030}"),
            scope_metrics: vec![ScopeMetrics {
                metrics: vec![Metric {
                    data: Some(Data::Gauge(Gauge {
                        data_points: vec![NumberDataPoint::default()],
                    })),
                    ..Metric::default()
                }],
                ..ScopeMetrics::default()
            }],
            ..ResourceMetrics::default()
        };
        let request = ExportMetricsServiceRequest {
            resource_metrics: (0..pieces).map(piece).collect(),
        };
        request.encode_to_vec().into()
    }

    fn numbers(request: &Bytes) -> Vec<usize> {
        let request = ExportMetricsServiceRequest::decode(&**request).unwrap();
        let number = |each: &ResourceMetrics| each.schema_url.parse().unwrap();
        request.resource_metrics.iter().map(number).collect()
    }

    #[test]
    fn each_piece_is_in_one_request_and_none_is_too_large() {
        let page = page(100);
        for most in [0, 1, 60, 150, 1000, page.len() - 1, page.len(), usize::MAX] {
            let requests = cut(&page, most);
            let all: Vec<usize> = requests.iter().flat_map(numbers).collect();
            assert_eq!(all, (0..100).collect::<Vec<_>>());
            for request in &requests {
                assert!(request.len() <= most || numbers(request).len() == 1, "{most}");
            }
            assert_eq!(requests.iter().map(points).sum::<u64>(), 100);
        }
        assert_eq!(cut(&page, usize::MAX).len(), 1);
        assert!(cut(&page, page.len() - 1).len() == 2);
    }

    #[test]
    fn what_is_no_page_is_one_request() {
        for bytes in [
            &b""[..],
            b"\xff",
            b"\x0a",
            b"\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",
            b"\x0a\x05ab",
        ] {
            let bytes = Bytes::copy_from_slice(bytes);
            assert_eq!(cut(&bytes, 1), std::slice::from_ref(&bytes));
            assert_eq!(points(&bytes), 0);
        }
    }
}
