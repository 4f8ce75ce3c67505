//! Figures on standard output.

use serde::Serialize;

/// What is wanted of a figure.
#[derive(Clone, Copy, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum Target {
    /// This or less.
    AtMost(f64),
    /// Shown only.
    Shown,
}

#[derive(Serialize)]
struct Line<'a> {
    what: &'a str,
    target: Target,
    value: f64,
    seen: &'a str,
}

/// Tells one figure.
pub(crate) fn figure(what: &str, target: Target, value: f64, seen: &str) {
    // A figure is two strings and two numbers: there is nothing that JSON cannot carry.
    println!("{}", serde_json::to_string(&Line { what, target, value, seen }).unwrap_or_default());
}

/// The sample below which this part of all lie; 0 of none.
pub(crate) fn quantile(samples: &mut [f64], part: f64) -> f64 {
    samples.sort_by(f64::total_cmp);
    let index = ((samples.len() as f64 * part) as usize).min(samples.len().saturating_sub(1));
    samples.get(index).copied().unwrap_or_default()
}
