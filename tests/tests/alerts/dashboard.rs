//! The Grafana dashboard: every query is valid and asks for what is exported.

use std::collections::BTreeSet;

use bindproxy_tests::scratch::Scratch;
use serde_json::{Value, json};

use crate::exported::Exported;
use crate::expression::Expression;
use crate::{promtool, rules};

const ROWS: [&str; 8] = [
    "Overview",
    "Binds",
    "Upstreams",
    "Cache and cluster",
    "Connections",
    "Configuration and certificates",
    "Resources",
    "Operator",
];
const VARIABLES: [&str; 4] = ["datasource", "namespace", "bindproxy", "pod"];
/// What Grafana puts in for its own variables.
const FILLED: [(&str, &str); 1] = [("$__rate_interval", "5m")];

pub(crate) fn read() -> Value {
    let text = std::fs::read_to_string(rules::folder().join("dashboard.json")).expect("the dashboard");
    serde_json::from_str(&text).expect("the dashboard is JSON")
}

/// Panels that show something, in order, with the title of their row.
fn panels(dashboard: &Value) -> Vec<(String, Value)> {
    let mut row = String::new();
    let mut found = Vec::new();
    for panel in dashboard["panels"].as_array().expect("panels") {
        if panel["type"] == "row" {
            row = panel["title"].as_str().expect("a title").to_owned();
            assert_eq!(panel["panels"], json!([]), "{row}: no panels hide in a row");
        } else {
            found.push((row.clone(), panel.clone()));
        }
    }
    found
}

/// Title of the panel and query, with Grafana's own variables filled in.
pub(crate) fn queries(dashboard: &Value) -> Vec<(String, String)> {
    let mut found = Vec::new();
    for (row, panel) in panels(dashboard) {
        for target in panel["targets"].as_array().expect("targets") {
            let title = format!("{row} / {}", panel["title"].as_str().expect("a title"));
            let mut query = target["expr"].as_str().expect("a query").to_owned();
            for (variable, value) in FILLED {
                query = query.replace(variable, value);
            }
            found.push((title, query));
        }
    }
    found
}

#[test]
fn every_query_is_valid() {
    if !promtool::installed() {
        return;
    }
    let rules: Vec<Value> = queries(&read())
        .into_iter()
        .enumerate()
        .map(|(index, (title, query))| json!({"record": format!("query:{index}"), "expr": query, "labels": {"panel": title}}))
        .collect();
    assert!(rules.len() > 40, "{} queries", rules.len());
    let scratch = Scratch::new("dashboard");
    scratch.write("queries.yaml", json!({"groups": [{"name": "dashboard", "rules": rules}]}).to_string());
    promtool::check_rules(scratch.path(), "queries.yaml");
}

#[test]
fn every_query_asks_for_what_is_exported_and_follows_the_variables() {
    let exported = Exported::by_everybody();
    for (title, query) in queries(&read()) {
        let expression = Expression::parse(&query).unwrap_or_else(|error| panic!("{title}: {error}\n{query}"));
        exported.check(&expression).unwrap_or_else(|error| panic!("{title}: {error}\n{query}"));
        for selector in &expression.selectors {
            if selector.metric.starts_with("bindproxy_operator_") || selector.metric.starts_with("kube_") {
                continue;
            }
            for variable in ["namespace", "bindproxy"] {
                let followed = selector.matchers.iter().any(|matcher| {
                    matcher.label == variable && matcher.regex && matcher.value == format!("${variable}")
                });
                assert!(followed, "{title}: {} does not follow ${variable}", selector.metric);
            }
        }
    }
}

#[test]
fn variables_are_taken_from_metrics_that_exist() {
    let dashboard = read();
    let exported = Exported::by_everybody();
    let variables = dashboard["templating"]["list"].as_array().expect("variables");
    let names: Vec<&str> = variables.iter().filter_map(|variable| variable["name"].as_str()).collect();
    assert_eq!(names, VARIABLES);
    for variable in &variables[1..] {
        let query = variable["query"]["query"].as_str().expect("a query");
        let inside =
            query.strip_prefix("label_values(").and_then(|query| query.strip_suffix(')')).expect("label_values");
        let (selector, label) = inside.rsplit_once(", ").expect("a selector and a label");
        assert_eq!(variable["name"], label);
        let expression = Expression::parse(selector).unwrap_or_else(|error| panic!("{label}: {error}"));
        exported.check(&expression).unwrap_or_else(|error| panic!("{label}: {error}"));
    }
}

#[test]
fn rows_panels_units_and_places_are_in_order() {
    let dashboard = read();
    let all = dashboard["panels"].as_array().expect("panels");
    let rows: Vec<&Value> = all.iter().filter(|panel| panel["type"] == "row").map(|row| &row["title"]).collect();
    assert_eq!(rows, ROWS);
    assert_eq!(dashboard["uid"], "bindproxy");
    assert!(dashboard["id"].is_null(), "an id belongs to one Grafana");

    let mut ids = BTreeSet::new();
    let mut taken = BTreeSet::new();
    for panel in all {
        let title = panel["title"].as_str().expect("a title");
        assert!(ids.insert(panel["id"].as_u64().expect("an id")), "{title}: its id is used twice");
        let place = |field: &str| panel["gridPos"][field].as_u64().unwrap_or_else(|| panic!("{title}: {field}"));
        assert!(place("x") + place("w") <= 24, "{title} is too wide");
        for x in place("x")..place("x") + place("w") {
            for y in place("y")..place("y") + place("h") {
                assert!(taken.insert((x, y)), "{title} lies over another panel");
            }
        }
    }
    let mut titles = BTreeSet::new();
    for (row, panel) in panels(&dashboard) {
        let title = panel["title"].as_str().expect("a title");
        assert!(titles.insert((row.clone(), title.to_owned())), "{row}: two panels are called {title}");
        assert_eq!(panel["datasource"]["uid"], "${datasource}", "{title}");
        assert!(panel["description"].as_str().is_some_and(|text| text.len() > 20), "{title} has no description");
        let unit = if panel["type"] == "heatmap" {
            &panel["options"]["yAxis"]["unit"]
        } else {
            &panel["fieldConfig"]["defaults"]["unit"]
        };
        assert!(unit.is_string(), "{title} has no unit");
    }
}
