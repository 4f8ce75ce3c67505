//! Scenario 24, the way in: clients outside the cluster come through a port of a node or through a load balancer, and each
//! traffic policy keeps or hides their address as docs/operations-kubernetes.md says.
//!
//! kube-proxy is real. There is no provider of load balancers here: this file is one, as it writes an address into the
//! Service's status, which is all that the cluster learns of a real one, and leads that address to a node, as a balancer that
//! leaves addresses as they are would.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream};
use std::time::Duration;

use k8s_openapi::api::core::v1 as core;
use serde_json::json;

use bindproxy_tests::kubernetes::clients::{Outcome, login};
use bindproxy_tests::kubernetes::network::Route;
use bindproxy_tests::kubernetes::{Pod, Proxies, Upstream, cluster, nodes, with_namespace};
use bindproxy_tests::scrape;

use crate::proxy_protocol::{CLIENT, FORGED, SOON, bind_after, closed, header, sources};

/// The ports of the Service.
const LDAP: u16 = 389;
const BALANCED: u16 = 1389;
/// kube-proxy follows a changed Service within a moment.
const FOLLOWED: Duration = Duration::from_secs(20);

#[test]
fn through_a_port_of_a_node() {
    with_namespace("node-port", |namespace| {
        if cluster().own_or_skip("the port of a node").is_none() {
            return;
        }
        let directory = Upstream::shared();
        let proxies = namespace.bind_proxy(
            "corp",
            &format!(
                "replicas: 1\nupstreams: [{}]\nservice: {{type: NodePort, externalTrafficPolicy: Local}}",
                directory.clear("dc1")
            ),
        );
        proxies.ready();
        let port = node_port(&proxies).expect("a port of the nodes");
        let (here, elsewhere) = homes(&proxies);
        let (here, elsewhere) = (SocketAddr::new(here, port), SocketAddr::new(elsewhere, port));

        let kept = directory.slapd.add_user("node-port-local", "right");
        answers(&proxies, here);
        refused_and_listed(&proxies, here, &kept);
        assert_eq!(sources(&proxies, &kept), [(host(), "ldap".to_owned())], "the client's address");
        assert!(!reached(elsewhere), "a node without a pod");

        // Nobody asked for another number, so it stays: clients and firewalls have it in their configurations.
        proxies.patch("spec: {service: {externalTrafficPolicy: Cluster}}");
        answers(&proxies, elsewhere);
        assert_eq!(node_port(&proxies), Some(port));
        let hidden = directory.slapd.add_user("node-port-cluster", "right");
        for node in [here, elsewhere] {
            refused_and_listed(&proxies, node, &hidden);
        }
        let seen: BTreeSet<String> = sources(&proxies, &hidden).into_iter().map(|(source, _)| source).collect();
        println!("with policy Cluster, clients are {seen:?}");
        assert!(
            !seen.is_empty() && seen.is_subset(&of_nodes(&proxies.pod(0))),
            "{seen:?} in place of the client's address"
        );

        proxies.patch("spec: {service: {type: ClusterIP, externalTrafficPolicy: null}}");
        proxies.until("the port to close", FOLLOWED, || (!reached(here) && !reached(elsewhere)).then_some(()));
        assert_eq!(node_port(&proxies), None);
        assert_eq!(login(proxies.service(LDAP), &kept, "right"), Outcome::Code(0));
        proxies.ready();
        assert_eq!((directory.slapd.failures(&kept), directory.slapd.failures(&hidden)), (0, 1));
    });
}

