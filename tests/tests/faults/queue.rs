//! All connections to the directory are in use: the next client waits, and is told busy (51) only
//! after the deadline.

use std::thread;
use std::time::Duration;

use bindproxy_tests::request;
use bindproxy_tests::stale_device::login;
use bindproxy_tests::wait::{self, Stopwatch};

use crate::stage::{ALICE, ALICE_PASSWORD, BOB, BOB_PASSWORD, stage_with};

const ONE_CONNECTION: &str = "maxConnections: 1, connectTimeoutSeconds: 2, healthCheck: {enabled: false}";

#[test]
fn waits_for_a_connection_that_comes_free() {
    let (directory, proxy) = stage_with(|c| c.section("upstreamPolicy", ONE_CONNECTION));
    let mut first = proxy.endpoint().connect();
    assert_eq!(first.bind(ALICE, ALICE_PASSWORD), 0);
    thread::scope(|scope| {
        let second = scope.spawn(|| login(&proxy.endpoint(), BOB, BOB_PASSWORD));
        wait::until_true("the second client to wait", Duration::from_secs(5), || {
            proxy.metric("bindproxy_upstream_queue_waiting", &[]) == 1.0
        });
        assert_eq!(directory.binds(BOB), 0);
        first.send(&request::message(2, &request::unbind()));
        assert_eq!(second.join().expect("the second client"), 0);
    });
    assert_eq!(directory.binds(BOB), 1);
}

#[test]
fn busy_after_the_deadline_and_not_before() {
    let (directory, proxy) = stage_with(|c| c.section("upstreamPolicy", ONE_CONNECTION));
    let mut first = proxy.endpoint().connect();
    assert_eq!(first.bind(ALICE, ALICE_PASSWORD), 0);
    let mut second = proxy.endpoint().connect();
    for operation in [request::bind(BOB, BOB_PASSWORD), request::compare(BOB, "uid", "bob")] {
        let watch = Stopwatch::start();
        assert_eq!(second.ask(&operation).code(), 51);
        let taken = watch.elapsed();
        assert!((1800..6000).contains(&taken.as_millis()), "{taken:?}");
    }
    assert_eq!(directory.binds(BOB), 0);
    assert!(proxy.metric("bindproxy_upstream_queue_timeouts_total", &[]) >= 2.0);
    first.send(&request::message(2, &request::unbind()));
    assert_eq!(second.bind(BOB, BOB_PASSWORD), 0);
}

/// What is remembered needs no connection.
#[test]
fn remembered_failures_do_not_wait() {
    let (_directory, proxy) = stage_with(|c| c.section("upstreamPolicy", ONE_CONNECTION));
    assert_eq!(login(&proxy.endpoint(), BOB, "stale"), 49);
    let mut first = proxy.endpoint().connect();
    assert_eq!(first.bind(ALICE, ALICE_PASSWORD), 0);
    let watch = Stopwatch::start();
    for _ in 0..10 {
        assert_eq!(login(&proxy.endpoint(), BOB, "stale"), 49);
    }
    assert!(watch.elapsed() < Duration::from_secs(1), "{:?}", watch.elapsed());
}
