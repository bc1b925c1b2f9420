//! The arena as one process uses it: through a registry, its metrics and their series.

mod common;
mod exemplars;
mod names;
mod recording;
mod replacement;
