//! A member that others cannot look up: names of new pods come late, and not to everybody at once.

use bindproxy_tests::lab::Lab;
use bindproxy_tests::lab::device::storm;

use crate::stage::{SOON, plan, slapd};

/// Who is dialled dials back, so leases are asked for in both directions.
#[test]
fn who_knows_nobody_is_found_by_those_who_know_it() {
    let mut lab = Lab::prepare(&plan(2));
    let own = lab.pod(1).cluster_address();
    lab.pod_mut(1).set_discovery(&format!("{{static: [\"{own}\"]}}"));
    lab.launch(&[0, 1]);
    lab.wait_until_whole(SOON);
    // Of several names each pod owns some.
    for number in 0..6 {
        let dn = slapd().add_user(&format!("one-sided-{number}"), "right");
        let _answers = storm(&lab.some(&[0, 1]), &dn, "stale").expect(49);
        assert_eq!((slapd().failures(&dn), slapd().binds(&dn)), (1, 1), "{dn}; leases: {}", lab.leases());
    }
    // It has no other way to the first one than that.
    lab.pod_mut(0).kill();
    lab.launch(&[0]);
    lab.wait_until_whole(SOON);
}
