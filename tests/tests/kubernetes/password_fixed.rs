//! Scenario 2: the owner changes the password while a device still storms with the old one.

use std::time::Duration;

use bindproxy_tests::kubernetes::clients::{Outcome, login};
use bindproxy_tests::kubernetes::{Clients, Upstream, with_namespace};
use bindproxy_tests::request::Change;

/// The new password is good at once at every pod, the old one stays refused, and the directory hears each of them no more
/// often than it must.
#[test]
fn a_new_password_is_good_at_once_everywhere() {
    with_namespace("password-fixed", |namespace| {
        let directory = Upstream::shared();
        let proxies = namespace.bind_proxy("corp", &format!("replicas: 3\nupstreams: [{}]", directory.clear("dc1")));
        proxies.ready();
        let owner = directory.slapd.add_user("password-fixed", "first");
        let pods = proxies.addresses();
        for &pod in &pods {
            assert_eq!(login(pod, &owner, "first"), Outcome::Code(0), "before, at {pod}");
        }

        directory.slapd.modify(&owner, &[(Change::Replace, "userPassword", &[b"second"])]);
        let before = directory.slapd.binds(&owner);
        let storm = Clients::at(pods.clone(), &owner, "first").count(30).start();
        storm.until(300);
        assert_eq!(directory.slapd.failures(&owner), 1, "slapd's own counter in the storm");

        for round in 0..5 {
            for &pod in &pods {
                assert_eq!(login(pod, &owner, "second"), Outcome::Code(0), "round {round}, at {pod}");
            }
        }
        // So many more, that every pod has refused the old password again after the last login.
        let made = storm.log().len();
        storm.until(made + 100);
        assert!(storm.now() < Duration::from_secs(60));
        let log = storm.stop();
        log.expect_only(49);
        println!("{log}");

        // A success clears slapd's counter, and its log tells the rest.
        assert_eq!(directory.slapd.failures(&owner), 0, "no failure after the owner's logins");
        assert!(!directory.slapd.locked(&owner));
        let asked = directory.slapd.binds(&owner) - before;
        assert_eq!(asked, 1 + 15, "one stale password and fifteen logins in slapd's log");
    });
}
