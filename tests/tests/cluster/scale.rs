//! Pods come and go as DNS says.

use std::time::Duration;

use bindproxy_tests::lab::device::login;
use bindproxy_tests::lab::plan::Discovery;
use bindproxy_tests::lab::{Lab, PEERS};
use bindproxy_tests::wait::{self, Stopwatch};

use crate::stage::{SOON, plan, slapd};

/// A vanished member is dropped after 60 s.
const DROPPED: Duration = Duration::from_secs(70);

#[test]
fn from_one_to_five_to_two() {
    let mut lab = Lab::prepare(&plan(5).discovery(Discovery::Dns));
    lab.announce(&[0]);
    let watch = Stopwatch::start();
    lab.launch(&[0]);
    watch.report("a pod alone is ready");
    assert!(watch.elapsed() < Duration::from_secs(5), "nobody is waited for when DNS lists nobody else");
    assert_eq!(lab.pod(0).peers("alive"), 0.0);
    let dn = slapd().add_user("scaled", "right");
    assert_eq!(login(lab.pod(0), &dn, "stale").0, 49);

    lab.announce(&[0, 1, 2, 3, 4]);
    let watch = Stopwatch::start();
    lab.launch(&[1, 2, 3, 4]);
    watch.report("four more are ready");
    // Ready means joined: nobody asks the directory about what pod-0 knows.
    for pod in lab.pods() {
        assert_eq!(login(pod, &dn, "stale").0, 49);
    }
    assert_eq!(slapd().binds(&dn), 1);
    lab.wait_until_whole(SOON);
    for pod in lab.pods() {
        assert_eq!(pod.peers("alive"), 4.0, "{}", pod.name());
    }

    for number in [4, 3] {
        assert_eq!(lab.pod_mut(number).stop().code(), Some(0));
    }
    lab.announce(&[0, 1, 2]);
    let watch = Stopwatch::start();
    lab.wait_until_whole(SOON);
    watch.report("who says goodbye is nobody's peer");
    // The third one says nothing: suspected, then dropped.
    lab.pod_mut(2).kill();
    lab.announce(&[0, 1]);
    let watch = Stopwatch::start();
    lab.wait_until_whole(DROPPED);
    watch.report("who vanished is nobody's peer");
    for pod in lab.running() {
        assert_eq!((pod.peers("alive"), pod.peers("suspect")), (1.0, 0.0), "{}", pod.name());
        assert_eq!(login(pod, &dn, "stale").0, 49);
    }
    assert_eq!(slapd().binds(&dn), 1);
    let flushed = lab.pod(0).flush(&dn);
    assert_eq!((flushed.acknowledged, flushed.unreachable), (vec!["pod-0".to_owned(), "pod-1".to_owned()], vec![]));
}

/// SRV records where their name is given.
#[test]
fn found_by_service_records() {
    let field = Discovery::Written("{srv: _peers._tcp.lab.test}".to_owned());
    let mut lab = Lab::prepare(&plan(2).discovery(field));
    let services = (0..2).map(|n| (bindproxy_tests::lab::pod::CLUSTER, format!("host-{n}.lab.test"))).collect();
    lab.names().set_services("_peers._tcp.lab.test", services);
    for number in 0..2 {
        let address = lab.network().address(number).into();
        lab.names().set_addresses(&format!("host-{number}.lab.test"), vec![address]);
    }
    lab.launch(&[0, 1]);
    lab.wait_until_whole(SOON);
    assert_eq!(lab.pod(0).peers("alive"), 1.0);
    wait::until_true("questions for the name", SOON, || lab.names().questions() > 0);
    assert_ne!(PEERS, "_peers._tcp.lab.test");
}
