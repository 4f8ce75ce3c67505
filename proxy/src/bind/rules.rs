//! What a directory's answer to a bind says about the password.
//!
//! 49 is not "wrong password": locked, expired and disabled accounts answer 49 to the right
//! password too, and a refusal that outlives the lock is worse than one more attempt. So only
//! what `TABLE` lists is cached; everything else passes.

use crate::codec::code;
use crate::config::{VerdictAction, VerdictPreset, VerdictRule, Verdicts};

use super::verdict::{PolicyError, Verdict};

/// What an answer means for the cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// The password is right: forget its failure, remember it as last good.
    Success,
    /// The password is wrong: record it.
    WrongPassword,
    /// Name or password is wrong, but that may change soon: record it with the short life.
    WrongPasswordShort,
    /// The password is right but the account is not usable now: forget its failure.
    PasswordWasRight,
    /// Says nothing about the password: record nothing.
    NotAboutPassword,
}

/// The sign by which a row of the table knows an answer with result code 49.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sign {
    /// passwordPolicyResponse with an error, or the Netscape "password expired" control.
    AccountState,
    /// diagnosticMessage has Active Directory's `data XXX` with this value (hexadecimal, as text).
    AdData(&'static [u8]),
    /// An empty diagnosticMessage.
    Empty,
}

/// Which directories write the sign.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Writers {
    All,
    /// Active Directory and Samba.
    ActiveDirectory,
    /// OpenLDAP, 389 DS, FreeIPA.
    Others,
}

/// The answers with code 49 whose meaning is known, first match wins.
///
/// The sub-codes of Active Directory are the Win32 error codes 1317 (0x525), 1326 (0x52e) and so
/// on; 530 to 533 and 773 are shown only after the password was found right, but a disabled
/// account (533) does not tell reliably, so it changes nothing.
#[rustfmt::skip]
const TABLE: &[(Sign, Writers, Class)] = &[
    (Sign::AccountState,     Writers::All,             Class::NotAboutPassword),
    (Sign::AdData(b"52e"),   Writers::ActiveDirectory, Class::WrongPassword),
    (Sign::AdData(b"525"),   Writers::ActiveDirectory, Class::WrongPasswordShort), // no such user
    (Sign::AdData(b"57"),    Writers::ActiveDirectory, Class::WrongPasswordShort), // name not mapped
    (Sign::AdData(b"530"),   Writers::ActiveDirectory, Class::PasswordWasRight),   // not at this time
    (Sign::AdData(b"531"),   Writers::ActiveDirectory, Class::PasswordWasRight),   // not at this workstation
    (Sign::AdData(b"532"),   Writers::ActiveDirectory, Class::PasswordWasRight),   // password expired
    (Sign::AdData(b"773"),   Writers::ActiveDirectory, Class::PasswordWasRight),   // must change password
    (Sign::AdData(b"533"),   Writers::ActiveDirectory, Class::NotAboutPassword),   // account disabled
    (Sign::AdData(b"701"),   Writers::ActiveDirectory, Class::NotAboutPassword),   // account expired
    (Sign::AdData(b"775"),   Writers::ActiveDirectory, Class::NotAboutPassword),   // account locked
    (Sign::Empty,            Writers::Others,          Class::WrongPassword),
];

/// The table in force: the configuration's rules, then the preset's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerdictRules {
    rules: Vec<VerdictRule>,
    preset: VerdictPreset,
}

impl VerdictRules {
    /// The rules that the configuration asks for.
    #[must_use]
    pub fn new(config: &Verdicts) -> Self {
        let Verdicts { preset, rules } = config;
        Self { rules: rules.clone(), preset: *preset }
    }

    /// What `verdict` says. Success is success, whatever the configuration's rules say.
    #[must_use]
    pub fn classify(&self, verdict: &Verdict) -> Class {
        if verdict.code() == code::SUCCESS {
            return Class::Success;
        }
        if let Some(rule) = self.rules.iter().find(|rule| rule_matches(rule, verdict)) {
            return match rule.action {
                VerdictAction::Cache => Class::WrongPassword,
                VerdictAction::CacheShort => Class::WrongPasswordShort,
                VerdictAction::Ignore => Class::NotAboutPassword,
                VerdictAction::PasswordWasRight => Class::PasswordWasRight,
            };
        }
        if verdict.code() != code::INVALID_CREDENTIALS {
            return Class::NotAboutPassword;
        }
        TABLE
            .iter()
            .find(|(sign, writers, _)| self.includes(*writers) && has_sign(verdict, *sign))
            .map_or(Class::NotAboutPassword, |(_, _, class)| *class)
    }

