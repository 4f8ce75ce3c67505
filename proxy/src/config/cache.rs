//! `cache`: the failed-bind cache, and which failures are about the password.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Seconds;

/// The failed-bind cache.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Cache {
    /// First life of an entry.
    pub ttl_seconds: Seconds,
    /// Ceiling of the doubling.
    #[serde(rename = "maxTTLSeconds")]
    pub max_ttl_seconds: Seconds,
    /// Life after a password that was the last good one fails for the first time.
    #[serde(rename = "firstTTLSeconds")]
    pub first_ttl_seconds: Seconds,
    /// Hard bound on entries.
    pub max_entries: u32,
    /// 32 bytes, base64 or raw; absent = random for each process.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key_file: Option<PathBuf>,
    /// The key before the last rotation, while entries made with it are still alive.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub previous_key_file: Option<PathBuf>,
    /// Delay of local refusals, with jitter of a quarter either way.
    pub answer_delay_milliseconds: u32,
    /// Treat spellings of one DN as one name; off for case-exact naming attributes.
    pub fold_names: bool,
    /// Which failures are about the password.
    pub verdicts: Verdicts,
    /// Whether binds carry the password policy control (draft-behera-ldap-password-policy).
    pub request_password_policy: RequestPasswordPolicy,
    /// Answer 53 to a name with an empty password instead of forwarding it.
    pub reject_unauthenticated: bool,
}

impl Default for Cache {
    fn default() -> Self {
        Self {
            ttl_seconds: Seconds(900),
            max_ttl_seconds: Seconds(86_400),
            first_ttl_seconds: Seconds(10),
            max_entries: 1_000_000,
            key_file: None,
            previous_key_file: None,
            answer_delay_milliseconds: 0,
            fold_names: true,
            verdicts: Verdicts::default(),
            request_password_policy: RequestPasswordPolicy::default(),
            reject_unauthenticated: false,
        }
    }
}

/// Which failures are about the password.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Verdicts {
    /// The table to start from.
    pub preset: VerdictPreset,
    /// Rules asked before the preset's; the first match wins.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub rules: Vec<VerdictRule>,
}

/// A table of verdicts for one kind of directory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum VerdictPreset {
    /// Whatever the answer itself shows; right for every directory below.
    #[default]
    #[serde(rename = "auto")]
    Auto,
    /// OpenLDAP slapd.
    #[serde(rename = "openldap")]
    OpenLdap,
    /// 389 Directory Server.
    #[serde(rename = "389ds")]
    DirectoryServer389,
    /// Active Directory and Samba.
    #[serde(rename = "activeDirectory")]
    ActiveDirectory,
    /// FreeIPA.
    #[serde(rename = "freeipa")]
    FreeIpa,
}

/// One rule: every condition that is given must hold.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct VerdictRule {
    /// The result code of the answer.
    pub code: u32,
    /// The diagnostic message is exactly this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub diagnostic: Option<String>,
    /// The diagnostic message contains this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub diagnostic_contains: Option<String>,
    /// What the answer means.
    pub action: VerdictAction,
}

/// What an answer means for the cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum VerdictAction {
    /// The password is wrong: record it.
    Cache,
    /// The name or password is wrong, but that may change soon: record it for `firstTTLSeconds`.
    CacheShort,
    /// Says nothing about the password: record nothing.
    Ignore,
    /// The password was right (expired, must change, not allowed here): forget its failure.
    PasswordWasRight,
}

/// Whether binds carry the password policy control.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum RequestPasswordPolicy {
    /// Where the server's rootDSE lists it.
    #[default]
    Auto,
    /// On every bind.
    Always,
    /// Only when the client sends it.
    Never,
}
