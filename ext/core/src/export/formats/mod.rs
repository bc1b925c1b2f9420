//! Formats: each turns a [`Snapshot`] into bytes, one point at a time.
//!
//! A format is a few callbacks that append to a buffer ([`Format`]); the [`Renderer`] walks the snapshot, and stops
//! after any point once the buffer is large enough, so that a page of any size streams through a buffer of one size.

use crate::metric::Descriptor;
use crate::snapshot::{Family, Point, Snapshot};

/// What a format does at each step of the walk. `out` is appended to, never read.
pub trait Format: Send {
    /// Whether families that a newer schema superseded are shown.
    fn shows_superseded(&self) -> bool {
        false
    }

    /// Before the first family.
    fn begin(&mut self, _snapshot: &Snapshot, _out: &mut Vec<u8>) {}

    /// Before a family's first point.
    fn begin_family(&mut self, family: &Family, out: &mut Vec<u8>);

    /// One point.
    fn point(&mut self, descriptor: &Descriptor, point: &Point, out: &mut Vec<u8>);

    /// After a family's last point.
    fn end_family(&mut self, _family: &Family, _out: &mut Vec<u8>) {}

    /// After the last family.
    fn end(&mut self, _out: &mut Vec<u8>) {}
}
