//! How a directory of each kind words the outcome of a bind. The texts are those that OpenLDAP 2.5,
//! 389 Directory Server 2.3 and Samba 4.17 write.

use crate::codec::code;

/// Whose answers the directory imitates.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Flavour {
    /// OpenLDAP slapd: 49 without a word for everything.
    #[default]
    OpenLdap,
    /// 389 Directory Server: tells lock and expiry apart.
    DirectoryServer389,
    /// Active Directory: 49 with a sub-code in the diagnostic message.
    ActiveDirectory,
}

/// What a bind came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The right password of an account that may log in.
    Right,
    /// The wrong password.
    Wrong,
    /// No entry has this name, or it has no password.
    NoAccount,
    /// The account is locked; the password was not looked at.
    Locked,
    /// The right password of an account whose password is too old.
    Expired,
    /// The right password, which must be changed first.
    MustChange,
    /// The account is switched off.
    Disabled,
}

/// The answer to a bind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// The result code.
    pub code: u32,
    /// The diagnostic message.
    pub diagnostic: &'static str,
    /// The passwordPolicyResponse, if the request asked for one: `Some(error)`.
    pub password_policy: Option<Option<u8>>,
}

const PASSWORD_EXPIRED: u8 = 0;
const ACCOUNT_LOCKED: u8 = 1;
const CHANGE_AFTER_RESET: u8 = 2;

macro_rules! active_directory {
    ($data:literal) => {
        concat!("80090308: LdapErr: DSID-0C0903A9, comment: AcceptSecurityContext error, data ", $data, ", v1db1")
    };
}

/// What a directory of this kind answers.
#[must_use]
pub fn verdict(flavour: Flavour, outcome: Outcome, tell_locked: bool) -> Verdict {
    let answer = |code, diagnostic, password_policy| Verdict { code, diagnostic, password_policy };
    let wrong = code::INVALID_CREDENTIALS;
    match flavour {
        Flavour::OpenLdap => match outcome {
            Outcome::Right => answer(code::SUCCESS, "", Some(None)),
            Outcome::MustChange => answer(code::SUCCESS, "", Some(Some(CHANGE_AFTER_RESET))),
            Outcome::Wrong | Outcome::NoAccount | Outcome::Disabled => answer(wrong, "", Some(None)),
            Outcome::Locked => answer(wrong, "", Some(tell_locked.then_some(ACCOUNT_LOCKED))),
            Outcome::Expired => answer(wrong, "", Some(Some(PASSWORD_EXPIRED))),
        },
        Flavour::DirectoryServer389 => match outcome {
            Outcome::Right => answer(code::SUCCESS, "", Some(None)),
            Outcome::MustChange => answer(code::SUCCESS, "", Some(Some(CHANGE_AFTER_RESET))),
            Outcome::Wrong | Outcome::NoAccount => answer(wrong, "", None),
            Outcome::Disabled => {
                answer(code::UNWILLING_TO_PERFORM, "Account inactivated. Contact system administrator.", None)
            }
            Outcome::Locked => answer(
                code::CONSTRAINT_VIOLATION,
                "Exceed password retry limit. Please try later.",
                Some(Some(ACCOUNT_LOCKED)),
            ),
            Outcome::Expired => answer(wrong, "password expired!", Some(Some(PASSWORD_EXPIRED))),
        },
        Flavour::ActiveDirectory => match outcome {
            Outcome::Right => answer(code::SUCCESS, "", None),
            Outcome::Wrong | Outcome::NoAccount => answer(wrong, active_directory!("52e"), None),
            Outcome::Locked => answer(wrong, active_directory!("775"), None),
            Outcome::Expired => answer(wrong, active_directory!("532"), None),
            Outcome::MustChange => answer(wrong, active_directory!("773"), None),
            Outcome::Disabled => answer(wrong, active_directory!("533"), None),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slapd_tells_a_lock_only_where_it_is_told_to() {
        let silent = verdict(Flavour::OpenLdap, Outcome::Locked, false);
        assert_eq!(silent, verdict(Flavour::OpenLdap, Outcome::Wrong, false));
        assert_eq!(verdict(Flavour::OpenLdap, Outcome::Locked, true).password_policy, Some(Some(ACCOUNT_LOCKED)));
    }

    #[test]
    fn active_directory_tells_everything_in_the_diagnostic() {
        let wrong = verdict(Flavour::ActiveDirectory, Outcome::Wrong, false);
        assert!(wrong.code == 49 && wrong.diagnostic.contains("data 52e,"));
        assert!(verdict(Flavour::ActiveDirectory, Outcome::Locked, false).diagnostic.contains("data 775,"));
    }
}
