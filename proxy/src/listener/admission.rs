//! Who may connect: a bound on connections in all, and on those of one address.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

use parking_lot::Mutex;

/// The counts. Shared by all cores, touched once at the start and once at the end of a connection.
#[derive(Clone, Debug, Default)]
pub struct Admission {
    counts: Arc<Mutex<Counts>>,
}

#[derive(Debug, Default)]
struct Counts {
    all: u32,
    by_address: HashMap<IpAddr, u32>,
}

/// A place among the connections; free again when dropped.
#[derive(Debug)]
pub struct Admitted {
    counts: Arc<Mutex<Counts>>,
    address: Option<IpAddr>,
}

/// The limits; 0 for `per_address` is none.
#[derive(Clone, Copy, Debug)]
pub struct AdmissionLimits {
    /// Connections in all.
    pub all: u32,
    /// Connections from one address.
    pub per_address: u32,
}

impl Admission {
    /// Admits a connection, or not.
    #[must_use]
    pub fn admit(&self, limits: AdmissionLimits) -> Option<Admitted> {
        let mut counts = self.counts.lock();
        if counts.all >= limits.all {
            return None;
        }
        counts.all += 1;
        Some(Admitted { counts: self.counts.clone(), address: None })
    }
}

impl Admitted {
    /// Counts the connection for its client's address, which may be known only after the PROXY
    /// header; `false` when that address has too many.
    #[must_use]
    pub fn attribute(&mut self, address: IpAddr, limits: AdmissionLimits) -> bool {
        if limits.per_address == 0 {
            return true;
        }
        let address = address.to_canonical();
        let mut counts = self.counts.lock();
        let count = counts.by_address.entry(address).or_default();
        if *count >= limits.per_address {
            return false;
        }
        *count += 1;
        self.address = Some(address);
        true
    }
}

impl Drop for Admitted {
    fn drop(&mut self) {
        let mut counts = self.counts.lock();
        counts.all -= 1;
        if let Some(address) = self.address
            && let Some(count) = counts.by_address.get_mut(&address)
        {
            *count -= 1;
            if *count == 0 {
                counts.by_address.remove(&address);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_limits_hold_and_places_come_free() {
        let admission = Admission::default();
        let limits = AdmissionLimits { all: 3, per_address: 1 };
        let address: IpAddr = "192.0.2.1".parse().unwrap();
        let mut first = admission.admit(limits).unwrap();
        assert!(first.attribute(address, limits));
        let mut second = admission.admit(limits).unwrap();
        assert!(!second.attribute("::ffff:192.0.2.1".parse().unwrap(), limits));
        assert!(second.attribute("192.0.2.2".parse().unwrap(), limits));
        let _third = admission.admit(limits).unwrap();
        assert!(admission.admit(limits).is_none());
        drop(first);
        assert!(admission.admit(limits).unwrap().attribute(address, limits));
        assert!(admission.counts.lock().by_address.len() == 1);
    }
}
