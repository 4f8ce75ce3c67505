//! The rule files: what each rule must have, and that they stay valid however they are filled in.

use std::path::PathBuf;

use bindproxy_tests::scratch::Scratch;
use serde_json::Value;

use crate::exported::Exported;
use crate::expression::Expression;
use crate::promtool;

pub(crate) const BASE: &str = "https://example.org/runbooks";
const FILES: [&str; 2] = ["proxy-alerts.yaml", "operator-alerts.yaml"];
const SEVERITIES: [&str; 3] = ["critical", "warning", "info"];

/// One alerting rule.
pub(crate) struct Rule {
    pub(crate) file: &'static str,
    pub(crate) alert: String,
    pub(crate) severity: String,
    /// With `$selector`.
    pub(crate) expr: String,
    pub(crate) wait: Option<String>,
    pub(crate) annotations: Value,
}

pub(crate) fn folder() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../charts/bindproxy-operator/files"))
}

fn text(file: &str) -> String {
    std::fs::read_to_string(folder().join(file)).unwrap_or_else(|error| panic!("{file}: {error}"))
}

/// All rules of both files.
pub(crate) fn all() -> Vec<Rule> {
    let mut rules = Vec::new();
    for file in FILES {
        for rule in rules_of(&parse(&text(file))) {
            let field = |value: &Value| value.as_str().unwrap_or_default().to_owned();
            rules.push(Rule {
                file,
                alert: field(&rule["alert"]),
                severity: field(&rule["labels"]["severity"]),
                expr: field(&rule["expr"]),
                wait: rule["for"].as_str().map(str::to_owned),
                annotations: rule["annotations"].clone(),
            });
        }
    }
    rules
}

pub(crate) fn parse(text: &str) -> Value {
    serde_saphyr::from_str(text).unwrap_or_else(|error| panic!("{error}\nin\n{text}"))
}

fn rules_of(file: &Value) -> Vec<Value> {
    let groups = file["groups"].as_array().expect("groups");
    groups.iter().flat_map(|group| group["rules"].as_array().expect("rules").clone()).collect()
}

/// Writes both files without selector and without annotations: cases then name the labels alone.
pub(crate) fn write_bare(scratch: &Scratch) {
    for file in FILES {
        let mut rules = parse(&text(file).replace("$selector", ""));
        for group in rules["groups"].as_array_mut().expect("groups") {
            for rule in group["rules"].as_array_mut().expect("rules") {
                rule.as_object_mut().expect("a rule").remove("annotations");
            }
        }
        // JSON is YAML.
        scratch.write(file, rules.to_string());
    }
}

/// Both files as the chart (no selector: all BindProxies) or the operator (one) fill them in.
pub(crate) fn filled(selector: &str) -> [String; 2] {
    FILES.map(|file| text(file).replace("$selector", selector).replace("$runbookBaseURL", BASE))
}

/// Writes them so.
pub(crate) fn write_filled(scratch: &Scratch, selector: &str) {
    for (file, text) in FILES.into_iter().zip(filled(selector)) {
        scratch.write(file, text);
    }
}

#[test]
fn they_are_valid_however_the_placeholders_are_filled_in() {
    if !promtool::installed() {
        return;
    }
    for selector in ["", r#"namespace="mail",bindproxy="corp""#, r#"namespace="bindproxy-system""#] {
        let scratch = Scratch::new("alerts");
        write_filled(&scratch, selector);
        for file in FILES {
            let filled = std::fs::read_to_string(scratch.join(file)).expect("it was written");
            let left: Vec<&str> = filled.lines().filter(|line| !line.starts_with('#') && line.contains("$s")).collect();
            assert!(left.is_empty(), "{file} with {selector:?} still has {left:?}");
            promtool::check_rules(scratch.path(), file);
        }
    }
}

#[test]
fn each_says_how_bad_it_is_what_to_do_first_and_where_to_read_on() {
    for Rule { file: _, alert, severity, expr: _, wait, annotations } in all() {
        assert!(alert.starts_with("BindProxy"), "{alert}");
        assert!(SEVERITIES.contains(&severity.as_str()), "{alert}: severity {severity:?}");
        assert!(wait.is_some(), "{alert} has no `for`");
        assert!(annotations["summary"].as_str().is_some_and(|text| text.len() < 120), "{alert}: summary");
        assert!(
            annotations["description"].as_str().is_some_and(|text| text.contains("First: ")),
            "{alert}: the description says what to do first"
        );
        assert_eq!(annotations["runbook_url"], format!("$runbookBaseURL/{alert}.md"), "{alert}");
        assert_eq!(annotations.as_object().expect("annotations").len(), 3, "{alert}");
    }
}

#[test]
fn they_ask_only_for_what_is_exported_and_every_selector_can_be_narrowed() {
    let exported = Exported::by_everybody();
    for Rule { file, alert, expr, .. } in all() {
        let expression = Expression::parse(&expr).unwrap_or_else(|error| panic!("{alert}: {error}"));
        exported.check(&expression).unwrap_or_else(|error| panic!("{alert}: {error}"));
        for selector in &expression.selectors {
            assert!(
                selector.narrowed || selector.metric.starts_with("kube_"),
                "{alert} in {file}: write {}{{...,$selector}}",
                selector.metric
            );
        }
    }
}

#[test]
fn those_of_the_proxy_ask_nothing_of_the_operator_and_the_reverse() {
    for Rule { file, alert, expr, .. } in all() {
        let of_operator = expr.contains("bindproxy_operator_");
        assert_eq!(of_operator, file == "operator-alerts.yaml", "{alert} is in {file}");
    }
}
