//! The API's answers for people: aligned columns, and ages like `3m12s`. Names and messages come
//! from strangers and are escaped before a terminal sees them.

use std::fmt::Write as _;

use super::api::{Explanation, FlushReport, Offender, StatusReport};
use crate::logging::Escaped;

/// The two largest units: `45s`, `3m12s`, `2h05m`, `3d04h`.
pub(super) fn age(seconds: u64) -> String {
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3600 => format!("{}m{:02}s", seconds / 60, seconds % 60),
        3600..86_400 => format!("{}h{:02}m", seconds / 3600, seconds / 60 % 60),
        _ => format!("{}d{:02}h", seconds / 86_400, seconds / 3600 % 24),
    }
}

fn safe(text: &str) -> String {
    Escaped(text.as_bytes()).to_string()
}

fn yes(is: bool) -> String {
    if is { "yes" } else { "no" }.to_owned()
}

fn share(part: u64, whole: u64) -> String {
    // One digit after the point, in whole numbers: 12.3 %.
    let per_mille = part.saturating_mul(1000).checked_div(whole).unwrap_or(0);
    format!("{}.{} %", per_mille / 10, per_mille % 10)
}

/// Rows under their headings, two spaces apart. A column whose heading starts with `>` is aligned
/// to the right. The last column has no trailing spaces.
fn table<const N: usize>(headings: [&str; N], rows: &[[String; N]]) -> String {
    let titles = headings.map(|heading| heading.trim_start_matches('>').to_owned());
    let right = headings.map(|heading| heading.starts_with('>'));
    let mut widths = [0; N];
    for row in std::iter::once(&titles).chain(rows) {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let mut text = String::new();
    for row in std::iter::once(&titles).chain(rows) {
        let mut line = String::new();
        for ((cell, width), right) in row.iter().zip(widths).zip(right) {
            let _ = if right { write!(line, "{cell:>width$}  ") } else { write!(line, "{cell:<width$}  ") };
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

/// Lines of a key and its value, the values under each other.
fn facts(facts: &[(&str, String)]) -> String {
    let width = facts.iter().map(|(key, _)| key.len()).max().unwrap_or_default();
    facts.iter().fold(String::new(), |mut text, (key, value)| {
        let _ = writeln!(text, "{key:<width$}  {value}");
        text
    })
}

pub(super) fn status(report: &StatusReport) -> String {
    let condition = match (report.draining, report.ready) {
        (true, _) => "draining",
        (false, true) => "ready",
        (false, false) => "starting",
    };
    let binds = &report.binds;
    let full = share(report.cache.entries, report.cache.capacity);
    let mut text = facts(&[
        ("state", format!("{condition}, up {}", age(report.uptime_seconds))),
        ("version", safe(&report.version)),
        ("configuration", safe(&report.config_hash)),
        (
            "cache",
            format!(
                "{} of {} entries ({full}), {} names",
                report.cache.entries, report.cache.capacity, report.cache.names
            ),
        ),
        (
            "binds",
            format!(
                "{} forwarded ({} refused with 49), {} from the cache, {} coalesced",
                binds.upstream, binds.upstream_invalid_credentials, binds.cache_rejected, binds.coalesced
            ),
        ),
        (
            "",
            format!(
                "{} anonymous, {} SASL, {} unavailable, {} refused by a rule",
                binds.anonymous, binds.sasl, binds.unavailable, binds.local_refused
            ),
        ),
        ("prevented", format!("{} failed binds that the directory did not count", binds.lockout_attempts_prevented)),
    ]);
    let listeners: Vec<_> = report
        .listeners
        .iter()
        .map(|listener| [safe(&listener.name), safe(&listener.address), listener.active.to_string()])
        .collect();
    let upstreams: Vec<_> = report
        .upstreams
        .iter()
        .map(|upstream| {
            [
                safe(&upstream.name),
                safe(&upstream.address),
                yes(upstream.up),
                upstream.idle.to_string(),
                upstream.busy.to_string(),
                upstream.last_error.as_deref().map_or_else(|| "-".to_owned(), safe),
            ]
        })
        .collect();
    text.push('\n');
    text.push_str(&table(["LISTENER", "ADDRESS", ">CONNECTIONS"], &listeners));
    text.push('\n');
    text.push_str(&table(["UPSTREAM", "ADDRESS", "UP", ">IDLE", ">BUSY", "LAST ERROR"], &upstreams));
    text
}

pub(super) fn offenders(offenders: &[Offender]) -> String {
    if offenders.is_empty() {
        return "Nobody presents a wrong password again and again.\n".to_owned();
    }
    let rows: Vec<_> = offenders
        .iter()
        .map(|offender| {
            [
                safe(&offender.name),
                safe(&offender.source),
                safe(&offender.listener),
                offender.suppressed.to_string(),
                age(offender.first_seen_seconds_ago),
                age(offender.last_seen_seconds_ago),
            ]
        })
        .collect();
    table(["NAME", "SOURCE", "LISTENER", ">SUPPRESSED", ">FIRST SEEN", ">LAST SEEN"], &rows)
}

pub(super) fn explanation(explanation: &Explanation) -> String {
    let mut text = facts(&[
        ("name", safe(&explanation.name)),
        ("in the log", safe(&explanation.short_hash)),
        ("known good", yes(explanation.known_good)),
        ("in flight", yes(explanation.in_flight)),
        ("next bind", safe(&explanation.next)),
    ]);
    if explanation.entries.is_empty() {
        return text;
    }
    let rows: Vec<_> = explanation
        .entries
        .iter()
        .map(|entry| {
            [
                age(entry.age_seconds),
                age(entry.remaining_seconds),
                entry.failures.to_string(),
                entry.hits.to_string(),
                entry.result_code.to_string(),
                yes(entry.would_answer),
                if entry.diagnostic.is_empty() { "-".to_owned() } else { safe(&entry.diagnostic) },
            ]
        })
        .collect();
    text.push('\n');
    text.push_str(&table([">AGE", ">REMAINING", ">FAILURES", ">HITS", ">CODE", "ANSWERS", "DIAGNOSTIC"], &rows));
    text
}

pub(super) fn flush(report: &FlushReport) -> String {
    let list = |names: &[String]| match names {
        [] => "none".to_owned(),
        names => names.iter().map(|name| safe(name)).collect::<Vec<_>>().join(", "),
    };
    facts(&[
        ("removed", format!("{} entries", report.removed)),
        ("acknowledged", list(&report.acknowledged)),
        ("unreachable", list(&report.unreachable)),
    ])
}

#[cfg(test)]
mod tests {
    use super::super::api::{ExplainedEntry, UpstreamReport};
    use super::*;

    #[test]
    fn ages_show_their_two_largest_units() {
        let known = [
            (0, "0s"),
            (59, "59s"),
            (60, "1m00s"),
            (192, "3m12s"),
            (3599, "59m59s"),
            (7500, "2h05m"),
            (86_399, "23h59m"),
            (273_600, "3d04h"),
        ];
        for (seconds, text) in known {
            assert_eq!(age(seconds), text);
        }
    }

    #[test]
    fn columns_are_aligned_by_characters() {
        let offender = |name: &str, suppressed| Offender {
            name: name.to_owned(),
            source: "10.0.0.7".to_owned(),
            listener: "ldap".to_owned(),
            suppressed,
            first_seen_seconds_ago: 192,
            last_seen_seconds_ago: 4,
        };
        let text = offenders(&[offender("cn=ålice", 12_345), offender("CORP\\bob", 7)]);
        assert_eq!(
            text,
            "NAME      SOURCE    LISTENER  SUPPRESSED  FIRST SEEN  LAST SEEN\n\
             cn=ålice  10.0.0.7  ldap           12345       3m12s         4s\n\
             CORP\\bob  10.0.0.7  ldap               7       3m12s         4s\n"
        );
    }

    #[test]
    fn what_strangers_wrote_cannot_steer_the_terminal() {
        let evil = "x\u{1b}[2J\r\ny\u{9b}31m";
        let entry = ExplainedEntry {
            age_seconds: 1,
            remaining_seconds: 2,
            failures: 3,
            hits: 4,
            result_code: 49,
            diagnostic: evil.to_owned(),
            would_answer: true,
        };
        let explained = explanation(&Explanation {
            name: evil.to_owned(),
            short_hash: "~00000001".to_owned(),
            known_good: false,
            in_flight: false,
            entries: vec![entry],
            next: evil.to_owned(),
        });
        let upstream = UpstreamReport {
            name: evil.to_owned(),
            address: evil.to_owned(),
            up: false,
            idle: 0,
            busy: 0,
            last_error: Some(evil.to_owned()),
        };
        let report = StatusReport {
            version: evil.to_owned(),
            config_hash: evil.to_owned(),
            uptime_seconds: 0,
            ready: true,
            draining: false,
            cache: Default::default(),
            listeners: Vec::new(),
            upstreams: vec![upstream],
            binds: Default::default(),
        };
        let flushed = flush(&FlushReport { acknowledged: vec![evil.to_owned()], ..Default::default() });
        for text in [explained, status(&report), flushed] {
            assert!(!text.chars().any(|character| character.is_control() && character != '\n'), "{text:?}");
            assert!(!text.contains("\ny"), "{text:?}");
        }
    }
}
