//! Who keeps presenting wrong passwords.

use super::{age, list, safe, table, without};
use crate::admin::api::{Offender, Offenders};

pub(in crate::admin) fn offenders(report: &Offenders) -> String {
    let Offenders { offenders, truncated, answered, missing } = report;
    let mut text = if offenders.is_empty() {
        "Nobody presents a wrong password again and again.\n".to_owned()
    } else if answered.len() + missing.len() > 1 {
        offenders_of_members(offenders)
    } else {
        offenders_of_one(offenders)
    };
    if *truncated {
        text.push_str("There are more: --limit shows up to 1000.\n");
    }
    text.push_str(&without(missing));
    text
}

/// A count that may be too high says by how much.
fn suppressed(offender: &Offender) -> String {
    match offender.overcount {
        0 => offender.suppressed.to_string(),
        overcount => format!("{}..{}", offender.suppressed.saturating_sub(overcount), offender.suppressed),
    }
}

fn offender_cells(offender: &Offender) -> [String; 6] {
    [
        safe(&offender.name),
        safe(&offender.source),
        safe(&offender.listener),
        suppressed(offender),
        age(offender.first_seen_seconds_ago),
        age(offender.last_seen_seconds_ago),
    ]
}

fn offenders_of_one(offenders: &[Offender]) -> String {
    let rows: Vec<_> = offenders.iter().map(offender_cells).collect();
    table(["NAME", "SOURCE", "LISTENER", ">SUPPRESSED", ">FIRST SEEN", ">LAST SEEN"], &rows)
}

fn offenders_of_members(offenders: &[Offender]) -> String {
    let rows: Vec<_> = offenders
        .iter()
        .map(|offender| {
            let [name, source, listener, suppressed, first, last] = offender_cells(offender);
            [name, source, listener, suppressed, first, last, list(&offender.nodes)]
        })
        .collect();
    table(["NAME", "SOURCE", "LISTENER", ">SUPPRESSED", ">FIRST SEEN", ">LAST SEEN", "MEMBERS"], &rows)
}
