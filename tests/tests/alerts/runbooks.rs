//! `docs/runbooks`: a page for each alert and no other, all of the same form.

use std::collections::{BTreeMap, BTreeSet};

use crate::rules;

const SECTIONS: [&str; 4] = ["## Impact", "## Diagnosis", "## Mitigation", "## When to ignore"];

fn pages() -> BTreeMap<String, String> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/runbooks");
    let entries = std::fs::read_dir(folder).expect("the folder of the runbooks");
    let pages = entries.map(|entry| {
        let path = entry.expect("an entry").path();
        let name = path.file_stem().expect("a name").to_string_lossy().into_owned();
        (name, std::fs::read_to_string(&path).expect("a page"))
    });
    pages.collect()
}

/// By alert, the severities that it has.
fn alerts() -> BTreeMap<String, BTreeSet<String>> {
    let mut alerts = BTreeMap::<String, BTreeSet<String>>::new();
    for rule in rules::all() {
        alerts.entry(rule.alert).or_default().insert(rule.severity);
    }
    alerts
}

#[test]
fn each_alert_has_a_page_and_each_page_an_alert() {
    let mut pages = pages();
    let index = pages.remove("README").expect("the index");
    let alerts = alerts();
    assert_eq!(pages.keys().collect::<Vec<_>>(), alerts.keys().collect::<Vec<_>>());
    for (alert, severities) in &alerts {
        let row = index.lines().find(|line| line.starts_with(&format!("| [{alert}]({alert}.md)")));
        let row = row.unwrap_or_else(|| panic!("{alert} is not in the index"));
        for severity in severities {
            assert!(row.contains(severity.as_str()), "the index does not say that {alert} is {severity}");
        }
    }
    assert_eq!(index.lines().filter(|line| line.starts_with("| [")).count(), alerts.len());
}

#[test]
fn pages_have_the_same_form_and_the_severity_of_the_rule() {
    let alerts = alerts();
    for (name, text) in pages().into_iter().filter(|(name, _)| name != "README") {
        assert!(text.starts_with(&format!("# {name}\n\n**Severity**: ")), "{name}: title");
        let severity = text.lines().nth(2).expect("the severity");
        for wanted in &alerts[&name] {
            assert!(severity.contains(wanted.as_str()), "{name} is {wanted}");
        }
        let sections: Vec<&str> = text.lines().filter(|line| line.starts_with("## ")).collect();
        assert_eq!(sections, SECTIONS, "{name}");
    }
}

#[test]
fn links_between_pages_lead_somewhere() {
    let pages = pages();
    for (name, text) in &pages {
        for link in text.split("](").skip(1) {
            let target = link.split([')', '#']).next().unwrap_or_default();
            if let Some(page) = target.strip_suffix(".md").filter(|page| !page.contains('/')) {
                assert!(pages.contains_key(page), "{name} links to {target}");
            }
        }
    }
}
