//! What a collector said.

use prost::Message;
use std::time::{Duration, SystemTime};

/// What became of a request.
#[derive(Debug, PartialEq, Eq)]
pub enum Answer {
    /// It was taken.
    Taken {
        /// Spans or data points that were not.
        rejected: u64,
        /// What the collector said of that.
        error: Option<String>,
    },
    /// It was not taken, and may be another time.
    Retry {
        /// What went wrong.
        error: String,
        /// How long the collector asked to wait.
        after: Option<Duration>,
    },
    /// There was too much in it: less may be taken.
    TooLarge {
        /// What the collector said.
        error: String,
    },
    /// It was refused for good.
    Refused {
        /// What went wrong.
        error: String,
    },
}

impl Answer {
    /// The same in other words.
    pub(super) fn reworded(self, words: impl Fn(String) -> String) -> Self {
        match self {
            Self::Taken { rejected, error } => Self::Taken {
                rejected,
                error: error.map(words),
            },
            Self::Retry { error, after } => Self::Retry {
                error: words(error),
                after,
            },
            Self::TooLarge { error } => Self::TooLarge { error: words(error) },
            Self::Refused { error } => Self::Refused { error: words(error) },
        }
    }
}

/// The answers of all signals are alike: one field that says what was not taken.
#[derive(Clone, PartialEq, Message)]
struct Response {
    #[prost(message, optional, tag = "1")]
    partial_success: Option<PartialSuccess>,
}

#[derive(Clone, PartialEq, Message)]
struct PartialSuccess {
    #[prost(int64, tag = "1")]
    rejected: i64,
    #[prost(string, tag = "2")]
    message: String,
}

/// `google.rpc.Status`, which gRPC sends along with an error.
#[derive(Clone, PartialEq, Message)]
pub(super) struct RpcStatus {
    #[prost(int32, tag = "1")]
    code: i32,
    #[prost(string, tag = "2")]
    message: String,
    #[prost(message, repeated, tag = "3")]
    details: Vec<Any>,
}

#[derive(Clone, PartialEq, Message)]
struct Any {
    #[prost(string, tag = "1")]
    type_url: String,
    #[prost(bytes = "vec", tag = "2")]
    value: Vec<u8>,
}

/// `google.rpc.RetryInfo`.
#[derive(Clone, PartialEq, Message)]
struct RetryInfo {
    #[prost(message, optional, tag = "1")]
    retry_delay: Option<Delay>,
}

/// `google.protobuf.Duration`.
#[derive(Clone, PartialEq, Message)]
struct Delay {
    #[prost(int64, tag = "1")]
    seconds: i64,
    #[prost(int32, tag = "2")]
    nanos: i32,
}

/// The answer to a request that was taken.
pub(super) fn taken(body: &[u8]) -> Answer {
    // A body that is not understood does not undo the success that the status told.
    let partial = Response::decode(body)
        .ok()
        .and_then(|response| response.partial_success);
    let (rejected, message) = partial.map_or((0, String::new()), |partial| {
        (u64::try_from(partial.rejected).unwrap_or(0), partial.message)
    });
    let error = (rejected > 0 || !message.is_empty()).then(|| format!("{rejected} rejected: {message}"));
    Answer::Taken { rejected, error }
}

/// The answer of an HTTP status that is not a success.
pub(super) fn failed(status: http::StatusCode, retry_after: Option<&str>) -> Answer {
    let error = format!("HTTP {status}");
    match status.as_u16() {
        413 => Answer::TooLarge { error },
        429 | 502 | 503 | 504 => Answer::Retry {
            error,
            after: retry_after.and_then(|text| self::retry_after(text, SystemTime::now())),
        },
        _ => Answer::Refused { error },
    }
}

/// `Retry-After`: seconds or a date.
fn retry_after(text: &str, now: SystemTime) -> Option<Duration> {
    let text = text.trim();
    if let Ok(seconds) = text.parse::<u64>() {
        return Some(Duration::from_secs(seconds));
    }
    let date = httpdate::parse_http_date(text).ok()?;
    Some(date.duration_since(now).unwrap_or_default())
}

/// The answer of a gRPC status that is not a success.
pub(super) fn rpc_failed(code: i32, message: &str, details: Option<&RpcStatus>) -> Answer {
    let error = format!("gRPC status {code} ({}): {message}", name(code));
    let after = details.and_then(retry_info);
    match code {
        // With these two, servers of gRPC turn down what is longer than they take. They mean "later" when they say when.
        8 | 11 if after.is_none() => Answer::TooLarge { error },
        // As the OTLP specification lists them.
        1 | 4 | 8 | 10 | 11 | 14 | 15 => Answer::Retry { error, after },
        _ => Answer::Refused { error },
    }
}

