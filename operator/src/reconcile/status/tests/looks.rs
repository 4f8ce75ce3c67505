//! When a status is looked at again.

use super::*;
use std::time::Duration;

use crate::reconcile::status::next_look;

fn seconds(case: &Case, later: i64) -> u64 {
    next_look(&case.status(), at(case.seconds + later), Duration::from_secs(30)).as_secs()
}

#[test]
fn often_while_something_is_under_way_and_seldom_while_all_is_well() {
    assert_eq!(seconds(&Case::settled(), 5), 30);
    assert_eq!(seconds(&Case::new(), 5), 2);
    assert_eq!(seconds(&Case::healthy().with_pod(0, fresh), 5), 2);
    let changed = Case::settled().with(|case| case.spec.cache.ttl_seconds = 1000);
    assert_eq!(seconds(&changed, 5), 2);
    assert_eq!(seconds(&changed, 200), 10, "the kubelet had its time");
    let down = Case::settled().with_pod(0, |pod| {
        says(pod, |says| says.upstreams[0] = down("dc1", UpstreamReason::DNSFailed, "no address"));
    });
    assert_eq!(seconds(&down, 5), 10);
    assert_eq!(seconds(&Case::settled().refused(RefusalReason::InvalidSpec), 5), 10);
    assert_eq!(
        seconds(&Case::settled().with_pod(0, fresh), 5),
        30,
        "one of three restarts; the API server tells when it is back"
    );
    let zero = Case::settled().with(|case| {
        case.spec.replicas = 0;
        case.seen = Observation { stateful_set: Some(set(0, 0)), pods: Vec::new() };
    });
    assert_eq!(seconds(&zero, 5), 30, "nobody is there, though the last pod went a moment ago");
}
