//! `spec.monitoring` and `spec.logging`: how the pods are watched.

use std::collections::BTreeMap;

use bindproxy::config::LogLevel;
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Objects for the Prometheus operator, where its resource definitions are installed.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[x_kube(
    validation = Rule::new("!(self.podMonitor.enabled && self.serviceMonitor.enabled)")
        .message("monitoring.podMonitor and monitoring.serviceMonitor would both scrape every pod: enable one of them")
)]
#[serde(rename_all = "camelCase")]
pub struct Monitoring {
    /// A PodMonitor that scrapes the pods.
    #[serde(default)]
    pub pod_monitor: Monitor,
    /// A ServiceMonitor that scrapes the pods through the headless Service.
    #[serde(default)]
    pub service_monitor: Monitor,
    /// A PrometheusRule with the alerts for this BindProxy.
    #[serde(default)]
    pub prometheus_rule: PrometheusRule,
}

/// An object by which Prometheus finds the pods.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Monitor {
    /// Make one.
    pub enabled: bool,
    /// Seconds between two scrapes.
    #[schemars(range(min = 5, max = 3600))]
    pub interval_seconds: i32,
    /// Labels that Prometheus selects it by.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
}

impl Default for Monitor {
    fn default() -> Self {
        Self { enabled: false, interval_seconds: 30, labels: BTreeMap::new() }
    }
}

/// A PrometheusRule.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct PrometheusRule {
    /// Make one. Leave it off when the chart's own rules for all BindProxies are on.
    pub enabled: bool,
    /// Labels that Prometheus selects it by.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
}

/// The log of the pods.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Logging {
    /// The least severe events that are written: error, warn, info, debug or trace.
    pub level: LogLevel,
    /// json or text.
    pub format: LogFormat,
    /// Write a short keyed hash in place of a name.
    #[serde(rename = "redactDNs")]
    pub redact_dns: bool,
}

impl Default for Logging {
    fn default() -> Self {
        Self { level: LogLevel::Info, format: LogFormat::Json, redact_dns: true }
    }
}

/// The form of the log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// One JSON object in a line.
    #[default]
    Json,
    /// For people.
    Text,
}
