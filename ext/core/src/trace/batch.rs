//! Spans on their way, and the requests that they fill.

use crate::export::transports::otlp::{Client, LARGEST, SMALLEST};
use bytes::Bytes;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans};
use prost::Message;
use std::collections::VecDeque;
use std::time::Instant;

/// Spans on their way: encoded once, so that whatever happens the same ids are sent again.
pub(super) struct Batch {
    /// The requests that are still to be taken; none while they are being encoded.
    pub(super) parts: VecDeque<Part>,
    /// Spans in them.
    pub(super) spans: usize,
    /// Number of its oldest span in the queue.
    pub(super) oldest: u64,
    /// When its first part was tried first.
    pub(super) since: Instant,
}

/// Spans of one request.
#[derive(Clone)]
pub(super) struct Part {
    message: Bytes,
    /// The message as it is sent.
    pub(super) body: Bytes,
    pub(super) spans: usize,
}

impl Part {
    /// A request in as many parts as it takes for each to be small enough.
    pub(super) fn of(request: ExportTraceServiceRequest, client: &Client) -> Vec<Self> {
        let spans = count(&request);
        if spans > 1 && request.encoded_len() > LARGEST {
            return Self::of_both(halve(request), client);
        }
        let message = Bytes::from(request.encode_to_vec());
        vec![Self {
            body: client.prepare(&message),
            message,
            spans,
        }]
    }

    /// The same spans in two parts, for a collector to which this one is too large; `None` where that would not help.
    pub(super) fn halves(&self, client: &Client) -> Option<Vec<Self>> {
        if self.spans < 2 || self.message.len() <= SMALLEST {
            return None;
        }
        let request = ExportTraceServiceRequest::decode(&*self.message).ok()?;
        Some(Self::of_both(halve(request), client))
    }

    fn of_both((first, second): (ExportTraceServiceRequest, ExportTraceServiceRequest), client: &Client) -> Vec<Self> {
        let mut parts = Self::of(first, client);
        parts.append(&mut Self::of(second, client));
        parts
    }
}

fn count(request: &ExportTraceServiceRequest) -> usize {
    let scopes = request.resource_spans.iter().flat_map(|each| &each.scope_spans);
    scopes.map(|scope| scope.spans.len()).sum()
}

/// Two requests, each with half of the spans.
fn halve(mut first: ExportTraceServiceRequest) -> (ExportTraceServiceRequest, ExportTraceServiceRequest) {
    let mut stay = count(&first) / 2;
    let mut second = ExportTraceServiceRequest::default();
    for resource in &mut first.resource_spans {
        let mut scopes = Vec::new();
        for scope in &mut resource.scope_spans {
            let spans = scope.spans.split_off(stay.min(scope.spans.len()));
            stay -= scope.spans.len();
            if !spans.is_empty() {
                scopes.push(ScopeSpans {
                    scope: scope.scope.clone(),
                    schema_url: scope.schema_url.clone(),
                    spans,
                });
            }
        }
        if !scopes.is_empty() {
            second.resource_spans.push(ResourceSpans {
                resource: resource.resource.clone(),
                schema_url: resource.schema_url.clone(),
                scope_spans: scopes,
            });
        }
        resource.scope_spans.retain(|scope| !scope.spans.is_empty());
    }
    first.resource_spans.retain(|resource| !resource.scope_spans.is_empty());
    (first, second)
}

#[cfg(test)]
mod tests {
    use super::*;
    use opentelemetry_proto::tonic::resource::v1::Resource;
    use opentelemetry_proto::tonic::trace::v1::Span;

    fn request(scopes: &[&[&str]]) -> ExportTraceServiceRequest {
        let span = |name: &&str| Span {
            name: (*name).to_owned(),
            ..Span::default()
        };
        let scope = |(at, names): (usize, &&[&str])| ScopeSpans {
            schema_url: at.to_string(),
            spans: names.iter().map(span).collect(),
            ..ScopeSpans::default()
        };
        ExportTraceServiceRequest {
            resource_spans: vec![ResourceSpans {
                resource: Some(Resource::default()),
                scope_spans: scopes.iter().enumerate().map(scope).collect(),
                ..ResourceSpans::default()
            }],
        }
    }

    fn names(request: &ExportTraceServiceRequest) -> Vec<(&str, Vec<&str>)> {
        let scopes = request.resource_spans.iter().flat_map(|each| &each.scope_spans);
        scopes
            .map(|scope| {
                let names = scope.spans.iter().map(|span| span.name.as_str()).collect();
                (scope.schema_url.as_str(), names)
            })
            .collect()
    }

    #[test]
    fn each_half_is_a_request_of_its_own() {
        let (first, second) = halve(request(&[&["a", "b", "c"], &["d", "e"]]));
        assert_eq!(names(&first), [("0", vec!["a", "b"])]);
        assert_eq!(names(&second), [("0", vec!["c"]), ("1", vec!["d", "e"])]);
        assert!(second.resource_spans[0].resource.is_some());
        let (first, second) = halve(request(&[&["a"], &["b"]]));
        assert_eq!(
            (names(&first), names(&second)),
            (vec![("0", vec!["a"])], vec![("1", vec!["b"])])
        );
        let (first, second) = halve(request(&[&["a"]]));
        assert_eq!((count(&first), count(&second)), (0, 1));
    }
}
