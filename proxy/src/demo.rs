//! `bindproxy demo`.

pub mod client;
