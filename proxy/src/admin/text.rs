//! The API's answers for people: aligned columns, and ages like `3m12s`. Names and messages come
//! from strangers and are escaped before a terminal sees them.

use std::fmt::Write as _;

use super::api::FlushReport;
use crate::logging::Escaped;

mod explanation;
mod offenders;
mod status;

pub(super) use explanation::explanation;
pub(super) use offenders::offenders;
pub(super) use status::status;

/// The two largest units: `45s`, `3m12s`, `2h05m`, `3d04h`.
fn age(seconds: u64) -> String {
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

/// Names of members in a sentence; escaped, because another process chose them.
fn list(names: &[String]) -> String {
    names.iter().map(|name| safe(name)).collect::<Vec<_>>().join(", ")
}

/// Who is not in an answer, so that nobody takes it for the whole.
fn without(missing: &[String]) -> String {
    if missing.is_empty() { String::new() } else { format!("\nDid not answer: {}.\n", list(missing)) }
}

pub(super) fn flush(report: &FlushReport) -> String {
    let or_none = |names: &[String]| if names.is_empty() { "none".to_owned() } else { list(names) };
    let mut text = facts(&[
        ("removed", format!("{} entries", report.removed)),
        ("acknowledged", or_none(&report.acknowledged)),
        ("unreachable", or_none(&report.unreachable)),
    ]);
    if report.unreachable.is_empty() {
        return text;
    }
    let missing = list(&report.unreachable);
    let _ = if report.lasting {
        writeln!(
            text,
            "\nNot flushed yet: {missing}. What is cut off forgets as soon as it reaches another member again, what is started anew has nothing to forget. Until then it may answer from memory."
        )
    } else {
        writeln!(
            text,
            "\nNot flushed: {missing}. Nobody who answered knows a name with this short hash. Flush the whole name: then whoever was unreachable forgets it too, once it is back."
        )
    };
    text
}

#[cfg(test)]
mod tests {
    use super::super::api::{
        ExplainedEntry, Explanation, NodeEntry, NodeExplanation, Offender, Offenders, StatusReport, UpstreamReport,
    };
    use super::super::cluster::{ClusterReport, MemberReport, MemberStanding, MemberState};
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

    fn offender(name: &str, suppressed: u64) -> Offender {
        Offender {
            name: name.to_owned(),
            short_hash: "~1a2b3c4d".to_owned(),
            source: "10.0.0.7".to_owned(),
            listener: "ldap".to_owned(),
            suppressed,
            overcount: 0,
            first_seen_seconds_ago: 192,
            last_seen_seconds_ago: 4,
            nodes: Vec::new(),
        }
    }

    #[test]
    fn columns_are_aligned_by_characters() {
        let listed = vec![offender("cn=ålice", 12_345), offender("CORP\\bob", 7)];
        let text = offenders(&Offenders { offenders: listed, ..Offenders::default() });
        assert_eq!(
            text,
            "NAME      SOURCE    LISTENER  SUPPRESSED  FIRST SEEN  LAST SEEN\n\
             cn=ålice  10.0.0.7  ldap           12345       3m12s         4s\n\
             CORP\\bob  10.0.0.7  ldap               7       3m12s         4s\n"
        );
    }

    #[test]
    fn several_members_are_a_column_and_who_is_missing_is_said() {
        let seen =
            Offender { nodes: vec!["corp-0".to_owned(), "corp-1".to_owned()], overcount: 3, ..offender("a", 12) };
        let text = offenders(&Offenders {
            offenders: vec![seen],
            truncated: true,
            answered: vec!["corp-0".to_owned(), "corp-1".to_owned()],
            missing: vec!["corp-2".to_owned()],
        });
        assert_eq!(
            text,
            "NAME  SOURCE    LISTENER  SUPPRESSED  FIRST SEEN  LAST SEEN  MEMBERS\n\
             a     10.0.0.7  ldap           9..12       3m12s         4s  corp-0, corp-1\n\
             There are more: --limit shows up to 1000.\n\
             \n\
             Did not answer: corp-2.\n"
        );
    }

    #[test]
    fn a_flush_says_who_still_remembers_and_for_how_long() {
        let report = FlushReport {
            acknowledged: vec!["corp-0".to_owned()],
            unreachable: vec!["corp-1".to_owned(), "corp-2".to_owned()],
            removed: 3,
            lasting: true,
        };
        let told = flush(&report);
        assert!(told.contains("Not flushed yet: corp-1, corp-2. What is cut off forgets as soon as"), "{told}");
        let told = flush(&FlushReport { lasting: false, ..report });
        assert!(told.contains("Not flushed: corp-1, corp-2. Nobody who answered knows"), "{told}");
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
            truncated: true,
            nodes: vec![NodeExplanation {
                node: evil.to_owned(),
                known_good: false,
                in_flight: true,
                entries: vec![NodeEntry { entry: usize::MAX, remaining_seconds: 2, failures: 3, hits: 4 }],
            }],
            answered: vec![evil.to_owned()],
            missing: vec![evil.to_owned()],
        });
        let offending = offenders(&Offenders {
            offenders: vec![Offender { nodes: vec![evil.to_owned()], ..offender(evil, 5) }],
            missing: vec![evil.to_owned()],
            answered: vec![evil.to_owned()],
            truncated: true,
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
            cluster: Some(ClusterReport {
                name: evil.to_owned(),
                node: evil.to_owned(),
                joined: true,
                members: vec![MemberReport {
                    name: evil.to_owned(),
                    state: MemberState::Unknown,
                    standing: MemberStanding::Joining,
                    entries: 1,
                }],
            }),
        };
        let flushed = flush(&FlushReport {
            acknowledged: vec![evil.to_owned()],
            unreachable: vec![evil.to_owned()],
            ..Default::default()
        });
        for text in [explained, offending, status(&report), flushed] {
            assert!(!text.chars().any(|character| character.is_control() && character != '\n'), "{text:?}");
            assert!(!text.contains("\ny"), "{text:?}");
        }
    }
}
