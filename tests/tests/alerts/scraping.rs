//! A real Prometheus that scrapes the real proxy by `scrape.yaml`, as it would pods of a cluster.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::Duration;

use bindproxy_tests::ldap::Endpoint;
use bindproxy_tests::prometheus::{CONFIGURATION, Prometheus, hasty, pod};
use bindproxy_tests::proxy::{Configuration, Proxy};
use bindproxy_tests::{ports, wait};
use serde_json::{Value, json};

use crate::{dashboard, promtool, rules};

const SOON: Duration = Duration::from_secs(30);

/// A proxy whose directories are not there.
fn proxy() -> Proxy {
    let configuration = Configuration::default()
        .upstream("dc1", &Endpoint::tcp(ports::free_address()), "")
        .upstream("dc2", &Endpoint::tcp(ports::free_address()), "")
        .section("upstreamPolicy", "healthCheck: {intervalSeconds: 1, failureThreshold: 1}");
    configuration.start()
}

fn address(proxy: &Proxy) -> SocketAddr {
    proxy.admin_url().trim_start_matches("http://").parse().expect("an address")
}

/// Two pods of `mail/corp` which are both this proxy, one that has ended, and one of somebody else.
fn pods(proxy: &Proxy) -> Value {
    let ours = json!({"app.kubernetes.io/name": "bindproxy", "app.kubernetes.io/instance": "corp"});
    let others = json!({"app.kubernetes.io/name": "slapd", "app.kubernetes.io/instance": "corp"});
    let mut ended = pod("mail", "corp-2", &ours, address(proxy), "admin");
    ended["status"]["phase"] = "Failed".into();
    json!({"items": [
        pod("mail", "corp-0", &ours, address(proxy), "admin"),
        pod("mail", "corp-1", &ours, address(proxy), "admin"),
        ended,
        pod("mail", "corp-3", &ours, address(proxy), "ldap"),
        pod("mail", "slapd-0", &others, address(proxy), "admin"),
    ]})
}

#[test]
fn the_proxy_gets_its_labels_its_alerts_fire_and_every_query_of_the_dashboard_can_be_evaluated() {
    let hasty: Vec<String> = rules::filled("").iter().map(|rules| hasty(rules)).collect();
    let Some(prometheus) = Prometheus::start(&hasty) else { return };
    let proxy = proxy();
    let _client = proxy.endpoint().connect();
    wait::until_true("the directories are down", SOON, || proxy.metric("bindproxy_upstream_up", &[]) == 0.0);
    prometheus.set_pods(&pods(&proxy));

    // Its directories are not there; every other cause of an alert is absent.
    let firing =
        || -> BTreeSet<String> { prometheus.firing().into_iter().map(|labels| labels["alertname"].clone()).collect() };
    let wanted = ["BindProxyAllUpstreamsDown", "BindProxyUpstreamDown", "BindProxyOperatorDown"];
    wait::until_true("the alerts fire", SOON, || wanted.iter().all(|alert| firing().contains(*alert)));
    assert_eq!(firing(), wanted.map(str::to_owned).into());

    let up = prometheus.query("up");
    let pods: BTreeSet<&str> = up.iter().map(|sample| sample.labels["pod"].as_str()).collect();
    assert_eq!(pods, ["corp-0", "corp-1"].into(), "{up:?}");
    for sample in &up {
        assert_eq!((sample.labels["namespace"].as_str(), sample.labels["bindproxy"].as_str()), ("mail", "corp"));
        assert_eq!(sample.value, 1.0);
    }
    let all_down = prometheus.firing().into_iter().find(|labels| labels["alertname"] == wanted[0]).expect("it fires");
    assert_eq!((all_down["namespace"].as_str(), all_down["bindproxy"].as_str()), ("mail", "corp"));

    // promtool sees that an expression is written right; whether its sides can be matched only the series tell.
    wait::until_true("every rule was evaluated", SOON, || prometheus.rule_errors().is_some());
    assert_eq!(prometheus.rule_errors(), Some([].into()));
    let mut silent = BTreeSet::new();
    for (title, query) in dashboard::queries(&dashboard::read()) {
        let query = ["$namespace", "$bindproxy", "$pod"].iter().fold(query, |query, name| query.replace(name, ".+"));
        let operator = query.contains("bindproxy_operator_") || query.contains("kube_");
        if prometheus.query(&query).is_empty() && !operator && !query.ends_with("> 0") {
            silent.insert(title);
        }
    }
    assert_eq!(silent, BTreeSet::new(), "panels that show nothing");
}

#[test]
fn the_configuration_is_one_that_prometheus_takes_with_all_alerts() {
    if !promtool::installed() {
        return;
    }
    let scratch = bindproxy_tests::scratch::Scratch::new("alerts");
    rules::write_filled(&scratch, "");
    scratch.write("targets.json", "[]");
    let configuration =
        CONFIGURATION.replace("$targets", "targets.json").replace("$interval", "1s").replace("$rules", "*-alerts.yaml");
    scratch.write("prometheus.yaml", configuration);
    promtool::check_config(scratch.path(), "prometheus.yaml");
}
