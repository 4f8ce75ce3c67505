//! What a directory itself counted, under one name for all directories.

use crate::directory_server_389::DirectoryServer389;
use crate::samba::Samba;
use crate::slapd::Slapd;

/// A directory that counts failed binds. Suites take it as their oracle: what a proxy promises is
/// worth nothing unless the directory agrees.
pub trait Counter: Sync {
    /// The account's own failure counter (`pwdFailureTime`, `passwordRetryCount`, `badPwdCount`).
    fn failures(&self, name: &str) -> usize;

    /// Simple binds with `name` that the server's log shows, successful or not.
    fn binds(&self, name: &str) -> usize;

    /// Whether the account is locked.
    fn locked(&self, name: &str) -> bool;
}

impl Counter for Slapd {
    fn failures(&self, name: &str) -> usize {
        self.failures(name)
    }

    fn binds(&self, name: &str) -> usize {
        self.binds(name)
    }

    fn locked(&self, name: &str) -> bool {
        self.locked(name)
    }
}

impl Counter for DirectoryServer389 {
    fn failures(&self, name: &str) -> usize {
        self.failures(name)
    }

    fn binds(&self, name: &str) -> usize {
        self.binds(name)
    }

    fn locked(&self, name: &str) -> bool {
        self.locked(name)
    }
}

impl Counter for Samba {
    fn failures(&self, name: &str) -> usize {
        self.failures(name)
    }

    fn binds(&self, name: &str) -> usize {
        self.binds(name)
    }

    fn locked(&self, name: &str) -> bool {
        self.locked(name)
    }
}
