//! The directory that all clusters of this suite stand in front of.

use std::sync::OnceLock;
use std::time::Duration;

use bindproxy_tests::lab::plan::Plan;
use bindproxy_tests::slapd::{Settings, Slapd};

/// No test of this suite waits for a healthy cluster longer than this.
pub(crate) const SOON: Duration = Duration::from_secs(10);

/// The one slapd; each test uses users of its own.
pub(crate) fn slapd() -> &'static Slapd {
    static SLAPD: OnceLock<Slapd> = OnceLock::new();
    SLAPD.get_or_init(|| {
        Slapd::start(&Settings { listens_everywhere: true, ..Settings::default() }).expect("slapd is installed")
    })
}

/// A cluster of so many pods in front of it.
pub(crate) fn plan(pods: usize) -> Plan {
    Plan::new(pods, slapd().endpoint().socket_address())
}
