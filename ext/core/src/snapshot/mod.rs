//! What was counted: one picture of an arena, and all that formats, sync and exporters ever read.
//!
//! A [`Snapshot`] lists families in the order of their names, and each family's points in the order of their first
//! registration, so that the same state always prints the same page. Points of a live picture are read from the arena
//! one at a time ([`Family::load`]) into a buffer that the reader reuses: a million series cost a list of references,
//! never a copy of themselves.

mod point;

pub use point::{Count, Exemplar, HistogramValue, Point, Value};

use crate::metric::Descriptor;
use std::fmt;
use std::sync::Arc;

/// Where the points of a family are read from.
pub trait Points: Send + Sync {
    /// How many points were there when the picture was taken.
    fn count(&self) -> usize;

    /// Reads point `index` into `point`; `false` when its series has been removed since.
    fn load(&self, index: usize, point: &mut Point) -> bool;
}

impl Points for Vec<Point> {
    fn count(&self) -> usize {
        self.len()
    }

    fn load(&self, index: usize, point: &mut Point) -> bool {
        let Some(stored) = self.get(index) else { return false };
        point.clone_from(stored);
        true
    }
}

/// One metric of a picture.
#[derive(Clone)]
pub struct Family {
    /// What it is.
    pub descriptor: Arc<Descriptor>,
    /// Left by another release under a schema that is no longer the newest: JSON and status show it, pages do not.
    pub superseded: bool,
    points: Arc<dyn Points>,
}

impl fmt::Debug for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Family")
            .field("descriptor", &self.descriptor)
            .field("superseded", &self.superseded)
            .field("points", &self.points.count())
            .finish()
    }
}

impl Family {
    /// A family whose points are read from `points`.
    #[must_use]
    pub fn new(descriptor: Arc<Descriptor>, superseded: bool, points: Arc<dyn Points>) -> Self {
        Self {
            descriptor,
            superseded,
            points,
        }
    }

    /// A family whose points stand in memory.
    #[must_use]
    pub fn owned(descriptor: Descriptor, points: Vec<Point>) -> Self {
        Self::new(Arc::new(descriptor), false, Arc::new(points))
    }

    /// How many points were there when the picture was taken.
    #[must_use]
    pub fn len(&self) -> usize {
        self.points.count()
    }

    /// Whether no point was there.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Reads point `index` into `point`; `false` when its series has been removed since.
    pub fn load(&self, index: usize, point: &mut Point) -> bool {
        self.points.load(index, point)
    }
}

/// One picture of all metrics.
#[derive(Debug, Clone, Default)]
pub struct Snapshot {
    /// Families by name; of one name the newest schema first, then superseded ones.
    pub families: Vec<Family>,
    /// When it was taken, in nanoseconds since the Unix epoch.
    pub taken_at: u64,
}

impl Snapshot {
    /// A picture of `families`, put into the order of their names.
    #[must_use]
    pub fn new(mut families: Vec<Family>, taken_at: u64) -> Self {
        families.sort_by(|a, b| (&a.descriptor.name, a.superseded).cmp(&(&b.descriptor.name, b.superseded)));
        Self { families, taken_at }
    }

    /// Number of points in all families.
    #[must_use]
    pub fn series(&self) -> usize {
        self.families.iter().map(Family::len).sum()
    }
}
