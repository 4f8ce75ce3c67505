//! Who may connect to the pods, and where they may connect to.
//!
//! Probes of the kubelet come from the pod's own node, which nearly every implementation lets through whatever
//! a policy says; where one does not, the node's network goes into `metricsFrom`. Names are asked for at port
//! 53, the port of DNS pods everywhere but on OpenShift (5353), where `upstreamCIDRs` do not help and a policy
//! of the administrator's adds it.

use std::collections::{BTreeMap, BTreeSet};

use bindproxy::config::UpstreamTlsMode;
use k8s_openapi::api::networking::v1::{
    IPBlock, NetworkPolicy, NetworkPolicyEgressRule, NetworkPolicyIngressRule, NetworkPolicyPeer, NetworkPolicyPort,
    NetworkPolicySpec,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use super::matching;
use crate::crd::Upstream;
use crate::reconcile::validated::{ADMIN_PORT, ValidatedBindProxy};

/// The label by which every namespace is known (KEP-2161).
const NAMESPACE_NAME: &str = "kubernetes.io/metadata.name";
/// The port of DNS servers.
const DNS_PORT: i32 = 53;

/// The NetworkPolicy NAME, where it is asked for.
pub(super) fn network_policy(proxy: &ValidatedBindProxy) -> Option<NetworkPolicy> {
    let wanted = &proxy.spec.network_policy;
    if !wanted.enabled {
        return None;
    }
    let identity = &proxy.identity;
    Some(NetworkPolicy {
        metadata: identity.metadata(identity.main()),
        spec: Some(NetworkPolicySpec {
            pod_selector: Some(matching(identity.selector())),
            policy_types: Some(vec!["Ingress".to_owned(), "Egress".to_owned()]),
            ingress: Some(ingress(proxy)),
            egress: Some(egress(proxy)),
        }),
    })
}

fn ingress(proxy: &ValidatedBindProxy) -> Vec<NetworkPolicyIngressRule> {
    let wanted = &proxy.spec.network_policy;
    let readers =
        if wanted.metrics_from.is_empty() { vec![pods_of_every_namespace()] } else { wanted.metrics_from.clone() };
    vec![
        NetworkPolicyIngressRule {
            // Left away it means everybody; an empty list means that too, but reads as nobody.
            from: (!wanted.ingress_from.is_empty()).then(|| wanted.ingress_from.clone()),
            ports: Some(proxy.ports.iter().map(|port| tcp(port.container)).collect()),
        },
        NetworkPolicyIngressRule {
            from: Some(vec![pods_of_this_instance(proxy)]),
            ports: Some(vec![tcp(proxy.spec.cluster.port)]),
        },
        NetworkPolicyIngressRule {
            from: Some(std::iter::once(operator(proxy)).chain(readers).collect()),
            ports: Some(vec![tcp(ADMIN_PORT)]),
        },
    ]
}

fn egress(proxy: &ValidatedBindProxy) -> Vec<NetworkPolicyEgressRule> {
    let mut rules = vec![
        NetworkPolicyEgressRule { to: None, ports: Some(vec![port("UDP", DNS_PORT), tcp(DNS_PORT)]) },
        NetworkPolicyEgressRule {
            to: Some(vec![pods_of_this_instance(proxy)]),
            ports: Some(vec![tcp(proxy.spec.cluster.port)]),
        },
    ];
    let networks = &proxy.spec.network_policy.upstream_cidrs;
    // An empty list would open these ports to everywhere.
    if !networks.is_empty() {
        let ports: BTreeSet<i32> = proxy.spec.upstreams.iter().map(upstream_port).collect();
        rules.push(NetworkPolicyEgressRule {
            to: Some(networks.iter().map(|cidr| network(cidr)).collect()),
            ports: Some(ports.into_iter().map(tcp).collect()),
        });
    }
    rules
}

fn upstream_port(upstream: &Upstream) -> i32 {
    upstream.port.unwrap_or(match upstream.tls.mode {
        UpstreamTlsMode::LDAPS => 636,
        UpstreamTlsMode::StartTLS | UpstreamTlsMode::Disabled => 389,
    })
}

fn pods_of_this_instance(proxy: &ValidatedBindProxy) -> NetworkPolicyPeer {
    NetworkPolicyPeer { pod_selector: Some(matching(proxy.identity.selector())), ..NetworkPolicyPeer::default() }
}

fn operator(proxy: &ValidatedBindProxy) -> NetworkPolicyPeer {
    let one = |key: &str, value: &str| matching(BTreeMap::from([(key.to_owned(), value.to_owned())]));
    NetworkPolicyPeer {
        namespace_selector: Some(one(NAMESPACE_NAME, &proxy.operator_namespace)),
        pod_selector: Some(one("app.kubernetes.io/name", "bindproxy-operator")),
        ip_block: None,
    }
}

fn pods_of_every_namespace() -> NetworkPolicyPeer {
    NetworkPolicyPeer { namespace_selector: Some(LabelSelector::default()), ..NetworkPolicyPeer::default() }
}

fn network(cidr: &str) -> NetworkPolicyPeer {
    NetworkPolicyPeer {
        ip_block: Some(IPBlock { cidr: cidr.to_owned(), except: None }),
        ..NetworkPolicyPeer::default()
    }
}

fn tcp(number: i32) -> NetworkPolicyPort {
    port("TCP", number)
}

fn port(protocol: &str, number: i32) -> NetworkPolicyPort {
    NetworkPolicyPort { protocol: Some(protocol.to_owned()), port: Some(IntOrString::Int(number)), end_port: None }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::network_policy;
    use crate::reconcile::build::fixture::{from_yaml, full, json_of, minimal};

    fn instance() -> Value {
        json!({ "podSelector": { "matchLabels": {
            "app.kubernetes.io/name": "bindproxy", "app.kubernetes.io/instance": "corp" } } })
    }

    #[test]
    fn there_is_none_unless_asked_for() {
        assert_eq!(network_policy(&minimal()), None);
    }

    #[test]
    fn by_default_everybody_may_log_in_and_only_pods_may_read_metrics() {
        let policy = json_of(
            &network_policy(&from_yaml(
                "upstreams: [{name: dc1, host: dc1.corp.example}]\n\
                 networkPolicy: {enabled: true, upstreamCIDRs: [10.1.2.0/24]}",
            ))
            .unwrap(),
        );
        let ingress = &policy["spec"]["ingress"];
        assert_eq!(policy["spec"]["policyTypes"], json!(["Ingress", "Egress"]));
        assert_eq!(ingress[0], json!({ "ports": [{ "protocol": "TCP", "port": 3389 }] }));
        assert_eq!(ingress[1], json!({ "from": [instance()], "ports": [{ "protocol": "TCP", "port": 7946 }] }));
        assert_eq!(
            ingress[2],
            json!({
                "from": [
                    { "namespaceSelector": { "matchLabels": { "kubernetes.io/metadata.name": "bindproxy-system" } },
                      "podSelector": { "matchLabels": { "app.kubernetes.io/name": "bindproxy-operator" } } },
                    { "namespaceSelector": {} },
                ],
                "ports": [{ "protocol": "TCP", "port": 9390 }],
            })
        );
    }

    #[test]
    fn pods_reach_names_each_other_and_the_directories_and_nothing_else() {
        let policy = json_of(
            &network_policy(&from_yaml(
                "upstreams:\n\
                 - {name: dc1, host: dc1.corp.example}\n\
                 - {name: dc2, host: dc2.corp.example, tls: {mode: StartTLS}}\n\
                 - {name: dc3, host: dc3.corp.example, port: 3269}\n\
                 - {name: dc4, host: dc4.corp.example}\n\
                 networkPolicy: {enabled: true, upstreamCIDRs: [10.1.2.0/24, 'fd00::/8']}",
            ))
            .unwrap(),
        );
        assert_eq!(
            policy["spec"]["egress"],
            json!([
                { "ports": [{ "protocol": "UDP", "port": 53 }, { "protocol": "TCP", "port": 53 }] },
                { "to": [instance()], "ports": [{ "protocol": "TCP", "port": 7946 }] },
                { "to": [{ "ipBlock": { "cidr": "10.1.2.0/24" } }, { "ipBlock": { "cidr": "fd00::/8" } }],
                  "ports": [{ "protocol": "TCP", "port": 389 }, { "protocol": "TCP", "port": 636 },
                            { "protocol": "TCP", "port": 3269 }] },
            ])
        );
    }

    #[test]
    fn without_networks_no_port_is_opened_to_everywhere() {
        let proxy = from_yaml("upstreams: [{name: dc1, host: dc1.corp.example}]\nnetworkPolicy: {enabled: true}");
        let policy = json_of(&network_policy(&proxy).unwrap());
        assert_eq!(policy["spec"]["egress"].as_array().unwrap().len(), 2);
    }

    #[test]
    fn those_who_are_named_may_and_the_operator_always() {
        let policy = json_of(&network_policy(&full()).unwrap());
        let ingress = &policy["spec"]["ingress"];
        assert_eq!(ingress[0]["from"], json!([{ "podSelector": { "matchLabels": { "login": "yes" } } }]));
        assert_eq!(ingress[0]["ports"].as_array().unwrap().len(), 3);
        let metrics = ingress[2]["from"].as_array().unwrap();
        assert_eq!(metrics.len(), 2);
        assert_eq!(metrics[0]["podSelector"]["matchLabels"]["app.kubernetes.io/name"], "bindproxy-operator");
        assert_eq!(metrics[1]["ipBlock"]["cidr"], "10.9.0.0/24");
    }
}
