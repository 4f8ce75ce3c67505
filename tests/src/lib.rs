//! Harness for the end-to-end suites.

pub mod simulation;
