//! The headless Service: by its DNS records pods find each other, and a ServiceMonitor finds them.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Service, ServicePort, ServiceSpec};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use super::beneath;
use super::pod_template::{ADMIN_PORT_NAME, PEERS_PORT_NAME};
use crate::reconcile::validated::{ADMIN_PORT, ValidatedBindProxy};

/// The label that tells the two Services apart, for what selects Services by labels.
const ROLE: &str = "bindproxy.io/service";
/// Its value here.
const PEERS: &str = "peers";

/// The Service NAME-peers. It lists pods that are not ready too, because a pod becomes ready by meeting the others.
pub(super) fn peers_service(proxy: &ValidatedBindProxy) -> Service {
    let mut metadata = proxy.identity.metadata(proxy.identity.peers());
    metadata.labels = Some(beneath(&mark(), proxy.identity.labels()));
    Service {
        metadata,
        spec: Some(ServiceSpec {
            type_: Some("ClusterIP".to_owned()),
            cluster_ip: Some("None".to_owned()),
            publish_not_ready_addresses: Some(true),
            selector: Some(proxy.identity.selector()),
            ports: Some(vec![
                port(PEERS_PORT_NAME, proxy.spec.cluster.port),
                ServicePort { app_protocol: Some("http".to_owned()), ..port(ADMIN_PORT_NAME, ADMIN_PORT) },
            ]),
            ..ServiceSpec::default()
        }),
        status: None,
    }
}

/// The labels that select this Service and not the one for clients.
pub(super) fn selector(proxy: &ValidatedBindProxy) -> BTreeMap<String, String> {
    beneath(&mark(), proxy.identity.selector())
}

fn mark() -> BTreeMap<String, String> {
    BTreeMap::from([(ROLE.to_owned(), PEERS.to_owned())])
}

fn port(name: &str, number: i32) -> ServicePort {
    ServicePort {
        name: Some(name.to_owned()),
        port: number,
        target_port: Some(IntOrString::String(name.to_owned())),
        protocol: Some("TCP".to_owned()),
        ..ServicePort::default()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{peers_service, selector};
    use crate::reconcile::build::client_service::client_service;
    use crate::reconcile::build::fixture::{from_yaml, json_of, minimal};

    #[test]
    fn pods_find_each_other_before_they_are_ready() {
        let service = json_of(&peers_service(&minimal()));
        assert_eq!(service["metadata"]["name"], "corp-peers");
        assert_eq!(service["spec"]["clusterIP"], "None");
        assert_eq!(service["spec"]["publishNotReadyAddresses"], json!(true));
        assert_eq!(service["spec"]["ports"][0]["name"], "peers");
        assert_eq!(service["spec"]["ports"][0]["port"], 7946);
        assert_eq!(service["spec"]["ports"][1]["name"], "admin");
        assert_eq!(service["spec"]["ports"][1]["port"], 9390);
    }

    #[test]
    fn the_port_is_that_of_the_spec() {
        let proxy = from_yaml("upstreams: [{name: dc1, host: dc1.corp.example}]\ncluster: {port: 17946}");
        assert_eq!(json_of(&peers_service(&proxy))["spec"]["ports"][0]["port"], 17946);
    }

    #[test]
    fn its_selector_finds_it_and_not_the_service_of_clients() {
        let proxy = minimal();
        let (peers, clients) = (peers_service(&proxy), client_service(&proxy));
        let wanted = selector(&proxy);
        let found = |labels: &std::collections::BTreeMap<String, String>| {
            wanted.iter().all(|(key, value)| labels.get(key) == Some(value))
        };
        assert!(found(&peers.metadata.labels.unwrap()));
        assert!(!found(&clients.metadata.labels.unwrap()));
    }
}
