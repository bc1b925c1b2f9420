//! Integration tests of the core against real processes, files and servers.