#[test]
fn through_a_load_balancer() {
    with_namespace("load-balancer", |namespace| {
        if cluster().own_or_skip("a load balancer").is_none() {
            return;
        }
        let directory = Upstream::shared();
        let proxies = namespace.bind_proxy(
            "corp",
            &format!(
                "replicas: 1
upstreams: [{}]
logging: {{level: debug}}
service: {{type: LoadBalancer, externalTrafficPolicy: Local, loadBalancerSourceRanges: ['{host}/32']}}
listeners:
- {{name: ldap, port: {LDAP}}}
- {{name: balanced, port: {BALANCED}, proxyProtocol: {{mode: V2, trustedCIDRs: ['{host}/32']}}}}",
                directory.clear("dc1"),
                host = host()
            ),
        );
        // A provider takes its time: the pods are ready without it, and whoever is in the cluster is served.
        proxies.ready();
        let (here, elsewhere) = homes(&proxies);
        let check =
            service(&proxies).spec.and_then(|spec| spec.health_check_node_port).expect("a port to ask for health");
        let check = u16::try_from(check).expect("a port");
        for (node, healthy) in [(here, 200), (elsewhere, 503)] {
            proxies.until("a node to say whether it has a pod", FOLLOWED, || {
                let (status, _) = scrape::get(SocketAddr::new(node, check), "/healthz")?;
                (status == healthy).then_some(())
            });
        }

        let address = Ipv4Addr::new(198, 51, 100, rand::random_range(16..240));
        let _route = Route::through(address, here);
        let at = |port| SocketAddr::new(address.into(), port);
        assert!(!reached(at(LDAP)), "nobody has that address yet");
        let provided = json!({"status": {"loadBalancer": {"ingress": [{"ip": address}]}}}).to_string();
        let patch = ["patch", "service", "corp", "--subresource=status", "--type=merge", "--patch", &provided];
        let answer = namespace.kubectl(&patch);
        assert!(answer.done, "{}", answer.errors);
        answers(&proxies, at(LDAP));

        let kept = directory.slapd.add_user("balancer-local", "right");
        refused_and_listed(&proxies, at(LDAP), &kept);
        assert_eq!(sources(&proxies, &kept), [(host(), "ldap".to_owned())], "the client's address");
        // The balancer's header is believed, since its connections come from where it is trusted.
        let believed = directory.slapd.add_user("balancer-header", "right");
        for _ in 0..3 {
            assert_eq!(bind_after(at(BALANCED), &header(CLIENT), &believed, "stale"), Some(49));
        }
        let of_client = vec![(CLIENT.to_string(), "balanced".to_owned())];
        proxies.until("the client to be listed", SOON, || (sources(&proxies, &believed) == of_client).then_some(()));

        // Policy Cluster hides the balancer as it hides everybody: no header is believed any more, and nothing is forwarded.
        proxies.patch("spec: {service: {externalTrafficPolicy: Cluster}}");
        let pod = proxies.pod(0);
        let distrusted = || closed(&pod, "balanced", "untrusted_proxy_header");
        let forged = directory.slapd.add_user("balancer-forged", "right");
        proxies.until("headers to be distrusted", FOLLOWED, || {
            // Until kube-proxy follows, it is still the balancer itself.
            let _either_way = bind_after(at(BALANCED), &header(CLIENT), &believed, "stale");
            (distrusted() > 0.0).then_some(())
        });
        assert_eq!(bind_after(at(BALANCED), &header(FORGED), &forged, "right"), None);
        assert_eq!(directory.slapd.binds(&forged), 0);
        assert!(!pod.log().contains(&FORGED.to_string()), "{pod} has believed a header from a node");

        // Neither the address nor what the API server allotted is the operator's: changes of the Service leave them alone.
        let now = service(&proxies);
        let ingress = now.status.and_then(|status| status.load_balancer).and_then(|balancer| balancer.ingress);
        assert_eq!(ingress.as_deref().and_then(|all| all.first()?.ip.clone()), Some(address.to_string()));
        assert_eq!(login(at(LDAP), &kept, "right"), Outcome::Code(0));

        // Whoever is not in the source ranges gets no further than the node.
        proxies.patch("spec: {service: {loadBalancerSourceRanges: [192.0.2.0/24]}}");
        proxies.until("the address to be closed to this machine", FOLLOWED, || (!reached(at(LDAP))).then_some(()));
        assert_eq!((directory.slapd.failures(&kept), directory.slapd.failures(&believed)), (0, 1));
    });
}

/// This machine, as pods see it.
fn host() -> String {
    cluster().host_address().to_string()
}

fn service(proxies: &Proxies<'_>) -> core::Service {
    proxies.namespace().get(proxies.name()).expect("the client Service")
}

/// The number that the API server allotted for LDAP.
fn node_port(proxies: &Proxies<'_>) -> Option<u16> {
    let ports = service(proxies).spec.and_then(|spec| spec.ports).expect("ports");
    let port = ports.iter().find(|port| port.port == i32::from(LDAP)).expect("the port for LDAP").node_port;
    port.map(|number| u16::try_from(number).expect("a port"))
}

/// The addresses of the node that has the only pod, and of one that has none.
fn homes(proxies: &Proxies<'_>) -> (IpAddr, IpAddr) {
    let home = proxies.pod(0).node();
    let all = nodes::addresses();
    let elsewhere = all.iter().find(|(name, _)| **name != home).expect("a second node");
    (all[&home], *elsewhere.1)
}

/// Addresses that nodes have: their own, and that by which the pod's node is the gateway of its pods (tests/cluster/README.md).
fn of_nodes(pod: &Pod) -> BTreeSet<String> {
    let IpAddr::V4(pod) = pod.address(LDAP).ip() else { panic!("{pod}: this suite is written for IPv4") };
    let [a, b, c, _] = pod.octets();
    let own = nodes::addresses().into_values();
    own.chain([Ipv4Addr::new(a, b, c, 1).into()]).map(|address: IpAddr| address.to_string()).collect()
}

fn reached(place: SocketAddr) -> bool {
    TcpStream::connect_timeout(&place, Duration::from_secs(1)).is_ok()
}

fn answers(proxies: &Proxies<'_>, place: SocketAddr) {
    proxies.until(&format!("{place} to lead to a pod"), FOLLOWED, || reached(place).then_some(()));
}

/// A stale password that is presented often enough to be told of. The directory sees the first, once.
fn refused_and_listed(proxies: &Proxies<'_>, place: SocketAddr, name: &str) {
    for _ in 0..3 {
        assert_eq!(login(place, name, "stale"), Outcome::Code(49), "at {place}");
    }
    proxies.until("the client to be listed", SOON, || (!sources(proxies, name).is_empty()).then_some(()));
}
