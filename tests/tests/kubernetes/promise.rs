//! Promise I1 as a cluster keeps it: one wrong password reaches the directory once.

use bindproxy_tests::kubernetes::{Log, Proxies, figures};
use bindproxy_tests::slapd::Slapd;

/// slapd's own counter and its log have one failed bind of this name, whatever many clients tried.
///
/// A pod whose question to the owner of a name stays without an answer for 100 ms goes on without a lease, because a login
/// that hangs is worse than one more attempt. On a machine that is busy enough that happens, the pods count it, and only
/// by so much may slapd's counter be higher; never by more than the pods that there are.
pub(crate) fn counted_once(proxies: &Proxies<'_>, slapd: &Slapd, name: &str, log: &Log) {
    let (counted, asked) = (slapd.failures(name), slapd.binds(name));
    let unleased = proxies.metric("bindproxy_cluster_leases_total", &[("result", "unleased")]);
    figures::record(
        &format!("{}: attempts that reached the directory", proxies.namespace().test()),
        counted as f64,
        "",
    );
    let bound = proxies.pods().len().min(1 + unleased as usize);
    assert!(
        (1..=bound).contains(&counted) && asked == counted,
        "slapd's own counter: {counted}, binds in its log: {asked}, pods went on without a lease {unleased} times, after {log}"
    );
}