fn retry_info(status: &RpcStatus) -> Option<Duration> {
    let info = status
        .details
        .iter()
        .find(|detail| detail.type_url.ends_with("/google.rpc.RetryInfo"))?;
    let delay = RetryInfo::decode(info.value.as_slice())
        .ok()?
        .retry_delay
        .unwrap_or_default();
    let seconds = u64::try_from(delay.seconds).ok()?;
    Some(Duration::from_secs(seconds) + Duration::from_nanos(u64::try_from(delay.nanos).unwrap_or(0)))
}

fn name(code: i32) -> &'static str {
    const NAMES: [&str; 17] = [
        "OK",
        "CANCELLED",
        "UNKNOWN",
        "INVALID_ARGUMENT",
        "DEADLINE_EXCEEDED",
        "NOT_FOUND",
        "ALREADY_EXISTS",
        "PERMISSION_DENIED",
        "RESOURCE_EXHAUSTED",
        "FAILED_PRECONDITION",
        "ABORTED",
        "OUT_OF_RANGE",
        "UNIMPLEMENTED",
        "INTERNAL",
        "UNAVAILABLE",
        "DATA_LOSS",
        "UNAUTHENTICATED",
    ];
    usize::try_from(code)
        .ok()
        .and_then(|code| NAMES.get(code))
        .copied()
        .unwrap_or("unknown")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::UNIX_EPOCH;

    fn status(details: Vec<Any>) -> RpcStatus {
        RpcStatus {
            details,
            ..RpcStatus::default()
        }
    }

    #[test]
    fn partial_success_is_counted() {
        let body = Response {
            partial_success: Some(PartialSuccess {
                rejected: 3,
                message: "too old".into(),
            }),
        };
        assert_eq!(
            taken(&body.encode_to_vec()),
            Answer::Taken {
                rejected: 3,
                error: Some("3 rejected: too old".into())
            }
        );
        for body in [b"".as_slice(), b"{}", b"\xff\xff"] {
            assert_eq!(
                taken(body),
                Answer::Taken {
                    rejected: 0,
                    error: None
                }
            );
        }
    }

    #[test]
    fn http_statuses_are_for_now_or_for_good() {
        for code in [429, 502, 503, 504] {
            let status = http::StatusCode::from_u16(code).unwrap();
            let Answer::Retry { after, error } = failed(status, Some("3")) else {
                panic!("{code}")
            };
            assert_eq!(after, Some(Duration::from_secs(3)));
            assert!(error.contains(&code.to_string()));
        }
        for code in [300, 400, 401, 403, 404, 500, 501] {
            let status = http::StatusCode::from_u16(code).unwrap();
            assert!(matches!(failed(status, Some("3")), Answer::Refused { .. }), "{code}");
        }
        let status = http::StatusCode::PAYLOAD_TOO_LARGE;
        assert!(matches!(failed(status, None), Answer::TooLarge { .. }));
    }

    #[test]
    fn retry_after_is_a_number_or_a_date() {
        let date = "Thu, 01 Jan 1970 00:01:00 GMT";
        assert_eq!(retry_after(" 7 ", UNIX_EPOCH), Some(Duration::from_secs(7)));
        assert_eq!(retry_after(date, UNIX_EPOCH), Some(Duration::from_secs(60)));
        let later = UNIX_EPOCH + Duration::from_secs(90);
        assert_eq!(retry_after(date, later), Some(Duration::ZERO));
        for wrong in ["", "-1", "soon", "1.5"] {
            assert_eq!(retry_after(wrong, UNIX_EPOCH), None, "{wrong}");
        }
    }

    #[test]
    fn grpc_statuses_are_for_now_or_for_good() {
        for code in [1, 4, 10, 14, 15] {
            assert!(matches!(rpc_failed(code, "", None), Answer::Retry { .. }), "{code}");
        }
        for code in [2, 3, 5, 7, 12, 13, 16, 99, -1] {
            assert!(matches!(rpc_failed(code, "", None), Answer::Refused { .. }), "{code}");
        }
        for code in [8, 11] {
            assert!(matches!(rpc_failed(code, "", None), Answer::TooLarge { .. }), "{code}");
        }
        let info = RetryInfo {
            retry_delay: Some(Delay {
                seconds: 2,
                nanos: 500_000_000,
            }),
        };
        let details = status(vec![Any {
            type_url: "type.googleapis.com/google.rpc.RetryInfo".into(),
            value: info.encode_to_vec(),
        }]);
        for (code, name) in [(8, "RESOURCE_EXHAUSTED"), (11, "OUT_OF_RANGE")] {
            let Answer::Retry { after, error } = rpc_failed(code, "busy", Some(&details)) else {
                panic!("{code}")
            };
            assert_eq!(after, Some(Duration::from_millis(2500)));
            assert_eq!(error, format!("gRPC status {code} ({name}): busy"));
        }
    }
}
