//! Entries, their names, and the small tree that the directory starts with.

use std::fmt;

use crate::clock::Tick;

/// What an account is besides its password and its lock.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AccountState {
    /// Nothing special.
    #[default]
    Normal,
    /// The password is too old.
    Expired,
    /// The password was set by an administrator and must be changed first.
    MustChange,
    /// The account is switched off.
    Disabled,
}

/// One entry.
#[derive(Clone, PartialEq, Eq)]
pub struct Entry {
    /// The distinguished name as it is shown.
    pub dn: String,
    /// Other names under which the entry may bind (`alice@example.org`, `EXAMPLE\alice`).
    pub aliases: Vec<String>,
    /// User attributes with their values; never `userPassword`.
    pub attributes: Vec<(String, Vec<Vec<u8>>)>,
    /// The password, if the entry can bind.
    pub password: Option<Vec<u8>>,
    /// Earlier passwords, oldest first, so that the log can tell a stale password from a wrong one.
    pub former_passwords: Vec<Vec<u8>>,
    /// When the password was last changed here.
    pub password_changed: Option<Tick>,
    /// What the account is besides its password.
    pub state: AccountState,
    /// May modify every entry, and is outside the lockout policy (slapd's rootdn).
    pub administrator: bool,
}

impl fmt::Debug for Entry {
    /// Prints no password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Entry").field("dn", &self.dn).field("state", &self.state).finish_non_exhaustive()
    }
}

impl Entry {
    /// An entry with these attributes, which cannot bind.
    #[must_use]
    pub fn new(dn: &str, attributes: &[(&str, &str)]) -> Self {
        let mut entry = Self {
            dn: dn.to_owned(),
            aliases: Vec::new(),
            attributes: Vec::new(),
            password: None,
            former_passwords: Vec::new(),
            password_changed: None,
            state: AccountState::Normal,
            administrator: false,
        };
        for (name, value) in attributes {
            entry.add_value(name, value.as_bytes().to_vec());
        }
        entry
    }

    /// A person under `ou=people,dc=example,dc=org` with this password.
    #[must_use]
    pub fn person(uid: &str, common_name: &str, password: &str) -> Self {
        let surname = common_name.rsplit(' ').next().unwrap_or(common_name);
        Self::new(
            &format!("uid={uid},ou=people,{BASE}"),
            &[
                ("objectClass", "top"),
                ("objectClass", "person"),
                ("objectClass", "inetOrgPerson"),
                ("uid", uid),
                ("cn", common_name),
                ("sn", surname),
                ("mail", &format!("{uid}@example.org")),
            ],
        )
        .with_password(password)
    }

    /// The entry with a password.
    #[must_use]
    pub fn with_password(mut self, password: &str) -> Self {
        self.password = Some(password.as_bytes().to_vec());
        self
    }

    /// The entry with another name to bind with.
    #[must_use]
    pub fn with_alias(mut self, alias: &str) -> Self {
        self.aliases.push(alias.to_owned());
        self
    }

    /// The entry in this state.
    #[must_use]
    pub fn with_state(mut self, state: AccountState) -> Self {
        self.state = state;
        self
    }

    /// The name by which entries are compared.
    #[must_use]
    pub fn key(&self) -> String {
        fold_name(&self.dn)
    }

    /// The values of an attribute; the name is compared without case.
    #[must_use]
    pub fn values(&self, attribute: &str) -> Option<&[Vec<u8>]> {
        let found = self.attributes.iter().find(|(name, _)| name.eq_ignore_ascii_case(attribute));
        found.map(|(_, values)| values.as_slice())
    }

    /// Adds one value to an attribute.
    pub fn add_value(&mut self, attribute: &str, value: Vec<u8>) {
        match self.attributes.iter_mut().find(|(name, _)| name.eq_ignore_ascii_case(attribute)) {
            Some((_, values)) => values.push(value),
            None => self.attributes.push((attribute.to_owned(), vec![value])),
        }
    }
}

/// The suffix of the entries that [`default_entries`] makes.
pub const BASE: &str = "dc=example,dc=org";

