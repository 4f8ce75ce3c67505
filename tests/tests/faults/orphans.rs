//! The client is gone before its bind is answered. The directory counted it all the same, so its
//! answer is learned.

use std::time::Duration;

use bindproxy::directory::{Behaviour, Match};
use bindproxy_tests::ldap::Connection;
use bindproxy_tests::request;
use bindproxy_tests::stale_device::login;

use crate::stage::{ALICE, ALICE_PASSWORD, received, stage};

#[test]
fn the_answer_is_learned_however_the_client_leaves() {
    type Leave = fn(Connection);
    let ways: [(&str, Leave); 4] = [
        ("close", drop),
        ("reset", Connection::reset),
        ("unbind", |mut client| client.send(&request::message(9, &request::unbind()))),
        ("half-close", |client| {
            client.half_close();
            drop(client);
        }),
    ];
    for (name, leave) in ways {
        let (directory, proxy) = stage();
        directory.script(|script| {
            script.when(Match::bind().with_password("stale"), Behaviour::Delay(Duration::from_millis(300)));
        });
        for front in [proxy.endpoint(), proxy.ldaps(), proxy.unix()] {
            let before = directory.binds(ALICE);
            let password = if before == 0 { "stale".to_owned() } else { format!("stale {before}") };
            let mut client = front.connect();
            client.send(&request::message(1, &request::bind(ALICE, &password)));
            received(&directory, ALICE, before + 1);
            leave(client);
            assert_eq!(login(&front, ALICE, &password), 49, "{name}");
            assert_eq!(directory.binds(ALICE), before + 1, "{name}: asked again");
            // The failures of this loop must not lock the account.
            directory.unlock(ALICE);
        }
        assert_eq!(login(&proxy.endpoint(), ALICE, ALICE_PASSWORD), 0, "{name}");
    }
}

/// RFC 4511 section 4.11: a bind cannot be abandoned.
#[test]
fn an_abandoned_bind_is_answered() {
    let (directory, proxy) = stage();
    directory.script(|script| {
        script.when(Match::bind(), Behaviour::Delay(Duration::from_millis(200)));
    });
    let mut client = proxy.endpoint().connect();
    let mut burst = request::message(1, &request::bind(ALICE, "stale"));
    burst.extend(request::message(2, &request::abandon(1)));
    client.send(&burst);
    let answer = client.frame();
    assert_eq!((answer.message_id(), answer.code()), (1, 49), "{answer:?}");
    assert_eq!(login(&proxy.endpoint(), ALICE, "stale"), 49);
    assert_eq!(directory.binds(ALICE), 1);
}
