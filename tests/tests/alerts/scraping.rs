//! `scrape.yaml`, with which a Prometheus of Debian stands in for one with PodMonitors.

use bindproxy_tests::scratch::Scratch;

use crate::{promtool, rules};

const TEMPLATE: &str = include_str!("scrape.yaml");

#[test]
fn the_configuration_for_a_cluster_is_one_that_prometheus_takes_with_all_alerts() {
    if !promtool::installed() {
        return;
    }
    let scratch = Scratch::new("alerts");
    rules::write_filled(&scratch, "");
    scratch.write("kubeconfig", "{}");
    let configuration =
        TEMPLATE.replace("$kubeconfig", "kubeconfig").replace("$interval", "1s").replace("$rules", "*-alerts.yaml");
    scratch.write("prometheus.yaml", configuration);
    promtool::check_config(scratch.path(), "prometheus.yaml");
}

#[test]
fn it_gives_the_labels_that_the_alerts_use() {
    let configuration = rules::parse(TEMPLATE);
    for (job, wanted) in [(0, &["namespace", "pod", "bindproxy"][..]), (1, &["namespace", "pod"])] {
        let relabelings = configuration["scrape_configs"][job]["relabel_configs"].as_array().expect("relabel_configs");
        let given: Vec<&str> = relabelings.iter().filter_map(|rule| rule["target_label"].as_str()).collect();
        assert_eq!(given, wanted);
    }
}
