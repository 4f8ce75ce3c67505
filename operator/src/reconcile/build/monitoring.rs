//! Objects of the Prometheus operator: what scrapes the pods, and the alerts about them.
//!
//! Each is made when it is asked for and the API server knows its kind. Scraping adds the labels `namespace`
//! and `pod` by itself; a relabelling adds `bindproxy`, which alerts and dashboards group by.

use std::collections::BTreeMap;

use kube::core::{DynamicObject, ObjectMeta};
use serde_json::{Value, json};

use super::pod_template::ADMIN_PORT_NAME;
use super::{BuildError, beneath, foreign, peers_service};
use crate::reconcile::validated::ValidatedBindProxy;

/// Where the runbooks are that alerts link to: the folder of the sources, as in the chart's default.
const RUNBOOKS: &str = "docs/runbooks";

/// The API of the Prometheus operator.
const API_VERSION: &str = "monitoring.coreos.com/v1";
/// The label `app.kubernetes.io/instance` of a pod, as Prometheus finds it.
const INSTANCE_OF_POD: &str = "__meta_kubernetes_pod_label_app_kubernetes_io_instance";

/// The PodMonitor NAME.
pub(super) fn pod_monitor(proxy: &ValidatedBindProxy) -> Option<DynamicObject> {
    let wanted = &proxy.spec.monitoring.pod_monitor;
    if !wanted.enabled || !proxy.monitoring.pod_monitor {
        return None;
    }
    let spec = json!({
        "selector": { "matchLabels": proxy.identity.selector() },
        "podMetricsEndpoints": [endpoint(wanted.interval_seconds)],
    });
    Some(foreign(API_VERSION, "PodMonitor", metadata(proxy, &wanted.labels), spec))
}

/// The ServiceMonitor NAME, which finds pods by the headless Service: the other one leaves out those that are
/// not ready.
pub(super) fn service_monitor(proxy: &ValidatedBindProxy) -> Option<DynamicObject> {
    let wanted = &proxy.spec.monitoring.service_monitor;
    if !wanted.enabled || !proxy.monitoring.service_monitor {
        return None;
    }
    let spec = json!({
        "selector": { "matchLabels": peers_service::selector(proxy) },
        "endpoints": [endpoint(wanted.interval_seconds)],
    });
    Some(foreign(API_VERSION, "ServiceMonitor", metadata(proxy, &wanted.labels), spec))
}

