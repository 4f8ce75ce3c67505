//! Alerts, by a Prometheus that scrapes real pods: each whose cause can be brought about here fires, with the waits of its
//! rule cut to a second. Prometheus is Debian's; it is given the pods as the PodMonitors would choose them.

mod network;
mod operator;
mod proxies;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde_json::{Value, json};

use bindproxy_tests::kubernetes::cluster::{SYSTEM, repository};
use bindproxy_tests::kubernetes::kubectl::must;
use bindproxy_tests::prometheus::{Prometheus, Sample, hasty};
use bindproxy_tests::wait;

/// The longest from a cause to its alert: a health check, a kubelet's sync, two scrapes and an evaluation.
const SOON: Duration = Duration::from_secs(90);
const FOLDER: &str = "charts/bindproxy-operator/files";

/// Alerts whose cause this cluster cannot show, or not in the time of a test; `tests/tests/alerts` has them with made-up
/// series.
const LEFT_OUT: [(&str, &str); 6] = [
    ("BindProxyReplicasMismatch", "asks kube-state-metrics, which is not installed here"),
    ("BindProxyPanic", "needs a bug"),
    ("BindProxyInvalidBindsForwarded", "compares with a full day"),
    ("BindProxyOperatorStalled", "needs half an hour in which the operator answers and does nothing"),
    ("BindProxyOperatorWatchRestarts", "needs thirty failures of one watch, which waits longer after each"),
    ("BindProxyOperatorApplyConflicts", "needs two writers of one field, and the operator's writes take precedence"),
];

type Labels = BTreeMap<String, String>;

/// A Prometheus, and whose pods it scrapes: those of the namespaces, and the operator's.
struct Watch {
    prometheus: Prometheus,
    namespaces: Vec<String>,
}

impl Watch {
    /// `None` when Prometheus is not installed and may be left out.
    fn over(namespaces: &[&str]) -> Option<Self> {
        let rules: Vec<String> = ["proxy-alerts.yaml", "operator-alerts.yaml"].map(|file| hasty(&rules(file))).into();
        let prometheus = Prometheus::start(&rules)?;
        let mut namespaces: Vec<String> = namespaces.iter().map(|&name| name.to_owned()).collect();
        namespaces.push(SYSTEM.to_owned());
        let watch = Self { prometheus, namespaces };
        watch.look();
        Some(watch)
    }

    /// What discovery would notice by itself: pods that came and went.
    fn look(&self) {
        let mut items = Vec::new();
        for namespace in &self.namespaces {
            let list: Value =
                serde_json::from_str(&must(&["get", "pods", "--namespace", namespace, "-o", "json"])).expect("JSON");
            items.extend(list["items"].as_array().cloned().unwrap_or_default());
        }
        self.prometheus.set_pods(&json!({"items": items}));
    }

    /// Waits until the alert fires with these labels.
    fn fires(&self, alert: &str, labels: &[(&str, &str)]) {
        assert!(LEFT_OUT.iter().all(|(left_out, _)| *left_out != alert), "{alert} is not left out any more");
        self.until(&format!("{alert} {labels:?}"), || {
            let has =
                |fires: &Labels| labels.iter().all(|(name, value)| fires.get(*name).is_some_and(|is| is == value));
            self.firing().iter().any(|fires| fires["alertname"] == alert && has(fires)).then_some(())
        });
        println!("{alert} fires");
    }

    /// Waits until it does not fire any more, for whatever labels.
    fn ends(&self, alert: &str) {
        self.until(&format!("the end of {alert}"), || {
            self.firing().iter().all(|fires| fires["alertname"] != alert).then_some(())
        });
    }

    /// Waits until these fire in a namespace, and no others: what an installation in order shows.
    fn settles(&self, namespace: &str, alerts: &[&str]) {
        let wanted: BTreeSet<&str> = alerts.iter().copied().collect();
        let mut calm = 0;
        self.until(&format!("{wanted:?} in {namespace}"), || {
            let firing = self.firing();
            let inside = firing.iter().filter(|fires| fires.get("namespace").is_some_and(|is| is == namespace));
            let names: BTreeSet<&str> = inside.map(|fires| fires["alertname"].as_str()).collect();
            // Not just before the first scrape.
            calm = if names == wanted && self.knows_all_of(namespace) && self.scraped() { calm + 1 } else { 0 };
            (calm >= 5).then_some(())
        });
    }

    /// Every pod that was found answers.
    fn scraped(&self) -> bool {
        let up = self.query("up");
        !up.is_empty() && up.iter().all(|sample| sample.value == 1.0)
    }

    /// Every pod of the namespace was found: what happens before its first scrape is no increase.
    fn knows_all_of(&self, namespace: &str) -> bool {
        let up = self.query("up");
        let pods = must(&["get", "pods", "--namespace", namespace, "-o", "jsonpath={.items[*].metadata.name}"]);
        let found = |pod| up.iter().any(|sample| sample.labels.get("pod").is_some_and(|name| name == pod));
        pods.split_whitespace().all(found)
    }

    fn query(&self, expression: &str) -> Vec<Sample> {
        self.prometheus.query(expression)
    }

    fn firing(&self) -> Vec<Labels> {
        self.prometheus.firing()
    }

    fn until<T>(&self, what: &str, mut condition: impl FnMut() -> Option<T>) -> T {
        let started = wait::Stopwatch::start();
        wait::until(what, SOON + Duration::from_secs(5), || {
            self.look();
            let found = condition();
            if found.is_none() {
                let firing: BTreeSet<String> = self.firing().iter().map(|fires| format!("{fires:?}")).collect();
                assert!(started.elapsed() < SOON, "waited in vain for {what}; these fire:\n{firing:#?}");
                std::thread::sleep(Duration::from_millis(500));
            }
            found
        })
    }
}

/// A rule file, for all BindProxies.
fn rules(file: &str) -> String {
    let path = repository().join(FOLDER).join(file);
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    text.replace("$selector", "").replace("$runbookBaseURL", "https://example.org/runbooks")
}

#[test]
fn each_alert_is_shown_here_or_left_out_with_the_reason() {
    let tests = [include_str!("network.rs"), include_str!("operator.rs"), include_str!("proxies.rs")].concat();
    let mut known = BTreeSet::new();
    for file in ["proxy-alerts.yaml", "operator-alerts.yaml"] {
        let rules: Value = serde_saphyr::from_str(&rules(file)).expect("YAML");
        for rule in
            rules["groups"].as_array().into_iter().flatten().flat_map(|group| group["rules"].as_array()).flatten()
        {
            known.insert(rule["alert"].as_str().expect("a name").to_owned());
        }
    }
    for alert in &known {
        let shown = tests.contains(&format!(".fires(\"{alert}\""));
        let left_out = LEFT_OUT.iter().any(|(left_out, _)| left_out == alert);
        assert_ne!(shown, left_out, "{alert}: shown {shown}, left out {left_out}");
    }
    assert!(LEFT_OUT.iter().all(|(alert, _)| known.contains(*alert)), "{LEFT_OUT:?} against {known:?}");
}
