//! What is known about a name, merged over the members: each one's view as it travels, and the whole.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

use crate::admin::api::{ExplainedEntry, Explanation, NodeEntry, NodeExplanation};
use crate::bind::{self, ShortHash};

use super::query::{self, Hex};

/// Entries of a name that are told and shown. More are those of somebody who tries passwords.
const MAX_ENTRIES: usize = 1000;
/// Octets of a diagnostic message that are told to another member.
const MAX_DIAGNOSTIC: usize = 512;

/// What one member knows of a name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct View {
    known_good: bool,
    in_flight: bool,
    /// The longest lives first.
    entries: Vec<ViewEntry>,
    truncated: bool,
}

/// One failure as one member knows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct ViewEntry {
    /// The keyed hash of name and password, by which members know that they mean the same.
    digest: Hex,
    age_milliseconds: u64,
    remaining_milliseconds: u64,
    level: u8,
    hits: u64,
    code: u32,
    diagnostic: String,
}

impl View {
    pub(super) fn of(known: Option<&bind::Explanation>) -> Self {
        let Some(bind::Explanation { name: _, entries, last_good, in_flight }) = known else { return Self::default() };
        let mut entries: Vec<_> = entries.iter().map(ViewEntry::of).collect();
        entries.sort_by_key(|entry| (std::cmp::Reverse(entry.remaining_milliseconds), entry.digest));
        let truncated = entries.len() > MAX_ENTRIES;
        entries.truncate(MAX_ENTRIES);
        Self { known_good: last_good.is_some(), in_flight: *in_flight > 0, entries, truncated }
    }

    /// For another member: within what a reply may hold.
    pub(super) fn bounded(mut self) -> Self {
        for entry in &mut self.entries {
            entry.diagnostic.truncate(entry.diagnostic.floor_char_boundary(MAX_DIAGNOSTIC));
        }
        let fitting = query::fitting(&self.entries, |_| 0);
        self.truncated |= fitting < self.entries.len();
        self.entries.truncate(fitting);
        self
    }

    fn is_empty(&self) -> bool {
        let Self { known_good, in_flight, entries, truncated: _ } = self;
        !known_good && !in_flight && entries.is_empty()
    }
}

impl ViewEntry {
    fn of(entry: &bind::EntryExplanation) -> Self {
        Self {
            digest: Hex(entry.digest.0),
            age_milliseconds: super::milliseconds(entry.age),
            remaining_milliseconds: super::milliseconds(entry.remaining),
            level: entry.level,
            hits: u64::from(entry.hits),
            code: entry.code,
            diagnostic: entry.diagnostic.clone(),
        }
    }

    fn failures(&self) -> u32 {
        u32::from(self.level).max(1)
    }
}

/// The views of the members that answered, by node name.
pub(super) fn merged(name: &str, short: ShortHash, views: &[(String, View)], missing: Vec<String>) -> Explanation {
    let mut entries: Vec<ExplainedEntry> = Vec::new();
    let mut places: HashMap<Hex, usize> = HashMap::new();
    let mut truncated = false;
    let mut nodes = Vec::with_capacity(views.len());
    for (node, view) in views {
        truncated |= view.truncated;
        let mut own = Vec::with_capacity(view.entries.len().min(MAX_ENTRIES));
        for entry in view.entries.iter().take(MAX_ENTRIES) {
            let place = *places.entry(entry.digest).or_insert(entries.len());
            match entries.get_mut(place) {
                Some(known) => merge_entry(known, entry),
                None if place < MAX_ENTRIES => entries.push(shown(entry)),
                None => {
                    truncated = true;
                    continue;
                }
            }
            own.push(NodeEntry {
                entry: place,
                remaining_seconds: entry.remaining_milliseconds / 1000,
                failures: entry.failures(),
                hits: entry.hits,
            });
        }
        nodes.push(NodeExplanation {
            node: node.clone(),
            known_good: view.known_good,
            in_flight: view.in_flight,
            entries: own,
        });
    }
    let next = if is_known(views) {
        next(entries.iter().filter(|entry| entry.would_answer).count())
    } else {
        "nothing is known of this name: any password is asked of the directory".to_owned()
    };
    Explanation {
        name: name.to_owned(),
        short_hash: short.to_string(),
        known_good: views.iter().any(|(_, view)| view.known_good),
        in_flight: views.iter().any(|(_, view)| view.in_flight),
        next,
        entries,
        truncated,
        nodes,
        answered: views.iter().map(|(node, _)| node.clone()).collect(),
        missing,
    }
}

/// Whether any member that answered knows anything.
pub(super) fn is_known(views: &[(String, View)]) -> bool {
    views.iter().any(|(_, view)| !view.is_empty())
}

