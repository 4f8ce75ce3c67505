//! Every reason that a condition can have is explained in docs/troubleshooting.md, and nothing else is.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use bindproxy_operator::reconcile::outcome::ConditionType;

/// Where each condition's reasons are written, in their `as_str`.
const SOURCES: [(ConditionType, &str); 7] = [
    (ConditionType::Ready, "status/ready.rs"),
    (ConditionType::Accepted, "status/accepted.rs"),
    (ConditionType::Available, "status/available.rs"),
    (ConditionType::Progressing, "status/progressing.rs"),
    (ConditionType::ConfigApplied, "status/config_applied.rs"),
    (ConditionType::UpstreamsHealthy, "status/upstreams_healthy.rs"),
    (ConditionType::PeersConnected, "status/peers_connected.rs"),
];

fn read(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The names in lines such as `Self::Rejected => "Rejected",`; those that differ from their variant are labels of
/// something else.
fn reasons(source: &str) -> BTreeSet<String> {
    source
        .lines()
        .filter_map(|line| {
            let (variant, text) = line.trim().strip_prefix("Self::")?.split_once(" => \"")?;
            let name = text.strip_suffix("\",")?;
            (name == variant).then(|| name.to_owned())
        })
        .collect()
}

#[test]
fn every_reason_has_its_heading() {
    let page = read("../docs/troubleshooting.md");
    let headings: BTreeSet<(String, String)> = page
        .lines()
        .filter_map(|line| {
            let (condition, rest) = line.strip_prefix("### ")?.split_once('=')?;
            let (_, reason) = rest.split_once('/')?;
            Some((condition.to_owned(), reason.trim().to_owned()))
        })
        .collect();
    let conditions: BTreeSet<&str> = ConditionType::ALL.iter().map(|condition| condition.as_str()).collect();
    let mut wanted = BTreeSet::new();
    for (condition, file) in SOURCES {
        let mut found = reasons(&read(&format!("src/reconcile/{file}")));
        if condition == ConditionType::Accepted {
            let refusals = reasons(&read("src/reconcile/outcome.rs"));
            found.extend(refusals.into_iter().filter(|reason| !conditions.contains(reason.as_str())));
        }
        assert!(!found.is_empty(), "no reasons were found in {file}");
        wanted.extend(found.into_iter().map(|reason| (condition.as_str().to_owned(), reason)));
    }
    assert_eq!(headings, wanted, "docs/troubleshooting.md has a heading `### TYPE=STATUS/REASON` for each reason");
}
