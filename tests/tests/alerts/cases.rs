//! The cases of `cases/`: series, and which alerts they bring about when.

use std::collections::BTreeSet;

use bindproxy_tests::scratch::Scratch;
use serde_json::Value;

use crate::{promtool, rules};

fn files() -> Vec<(String, String)> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/alerts/cases");
    let entries = std::fs::read_dir(folder).expect("the folder of the cases");
    let mut files: Vec<(String, String)> = entries
        .map(|entry| {
            let path = entry.expect("an entry").path();
            let name = path.file_name().expect("a name").to_string_lossy().into_owned();
            (name, std::fs::read_to_string(&path).expect("a file of cases"))
        })
        .collect();
    files.sort();
    files
}

/// Every expectation: the alert, and the labels of those that fire.
fn expectations() -> Vec<(String, Vec<Value>)> {
    let mut found = Vec::new();
    for (_, text) in files() {
        for case in rules::parse(&text)["tests"].as_array().expect("tests") {
            for expectation in case["alert_rule_test"].as_array().expect("alert_rule_test") {
                let alert = expectation["alertname"].as_str().expect("alertname").to_owned();
                let firing = expectation["exp_alerts"].as_array().expect("exp_alerts");
                found.push((alert, firing.iter().map(|alert| alert["exp_labels"].clone()).collect()));
            }
        }
    }
    found
}

#[test]
fn alerts_fire_and_stay_silent_as_the_cases_say() {
    if !promtool::installed() {
        return;
    }
    let scratch = Scratch::new("alerts");
    rules::write_bare(&scratch);
    let mut names = Vec::new();
    for (name, text) in files() {
        scratch.write(&name, text);
        names.push(name);
    }
    promtool::test_rules(scratch.path(), &names);
}

#[test]
fn each_alert_has_a_case_in_which_it_fires_and_one_in_which_it_does_not() {
    let expectations = expectations();
    let silent: BTreeSet<&str> =
        expectations.iter().filter(|(_, firing)| firing.is_empty()).map(|(alert, _)| alert.as_str()).collect();
    let firing: BTreeSet<(&str, &str)> = expectations
        .iter()
        .flat_map(|(alert, firing)| {
            firing.iter().map(|labels| (alert.as_str(), labels["severity"].as_str().unwrap_or_default()))
        })
        .collect();
    let rules = rules::all();
    for rule in &rules {
        assert!(silent.contains(rule.alert.as_str()), "{} is silent in no case", rule.alert);
        let wanted = (rule.alert.as_str(), rule.severity.as_str());
        assert!(firing.contains(&wanted), "{wanted:?} fires in no case");
    }
    // promtool is content with an alert that does not exist, as long as it is to be silent.
    for (alert, _) in &expectations {
        assert!(rules.iter().any(|rule| rule.alert == *alert), "there is no alert {alert}");
    }
}

#[test]
fn annotations_use_only_labels_that_the_alert_has() {
    let expectations = expectations();
    for rule in rules::all() {
        for text in rule.annotations.as_object().expect("annotations").values() {
            let text = text.as_str().expect("text");
            for used in text.split("$labels.").skip(1) {
                let label: String = used.chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect();
                let fired =
                    expectations.iter().filter(|(alert, _)| *alert == rule.alert).flat_map(|(_, firing)| firing);
                for labels in fired {
                    assert!(!labels[&label].is_null(), "{} has no label {label}: {labels}", rule.alert);
                }
            }
        }
    }
}
