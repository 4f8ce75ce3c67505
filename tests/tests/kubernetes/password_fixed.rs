//! Scenario 2: the owner logs in with the new password while a device still storms with the old one.

use std::time::Duration;

use bindproxy_tests::kubernetes::clients::{Outcome, login};
use bindproxy_tests::kubernetes::{Clients, Upstream, with_namespace};
use bindproxy_tests::request::Change;

use crate::promise::counted_once;

/// The new password is good at once at every pod, the old one stays refused, and the directory hears of the old one once.
#[test]
fn a_new_password_is_good_at_once_everywhere() {
    with_namespace("password-fixed", |namespace| {
        let directory = Upstream::shared();
        let spec = format!("replicas: 3\nupstreams: [{}]", directory.clear("dc1"));
        let proxies = namespace.bind_proxy("corp", &spec);
        proxies.ready();
        let owner = directory.slapd.add_user("password-fixed", "first");
        directory.slapd.modify(&owner, &[(Change::Replace, "userPassword", &[b"second"])]);

        let pods = proxies.addresses();
        let storm = Clients::at(pods.clone(), &owner, "first").count(30).start();
        storm.until(300);
        counted_once(&proxies, &directory.slapd, &owner, &storm.log());
        let before = directory.slapd.binds(&owner);
        for round in 0..5 {
            for &pod in &pods {
                assert_eq!(login(pod, &owner, "second"), Outcome::Code(0), "round {round}, at {pod}");
            }
        }
        // So many more, that every pod has refused the old password again after the last login.
        let made = storm.log().len();
        storm.until(made + 100);
        assert!(storm.now() < Duration::from_secs(120), "within the entry's life");
        let log = storm.stop();
        log.expect_only(49);
        println!("{log}");

        // A success clears slapd's counter, and its log tells the rest.
        assert_eq!(directory.slapd.failures(&owner), 0, "no failure after the owner's logins");
        assert!(!directory.slapd.locked(&owner));
        assert_eq!(directory.slapd.binds(&owner) - before, 15, "the logins and nothing else in slapd's log");
    });
}
