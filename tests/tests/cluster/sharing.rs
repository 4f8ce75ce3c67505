//! What one pod knows, all know: failures, changed passwords, flushes.

use std::time::Duration;

use bindproxy_tests::lab::Lab;
use bindproxy_tests::lab::device::login;
use bindproxy_tests::request;
use bindproxy_tests::wait::{self, Stopwatch};

use crate::stage::{SOON, plan, slapd};

/// How long news may take on a machine that is busy; `make bench` says how long it does take.
const NEWS: Duration = Duration::from_secs(2);

#[test]
fn a_failure_that_one_pod_saw_is_answered_by_all() {
    let lab = Lab::start(&plan(5));
    let before = lab.pod(0).entries();
    let dn = slapd().add_user("shared-failure", "right");
    let first = lab.pod(0).endpoint().connect().ask(&request::bind(&dn, "stale"));
    assert_eq!(first.code(), 49);
    lab.wait_until_equal(before + 1.0, NEWS);
    for pod in lab.pods() {
        let again = pod.endpoint().connect().ask(&request::bind(&dn, "stale"));
        assert_eq!(again.octets, first.octets, "{} answers as the directory did", pod.name());
        assert_eq!(login(pod, &dn, "right").0, 0);
    }
    assert_eq!(slapd().binds(&dn), 6, "one failure and five logins");
    let said = lab.pod(4).ask_api(&format!("/api/v1/explain?name={dn}")).to_string();
    println!("explain at another pod: {said}");

    a_changed_password_is_right_everywhere(&lab);
    a_flush_is_seen_everywhere(&lab);
    a_flush_says_who_did_not_hear_of_it(lab);
}

/// The new password was tried too early at one pod; the change passes through another.
fn a_changed_password_is_right_everywhere(lab: &Lab) {
    let (near, far) = (lab.pod(0), lab.pod(1));
    for exchanged in [true, false] {
        let dn = slapd().add_user(&format!("shared-change-{exchanged}"), "old");
        assert_eq!(login(far, &dn, "old").0, 0);
        assert_eq!(login(far, &dn, "new").0, 49);
        let before = slapd().binds(&dn);
        assert_eq!(login(far, &dn, "new").0, 49);
        assert_eq!(slapd().binds(&dn), before, "the early attempt is answered from the cache");
        let mut owner = near.endpoint().connect();
        assert_eq!(owner.bind(&dn, "old"), 0);
        let change = if exchanged {
            request::password_modify(None, Some("old"), "new")
        } else {
            request::modify(&dn, &[(request::Change::Replace, "userPassword", &[b"new"])])
        };
        assert_eq!(owner.ask(&change).code(), 0);
        let watch = Stopwatch::start();
        wait::until_true("the new password at the other pod", NEWS, || login(far, &dn, "new").0 == 0);
        watch.report("a password changed through one pod is right at another");
        for pod in lab.pods() {
            assert_eq!(login(pod, &dn, "new").0, 0, "{}", pod.name());
        }
    }
}

fn a_flush_is_seen_everywhere(lab: &Lab) {
    let dn = slapd().add_user("shared-flush", "right");
    let other = slapd().add_user("shared-flush-other", "right");
    assert_eq!(login(lab.pod(1), &dn, "stale").0, 49);
    assert_eq!(login(lab.pod(1), &other, "stale").0, 49);
    wait::until_true("the failure at another pod", NEWS, || {
        lab.pods().iter().all(|pod| pod.entries() == lab.pod(1).entries())
    });
    let flushed = lab.pod(0).flush(&dn);
    assert_eq!(flushed.acknowledged, ["pod-0", "pod-1", "pod-2", "pod-3", "pod-4"]);
    assert_eq!(flushed.unreachable, [""; 0]);
    // It is acknowledged, so nobody has to be waited for. But a purge reaches as far ahead as clocks of members
    // may be apart (10 ms): a failure within that is asked about again, which this test does not want to see.
    std::thread::sleep(Duration::from_millis(20));
    assert_eq!(login(lab.pod(2), &dn, "stale").0, 49);
    assert_eq!(slapd().binds(&dn), 2, "a flushed failure is asked about anew");
    assert_eq!(login(lab.pod(3), &dn, "stale").0, 49);
    assert_eq!(slapd().binds(&dn), 2, "by one pod; leases: {}", lab.leases());
    assert_eq!(login(lab.pod(4), &other, "stale").0, 49);
    assert_eq!(slapd().binds(&other), 1, "nobody else's failures were forgotten");

    let flushed = lab.pod(4).flush_all();
    assert_eq!(flushed.acknowledged.len(), 5, "{flushed:?}");
    for pod in lab.pods() {
        assert_eq!(pod.entries(), 0.0, "{}", pod.name());
    }
    // And stays undone: nobody brings it back by comparing notes.
    std::thread::sleep(Duration::from_secs(3));
    for pod in lab.pods() {
        assert_eq!(pod.entries(), 0.0, "{}", pod.name());
    }
}

fn a_flush_says_who_did_not_hear_of_it(mut lab: Lab) {
    let dn = slapd().add_user("shared-flush-frozen", "right");
    assert_eq!(login(lab.pod(4), &dn, "stale").0, 49);
    lab.wait_until_equal(1.0, NEWS);
    lab.pod_mut(4).freeze();
    let flushed = lab.pod(0).flush(&dn);
    assert_eq!(flushed.acknowledged, ["pod-0", "pod-1", "pod-2", "pod-3"]);
    assert_eq!(flushed.unreachable, ["pod-4"]);
    lab.pod_mut(4).thaw();
    // The one that was away forgets too, and does not bring back what the others forgot.
    wait::until_true("the flush at the pod that was frozen", SOON, || lab.pod(4).entries() == 0.0);
    lab.wait_until_equal(0.0, SOON);
    lab.wait_until_whole(SOON);

    lab.pod_mut(3).kill();
    let flushed = lab.pod(0).flush(&dn);
    assert_eq!(flushed.acknowledged, ["pod-0", "pod-1", "pod-2", "pod-4"]);
    assert_eq!(flushed.unreachable, ["pod-3"], "a member counts until it left or was dropped");
    // One that says goodbye is nobody whom a flush must reach.
    let status = lab.pod_mut(2).stop();
    assert_eq!(status.code(), Some(0));
    wait::until_true("a flush without the pod that left", SOON, || {
        let flushed = lab.pod(0).flush(&dn);
        flushed.acknowledged == ["pod-0", "pod-1", "pod-4"] && flushed.unreachable == ["pod-3"]
    });
}
