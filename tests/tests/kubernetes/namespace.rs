//! A namespace for a test that needs an API server and nothing else.

use std::sync::atomic::{AtomicU32, Ordering};

use bindproxy_tests::kubernetes::cluster::{Shared, shared};
use bindproxy_tests::kubernetes::kubectl::{kubectl, must};

/// A namespace of a test's own, that goes with it.
pub(crate) struct Namespace(pub(crate) String, #[expect(dead_code, reason = "held")] Shared);

impl Namespace {
    pub(crate) fn new(purpose: &str) -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let company = shared();
        let name = format!("{purpose}-{}-{}", std::process::id(), NUMBER.fetch_add(1, Ordering::Relaxed));
        must(&["create", "namespace", &name]);
        Self(name, company)
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        // Objects go before it, so that they also go where nothing collects the contents of namespaces.
        let _gone = kubectl(&["delete", "bindproxies", "--all", "--namespace", &self.0, "--wait=false"]);
        let _gone = kubectl(&["delete", "namespace", &self.0, "--wait=false"]);
    }
}
