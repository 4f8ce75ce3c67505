//! One line of the table: what was seen, and what is wanted.

use std::fmt::{self, Write as _};

use serde::Serialize;

use super::rounds::Round;
use crate::load::Outcome;

/// What is wanted of a figure.
#[derive(Clone, Copy, Debug, Serialize)]
pub enum Target {
    /// This or more.
    AtLeast(f64),
    /// This or less.
    AtMost(f64),
    /// Shown for comparison only.
    Shown,
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AtLeast(value) => write!(f, ">= {}", number(*value)),
            Self::AtMost(value) => write!(f, "<= {}", number(*value)),
            Self::Shown => write!(f, "-"),
        }
    }
}

/// What a ratio is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// Operations in a second.
    Rate,
    /// CPU time of an operation, microseconds.
    CpuTime,
    /// Duration of an operation, microseconds.
    Latency,
}

/// A figure, with one sample of each round.
#[derive(Clone, Debug, Serialize)]
pub struct Figure {
    /// The work that it is about.
    pub work: String,
    /// What was compared or counted, with its unit.
    pub what: String,
    /// What is wanted.
    pub target: Target,
    /// One value of each round.
    pub samples: Vec<f64>,
    /// Absolute values, or a remark.
    pub seen: String,
}

impl Figure {
    /// A figure that is one value and no ratio.
    #[must_use]
    pub fn single(work: &str, what: &str, target: Target, value: f64, seen: String) -> Self {
        Self { work: work.to_owned(), what: what.to_owned(), target, samples: vec![value], seen }
    }

    /// The ratio of `of` between two systems of the same round; rounds without a value are left out.
    #[must_use]
    pub fn ratio(
        work: &str,
        (what, unit): (&str, Unit),
        target: Target,
        rounds: &[Round],
        [ours, theirs]: [&str; 2],
        of: impl Fn(&Outcome) -> f64,
    ) -> Self {
        let values = |system: &str| rounds.iter().filter_map(|round| Some(of(round.get(system)?))).collect::<Vec<_>>();
        let samples = rounds
            .iter()
            .filter_map(|round| Some(of(round.get(ours)?) / of(round.get(theirs)?)))
            .filter(|ratio| ratio.is_finite())
            .collect();
        let least = |system: &str| number(values(system).into_iter().fold(f64::INFINITY, f64::min));
        let mut seen = format!("{} / {}", number(median(&values(ours))), number(median(&values(theirs))));
        // The least disturbed window is the best guess at what a thing costs on a quiet machine.
        if unit == Unit::CpuTime {
            write!(seen, ", least {} / {}", least(ours), least(theirs)).ok();
        }
        Self { work: work.to_owned(), what: format!("{what}, {ours} / {theirs}"), target, samples, seen }
    }

    /// The middle of the samples; not a number when there are none.
    #[must_use]
    pub fn median(&self) -> f64 {
        median(&self.samples)
    }

    /// `met`, `MISSED`, or nothing where nothing is wanted.
    #[must_use]
    pub fn verdict(&self) -> &'static str {
        let median = self.median();
        match self.target {
            Target::Shown => "",
            _ if median.is_nan() => "NO DATA",
            Target::AtLeast(wanted) if median >= wanted => "met",
            Target::AtMost(wanted) if median <= wanted => "met",
            Target::AtLeast(_) | Target::AtMost(_) => "MISSED",
        }
    }

    fn range(&self) -> String {
        let low = self.samples.iter().copied().fold(f64::INFINITY, f64::min);
        let high = self.samples.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        if self.samples.len() < 2 { "-".to_owned() } else { format!("{} - {}", number(low), number(high)) }
    }
}

/// The middle value; not a number when there is none.
#[must_use]
pub fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    match (sorted.get(sorted.len().wrapping_sub(1) / 2), sorted.get(sorted.len() / 2)) {
        (Some(low), Some(high)) => f64::midpoint(*low, *high),
        _ => f64::NAN,
    }
}

/// Three digits that matter, and no more than two behind the point.
#[must_use]
pub fn number(value: f64) -> String {
    match value.abs() {
        0.0 => "0".to_owned(),
        ..9.995 => format!("{value:.2}"),
        ..99.95 => format!("{value:.1}"),
        ..99_999.5 => format!("{value:.0}"),
        _ => format!("{:.0}k", value / 1000.0),
    }
}

/// The figures as one table with aligned columns.
#[must_use]
pub fn table(figures: &[Figure]) -> String {
    let head = ["work", "figure", "target", "median", "range", "", "seen"].map(str::to_owned);
    let rows = figures.iter().map(|figure| {
        [
            figure.work.clone(),
            figure.what.clone(),
            figure.target.to_string(),
            number(figure.median()),
            figure.range(),
            figure.verdict().to_owned(),
            figure.seen.clone(),
        ]
    });
    let lines: Vec<[String; 7]> = std::iter::once(head).chain(rows).collect();
    let width = |column: usize| lines.iter().map(|line| line[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..7).map(width).collect();
    let mut text = String::new();
    for (number, line) in lines.iter().enumerate() {
        let cells: Vec<String> = line.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
        text += cells.join("  ").trim_end();
        text.push('\n');
        if number == 0 {
            text += &"-".repeat(widths.iter().sum::<usize>() + 12);
            text.push('\n');
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn figure(target: Target, samples: &[f64]) -> Figure {
        Figure { work: "w".into(), what: "f".into(), target, samples: samples.to_vec(), seen: String::new() }
    }

    #[test]
    fn the_median_is_the_middle_and_the_mean_of_two_middles() {
        assert!((median(&[3.0, 1.0, 2.0]) - 2.0).abs() < 1e-9);
        assert!((median(&[4.0, 1.0, 2.0, 3.0]) - 2.5).abs() < 1e-9);
        assert!(median(&[]).is_nan());
    }

    #[test]
    fn a_verdict_follows_the_median_and_no_data_is_no_success() {
        assert_eq!(figure(Target::AtLeast(0.9), &[0.5, 0.95, 1.2]).verdict(), "met");
        assert_eq!(figure(Target::AtMost(1.15), &[1.1, 1.2, 1.3]).verdict(), "MISSED");
        assert_eq!(figure(Target::AtMost(1.15), &[]).verdict(), "NO DATA");
        assert_eq!(figure(Target::Shown, &[7.0]).verdict(), "");
    }

    #[test]
    fn the_table_has_a_line_for_each_figure() {
        let text = table(&[figure(Target::AtMost(2.0), &[1.0, 1.5]), figure(Target::Shown, &[40_000.0])]);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 4);
        assert!(lines[2].contains("<= 2.00") && lines[2].contains("1.00 - 1.50") && lines[2].contains("met"));
        assert!(lines[3].contains("40000"));
    }
}
