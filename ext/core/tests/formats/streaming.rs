//! A picture far larger than the buffer that it is written through.

use std::sync::Arc;
use tasker_telemetry_core::export::formats::{Kind, Renderer};
use tasker_telemetry_core::metric::{Descriptor, Kind as Instrument, LabelKey};
use tasker_telemetry_core::snapshot::{Count, Family, Point, Points, Snapshot, Value};

const SERIES: usize = 1_000_000;
const AT_LEAST: usize = 64 * 1024;
const BOUND: usize = 256 * 1024;

/// Points that exist only while they are read; every tenth has been removed meanwhile.
struct Generated;

impl Points for Generated {
    fn count(&self) -> usize {
        SERIES
    }

    fn load(&self, index: usize, point: &mut Point) -> bool {
        point.values = LabelKey::reusing(std::mem::take(&mut point.values).into_buffer());
        point.values.push(itoa::Buffer::new().format(index));
        point.value = Value::Counter(Count {
            int: index as u64,
            float: 0.0,
        });
        point.created_at = 1_700_000_000_000_000_000;
        index % 10 != 0
    }
}

#[test]
fn a_million_series_stream_through_a_buffer_of_one_size() {
    let labels = ["id".to_owned()];
    let descriptor = Descriptor::new("orders_total", "", None, Instrument::Counter, &labels, None).unwrap();
    let family = Family::new(Arc::new(descriptor), false, Arc::new(Generated));
    let snapshot = Snapshot::new(vec![family], 0);
    // Lines beside the samples, and lines per sample.
    for (kind, around, per_sample) in [
        (Kind::Prometheus, 1, 1),
        (Kind::OpenMetrics, 2, 2),
        (Kind::Json, 3, 1),
        (Kind::Csv, 1, 1),
    ] {
        let mut renderer = Renderer::new(kind, snapshot.clone());
        let (mut out, mut lines, mut chunks, mut more) = (Vec::new(), 0, 0, true);
        while more {
            out.clear();
            more = renderer.chunk(&mut out, AT_LEAST);
            lines += out.iter().filter(|byte| **byte == b'\n').count();
            chunks += 1;
            assert!(out.capacity() < BOUND, "{kind:?}: {} bytes", out.capacity());
        }
        assert_eq!(lines, around + per_sample * SERIES / 10 * 9, "{kind:?}");
        assert!(chunks > 100, "{kind:?}: {chunks} pieces");
    }
}
