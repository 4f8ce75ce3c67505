//! SIGTERM: what is in flight is answered, who is idle is told, and the process ends with 0.

use std::time::Duration;

use bindproxy::directory::{Behaviour, Match};
use bindproxy_tests::request::{self, Scope};
use bindproxy_tests::wait::{self, Stopwatch};
use rustix::process::Signal;

use crate::stage::{ALICE, ALICE_PASSWORD, BOB, BOB_PASSWORD, QUICK, assert_notice, received, stage_with};

#[test]
fn finishes_what_is_in_flight() {
    for signal in [Signal::TERM, Signal::INT] {
        let (directory, mut proxy) = stage_with(|c| c.section("upstreamPolicy", "requestTimeoutSeconds: 10"));
        directory.script(|script| {
            script.when(Match::bind().named(ALICE), Behaviour::Delay(Duration::from_millis(700)));
            script.when(Match::search(), Behaviour::Delay(Duration::from_millis(700)));
        });
        let mut anonymous = proxy.endpoint().connect();
        assert_eq!(anonymous.who_am_i(), "");
        let mut bound = proxy.ldaps().connect();
        assert_eq!(bound.bind(BOB, BOB_PASSWORD), 0);
        let mut searching = proxy.unix().connect();
        assert_eq!(searching.bind(BOB, BOB_PASSWORD), 0);
        searching.send(&request::message(7, &request::search(BOB, Scope::Base, &request::present("uid"), &[], 0)));
        let mut binding = proxy.endpoint().connect();
        binding.send(&request::message(1, &request::bind(ALICE, ALICE_PASSWORD)));
        received(&directory, ALICE, 1);

        proxy.process().signal(signal);
        for idle in [&mut anonymous, &mut bound] {
            let frames = idle.frames_to_end();
            assert_eq!(frames.len(), 1, "{frames:?}");
            assert_notice(&frames[0], 52);
        }
        let frames = binding.frames_to_end();
        assert_eq!(frames.len(), 2, "the answer and the notice: {frames:?}");
        assert_eq!((frames[0].message_id(), frames[0].code()), (1, 0));
        assert_notice(&frames[1], 52);
        let frames = searching.frames_to_end();
        assert_eq!(frames.len(), 3, "the entry, the result and the notice: {frames:?}");
        assert_eq!(frames[1].code(), 0);
        let status = proxy.wait(Duration::from_secs(10));
        assert_eq!(status.code(), Some(0), "{signal:?}");
    }
}

#[test]
fn accepts_nobody_and_says_so() {
    let (directory, mut proxy) = stage_with(|c| c.section("upstreamPolicy", "requestTimeoutSeconds: 10"));
    directory.script(|script| {
        script.when(Match::bind(), Behaviour::Delay(Duration::from_secs(2)));
    });
    let mut binding = proxy.endpoint().connect();
    binding.send(&request::message(1, &request::bind(ALICE, "stale")));
    received(&directory, ALICE, 1);
    proxy.terminate();
    wait::until_true("readiness to be withdrawn", Duration::from_secs(5), || {
        proxy.get("/readyz").is_some_and(|(status, _)| status == 503)
    });
    assert_eq!(proxy.get("/livez").map(|(status, _)| status), Some(200));
    wait::until_true("connections to be refused", Duration::from_secs(5), || proxy.endpoint().try_connect().is_err());
    assert_eq!(binding.frame().code(), 49);
    assert_eq!(proxy.wait(Duration::from_secs(10)).code(), Some(0));
}

/// A directory that never answers does not keep the process alive.
#[test]
fn ends_at_its_deadline() {
    let (directory, mut proxy) =
        stage_with(|c| c.section("upstreamPolicy", "requestTimeoutSeconds: 60").section("drain", "timeoutSeconds: 1"));
    directory.script(|script| {
        script.when(Match::bind(), Behaviour::Silence { evaluated: true });
    });
    let mut binding = proxy.endpoint().connect();
    binding.send(&request::message(1, &request::bind(ALICE, ALICE_PASSWORD)));
    received(&directory, ALICE, 1);
    let watch = Stopwatch::start();
    proxy.terminate();
    let frames = binding.frames_to_end();
    assert!(frames.iter().all(|frame| frame.code() == 52), "{frames:?}");
    let status = proxy.wait(Duration::from_secs(10));
    assert_eq!(status.code(), Some(0));
    watch.report("a drain with a deadline of 1 s");
    assert!(watch.elapsed() < Duration::from_secs(5), "{:?}", watch.elapsed());
}

/// A second proxy can take the ports over at once.
#[test]
fn leaves_no_unix_socket_behind() {
    let (_directory, mut proxy) = stage_with(|c| c.section("upstreamPolicy", QUICK));
    let socket = proxy.unix();
    proxy.terminate();
    assert_eq!(proxy.wait(Duration::from_secs(10)).code(), Some(0));
    assert!(socket.try_connect().is_err());
    let bindproxy_tests::ldap::Address::Unix(path) = socket.address else { panic!("a unix socket") };
    assert!(!path.exists(), "{} is left behind", path.display());
}