fn shown(entry: &ViewEntry) -> ExplainedEntry {
    ExplainedEntry {
        age_seconds: entry.age_milliseconds / 1000,
        remaining_seconds: entry.remaining_milliseconds / 1000,
        failures: entry.failures(),
        hits: entry.hits,
        result_code: entry.code,
        diagnostic: entry.diagnostic.clone(),
        would_answer: entry.remaining_milliseconds > 0,
    }
}

/// A failure that one member has not heard of again yet is older there and ends sooner; hits are
/// each member's own.
fn merge_entry(known: &mut ExplainedEntry, entry: &ViewEntry) {
    known.age_seconds = known.age_seconds.min(entry.age_milliseconds / 1000);
    known.remaining_seconds = known.remaining_seconds.max(entry.remaining_milliseconds / 1000);
    known.failures = known.failures.max(entry.failures());
    known.hits = known.hits.saturating_add(entry.hits);
    known.would_answer |= entry.remaining_milliseconds > 0;
}

fn next(living: usize) -> String {
    match living {
        0 => "any password is asked of the directory".to_owned(),
        1 => "the one wrong password above is answered from memory; any other is asked of the directory".to_owned(),
        many => {
            format!("the {many} wrong passwords above are answered from memory; any other is asked of the directory")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(digest: u8, remaining: u64, level: u8, hits: u64) -> ViewEntry {
        ViewEntry {
            digest: Hex([digest; 16]),
            age_milliseconds: 100_000 - remaining,
            remaining_milliseconds: remaining,
            level,
            hits,
            code: 49,
            diagnostic: String::new(),
        }
    }

    fn view(entries: &[ViewEntry]) -> View {
        View { entries: entries.to_vec(), ..View::default() }
    }

    fn explain(views: &[View]) -> Explanation {
        let views: Vec<_> = views.iter().enumerate().map(|(at, view)| (format!("corp-{at}"), view.clone())).collect();
        merged("cn=a", ShortHash(1), &views, vec!["corp-9".to_owned()])
    }

    #[test]
    fn views_of_one_failure_are_one_entry_and_hits_add_up() {
        let explained = explain(&[
            view(&[entry(1, 50_000, 2, 7), entry(2, 9_000, 0, 0)]),
            View { known_good: true, ..view(&[entry(3, 0, 1, 1), entry(1, 40_000, 1, 5)]) },
            view(&[]),
        ]);
        let shown: Vec<_> = explained
            .entries
            .iter()
            .map(|entry| (entry.age_seconds, entry.remaining_seconds, entry.failures, entry.hits, entry.would_answer))
            .collect();
        assert_eq!(shown, [(50, 50, 2, 12, true), (91, 9, 1, 0, true), (100, 0, 1, 1, false)]);
        let of = |node: usize| -> Vec<_> {
            let entries = explained.nodes[node].entries.iter();
            entries.map(|entry| (entry.entry, entry.remaining_seconds, entry.failures, entry.hits)).collect()
        };
        assert_eq!(of(0), [(0, 50, 2, 7), (1, 9, 1, 0)]);
        assert_eq!(of(1), [(2, 0, 1, 1), (0, 40, 1, 5)]);
        assert_eq!(of(2), []);
        assert!(explained.known_good && !explained.in_flight && !explained.truncated);
        assert!(explained.next.starts_with("the 2 wrong passwords"), "{}", explained.next);
        assert_eq!(explained.answered, ["corp-0", "corp-1", "corp-2"]);
        assert_eq!(explained.missing, ["corp-9"]);
    }

    #[test]
    fn a_view_fits_its_reply_and_the_whole_has_a_bound() {
        let many = |from: u16| -> Vec<_> {
            let numbers = (from..).take(MAX_ENTRIES);
            let with = |number: u16| {
                let mut digest = [0; 16];
                digest[..2].copy_from_slice(&number.to_be_bytes());
                ViewEntry { digest: Hex(digest), diagnostic: "å".repeat(2000), ..entry(0, 1000, 1, 1) }
            };
            numbers.map(with).collect()
        };
        let bounded = view(&many(0)).bounded();
        assert!(bounded.truncated && bounded.entries.len() > 100, "{}", bounded.entries.len());
        assert_eq!(bounded.entries[0].diagnostic.len(), MAX_DIAGNOSTIC);
        assert!(query::encoded(&bounded).len() < query::LIST_BYTES + 200);
        let explained = explain(&[view(&many(0)), view(&many(500))]);
        assert_eq!((explained.entries.len(), explained.truncated), (MAX_ENTRIES, true));
        assert!(explained.nodes.iter().flat_map(|node| &node.entries).all(|entry| entry.entry < MAX_ENTRIES));
        assert_eq!(explained.nodes[1].entries.len(), MAX_ENTRIES - 500);
    }

    #[test]
    fn a_digest_is_told_to_members_and_shown_to_nobody() {
        let explained = explain(&[view(&[entry(0xAB, 1000, 1, 1)])]);
        assert!(!serde_json::to_string(&explained).unwrap().contains("abab"));
    }
}
