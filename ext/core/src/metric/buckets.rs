use super::{Error, Result};

/// Prometheus' customary bounds for durations, in seconds.
pub const DEFAULT_BUCKETS: [f64; 11] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];

/// Most bounds that one histogram may have.
const MAX_BUCKETS: usize = 500;

/// Upper bounds of a histogram's buckets: finite, ascending, distinct. The `+Inf` bucket is implied.
#[derive(Debug, Clone, PartialEq)]
pub struct Buckets(Vec<f64>);

impl Buckets {
    /// Bounds in any order; an explicit `+Inf` at the end is accepted and dropped, since it is implied.
    ///
    /// # Errors
    /// [`Error::Buckets`] when there is no finite bound, a NaN or `-Inf`, a repeated bound, or more than 500.
    pub fn new(metric: &str, mut bounds: Vec<f64>) -> Result<Self> {
        let refuse = |rule| Error::Buckets {
            metric: metric.to_owned(),
            buckets: format!("{bounds:?}"),
            rule,
        };
        if bounds.iter().any(|bound| bound.is_nan() || *bound == f64::NEG_INFINITY) {
            return Err(refuse("every bound must be a number greater than -Infinity"));
        }
        let finite = bounds.iter().filter(|bound| bound.is_finite()).count();
        if finite == 0 {
            return Err(refuse("at least one finite bound is needed"));
        }
        if finite > MAX_BUCKETS {
            return Err(refuse("at most 500 bounds are accepted"));
        }
        let mut sorted = bounds.clone();
        sorted.sort_by(f64::total_cmp);
        if sorted.windows(2).any(|pair| pair[0] == pair[1]) {
            return Err(refuse("every bound must be distinct"));
        }
        bounds = sorted;
        bounds.retain(|bound| bound.is_finite());
        // -0.0 prints as "-0" and equals 0.0; one spelling keeps two processes from disagreeing.
        for bound in &mut bounds {
            *bound += 0.0;
        }
        Ok(Self(bounds))
    }

    /// The finite upper bounds, ascending.
    #[must_use]
    pub fn bounds(&self) -> &[f64] {
        &self.0
    }

    /// Index of the bucket that `value` falls into; `bounds().len()` is the `+Inf` bucket. A bound is inclusive.
    #[must_use]
    pub fn index(&self, value: f64) -> usize {
        self.0.partition_point(|bound| *bound < value)
    }
}

impl Default for Buckets {
    fn default() -> Self {
        Self(DEFAULT_BUCKETS.to_vec())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sorts_and_drops_the_implied_infinity() {
        let buckets = Buckets::new("m", vec![5.0, 0.1, f64::INFINITY]).unwrap();
        assert_eq!(buckets.bounds(), [0.1, 5.0]);
    }

    #[test]
    fn bounds_are_inclusive() {
        let buckets = Buckets::new("m", vec![0.1, 0.5]).unwrap();
        assert_eq!(
            [0.0, 0.1, 0.11, 0.5, 0.6, f64::INFINITY].map(|v| buckets.index(v)),
            [0, 0, 1, 1, 2, 2]
        );
    }

    #[test]
    fn refuses_what_cannot_be_a_bound() {
        for bad in [
            vec![],
            vec![f64::INFINITY],
            vec![f64::NAN, 1.0],
            vec![1.0, 1.0],
            vec![0.0, -0.0, 0.0],
            vec![f64::NEG_INFINITY, 1.0],
        ] {
            assert!(Buckets::new("m", bad.clone()).is_err(), "{bad:?}");
        }
    }
}
