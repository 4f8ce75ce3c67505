//! When an account locks: the rules of slapd's ppolicy overlay (draft-behera-ldap-password-policy
//! section 5.2), as measured on OpenLDAP 2.5. An identical wrong password counts every time, the
//! failure that locks is still an ordinary failure, and nothing counts while the lock holds.

use std::time::Duration;

use crate::clock::Tick;

/// The directory's lockout policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    /// pwdMaxFailure: so many failures lock the account; `None` never does.
    pub max_failures: Option<u32>,
    /// pwdLockoutDuration: how long a lock holds; `None` until somebody unlocks.
    pub lockout_duration: Option<Duration>,
    /// pwdFailureCountInterval: how long a failure counts; `None` until a success.
    pub failure_window: Option<Duration>,
    /// `ppolicy_use_lockout`: whether the password policy control tells that the account is locked.
    pub tell_locked: bool,
    /// Whether the directory knows the password policy control at all.
    pub password_policy_control: bool,
}

impl Default for Policy {
    /// Three failures lock for good, and nobody is told.
    fn default() -> Self {
        Self {
            max_failures: Some(3),
            lockout_duration: None,
            failure_window: None,
            tell_locked: false,
            password_policy_control: true,
        }
    }
}

/// The failures and the lock of one account.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Account {
    failures: Vec<Tick>,
    locked_since: Option<Tick>,
}

impl Account {
    /// Whether the account is locked at `now`. A lock that ran out is taken away, together with the
    /// failures that led to it.
    pub fn is_locked(&mut self, policy: &Policy, now: Tick) -> bool {
        let Some(since) = self.locked_since else { return false };
        match policy.lockout_duration {
            Some(duration) if now >= since.after(duration) => {
                self.unlock();
                false
            }
            _ => true,
        }
    }

    /// Counts a failure. The caller has asked [`Account::is_locked`] first.
    pub fn failed(&mut self, policy: &Policy, now: Tick) {
        if let Some(window) = policy.failure_window {
            self.failures.retain(|&failure| now < failure.after(window));
        }
        self.failures.push(now);
        if policy.max_failures.is_some_and(|limit| self.failures.len() >= limit as usize) {
            self.locked_since = Some(now);
        }
    }

    /// Forgets the failures, as a success does.
    pub fn succeeded(&mut self) {
        self.failures.clear();
    }

    /// Takes the lock and the failures away.
    pub fn unlock(&mut self) {
        *self = Self::default();
    }

    /// When the counted failures happened, oldest first.
    #[must_use]
    pub fn failures(&self) -> &[Tick] {
        &self.failures
    }

    /// Since when the account is locked, as of the last call to [`Account::is_locked`].
    #[must_use]
    pub fn locked_since(&self) -> Option<Tick> {
        self.locked_since
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Tick {
        Tick(seconds * 1000)
    }

    #[test]
    fn the_third_failure_locks_until_it_is_unlocked() {
        let policy = Policy::default();
        let mut account = Account::default();
        for second in 0..3 {
            assert!(!account.is_locked(&policy, at(second)));
            account.failed(&policy, at(second));
        }
        assert!(account.is_locked(&policy, at(1_000_000)));
        account.unlock();
        assert!(!account.is_locked(&policy, at(1_000_001)));
        assert!(account.failures().is_empty());
    }

    #[test]
    fn a_success_starts_the_count_anew() {
        let policy = Policy::default();
        let mut account = Account::default();
        account.failed(&policy, at(0));
        account.failed(&policy, at(1));
        account.succeeded();
        account.failed(&policy, at(2));
        account.failed(&policy, at(3));
        assert!(!account.is_locked(&policy, at(4)));
    }

    #[test]
    fn a_lock_with_a_duration_ends_exactly_then() {
        let policy = Policy { lockout_duration: Some(Duration::from_secs(60)), ..Policy::default() };
        let mut account = Account::default();
        for _ in 0..3 {
            account.failed(&policy, at(10));
        }
        assert!(account.is_locked(&policy, Tick(69_999)));
        assert!(!account.is_locked(&policy, at(70)));
        account.failed(&policy, at(71));
        assert!(!account.is_locked(&policy, at(71)));
    }

    #[test]
    fn failures_outside_the_window_do_not_count() {
        let policy = Policy { failure_window: Some(Duration::from_secs(10)), ..Policy::default() };
        let mut account = Account::default();
        for second in [0, 5, 10, 15] {
            account.failed(&policy, at(second));
            assert!(!account.is_locked(&policy, at(second)), "{second}");
        }
        account.failed(&policy, at(16));
        assert!(account.is_locked(&policy, at(16)));
    }

    #[test]
    fn without_a_limit_nothing_locks() {
        let policy = Policy { max_failures: None, ..Policy::default() };
        let mut account = Account::default();
        for second in 0..1000 {
            account.failed(&policy, at(second));
        }
        assert!(!account.is_locked(&policy, at(1000)));
    }
}
