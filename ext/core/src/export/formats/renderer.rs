use super::{Format, Kind};
use crate::snapshot::{Point, Snapshot};
use std::fmt;

/// Writes a snapshot in a format, piece by piece.
///
/// What it holds beside the snapshot is one point and what the format keeps of one family.
pub struct Renderer {
    format: Box<dyn Format>,
    snapshot: Snapshot,
    point: Point,
    next: Step,
}

/// What comes next; families and points by their index.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    Begin,
    Family(usize),
    Point(usize, usize),
    Done,
}

impl fmt::Debug for Renderer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Renderer")
            .field("snapshot", &self.snapshot)
            .field("next", &self.next)
            .finish_non_exhaustive()
    }
}

impl Renderer {
    /// A renderer of `snapshot` in one of the formats that are built in.
    #[must_use]
    pub fn new(kind: Kind, snapshot: Snapshot) -> Self {
        Self::with(kind.format(), snapshot)
    }

    /// A renderer of `snapshot` in any format.
    #[must_use]
    pub fn with(format: Box<dyn Format>, snapshot: Snapshot) -> Self {
        Self {
            format,
            snapshot,
            point: Point::new(),
            next: Step::Begin,
        }
    }

    /// Appends to `out` until it holds `at_least` bytes or the page ends, and answers whether there is more to come.
    ///
    /// A point is never divided: `out` grows past `at_least` by no more than one point's lines and one family's
    /// heading. Every call makes progress, even when `out` holds enough already.
    pub fn chunk(&mut self, out: &mut Vec<u8>, at_least: usize) -> bool {
        while self.next != Step::Done {
            self.next = match self.next {
                Step::Begin => {
                    self.format.begin(&self.snapshot, out);
                    Step::Family(0)
                }
                Step::Family(family) => self.begin_family(family, out),
                Step::Point(family, first) => self.points(family, first, out, at_least),
                Step::Done => Step::Done,
            };
            if out.len() >= at_least {
                break;
            }
        }
        self.next != Step::Done
    }

    fn begin_family(&mut self, index: usize, out: &mut Vec<u8>) -> Step {
        match self.snapshot.families.get(index) {
            None => {
                self.format.end(out);
                Step::Done
            }
            Some(family) if family.superseded && !self.format.shows_superseded() => Step::Family(index + 1),
            Some(family) => {
                self.format.begin_family(family, out);
                Step::Point(index, 0)
            }
        }
    }

    fn points(&mut self, index: usize, first: usize, out: &mut Vec<u8>, at_least: usize) -> Step {
        let family = &self.snapshot.families[index];
        for at in first..family.len() {
            if family.load(at, &mut self.point) {
                self.format.point(&family.descriptor, &self.point, out);
                if out.len() >= at_least {
                    return Step::Point(index, at + 1);
                }
            }
        }
        self.format.end_family(family, out);
        Step::Family(index + 1)
    }
}
