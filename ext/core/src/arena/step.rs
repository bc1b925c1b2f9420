//! Where another process may come in between: the test of interleavings takes turns here.

#[cfg(test)]
pub(super) use super::interleavings::step;

/// Compiled to nothing outside of tests.
#[cfg(not(test))]
#[inline(always)]
pub(super) fn step() {}