    /// `auto` needs no guess at the server: an answer that carries a sign shows who wrote it.
    fn includes(&self, writers: Writers) -> bool {
        match (self.preset, writers) {
            (_, Writers::All) | (VerdictPreset::Auto, _) => true,
            (VerdictPreset::ActiveDirectory, writers) => writers == Writers::ActiveDirectory,
            (VerdictPreset::OpenLdap | VerdictPreset::DirectoryServer389 | VerdictPreset::FreeIpa, writers) => {
                writers == Writers::Others
            }
        }
    }
}

fn has_sign(verdict: &Verdict, sign: Sign) -> bool {
    match sign {
        Sign::AccountState => {
            verdict.has_password_expired_control()
                || match verdict.password_policy_error() {
                    Some(
                        PolicyError::PasswordExpired
                        | PolicyError::AccountLocked
                        | PolicyError::ChangeAfterReset
                        | PolicyError::Other(_)
                        | PolicyError::Unreadable,
                    ) => true,
                    None => false,
                }
        }
        Sign::AdData(data) => ad_data(verdict.diagnostic()).is_some_and(|found| found.eq_ignore_ascii_case(data)),
        Sign::Empty => verdict.diagnostic().is_empty(),
    }
}

/// The `XXX` of `..., data XXX, v1db1` in a diagnosticMessage of Active Directory or Samba.
fn ad_data(diagnostic: &[u8]) -> Option<&[u8]> {
    const MARK: &[u8] = b", data ";
    let start = diagnostic.windows(MARK.len()).position(|window| window == MARK)? + MARK.len();
    let rest = &diagnostic[start..];
    let end = rest.iter().position(|octet| !octet.is_ascii_hexdigit()).unwrap_or(rest.len());
    Some(&rest[..end])
}

fn rule_matches(rule: &VerdictRule, verdict: &Verdict) -> bool {
    let VerdictRule { code, diagnostic, diagnostic_contains, action: _ } = rule;
    let text = verdict.diagnostic();
    *code == verdict.code()
        && diagnostic.as_ref().is_none_or(|exact| exact.as_bytes() == text)
        && diagnostic_contains.as_ref().is_none_or(|part| contains(text, part.as_bytes()))
}

fn contains(text: &[u8], part: &[u8]) -> bool {
    part.is_empty() || text.windows(part.len()).any(|window| window == part)
}

#[cfg(test)]
mod tests {
    use super::super::verdict::tests::{control, verdict, verdict_with};
    use super::*;
    use crate::codec::oid;

    fn rules(preset: VerdictPreset) -> VerdictRules {
        VerdictRules::new(&Verdicts { preset, rules: Vec::new() })
    }

    /// What Samba 4.17 and Active Directory write, with the trailing NUL that the latter adds.
    fn ad(data: &str) -> Verdict {
        let text =
            format!("80090308: LdapErr: DSID-0C0903A9, comment: AcceptSecurityContext error, data {data}, v1db1\0");
        verdict(49, text.as_bytes())
    }

    #[test]
    fn active_directory_sub_codes() {
        let cases = [
            ("52e", Class::WrongPassword),
            ("525", Class::WrongPasswordShort),
            ("57", Class::WrongPasswordShort),
            ("530", Class::PasswordWasRight),
            ("531", Class::PasswordWasRight),
            ("532", Class::PasswordWasRight),
            ("773", Class::PasswordWasRight),
            ("533", Class::NotAboutPassword),
            ("701", Class::NotAboutPassword),
            ("775", Class::NotAboutPassword),
            ("52", Class::NotAboutPassword),
            ("52ee", Class::NotAboutPassword),
            ("", Class::NotAboutPassword),
        ];
        for preset in [VerdictPreset::Auto, VerdictPreset::ActiveDirectory] {
            for (data, class) in cases {
                assert_eq!(rules(preset).classify(&ad(data)), class, "{preset:?} {data}");
            }
        }
        // NTLM binds carry another prefix.
        let ntlm = b"8009030C: LdapErr: DSID-0C0904DC, comment: AcceptSecurityContext error, data 52e, v1db1";
        assert_eq!(rules(VerdictPreset::Auto).classify(&verdict(49, ntlm)), Class::WrongPassword);
    }