/// A small organisation: people alice, bob and carol, a service account and an administrator. The
/// password of each is its `uid` or `cn` followed by `pw`; the administrator's is `admin`.
#[must_use]
pub fn default_entries() -> Vec<Entry> {
    let mut administrator = Entry::new(
        &format!("cn=admin,{BASE}"),
        &[("objectClass", "top"), ("objectClass", "organizationalRole"), ("cn", "admin")],
    )
    .with_password("admin");
    administrator.administrator = true;
    vec![
        Entry::new(
            BASE,
            &[
                ("objectClass", "top"),
                ("objectClass", "dcObject"),
                ("objectClass", "organization"),
                ("dc", "example"),
                ("o", "Example"),
            ],
        ),
        administrator,
        Entry::new(
            &format!("ou=people,{BASE}"),
            &[("objectClass", "top"), ("objectClass", "organizationalUnit"), ("ou", "people")],
        ),
        Entry::new(
            &format!("ou=services,{BASE}"),
            &[("objectClass", "top"), ("objectClass", "organizationalUnit"), ("ou", "services")],
        ),
        Entry::person("alice", "Alice Archer", "alicepw"),
        Entry::person("bob", "Bob Baker", "bobpw"),
        Entry::person("carol", "Carol Carter", "carolpw"),
        Entry::new(
            &format!("cn=mail,ou=services,{BASE}"),
            &[("objectClass", "top"), ("objectClass", "applicationProcess"), ("cn", "mail")],
        )
        .with_password("mailpw"),
    ]
}

/// The form in which two spellings of one name are equal: [`fold_dn`] where it is a DN, ASCII
/// lower case otherwise.
#[must_use]
pub fn fold_name(name: &str) -> String {
    fold_dn(name).unwrap_or_else(|| name.trim().to_ascii_lowercase())
}

/// A DN (RFC 4514) without differences of case, of spaces around `=` and `,`, and of escaping.
/// `None` for what is no DN.
#[must_use]
pub fn fold_dn(dn: &str) -> Option<String> {
    if dn.trim().is_empty() {
        return Some(String::new());
    }
    let mut folded = String::with_capacity(dn.len());
    for (index, rdn) in split_unescaped(dn).into_iter().enumerate() {
        let (kind, value) = rdn.split_once('=')?;
        let kind = kind.trim();
        if kind.is_empty() || !kind.bytes().all(|octet| octet.is_ascii_alphanumeric() || b"-.".contains(&octet)) {
            return None;
        }
        if index > 0 {
            folded.push(',');
        }
        folded.push_str(&kind.to_ascii_lowercase());
        folded.push('=');
        folded.push_str(&fold_value(value.trim())?);
    }
    Some(folded)
}

fn split_unescaped(dn: &str) -> Vec<&str> {
    let mut parts = Vec::new();
    let mut start = 0;
    let mut escaped = false;
    for (at, character) in dn.char_indices() {
        match character {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            ',' => {
                parts.push(&dn[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    parts.push(&dn[start..]);
    parts
}

/// Undoes the escapes of an attribute value and writes it again with the least of them.
fn fold_value(value: &str) -> Option<String> {
    let mut octets = Vec::with_capacity(value.len());
    let mut rest = value.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        if first != b'\\' {
            octets.push(first);
            rest = after;
            continue;
        }
        let hex = after.get(..2).and_then(|pair| std::str::from_utf8(pair).ok());
        if let Some(octet) = hex.and_then(|pair| u8::from_str_radix(pair, 16).ok()) {
            octets.push(octet);
            rest = &after[2..];
        } else {
            octets.push(*after.first()?);
            rest = &after[1..];
        }
    }
    let text = String::from_utf8(octets).ok()?.to_ascii_lowercase();
    let mut folded = String::with_capacity(text.len());
    for character in text.chars() {
        if matches!(character, ',' | '+' | '"' | '\\' | '<' | '>' | ';' | '=') {
            folded.push('\\');
        }
        folded.push(character);
    }
    Some(folded)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spellings_of_one_name_fold_to_the_same() {
        let folded = fold_dn("uid=alice,ou=people,dc=example,dc=org").unwrap();
        for spelling in [
            "UID=Alice , ou = People,dc=example,DC=org",
            " uid=alice,ou=people,dc=example,dc=org ",
            r"uid=\61lice,ou=people,dc=example,dc=org",
        ] {
            assert_eq!(fold_dn(spelling).unwrap(), folded, "{spelling}");
        }
        assert_ne!(fold_dn(r"cn=a\,b,dc=c"), fold_dn("cn=a,b=,dc=c"));
        assert_eq!(fold_dn(r"cn=a\2cb").unwrap(), fold_dn(r"cn=a\,b").unwrap());
    }

    #[test]
    fn what_is_no_dn_is_refused() {
        for name in ["foo", "alice@example.org", "=x", "uid=a,", r"cn=a\"] {
            assert_eq!(fold_dn(name), None, "{name}");
        }
        assert_eq!(fold_name("EXAMPLE\\Alice"), "example\\alice");
    }

    #[test]
    fn debug_shows_no_password() {
        assert!(!format!("{:?}", Entry::person("alice", "Alice", "s3cret")).contains("s3cret"));
    }
}
