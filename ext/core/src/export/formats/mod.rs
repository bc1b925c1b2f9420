//! Formats: each turns a [`Snapshot`] into bytes, one point at a time.
//!
//! A format is a few callbacks that append to a buffer ([`Format`]); the [`Renderer`] walks the snapshot, and stops
//! after any point once the buffer is large enough, so that a page of any size streams through a buffer of one size.

mod csv;
mod json;
mod number;
mod openmetrics;
mod otlp;
mod prometheus;
mod renderer;
#[cfg(test)]
mod testing;
mod text;

pub use self::csv::Csv;
pub use json::Json;
pub use openmetrics::OpenMetrics;
pub use otlp::Otlp;
pub use prometheus::Prometheus;
pub use renderer::Renderer;

use crate::metric::Descriptor;
use crate::snapshot::{Family, Point, Snapshot};

/// What a format does at each step of the walk. Whatever it writes is appended to `out`; what stands there stays.
pub trait Format: Send {
    /// Whether families that a newer schema superseded are shown.
    fn shows_superseded(&self) -> bool {
        false
    }

    /// Before the first family.
    fn begin(&mut self, _snapshot: &Snapshot, _out: &mut Vec<u8>) {}

    /// Before a family's first point; also for a family without points.
    fn begin_family(&mut self, family: &Family, out: &mut Vec<u8>);

    /// One point.
    fn point(&mut self, descriptor: &Descriptor, point: &Point, out: &mut Vec<u8>);

    /// After a family's last point.
    fn end_family(&mut self, _family: &Family, _out: &mut Vec<u8>) {}

    /// After the last family.
    fn end(&mut self, _out: &mut Vec<u8>) {}
}

/// The formats that are built in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Prometheus text 0.0.4.
    Prometheus,
    /// OpenMetrics text 1.0.0.
    OpenMetrics,
    /// One JSON document.
    Json,
    /// CSV by RFC 4180, a row a sample.
    Csv,
    /// OpenTelemetry's protobuf, of no resource in particular: [`Otlp::new`] takes one.
    Otlp,
}

impl Kind {
    /// Every format.
    pub const ALL: [Kind; 5] = [Self::Prometheus, Self::OpenMetrics, Self::Json, Self::Csv, Self::Otlp];

    /// The name that users type.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Prometheus => "prometheus",
            Self::OpenMetrics => "openmetrics",
            Self::Json => "json",
            Self::Csv => "csv",
            Self::Otlp => "otlp",
        }
    }

    /// The value of HTTP's `Content-Type` header.
    #[must_use]
    pub fn content_type(self) -> &'static str {
        match self {
            Self::Prometheus => "text/plain; version=0.0.4; charset=utf-8",
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
            Self::Json => "application/json",
            Self::Csv => "text/csv; charset=utf-8; header=present",
            Self::Otlp => "application/x-protobuf",
        }
    }

    /// Whether a page is no text.
    #[must_use]
    pub fn is_binary(self) -> bool {
        self == Self::Otlp
    }

    fn format(self) -> Box<dyn Format> {
        match self {
            Self::Prometheus => Box::new(Prometheus::default()),
            Self::OpenMetrics => Box::new(OpenMetrics::default()),
            Self::Json => Box::new(Json::default()),
            Self::Csv => Box::new(Csv::default()),
            Self::Otlp => Box::new(Otlp::default()),
        }
    }
}

/// The format of that name.
#[must_use]
pub fn find(name: &str) -> Option<Kind> {
    Kind::ALL.into_iter().find(|kind| kind.name() == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_every_format_by_its_name_and_nothing_else() {
        for kind in Kind::ALL {
            assert_eq!(find(kind.name()), Some(kind));
        }
        for unknown in ["", "Json", "protobuf", "json "] {
            assert_eq!(find(unknown), None);
        }
    }
}
