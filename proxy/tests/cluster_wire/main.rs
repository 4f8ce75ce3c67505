//! Messages between members in octets: whatever one writes the other reads, and what was ever written stays
//! readable.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "helpers of tests fail the test")]

mod golden;
mod hostile;
mod later_versions;
mod round_trip;
mod samples;
