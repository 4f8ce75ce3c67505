//! Input that is no LDAP: Notice of Disconnection with protocolError, then the end, and nobody else
//! notices.

use bindproxy_tests::ber;
use bindproxy_tests::ldap::Endpoint;
use bindproxy_tests::request;

use crate::stage::{ALICE, ALICE_PASSWORD, BOB, BOB_PASSWORD, assert_notice, stage, stage_with};

fn refused(front: &Endpoint, name: &str, octets: &[u8]) {
    let mut client = front.connect();
    client.send(octets);
    let frames = client.frames_to_end();
    assert_eq!(frames.len(), 1, "{name}: {frames:?}");
    assert_notice(&frames[0], 2);

    let mut client = front.connect();
    assert_eq!(client.bind(ALICE, ALICE_PASSWORD), 0, "{name}");
    client.send(octets);
    let frames = client.frames_to_end();
    assert_eq!(frames.len(), 1, "{name}, bound: {frames:?}");
    assert_notice(&frames[0], 2);
}

#[test]
fn malformed_messages() {
    let (directory, proxy) = stage();
    let mut bystander = proxy.endpoint().connect();
    assert_eq!(bystander.bind(BOB, BOB_PASSWORD), 0);
    let bind = request::bind(ALICE, ALICE_PASSWORD);
    let cases: Vec<(&str, Vec<u8>)> = vec![
        ("another protocol", b"GET / HTTP/1.1\r\nHost: x\r\n\r\n".to_vec()),
        ("TLS", vec![0x16, 3, 1, 2, 0, 1, 0, 1, 0xFC, 3, 3]),
        ("indefinite length", vec![0x30, 0x80, 2, 1, 1, 0x42, 0, 0, 0]),
        ("a length of 2^32-1", vec![0x30, 0x84, 0xFF, 0xFF, 0xFF, 0xFF, 2, 1, 1]),
        ("a length of eight octets", vec![0x30, 0x88, 0, 0, 0, 0, 0, 0, 0, 5, 2, 1, 1, 0x42, 0]),
        ("a length of 127 octets", [vec![0x30, 0xFF], vec![0xFF; 127]].concat()),
        ("nothing inside", vec![0x30, 0]),
        ("no message ID", vec![0x30, 5, 4, 1, 1, 0x42, 0]),
        ("a negative message ID", vec![0x30, 5, 2, 1, 0xFF, 0x42, 0]),
        ("a message ID of five octets", vec![0x30, 9, 2, 5, 1, 0, 0, 0, 0, 0x42, 0]),
        ("no operation", vec![0x30, 3, 2, 1, 1]),
        ("a response", ber::sequence(&[&[2, 1, 1], &ber::element(0x61, &[10, 1, 0, 4, 0, 4, 0])])),
        ("an unknown operation", ber::sequence(&[&[2, 1, 1], &ber::element(0x7E, b"x")])),
        ("a message ID of zero", request::message(0, &bind)),
    ];
    for (name, octets) in &cases {
        refused(&proxy.endpoint(), name, octets);
    }
    refused(&proxy.ldaps(), cases[0].0, &cases[0].1);
    refused(&proxy.unix(), cases[0].0, &cases[0].1);
    assert_eq!(bystander.who_am_i(), format!("dn:{BOB}"));
    assert_eq!(proxy.metric("bindproxy_panics_total", &[]), 0.0);
    assert_eq!(directory.failures(ALICE), 0);
}

#[test]
fn a_message_over_the_limit() {
    let (directory, proxy) = stage_with(|c| c.section("limits", "maxMessageBytes: 65536"));
    refused(&proxy.endpoint(), "a whole bind", &request::message(1, &request::bind(ALICE, vec![b'x'; 70_000])));
    refused(&proxy.endpoint(), "its first octets", &[0x30, 0x83, 1, 0, 0x10]);
    let within = request::bind(ALICE, vec![b'x'; 60_000]);
    assert_eq!(proxy.endpoint().connect().ask(&within).code(), 49);
    assert_eq!(directory.failures(ALICE), 1);
}

/// Something cut off in the middle is no message; nothing of it reaches the directory.
#[test]
fn messages_that_do_not_end() {
    let (directory, proxy) = stage();
    let whole = request::message(1, &request::bind(ALICE, "stale"));
    for length in 1..whole.len() {
        let mut client = proxy.endpoint().connect();
        client.send(&whole[..length]);
        client.half_close();
        let frames = client.frames_to_end();
        assert!(frames.iter().all(|frame| frame.message_id() == 0), "{length}: {frames:?}");
    }
    assert_eq!(directory.binds(ALICE), 0);
}

/// One octet at a time is slow, and as good as any.
#[test]
fn one_octet_at_a_time() {
    let (_directory, proxy) = stage();
    let mut client = proxy.endpoint().connect();
    let mut octets = request::message(1, &request::bind(ALICE, ALICE_PASSWORD));
    octets.extend(request::message(2, &request::extended(request::WHO_AM_I, None)));
    for octet in octets {
        client.send(&[octet]);
    }
    assert_eq!(client.frame().code(), 0);
    assert_eq!(client.frame().extended_value(), Some(format!("dn:{ALICE}").as_bytes()));
}

/// A bind whose inside the proxy cannot read is the directory's to judge, and is never cached.
#[test]
fn binds_that_only_a_directory_may_judge() {
    let (directory, proxy) = stage();
    let constructed = ber::constructed(0x60, &[&[2, 1, 3], &ber::element(0x24, &ber::octets(ALICE)), &[0x80, 1, b'x']]);
    let kerberos = ber::constructed(0x60, &[&[2, 1, 3], &ber::octets(ALICE), &[0x81, 1, b'x']]);
    let trailing = ber::constructed(0x60, &[&[2, 1, 3], &ber::octets(ALICE), &[0x80, 1, b'x'], &[5, 0]]);
    for (bind, code) in [(constructed, 2), (kerberos, 7), (trailing, 2)] {
        let before = directory.total_binds();
        for attempt in 1..=2 {
            let answer = proxy.endpoint().connect().ask(&bind);
            assert_eq!(answer.code(), code, "{answer:?}");
            assert_eq!(directory.total_binds() - before, attempt, "{answer:?}");
        }
        assert_eq!(proxy.endpoint().connect().bind(ALICE, ALICE_PASSWORD), 0);
    }
}
