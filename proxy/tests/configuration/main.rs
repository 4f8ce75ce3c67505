//! The configuration as an administrator meets it: what is refused and in which words, what is
//! accepted, and what comes out of the files that it names.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "helpers of tests fail the test")]

mod cluster;
mod command_line;
mod examples;
mod folder;
mod problems;
mod properties;
mod tls_material;
mod warnings;
