//! The directory closes connections that the proxy keeps for later.

use std::time::Duration;

use bindproxy::directory::Announcement;
use bindproxy_tests::request;
use bindproxy_tests::stale_device::login;
use bindproxy_tests::wait;

use crate::stage::{ALICE, ALICE_PASSWORD, assert_notice, stage};

const IDLE: [(&str, &str); 2] = [("upstream", "directory"), ("state", "idle")];

#[test]
fn closed_while_idle() {
    for notice in [false, true] {
        let (directory, proxy) = stage();
        directory.script(|script| {
            script.close_idle_after = Some(Duration::from_millis(200));
            script.notice_when_idle = notice;
        });
        for round in 0..3 {
            assert_eq!(login(&proxy.endpoint(), ALICE, ALICE_PASSWORD), 0, "round {round}, notice: {notice}");
            wait::until_true("the proxy to drop what the directory closed", Duration::from_secs(10), || {
                proxy.metric("bindproxy_upstream_connections", &IDLE) == 0.0
            });
        }
        assert_eq!(directory.binds(ALICE), 3);
    }
}

/// Logins in a rhythm that meets the directory's close again and again: most go through, a bind
/// that crossed the close is 52 and is not repeated, and nobody is told a wrong password.
#[test]
fn closed_in_the_moment_of_use() {
    let (directory, proxy) = stage();
    directory.script(|script| script.close_idle_after = Some(Duration::from_millis(30)));
    let mut answered = 0;
    let attempts = 60;
    for attempt in 0..attempts {
        match login(&proxy.endpoint(), ALICE, ALICE_PASSWORD) {
            0 => answered += 1,
            52 => {}
            other => panic!("attempt {attempt}: {other}"),
        }
        std::thread::sleep(Duration::from_millis(25 + attempt % 10));
    }
    println!("{answered} of {attempts} logins, the others 52");
    assert!(answered * 10 >= attempts * 9, "{answered} of {attempts} logins");
    assert!(directory.binds(ALICE) <= attempts);
}

#[test]
fn notice_of_disconnection_reaches_a_bound_client() {
    let (directory, proxy) = stage();
    for announcement in [Announcement::Notice(52), Announcement::Close, Announcement::Reset] {
        let mut bound = proxy.endpoint().connect();
        assert_eq!(bound.bind(ALICE, ALICE_PASSWORD), 0);
        let mut anonymous = proxy.endpoint().connect();
        assert_eq!(anonymous.who_am_i(), "");
        directory.announce(announcement);
        let frames = bound.frames_to_end();
        assert_eq!(frames.len(), 1, "{frames:?}");
        assert_notice(&frames[0], 52);
        // An operation that crosses the end of the connection is answered 52, the next one is served.
        let who = request::extended(request::WHO_AM_I, None);
        let first = anonymous.ask(&who).code();
        assert!([0, 52].contains(&first), "{first}");
        assert_eq!(anonymous.ask(&who).code(), 0);
    }
}