/// The PrometheusRule NAME: the rules of `alerts` (a rule file of Prometheus), about this BindProxy alone.
///
/// In the file `$selector` stands for matchers and `$runbookBaseURL` for the folder of the runbooks.
///
/// # Errors
/// When `alerts` is no YAML.
pub(super) fn prometheus_rule(proxy: &ValidatedBindProxy, alerts: &str) -> Result<Option<DynamicObject>, BuildError> {
    let wanted = &proxy.spec.monitoring.prometheus_rule;
    if !wanted.enabled || !proxy.monitoring.prometheus_rule {
        return Ok(None);
    }
    // Replaced in values and not in the text, where a quote of a matcher could end a string.
    let mut spec: Value = serde_saphyr::from_str(alerts).map_err(|error| BuildError::Alerts(Box::new(error)))?;
    let selector = format!(r#"namespace="{}",bindproxy="{}""#, proxy.identity.namespace, proxy.identity.name);
    substitute(&mut spec, &[("$selector", &selector), ("$runbookBaseURL", RUNBOOKS)]);
    Ok(Some(foreign(API_VERSION, "PrometheusRule", metadata(proxy, &wanted.labels), spec)))
}

fn endpoint(interval_seconds: i32) -> Value {
    json!({
        "port": ADMIN_PORT_NAME,
        "path": "/metrics",
        "interval": format!("{interval_seconds}s"),
        "relabelings": [{ "action": "replace", "sourceLabels": [INSTANCE_OF_POD], "targetLabel": "bindproxy" }],
    })
}

fn metadata(proxy: &ValidatedBindProxy, users: &BTreeMap<String, String>) -> ObjectMeta {
    let mut metadata = proxy.identity.metadata(proxy.identity.main());
    metadata.labels = Some(beneath(users, proxy.identity.labels()));
    metadata
}

fn substitute(value: &mut Value, replacements: &[(&str, &str)]) {
    match value {
        Value::String(text) => {
            for (from, to) in replacements {
                *text = text.replace(from, to);
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| substitute(item, replacements)),
        Value::Object(fields) => fields.values_mut().for_each(|field| substitute(field, replacements)),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::{RUNBOOKS, pod_monitor, prometheus_rule, service_monitor};
    use crate::reconcile::build::ALERTS;
    use crate::reconcile::build::fixture::{from_yaml, full, json_of, minimal};
    use crate::reconcile::validated::MonitoringKinds;

    const SHORT: &str = r#"
groups:
- name: bindproxy
  rules:
  - alert: Quoted
    expr: "up{bindproxy!=\"\",$selector} == 0"
    annotations: {runbook_url: $runbookBaseURL/Quoted.md, summary: "{{ $labels.pod }}"}
  - alert: Plain
    expr: |-
      label_replace(bindproxy_draining{$selector}, "a", "$1", "b", "(.+)")
"#;

    #[test]
    fn metrics_are_scraped_from_the_admin_port_with_the_name_of_the_bindproxy() {
        let monitor = json_of(&pod_monitor(&full()).unwrap());
        assert_eq!(monitor["apiVersion"], "monitoring.coreos.com/v1");
        assert_eq!(monitor["kind"], "PodMonitor");
        assert_eq!(monitor["metadata"]["labels"]["release"], "prometheus");
        assert_eq!(monitor["metadata"]["labels"]["app.kubernetes.io/managed-by"], "bindproxy-operator");
        assert_eq!(
            monitor["spec"],
            json!({
                "selector": { "matchLabels": {
                    "app.kubernetes.io/name": "bindproxy", "app.kubernetes.io/instance": "corp" } },
                "podMetricsEndpoints": [{
                    "port": "admin", "path": "/metrics", "interval": "15s",
                    "relabelings": [{
                        "action": "replace",
                        "sourceLabels": ["__meta_kubernetes_pod_label_app_kubernetes_io_instance"],
                        "targetLabel": "bindproxy",
                    }],
                }],
            })
        );
    }

    #[test]
    fn a_service_monitor_takes_the_service_that_lists_every_pod() {
        let mut proxy = from_yaml(
            "upstreams: [{name: dc1, host: dc1.corp.example}]\nmonitoring: {serviceMonitor: {enabled: true}}",
        );
        proxy.monitoring.service_monitor = true;
        let monitor = json_of(&service_monitor(&proxy).unwrap());
        assert_eq!(monitor["kind"], "ServiceMonitor");
        assert_eq!(monitor["spec"]["selector"]["matchLabels"]["bindproxy.io/service"], "peers");
        assert_eq!(monitor["spec"]["endpoints"][0]["port"], "admin");
        assert_eq!(monitor["spec"]["endpoints"][0]["interval"], "30s");
    }

    #[test]
    fn nothing_is_made_unasked_or_of_a_kind_that_does_not_exist() {
        let mut unasked = minimal();
        unasked.monitoring = MonitoringKinds { pod_monitor: true, service_monitor: true, prometheus_rule: true };
        let mut without_kinds = full();
        without_kinds.spec.monitoring.service_monitor.enabled = true;
        without_kinds.monitoring = MonitoringKinds::default();
        for proxy in [unasked, without_kinds] {
            assert_eq!(pod_monitor(&proxy), None);
            assert_eq!(service_monitor(&proxy), None);
            assert_eq!(prometheus_rule(&proxy, SHORT).unwrap(), None);
        }
    }

    #[test]
    fn alerts_are_about_this_bindproxy_alone() {
        let rule = json_of(&prometheus_rule(&full(), SHORT).unwrap().unwrap());
        assert_eq!(rule["kind"], "PrometheusRule");
        let rules = &rule["spec"]["groups"][0]["rules"];
        assert_eq!(rules[0]["expr"], r#"up{bindproxy!="",namespace="mail",bindproxy="corp"} == 0"#);
        assert_eq!(rules[0]["annotations"]["runbook_url"], format!("{RUNBOOKS}/Quoted.md"));
        assert_eq!(rules[0]["annotations"]["summary"], "{{ $labels.pod }}");
        assert_eq!(
            rules[1]["expr"],
            r#"label_replace(bindproxy_draining{namespace="mail",bindproxy="corp"}, "a", "$1", "b", "(.+)")"#
        );
    }

    #[test]
    fn nothing_of_the_projects_own_alerts_is_left_to_substitute() {
        let rule = json_of(&prometheus_rule(&full(), ALERTS).unwrap().unwrap());
        let rules: Vec<&Value> = rule["spec"]["groups"]
            .as_array()
            .unwrap()
            .iter()
            .flat_map(|group| group["rules"].as_array().unwrap())
            .collect();
        assert!(rules.len() > 10);
        for rule in rules {
            assert!(rule["expr"].as_str().unwrap().contains(r#"namespace="mail",bindproxy="corp""#), "{rule}");
            assert!(rule["annotations"]["runbook_url"].as_str().unwrap().starts_with(RUNBOOKS), "{rule}");
        }
        let text = rule.to_string();
        assert!(!text.contains("$selector") && !text.contains("$runbookBaseURL"));
    }

    #[test]
    fn alerts_that_are_no_yaml_are_an_error_and_not_an_empty_rule() {
        assert!(prometheus_rule(&full(), "groups: [").is_err());
    }
}
