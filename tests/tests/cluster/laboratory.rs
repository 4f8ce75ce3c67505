//! The laboratory itself: cuts cut, and names are found. What fails here says nothing about the proxy.

use std::net::Ipv4Addr;
use std::process::Command;

use bindproxy_tests::lab::{Lab, PEERS};
use bindproxy_tests::process;

use crate::stage::plan;

/// Whether a packet from one pod reaches the other and its answer comes back: a connection to a port
/// where nobody listens is refused at once, and one into nothing is not.
fn reaches(lab: &Lab, from: usize, to: usize) -> bool {
    reaches_address(lab, from, lab.network().address(to))
}

fn reaches_address(lab: &Lab, from: usize, to: Ipv4Addr) -> bool {
    let connect = format!("exec 3<>/dev/tcp/{to}/1");
    let (status, said) = process::outcome(Command::new("ip").args([
        "netns",
        "exec",
        lab.network().namespace(from),
        "timeout",
        "0.3",
        "bash",
        "-c",
        &connect,
    ]));
    match status.code() {
        Some(124) => false,
        _ if said.contains("refused") => true,
        _ => panic!("{status}: {said}"),
    }
}

#[test]
fn cuts_hold_in_one_direction_and_spare_the_test_itself() {
    let lab = Lab::prepare(&plan(3));
    assert!(reaches(&lab, 0, 1) && reaches(&lab, 1, 0) && reaches(&lab, 2, 0));
    lab.network().cut(&[0], &[1]);
    // Neither gets an answer: one is not heard, the other does not hear.
    assert!(!reaches(&lab, 0, 1) && !reaches(&lab, 1, 0));
    assert!(reaches(&lab, 0, 2) && reaches(&lab, 1, 2));
    lab.part(&[0], &[2]);
    assert!(reaches_address(&lab, 0, lab.network().root()), "the way to the directory is open");
    lab.network().heal();
    assert!(reaches(&lab, 0, 1) && reaches(&lab, 1, 0) && reaches(&lab, 0, 2));
}

#[test]
fn names_change_while_the_pods_run() {
    let lab = Lab::prepare(&plan(2));
    let find = || {
        let namespace = lab.network().namespace(0);
        let (status, said) =
            process::outcome(Command::new("ip").args(["netns", "exec", namespace, "getent", "ahostsv4", PEERS]));
        status.success().then(|| said.lines().filter(|line| line.contains("STREAM")).count())
    };
    assert_eq!(find(), None, "NXDOMAIN");
    lab.announce(&[0]);
    assert_eq!(find(), Some(1));
    lab.announce(&[0, 1]);
    assert_eq!(find(), Some(2));
    // Too long for a datagram: asked for again over TCP.
    lab.names().set_addresses(PEERS, (0..2_000_u32).map(|n| Ipv4Addr::from_bits(0x0A00_0001 + n).into()).collect());
    assert_eq!(find(), Some(2_000));
    assert!(lab.names().questions() >= 4);
}
