//! PROXY protocol version 2: believed from trusted networks only.

use std::net::{Ipv4Addr, SocketAddr};

use bindproxy_tests::ldap::{Connection, Endpoint};
use bindproxy_tests::ports;
use bindproxy_tests::proxy::Proxy;
use bindproxy_tests::request;

use crate::stage::{ALICE, ALICE_PASSWORD, stage_with};

const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";

/// A header for a TCP connection from `source`.
fn header(source: Ipv4Addr) -> Vec<u8> {
    let mut octets = SIGNATURE.to_vec();
    octets.extend([0x21, 0x11, 0, 12]);
    octets.extend(source.octets());
    octets.extend([127, 0, 0, 1]);
    octets.extend(40_000_u16.to_be_bytes());
    octets.extend(389_u16.to_be_bytes());
    octets
}

/// A header for a connection of the load balancer's own (a health check).
fn local_header() -> Vec<u8> {
    let mut octets = SIGNATURE.to_vec();
    octets.extend([0x20, 0x00, 0, 0]);
    octets
}

fn start(trusted: &str, limits: &str) -> (bindproxy::directory::RunningDirectory, Proxy, Endpoint) {
    let address: SocketAddr = ports::free_address();
    let (directory, proxy) = stage_with(|c| {
        c.listener(&format!(
            "name: lb, address: \"{address}\", proxyProtocol: {{mode: V2, trustedCIDRs: [\"{trusted}\"]}}"
        ))
        .section("limits", limits)
    });
    (directory, proxy, Endpoint::tcp(address))
}

/// Connects and says `first`; whether a bind is then answered.
fn served(front: &Endpoint, first: &[u8]) -> Option<Connection> {
    let mut connection = front.connect();
    connection.try_send(first).ok()?;
    connection.try_send(&request::message(1, &request::bind(ALICE, ALICE_PASSWORD))).ok()?;
    let answer = connection.try_frame().ok()??;
    (answer.message_id() == 1 && answer.code() == 0).then_some(connection)
}

#[test]
fn from_a_trusted_network() {
    let (_directory, _proxy, front) = start("127.0.0.0/8", "maxConnectionsPerClient: 1");
    let _first = served(&front, &header(Ipv4Addr::new(192, 0, 2, 1))).expect("a client of the load balancer");
    let _second = served(&front, &header(Ipv4Addr::new(192, 0, 2, 2))).expect("another client of it");
    assert!(
        served(&front, &header(Ipv4Addr::new(192, 0, 2, 1))).is_none(),
        "the limit on one client counts the source in the header"
    );
    assert!(served(&front, &local_header()).is_some(), "the load balancer's own connection");
}

/// The header in pieces, and together with the first request.
#[test]
fn in_pieces() {
    let (_directory, _proxy, front) = start("127.0.0.0/8", "");
    let mut octets = header(Ipv4Addr::new(192, 0, 2, 1));
    octets.extend(request::message(1, &request::bind(ALICE, ALICE_PASSWORD)));
    let mut connection = front.connect();
    for piece in octets.chunks(5) {
        connection.send(piece);
        std::thread::sleep(std::time::Duration::from_millis(2));
    }
    assert_eq!(connection.frame().code(), 0);
}

#[test]
fn from_anybody_else() {
    let (directory, proxy, front) = start("10.0.0.0/8", "");
    assert!(served(&front, &header(Ipv4Addr::new(192, 0, 2, 1))).is_none());
    assert!(served(&front, b"").is_none(), "without a header");
    let reason = [("listener", "lb"), ("reason", "untrusted_proxy_header")];
    proxy.wait_for_metric("bindproxy_connections_closed_total", &reason, 1.0);
    assert_eq!(directory.binds(ALICE), 0);
    assert_eq!(proxy.endpoint().connect().bind(ALICE, ALICE_PASSWORD), 0, "the other listeners serve");
}

#[test]
fn that_is_none() {
    let (directory, _proxy, front) = start("127.0.0.0/8", "handshakeTimeoutSeconds: 1");
    let mut version_1 = b"PROXY TCP4 192.0.2.1 127.0.0.1 40000 389\r\n".to_vec();
    version_1.extend([0; 4]);
    let mut bad_version = header(Ipv4Addr::new(192, 0, 2, 1));
    bad_version[12] = 0x31;
    let mut short = header(Ipv4Addr::new(192, 0, 2, 1));
    short[15] = 4;
    for first in [b"".to_vec(), version_1, bad_version, short, vec![0; 64]] {
        assert!(served(&front, &first).is_none(), "{first:02x?}");
    }
    let mut silent = front.connect();
    assert!(silent.frames_to_end().is_empty(), "a header that does not come");
    assert_eq!(directory.binds(ALICE), 0);
}

/// On a listener without PROXY protocol the header is what it looks like: no LDAP.
#[test]
fn where_none_is_expected() {
    let (directory, proxy) = stage_with(|c| c);
    assert!(served(&proxy.endpoint(), &header(Ipv4Addr::new(192, 0, 2, 1))).is_none());
    assert_eq!(directory.binds(ALICE), 0);
}
