//! The Service that clients use.
//!
//! No `nodePort` and no cluster address is named: what the API server allotted stays what it is.

use k8s_openapi::api::core::v1::{Service, ServicePort, ServiceSpec};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use bindproxy::config::ListenerTls;

use super::beneath;
use crate::crd::{ProxyProtocolMode, TrafficPolicy};
use crate::reconcile::validated::{ListenerPort, ValidatedBindProxy};

/// The Service NAME, which leads to pods that are ready.
pub(super) fn client_service(proxy: &ValidatedBindProxy) -> Service {
    let wanted = &proxy.spec.service;
    let mut metadata = proxy.identity.metadata(proxy.identity.main());
    metadata.labels = Some(beneath(&wanted.labels, proxy.identity.labels()));
    metadata.annotations = (!wanted.annotations.is_empty()).then(|| wanted.annotations.clone());
    Service {
        metadata,
        spec: Some(ServiceSpec {
            type_: Some(wanted.service_type.as_str().to_owned()),
            selector: Some(proxy.identity.selector()),
            ports: Some(proxy.ports.iter().map(|port| service_port(proxy, port)).collect()),
            publish_not_ready_addresses: Some(false),
            external_traffic_policy: wanted.external_traffic_policy.map(policy),
            internal_traffic_policy: wanted.internal_traffic_policy.map(policy),
            traffic_distribution: wanted.traffic_distribution.clone(),
            load_balancer_class: wanted.load_balancer_class.clone(),
            load_balancer_source_ranges: wanted.load_balancer_source_ranges.clone(),
            ..ServiceSpec::default()
        }),
        status: None,
    }
}

fn service_port(proxy: &ValidatedBindProxy, port: &ListenerPort) -> ServicePort {
    ServicePort {
        name: Some(port.name.clone()),
        port: port.service,
        // By name, so that a Service never leads to a number that another listener of an older pod has.
        target_port: Some(IntOrString::String(port.name.clone())),
        protocol: Some("TCP".to_owned()),
        app_protocol: app_protocol(proxy, port).map(str::to_owned),
        ..ServicePort::default()
    }
}

/// What is spoken from the first octet on, by its name at IANA; nothing where a PROXY header comes first.
fn app_protocol(proxy: &ValidatedBindProxy, port: &ListenerPort) -> Option<&'static str> {
    let listener = proxy.spec.listeners.iter().find(|listener| listener.name == port.name)?;
    match listener.proxy_protocol.mode {
        ProxyProtocolMode::V2 => None,
        ProxyProtocolMode::Disabled => Some(match listener.tls {
            ListenerTls::Disabled | ListenerTls::StartTLS => "ldap",
            ListenerTls::LDAPS => "ldaps",
        }),
    }
}

fn policy(policy: TrafficPolicy) -> String {
    policy.as_str().to_owned()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::client_service;
    use crate::reconcile::build::fixture::{from_yaml, full, json_of, minimal};

    #[test]
    fn it_leads_to_ready_pods_by_the_names_of_their_ports() {
        let service = json_of(&client_service(&minimal()));
        assert_eq!(service["metadata"]["name"], "corp");
        assert_eq!(service["spec"]["type"], "ClusterIP");
        assert_eq!(service["spec"]["publishNotReadyAddresses"], json!(false));
        assert_eq!(
            service["spec"]["selector"],
            json!({ "app.kubernetes.io/name": "bindproxy", "app.kubernetes.io/instance": "corp" })
        );
        assert_eq!(
            service["spec"]["ports"],
            json!([{ "name": "ldap", "port": 389, "targetPort": "ldap", "protocol": "TCP", "appProtocol": "ldap" }])
        );
    }

    #[test]
    fn what_the_user_asks_for_is_named_and_what_the_api_server_allots_is_not() {
        let service = json_of(&client_service(&full()));
        let spec = &service["spec"];
        assert_eq!(spec["type"], "LoadBalancer");
        assert_eq!(spec["externalTrafficPolicy"], "Local");
        assert_eq!(spec["internalTrafficPolicy"], "Cluster");
        assert_eq!(spec["trafficDistribution"], "PreferSameZone");
        assert_eq!(spec["loadBalancerClass"], "example.net/nlb");
        assert_eq!(spec["loadBalancerSourceRanges"], json!(["192.0.2.0/24"]));
        assert_eq!(spec["ports"][1]["appProtocol"], "ldaps");
        assert_eq!(spec["ports"][2]["appProtocol"], json!(null), "a PROXY header comes first");
        for port in spec["ports"].as_array().unwrap() {
            assert_eq!(port["nodePort"], json!(null));
        }
        assert_eq!(spec["clusterIP"], json!(null));
        assert_eq!(service["metadata"]["annotations"], json!({ "example.net/name": "ldap.corp.example" }));
    }

    #[test]
    fn a_users_labels_do_not_replace_the_operators() {
        let proxy = from_yaml(
            "upstreams: [{name: dc1, host: dc1.corp.example}]\n\
             service: {labels: {team: directory, app.kubernetes.io/instance: other, app.kubernetes.io/managed-by: me}}",
        );
        let service = json_of(&client_service(&proxy));
        let labels = &service["metadata"]["labels"];
        assert_eq!(labels["team"], "directory");
        assert_eq!(labels["app.kubernetes.io/instance"], "corp");
        assert_eq!(labels["app.kubernetes.io/managed-by"], "bindproxy-operator");
    }
}