    #[test]
    fn an_empty_diagnostic_without_a_sign_of_a_lock() {
        for preset in
            [VerdictPreset::Auto, VerdictPreset::OpenLdap, VerdictPreset::DirectoryServer389, VerdictPreset::FreeIpa]
        {
            assert_eq!(rules(preset).classify(&verdict(49, b"")), Class::WrongPassword, "{preset:?}");
        }
        // Active Directory always says something, so silence is not its "wrong password".
        assert_eq!(rules(VerdictPreset::ActiveDirectory).classify(&verdict(49, b"")), Class::NotAboutPassword);
        // Nor is Active Directory's text OpenLDAP's.
        assert_eq!(rules(VerdictPreset::OpenLdap).classify(&ad("52e")), Class::NotAboutPassword);
    }

    #[test]
    fn account_states_in_controls() {
        let cases: [(&[u8], Class); 6] = [
            (&[0x30, 0], Class::WrongPassword),
            (&[0x30, 3, 0x81, 1, 0], Class::NotAboutPassword),
            (&[0x30, 3, 0x81, 1, 1], Class::NotAboutPassword),
            (&[0x30, 0x84, 0, 0, 0, 3, 0x81, 1, 1], Class::NotAboutPassword),
            (&[0x30, 3, 0x81, 1, 2], Class::NotAboutPassword),
            (&[0xFF], Class::NotAboutPassword),
        ];
        for (value, class) in cases {
            let verdict = verdict_with(49, b"", &[control(oid::PASSWORD_POLICY, value)]);
            assert_eq!(rules(VerdictPreset::Auto).classify(&verdict), class, "{value:?}");
        }
        let netscape = verdict_with(49, b"", &[control(b"2.16.840.1.113730.3.4.4", b"0")]);
        assert_eq!(rules(VerdictPreset::OpenLdap).classify(&netscape), Class::NotAboutPassword);
    }

    #[test]
    fn everything_else_is_not_about_the_password() {
        // Texts as OpenLDAP 2.5, 389 DS 2.3 and Samba 4.17 write them.
        let cases: [(u8, &[u8]); 12] = [
            (49, b"password expired!"),
            (49, b"SASL(-13): authentication failure: Password verification failed"),
            (19, b"Exceed password retry limit. Please try later."),
            (19, b""),
            (53, b"Account inactivated. Contact system administrator."),
            (53, b"unauthenticated bind (DN with no password) disallowed"),
            (34, b"invalid DN"),
            (8, b"BindSimple: Transport encryption required."),
            (12, b"critical extension is not recognized"),
            (2, b"historical protocol version requested, use LDAPv3 instead"),
            (51, b""),
            (52, b""),
        ];
        for (code, text) in cases {
            assert_eq!(rules(VerdictPreset::Auto).classify(&verdict(code, text)), Class::NotAboutPassword, "{code}");
        }
        for code in [1, 2, 3, 7, 8, 10, 11, 12, 13, 14, 19, 34, 48, 50, 51, 52, 53, 80] {
            assert_eq!(rules(VerdictPreset::Auto).classify(&verdict(code, b"")), Class::NotAboutPassword, "{code}");
        }
        assert_eq!(rules(VerdictPreset::Auto).classify(&verdict(0, b"")), Class::Success);
    }

    #[test]
    fn the_configurations_rules_come_first_but_not_before_success() {
        let rule = |code, contains: Option<&str>, exact: Option<&str>, action| VerdictRule {
            code,
            diagnostic: exact.map(str::to_owned),
            diagnostic_contains: contains.map(str::to_owned),
            action,
        };
        let rules = VerdictRules::new(&Verdicts {
            preset: VerdictPreset::Auto,
            rules: vec![
                rule(49, Some("expired"), None, VerdictAction::PasswordWasRight),
                rule(49, None, Some("Invalid Credentials"), VerdictAction::Cache),
                rule(49, None, Some(""), VerdictAction::Ignore),
                rule(53, None, None, VerdictAction::CacheShort),
                rule(0, None, None, VerdictAction::Cache),
            ],
        });
        assert_eq!(rules.classify(&verdict(49, b"password expired!")), Class::PasswordWasRight);
        assert_eq!(rules.classify(&verdict(49, b"Invalid Credentials")), Class::WrongPassword);
        assert_eq!(rules.classify(&verdict(49, b"Invalid Credentials.")), Class::NotAboutPassword);
        assert_eq!(rules.classify(&verdict(49, b"")), Class::NotAboutPassword);
        assert_eq!(rules.classify(&verdict(53, b"anything")), Class::WrongPasswordShort);
        assert_eq!(rules.classify(&ad("52e")), Class::WrongPassword);
        assert_eq!(rules.classify(&verdict(0, b"")), Class::Success);
    }
}
