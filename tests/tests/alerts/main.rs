//! The alerts, their runbooks and the dashboard: each alert fires and stays silent when it should,
//! and nothing asks for a metric that is not exported. Needs no cluster; the oracle is Prometheus'
//! own `promtool`, and the text that the real proxy exports.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking, in its helpers too")]

mod cases;
mod dashboard;
mod exported;
mod expression;
mod operator_metrics;
mod promtool;
mod rules;
mod runbooks;
mod scraping;
