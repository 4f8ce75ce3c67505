//! What is known about a name.

use super::{age, facts, safe, table, without, yes};
use crate::admin::api::Explanation;

pub(in crate::admin) fn explanation(explanation: &Explanation) -> String {
    let mut text = facts(&[
        ("name", safe(&explanation.name)),
        ("in the log", safe(&explanation.short_hash)),
        ("known good", yes(explanation.known_good)),
        ("in flight", yes(explanation.in_flight)),
        ("next bind", safe(&explanation.next)),
    ]);
    if !explanation.entries.is_empty() {
        text.push('\n');
        text.push_str(&explained_entries(explanation));
    }
    if explanation.answered.len() + explanation.missing.len() > 1 {
        text.push('\n');
        text.push_str(&explained_members(explanation));
    }
    text.push_str(&without(&explanation.missing));
    text
}

fn explained_entries(explanation: &Explanation) -> String {
    let rows: Vec<_> = (1..)
        .zip(&explanation.entries)
        .map(|(number, entry): (usize, _)| {
            [
                number.to_string(),
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
    let mut text = table([">#", ">AGE", ">REMAINING", ">FAILURES", ">HITS", ">CODE", "ANSWERS", "DIAGNOSTIC"], &rows);
    if explanation.truncated {
        text.push_str("There are more.\n");
    }
    text
}

/// What differs between members: a row for each failure that one knows, or for its knowing none.
fn explained_members(explanation: &Explanation) -> String {
    let mut rows = Vec::new();
    for node in &explanation.nodes {
        let row = |cells: [String; 4]| {
            let [number, remaining, failures, hits] = cells;
            [safe(&node.node), yes(node.known_good), yes(node.in_flight), number, remaining, failures, hits]
        };
        if node.entries.is_empty() {
            rows.push(row([(); 4].map(|()| "-".to_owned())));
        }
        rows.extend(node.entries.iter().map(|entry| {
            let number = entry.entry.saturating_add(1).to_string();
            row([number, age(entry.remaining_seconds), entry.failures.to_string(), entry.hits.to_string()])
        }));
    }
    table(["MEMBER", "KNOWN GOOD", "IN FLIGHT", ">#", ">REMAINING", ">FAILURES", ">HITS"], &rows)
}
