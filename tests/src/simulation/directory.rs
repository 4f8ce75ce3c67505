//! A model of a directory's password check and lockout, after what the real ones were seen to do.

use bindproxy::clock::Tick;
use std::time::Duration;

/// Which directory is modelled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// OpenLDAP with ppolicy: failures older than the window do not count, without a window they
    /// all do; a locked account answers 49 without a word to right and wrong alike.
    OpenLdap { window: Option<Duration> },
    /// Active Directory: the counter starts over when the last failure is older than the window;
    /// answers tell wrong (52e) from locked (775).
    ActiveDirectory { window: Duration },
    /// 389 DS: like OpenLDAP with a window, but a locked account answers 19.
    DirectoryServer389 { window: Duration },
}

/// How the lockout is set.
#[derive(Clone, Copy, Debug)]
pub(super) struct Settings {
    pub(super) kind: Kind,
    pub(super) threshold: usize,
    /// How long a lock lasts; none lasts until somebody ends it.
    pub(super) lock: Option<Duration>,
}

/// What a bind came to inside the directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Check {
    Right,
    Wrong,
    Locked,
}

#[derive(Clone, Debug)]
pub(super) struct Account {
    pub(super) password: u32,
    failures: Vec<Tick>,
    locked_at: Option<Tick>,
}

pub(super) struct Directory {
    settings: Settings,
    pub(super) accounts: Vec<Account>,
    pub(super) locks: u64,
}

const WRONG: &str = "80090308: LdapErr: DSID-0C0903A9, comment: AcceptSecurityContext error, data 52e, v1db1";
const LOCKED: &str = "80090308: LdapErr: DSID-0C0903A9, comment: AcceptSecurityContext error, data 775, v1db1";

impl Directory {
    pub(super) fn new(settings: Settings, accounts: usize) -> Self {
        let account = Account { password: 0, failures: Vec::new(), locked_at: None };
        Self { settings, accounts: vec![account; accounts], locks: 0 }
    }

    /// Checks a password and counts the failure.
    pub(super) fn bind(&mut self, name: usize, password: u32, now: Tick) -> Check {
        let Settings { kind, threshold, .. } = self.settings;
        if self.is_locked(name, now) {
            return Check::Locked;
        }
        let account = &mut self.accounts[name];
        account.locked_at = None;
        if account.password == password {
            account.failures.clear();
            return Check::Right;
        }
        match kind {
            Kind::OpenLdap { window: None } => {}
            Kind::OpenLdap { window: Some(window) } | Kind::DirectoryServer389 { window } => {
                account.failures.retain(|&failure| now.since(failure) <= window);
            }
            Kind::ActiveDirectory { window } => {
                if account.failures.last().is_some_and(|&last| now.since(last) > window) {
                    account.failures.clear();
                }
            }
        }
        account.failures.push(now);
        if account.failures.len() >= threshold {
            account.locked_at = Some(now);
            account.failures.clear();
            self.locks += 1;
        }
        Check::Wrong
    }

    pub(super) fn is_locked(&self, name: usize, now: Tick) -> bool {
        let lasts = |since: Tick| self.settings.lock.is_none_or(|lock| now < since.after(lock));
        self.accounts[name].locked_at.is_some_and(lasts)
    }

    /// The result code and diagnostic message that tell a client.
    pub(super) fn words(&self, check: Check) -> (u32, &'static str) {
        match (check, self.settings.kind) {
            (Check::Right, _) => (0, ""),
            (Check::Wrong, Kind::ActiveDirectory { .. }) => (49, WRONG),
            (Check::Wrong | Check::Locked, Kind::OpenLdap { .. }) | (Check::Wrong, Kind::DirectoryServer389 { .. }) => {
                (49, "")
            }
            (Check::Locked, Kind::ActiveDirectory { .. }) => (49, LOCKED),
            (Check::Locked, Kind::DirectoryServer389 { .. }) => (19, "Exceed password retry limit. Please try later."),
        }
    }

    /// A new password; it ends a lock, too.
    pub(super) fn change(&mut self, name: usize, password: u32) {
        self.accounts[name] = Account { password, failures: Vec::new(), locked_at: None };
    }

    pub(super) fn unlock(&mut self, name: usize) {
        self.change(name, self.accounts[name].password);
    }
}
