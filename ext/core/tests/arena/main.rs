//! The arena as one process uses it: through a registry, its metrics and their series.

mod common;
mod names;
mod recording;
mod replacement;
