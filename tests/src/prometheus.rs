//! A Prometheus of Debian that scrapes pods as the PodMonitors say, and evaluates rules.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};

use crate::process::Process;
use crate::scratch::Scratch;
use crate::{packages, pod_targets, ports, scrape};

const PROGRAM: &str = "/usr/bin/prometheus";
const TARGETS: &str = "targets.json";

/// Its configuration, with `$targets`, `$interval` and `$rules`.
pub const CONFIGURATION: &str = include_str!("../tests/alerts/scrape.yaml");

/// A running Prometheus.
#[derive(Debug)]
pub struct Prometheus {
    _process: Process,
    address: SocketAddr,
    scratch: Scratch,
}

/// One sample of an answer.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample {
    /// All labels, the metric's name as `__name__`.
    pub labels: BTreeMap<String, String>,
    /// Its value.
    pub value: f64,
}

impl Prometheus {
    /// Starts one that scrapes nothing yet and evaluates `rules` (texts of rule files) every
    /// second. `None` when it is not installed and may be left out.
    #[must_use]
    pub fn start(rules: &[String]) -> Option<Self> {
        if !packages::installed(&[PROGRAM]) {
            return None;
        }
        let scratch = Scratch::new("prometheus");
        for (index, rules) in rules.iter().enumerate() {
            scratch.write(&format!("rules-{index}.yaml"), rules);
        }
        scratch.write(TARGETS, "[]");
        scratch.write("prometheus.yaml", configuration());
        let address = ports::free_address();
        let mut process = Process::start(
            "prometheus",
            Command::new(PROGRAM)
                .args(["--config.file=prometheus.yaml", "--storage.tsdb.path=data", "--log.level=warn"])
                .arg(format!("--web.listen-address={address}"))
                .current_dir(scratch.path()),
            &scratch.join("log"),
        );
        process.wait_until("ready", Duration::from_secs(30), || {
            scrape::get(address, "/-/ready").is_some_and(|(status, _)| status == 200)
        });
        Some(Self { _process: process, address, scratch })
    }

    /// Has it scrape these pods, a list as `kubectl get pods -A -o json` prints it, instead of the
    /// ones before.
    pub fn set_pods(&self, pods: &Value) {
        let new = self.scratch.write("targets.new", pod_targets::of(pods).to_string());
        std::fs::rename(new, self.scratch.join(TARGETS)).expect("replace the list of targets");
    }

    /// What an expression is now. Panics with Prometheus' own message when it cannot be evaluated.
    #[must_use]
    pub fn query(&self, expression: &str) -> Vec<Sample> {
        let answer = self.ask(&format!("/api/v1/query?query={}", percent_encoded(expression)));
        if answer["data"]["resultType"] == "scalar" {
            return vec![Sample { labels: BTreeMap::new(), value: number(&answer["data"]["result"][1]) }];
        }
        let samples = answer["data"]["result"].as_array().expect("a vector");
        samples
            .iter()
            .map(|sample| Sample { labels: strings(&sample["metric"]), value: number(&sample["value"][1]) })
            .collect()
    }

    /// The labels of each alert that fires.
    #[must_use]
    pub fn firing(&self) -> Vec<BTreeMap<String, String>> {
        let answer = self.ask("/api/v1/alerts");
        let alerts = answer["data"]["alerts"].as_array().expect("alerts");
        alerts.iter().filter(|alert| alert["state"] == "firing").map(|alert| strings(&alert["labels"])).collect()
    }

    /// Each rule by name with the error of its last evaluation; `None` while one was not yet
    /// evaluated.
    #[must_use]
    pub fn rule_errors(&self) -> Option<BTreeMap<String, String>> {
        let answer = self.ask("/api/v1/rules");
        let groups = answer["data"]["groups"].as_array().expect("groups");
        let rules = groups.iter().flat_map(|group| group["rules"].as_array().expect("rules"));
        let mut errors = BTreeMap::new();
        for rule in rules {
            match rule["health"].as_str() {
                Some("ok") => {}
                Some("err") => {
                    errors.insert(rule["name"].to_string(), rule["lastError"].to_string());
                }
                _ => return None,
            }
        }
        Some(errors)
    }

    fn ask(&self, path: &str) -> Value {
        let (status, body) = scrape::get_whole(self.address, path).expect("Prometheus answers");
        let answer: Value = serde_json::from_str(&body).unwrap_or_else(|error| panic!("{path}: {error}\n{body}"));
        assert_eq!(status, 200, "{path}: {}", answer["error"]);
        answer
    }
}

fn configuration() -> String {
    CONFIGURATION.replace("$targets", TARGETS).replace("$interval", "1s").replace("$rules", "rules-*.yaml")
}

/// The same rules with every wait cut to a second, for a test that brings the cause about and
/// cannot wait for minutes. Ranges inside of expressions stay.
#[must_use]
pub fn hasty(rules: &str) -> String {
    let lines = rules.lines().map(|line| match line.split_once("for: ") {
        Some((indentation, _)) if indentation.trim().is_empty() => format!("{indentation}for: 1s\n"),
        _ => format!("{line}\n"),
    });
    lines.collect()
}

fn strings(object: &Value) -> BTreeMap<String, String> {
    let fields = object.as_object().expect("labels");
    fields.iter().map(|(name, value)| (name.clone(), value.as_str().unwrap_or_default().to_owned())).collect()
}

fn number(value: &Value) -> f64 {
    value.as_str().and_then(|text| text.parse().ok()).unwrap_or_else(|| panic!("{value} is no number"))
}

fn percent_encoded(text: &str) -> String {
    let octets = text.bytes().map(|octet| match octet {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'_' | b'-' | b'.' => char::from(octet).to_string(),
        other => format!("%{other:02X}"),
    });
    octets.collect()
}

/// A pod as `kubectl get pods -o json` prints it, with one container that has one port.
#[must_use]
pub fn pod(namespace: &str, name: &str, labels: &Value, address: SocketAddr, port_name: &str) -> Value {
    json!({
        "metadata": {"namespace": namespace, "name": name, "labels": labels},
        "spec": {"containers": [{"name": "c", "ports": [{"name": port_name, "containerPort": address.port()}]}]},
        "status": {"phase": "Running", "podIP": address.ip().to_string()},
    })
}

#[test]
fn only_the_waits_of_rules_are_cut() {
    let rules = "  - alert: A\n    for: 15m\n    annotations:\n      description: >-\n        wait for: me\n";
    assert_eq!(hasty(rules), rules.replace("for: 15m", "for: 1s"));
}
