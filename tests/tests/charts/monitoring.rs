//! Alerts, dashboard and monitors: rendered where the cluster has the kinds, with nothing of the files' own placeholders left.

use std::collections::BTreeSet;
use std::fs;

use serde_json::Value;

use crate::helm::{Chart, Helm, objects, of_kind, only};

/// The objects with each of `sets`; `--group/version/kind` is a kind that the cluster has.
fn rendered(sets: &[&str]) -> Result<Vec<Value>, String> {
    let mut arguments = Vec::new();
    for set in sets {
        arguments.extend(match set.strip_prefix("--") {
            Some(api) => ["--api-versions", api],
            None => ["--set", *set],
        });
    }
    Helm::Four.template(Chart::Operator, &arguments).map(|manifests| objects(&manifests))
}

fn rules(objects: &[Value]) -> Vec<Value> {
    let groups = only(objects, "PrometheusRule")["spec"]["groups"].as_array().unwrap().clone();
    groups.iter().flat_map(|group| group["rules"].as_array().unwrap().clone()).collect()
}

#[test]
fn the_rule_has_every_alert_of_the_files() {
    let on = ["prometheusRule.enabled=true", "prometheusRule.renderMode=alwaysRender"];
    let all = rules(&rendered(&on).unwrap());
    let mut wanted = BTreeSet::new();
    for name in ["proxy-alerts.yaml", "operator-alerts.yaml"] {
        let text = fs::read_to_string(Chart::Operator.folder().join("files").join(name)).unwrap();
        wanted.extend(text.lines().filter_map(|line| line.trim().strip_prefix("- alert: ")).map(str::to_owned));
    }
    let names: BTreeSet<String> = all.iter().map(|rule| rule["alert"].as_str().unwrap().to_owned()).collect();
    assert_eq!(names, wanted);
    for rule in &all {
        let expression = rule["expr"].as_str().unwrap();
        assert!(!expression.contains("$selector") && !expression.contains("{,"), "{expression}");
        let runbook = rule["annotations"]["runbook_url"].as_str().unwrap();
        assert!(runbook.starts_with("docs/runbooks/BindProxy"), "{runbook}");
    }

    let other = ["prometheusRule.runbookBaseURL=https://example.org/r/", "prometheusRule.disabled={BindProxyDown}"];
    let fewer = rules(&rendered(&[&on[..], &other].concat()).unwrap());
    assert_eq!(fewer.len(), all.len() - 1);
    assert!(fewer.iter().all(|rule| rule["alert"] != "BindProxyDown"));
    let runbook = fewer[0]["annotations"]["runbook_url"].as_str().unwrap();
    assert!(runbook.starts_with("https://example.org/r/BindProxy"), "{runbook}");
}

#[test]
fn the_dashboard_is_the_file() {
    let objects = rendered(&["grafanaDashboard.enabled=true"]).unwrap();
    let map = only(&objects, "ConfigMap");
    let file = fs::read_to_string(Chart::Operator.folder().join("files/dashboard.json")).unwrap();
    let (rendered, committed): (Value, Value) = (
        serde_json::from_str(map["data"]["bindproxy.json"].as_str().unwrap()).unwrap(),
        serde_json::from_str(&file).unwrap(),
    );
    assert_eq!(rendered, committed);
    assert_eq!(map["metadata"]["labels"]["grafana_dashboard"], "1");
}

#[test]
fn a_missing_kind_is_skipped_or_fails_by_choice() {
    for (value, kind) in [
        ("metrics.podMonitor", "PodMonitor"),
        ("metrics.serviceMonitor", "ServiceMonitor"),
        ("prometheusRule", "PrometheusRule"),
    ] {
        let on = format!("{value}.enabled=true");
        let mode = |mode: &str| format!("{value}.renderMode={mode}");
        assert_eq!(of_kind(&rendered(&[&on]).unwrap(), kind), Vec::<&Value>::new());
        let error = rendered(&[&on, &mode("failIfMissing")]).unwrap_err();
        assert!(error.contains(&format!("{value}.enabled is true")) && error.contains(kind), "{error}");
        only(&rendered(&[&on, &mode("alwaysRender")]).unwrap(), kind);
        let api = format!("--monitoring.coreos.com/v1/{kind}");
        only(&rendered(&[&on, &mode("failIfMissing"), &api]).unwrap(), kind);
        only(&rendered(&[&on, &api]).unwrap(), kind);
    }
}
