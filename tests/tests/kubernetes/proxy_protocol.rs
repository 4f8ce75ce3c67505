//! Scenario 24: PROXY protocol version 2, as a load balancer speaks it.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use serde_json::Value;

use bindproxy_tests::kubernetes::{Pod, Proxies, Upstream, cluster, with_namespace};
use bindproxy_tests::ldap::Endpoint;
use bindproxy_tests::request;

const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";
/// Clients of the load balancer (RFC 5737).
pub(crate) const CLIENT: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 7);
pub(crate) const FORGED: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 9);
/// The pods' ports for the Service's 1389 and 2389.
const TRUSTING: u16 = 1389;
const DISTRUSTING: u16 = 2389;
const LDAP: u16 = 3389;
pub(crate) const SOON: Duration = Duration::from_secs(20);

/// A header for a TCP connection from `source`.
pub(crate) fn header(source: Ipv4Addr) -> Vec<u8> {
    let mut octets = SIGNATURE.to_vec();
    octets.extend([0x21, 0x11, 0, 12]);
    octets.extend(source.octets());
    octets.extend([10, 96, 0, 1]);
    octets.extend(40_000_u16.to_be_bytes());
    octets.extend(389_u16.to_be_bytes());
    octets
}

/// Connects, says `first` and binds: the code, or `None` when the connection is closed, be it with a notice, where there is
/// no answer.
pub(crate) fn bind_after(target: SocketAddr, first: &[u8], name: &str, password: &str) -> Option<u32> {
    let mut connection = Endpoint::tcp(target).connect();
    connection.try_send(first).ok()?;
    connection.try_send(&request::message(1, &request::bind(name, password))).ok()?;
    let answer = connection.try_frame().ok()??;
    (answer.message_id() == 1).then(|| answer.code())
}

/// Who is listed for this name, with the listener that they came through.
pub(crate) fn sources(proxies: &Proxies<'_>, name: &str) -> Vec<(String, String)> {
    let pod = proxies.pod(0).name();
    let arguments = ["exec", &pod, "-c", "bindproxy", "--", "/bindproxy", "offenders", "--output", "json"];
    let answer = proxies.namespace().kubectl(&arguments);
    assert!(answer.done, "{}", answer.errors);
    let listed: Value = serde_json::from_str(&answer.output).unwrap_or_else(|error| panic!("{error} in {answer:?}"));
    let offenders = listed["offenders"].as_array().cloned().unwrap_or_default();
    let text = |offender: &Value, field: &str| offender[field].as_str().unwrap_or_default().to_owned();
    let named = offenders.iter().filter(|offender| text(offender, "name").eq_ignore_ascii_case(name));
    let mut found: Vec<_> = named.map(|offender| (text(offender, "source"), text(offender, "listener"))).collect();
    found.sort();
    found
}

pub(crate) fn closed(pod: &Pod, listener: &str, reason: &str) -> f64 {
    pod.metric("bindproxy_connections_closed_total", &[("listener", listener), ("reason", reason)])
}

/// The address in a header is the client's where the header comes from a network that is trusted; from anywhere else, or
/// where none is expected, the connection is closed and nothing of it is believed or forwarded.
#[test]
fn believed_from_trusted_networks_only() {
    with_namespace("proxy-protocol", |namespace| {
        let directory = Upstream::shared();
        let balancer = IpAddr::from(cluster().host_address());
        let spec = format!(
            "replicas: 2
upstreams: [{}]
logging: {{level: debug}}
listeners:
- {{name: ldap, port: 389}}
- {{name: trusting, port: {TRUSTING}, proxyProtocol: {{mode: V2, trustedCIDRs: ['{balancer}/32']}}}}
- {{name: distrusting, port: {DISTRUSTING}, proxyProtocol: {{mode: V2, trustedCIDRs: ['192.0.2.0/24']}}}}",
            directory.clear("dc1")
        );
        let proxies = namespace.bind_proxy("corp", &spec);
        proxies.ready();
        let pod = proxies.pod(0);

        // Through the load balancer. The first is the directory's own refusal, the second is ours.
        let believed = directory.slapd.add_user("proxied", "right");
        for _ in 0..3 {
            let code = bind_after(pod.address(TRUSTING), &header(CLIENT), &believed, "stale");
            assert_eq!(code, Some(49));
        }
        assert_eq!(bind_after(pod.address(TRUSTING), &header(CLIENT), &believed, "right"), Some(0));
        let from_client = vec![(CLIENT.to_string(), "trusting".to_owned())];
        proxies.until("the client to be listed", SOON, || (sources(&proxies, &believed) == from_client).then_some(()));
        assert!(pod.log().contains(&CLIENT.to_string()), "the log of a pod at level debug tells the client");

        // From somebody who is no load balancer, at the pod and through the Service; and where no header is expected.
        let forged = directory.slapd.add_user("forged", "right");
        let through_service = proxies.service(DISTRUSTING);
        for target in [pod.address(DISTRUSTING), through_service, pod.address(LDAP)] {
            for password in ["right", "stale"] {
                let code = bind_after(target, &header(FORGED), &forged, password);
                assert_eq!(code, None, "a header at {target}");
            }
        }
        // A listener that expects a header serves nobody without one.
        assert_eq!(bind_after(pod.address(DISTRUSTING), b"", &forged, "right"), None);
        assert_eq!(directory.slapd.binds(&forged), 0, "nothing of it reached the directory");
        assert!(closed(&pod, "distrusting", "untrusted_proxy_header") >= 3.0);
        for pod in proxies.pods() {
            assert!(!pod.log().contains(&FORGED.to_string()), "{pod} has believed a forged address");
            let (_, metrics) = pod.http("/metrics").expect("metrics");
            assert!(!metrics.contains(&FORGED.to_string()) && !metrics.contains(&CLIENT.to_string()));
        }

        // A client that comes by itself is listed under its own address.
        for _ in 0..3 {
            assert_eq!(bind_after(pod.address(LDAP), b"", &forged, "stale"), Some(49));
        }
        let by_itself = vec![(balancer.to_string(), "ldap".to_owned())];
        proxies.until("it to be listed by itself", SOON, || (sources(&proxies, &forged) == by_itself).then_some(()));
        assert_eq!((directory.slapd.failures(&forged), directory.slapd.failures(&believed)), (1, 0));
    });
}
