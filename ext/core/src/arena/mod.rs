//! Where it is counted.
