//! Names and passwords as keyed hashes: what the store holds instead of them (promise I4).
//!
//! Keyed BLAKE3 with one sub-key for names and another for digests, 128 bits kept. Without the
//! cluster's key neither can be tested against a guess. Every part is length-prefixed.

use std::fmt;
use std::str::FromStr;

use zeroize::{Zeroize, Zeroizing};

use super::memo::NameMemo;
use super::name::FoldedName;
use super::seal::{NameSeal, SealKey};

const NAME_CONTEXT: &str = "bindproxy 2026 failed-bind cache: name key";
const ID_CONTEXT: &str = "bindproxy 2026 failed-bind cache: which keys these are";
const DIGEST_CONTEXT: &str = "bindproxy 2026 failed-bind cache: credential digest";

/// The 32 octets that all members of a cluster share. Wiped when dropped, never printed.
#[derive(Clone)]
pub struct HashKey(Zeroizing<[u8; 32]>);

impl HashKey {
    /// A key from its octets.
    #[must_use]
    pub fn from_bytes(octets: [u8; 32]) -> Self {
        Self(Zeroizing::new(octets))
    }
}

impl fmt::Debug for HashKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("HashKey(..)")
    }
}

/// The keyed hash of a normalised name.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NameKey(pub [u8; 16]);

impl NameKey {
    /// The short form by which logs name an account without naming it; prints as `~1a2b3c4d`
    /// through [`ShortHash`].
    #[must_use]
    pub fn short(&self) -> u32 {
        let [a, b, c, d, ..] = self.0;
        u32::from_be_bytes([a, b, c, d])
    }

    /// The bits that choose the slot in a hash table; disjoint from those of [`Self::short`],
    /// which choose the shard.
    pub(super) fn table_hash(&self) -> u64 {
        let [.., a, b, c, d, e, f, g, h] = self.0;
        u64::from_le_bytes([a, b, c, d, e, f, g, h])
    }
}

impl fmt::Debug for NameKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&ShortHash(self.short()), f)
    }
}

/// A bind name as a keyed hash of 32 bits: enough to recognise a name in a log, too little to test
/// one without the cluster's key. Written `~1a2b3c4d`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ShortHash(pub u32);

impl fmt::Display for ShortHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "~{:08x}", self.0)
    }
}

/// A text that is no [`ShortHash`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a short hash is ~ and eight hexadecimal digits")]
pub struct NoShortHash;

impl FromStr for ShortHash {
    type Err = NoShortHash;

    fn from_str(text: &str) -> Result<Self, NoShortHash> {
        let digits = text.strip_prefix('~').ok_or(NoShortHash)?;
        if digits.len() != 8 || !digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
            return Err(NoShortHash);
        }
        u32::from_str_radix(digits, 16).map(Self).map_err(|_| NoShortHash)
    }
}

/// The keyed hash of a name and a password. Its octets are never printed.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Digest(pub [u8; 16]);

impl Digest {
    pub(super) fn table_hash(&self) -> u64 {
        let [a, b, c, d, e, f, g, h, ..] = self.0;
        u64::from_le_bytes([a, b, c, d, e, f, g, h])
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Digest(..)")
    }
}

/// One attempt's name and password, hashed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Credential {
    /// The name.
    pub name: NameKey,
    /// The name and password.
    pub digest: Digest,
    /// Both under the key before the last rotation, while that one is still accepted.
    pub previous: Option<(NameKey, Digest)>,
}

impl Credential {
    /// An attempt of which only these hashes are known: one that another member asks about.
    #[must_use]
    pub fn of(name: NameKey, digest: Digest) -> Self {
        Self { name, digest, previous: None }
    }
}

/// A name under the current key and, while it is still accepted, the previous one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NameKeys {
    /// Under the current key.
    pub current: NameKey,
    /// Under the key before the last rotation.
    pub previous: Option<NameKey>,
}

/// The hashing keys in force.
#[derive(Clone)]
pub struct Keys {
    current: Generation,
    previous: Option<Generation>,
    fold_names: bool,
    /// Tells these keys from others, so that a memo of hashes is not used under the wrong ones.
    id: u64,
    /// The same of the key before the last rotation.
    previous_id: Option<u64>,
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Keys(generations: {}, fold_names: {})", 1 + usize::from(self.previous.is_some()), self.fold_names)
    }
}

impl Keys {
    /// Keys for new entries (`current`) and for those that were made before the last rotation.
    ///
    /// `fold_names` treats the spellings of one DN as one name ([`super::name`]).
    #[must_use]
    pub fn new(current: &HashKey, previous: Option<&HashKey>, fold_names: bool) -> Self {
        let id_of = |key: &HashKey| {
            let id = blake3::derive_key(ID_CONTEXT, &*key.0);
            id.iter().take(8).fold(u64::from(fold_names), |id, &octet| id.rotate_left(8) ^ u64::from(octet))
        };
        Self {
            current: Generation::derive(current),
            previous: previous.map(Generation::derive),
            fold_names,
            id: id_of(current),
            previous_id: previous.map(id_of),
        }
    }

    /// What tells these keys from others without giving them away: the current one and the one before
    /// the last rotation. Names that are folded otherwise count as under another key.
    #[must_use]
    pub fn ids(&self) -> (u64, Option<u64>) {
        (self.id, self.previous_id)
    }

    /// The hashes of one attempt. Allocates only for names of more than 256 octets and
    /// passwords of more than 128.
    #[must_use]
    pub fn credential(&self, name: &[u8], password: &[u8]) -> Credential {
        self.with_folded(name, |name| {
            let (current, digest) = self.current.credential(name, password);
            let previous = self.previous.as_ref().map(|generation| generation.credential(name, password));
            Credential { name: current, digest, previous }
        })
    }

    /// As [`Self::credential`], with the hashes of names that were seen a moment ago at hand.
    #[must_use]
    pub fn credential_with(&self, memo: &mut NameMemo, name: &[u8], password: &[u8]) -> Credential {
        if self.previous.is_some() {
            return self.credential(name, password);
        }
        let hash = memo.hash_of(name, self.id, || self.with_folded(name, |name| self.current.name_hash(name)));
        Credential { name: NameKey(first_half(&hash)), digest: self.current.digest(&hash, password), previous: None }
    }

    /// The hashes of a name alone.
    #[must_use]
    pub fn name_keys(&self, name: &[u8]) -> NameKeys {
        self.with_folded(name, |name| NameKeys {
            current: NameKey(first_half(&self.current.name_hash(name))),
            previous: self.previous.as_ref().map(|generation| NameKey(first_half(&generation.name_hash(name)))),
        })
    }

    /// What hides names on their way to another member that has these keys.
    #[must_use]
    pub fn name_seal(&self) -> NameSeal {
        NameSeal::new(self.current.seal.clone(), self.previous.as_ref().map(|generation| generation.seal.clone()))
    }

    fn with_folded<R>(&self, name: &[u8], then: impl FnOnce(&[u8]) -> R) -> R {
        if self.fold_names { then(FoldedName::new(name).as_bytes()) } else { then(name) }
    }
}

/// The sub-keys of one [`HashKey`].
#[derive(Clone)]
struct Generation {
    names: Zeroizing<[u8; 32]>,
    digests: Zeroizing<[u8; 32]>,
    seal: SealKey,
}

impl Generation {
    fn derive(key: &HashKey) -> Self {
        Self {
            names: Zeroizing::new(blake3::derive_key(NAME_CONTEXT, &*key.0)),
            digests: Zeroizing::new(blake3::derive_key(DIGEST_CONTEXT, &*key.0)),
            seal: SealKey::derive(&key.0),
        }
    }

    fn name_hash(&self, name: &[u8]) -> [u8; 32] {
        hash_parts(&self.names, &[], name)
    }

    fn credential(&self, name: &[u8], password: &[u8]) -> (NameKey, Digest) {
        let name = self.name_hash(name);
        (NameKey(first_half(&name)), self.digest(&name, password))
    }

    fn digest(&self, name_hash: &[u8; 32], password: &[u8]) -> Digest {
        Digest(first_half(&hash_parts(&self.digests, name_hash, password)))
    }
}

/// What fits here is hashed in one call without blake3's incremental state, which is 2 KB.
const INLINE: usize = 32 + 4 + 128;

/// The keyed hash of a fixed-size prefix and one length-prefixed part.
fn hash_parts(key: &[u8; 32], prefix: &[u8], part: &[u8]) -> [u8; 32] {
    // A frame is shorter than 4 GiB, so the cast keeps the length.
    let length = (part.len() as u32).to_le_bytes();
    let total = prefix.len() + length.len() + part.len();
    let mut buffer = [0_u8; INLINE];
    if let Some(input) = buffer.get_mut(..total) {
        input[..prefix.len()].copy_from_slice(prefix);
        input[prefix.len()..prefix.len() + 4].copy_from_slice(&length);
        input[prefix.len() + 4..].copy_from_slice(part);
        let hash = *blake3::keyed_hash(key, input).as_bytes();
        // The part may be a password; the rest of the buffer never was anything.
        input[prefix.len() + 4..].zeroize();
        return hash;
    }
    let mut hasher = blake3::Hasher::new_keyed(key);
    hasher.update(prefix).update(&length).update(part);
    *hasher.finalize().as_bytes()
}

fn first_half(hash: &[u8; 32]) -> [u8; 16] {
    let mut half = [0; 16];
    half.copy_from_slice(&hash[..16]);
    half
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(current: u8, previous: Option<u8>) -> Keys {
        let key = |octet| HashKey::from_bytes([octet; 32]);
        Keys::new(&key(current), previous.map(key).as_ref(), true)
    }

    #[test]
    fn spellings_of_one_dn_share_a_credential_and_passwords_are_exact() {
        let keys = keys(1, None);
        let credential = keys.credential(b"uid=alice,dc=example", b"secret");
        assert_eq!(keys.credential(b"UID=Alice , DC=example", b"secret"), credential);
        for password in [&b"Secret"[..], b"secret ", b"secret\0", b"secre", b""] {
            let other = keys.credential(b"uid=alice,dc=example", password);
            assert_eq!(other.name, credential.name);
            assert_ne!(other.digest, credential.digest, "{password:?}");
        }
    }

    #[test]
    fn the_boundary_between_name_and_password_is_part_of_the_digest() {
        let keys = keys(1, None);
        assert_ne!(keys.credential(b"ab", b"c").digest, keys.credential(b"a", b"bc").digest);
    }

    #[test]
    fn long_input_hashes_like_short_input() {
        // Both sides of the inline limit must be the same function of (prefix, part).
        let key = [7; 32];
        for length in [0, 1, 128, 129, INLINE - 4, INLINE - 3, 5000] {
            let part = vec![9_u8; length];
            let mut all = (length as u32).to_le_bytes().to_vec();
            all.extend_from_slice(&part);
            assert_eq!(hash_parts(&key, &[], &part), *blake3::keyed_hash(&key, &all).as_bytes(), "{length}");
        }
    }

    #[test]
    fn the_previous_generation_is_what_was_current_before() {
        let before = keys(1, None).credential(b"cn=a", b"p");
        let after = keys(2, Some(1)).credential(b"cn=a", b"p");
        assert_eq!(after.previous, Some((before.name, before.digest)));
        assert_ne!(after.digest, before.digest);
        assert_eq!(keys(2, Some(1)).name_keys(b"cn=a").previous, Some(before.name));
    }

    #[test]
    fn exact_names_stay_apart_without_folding() {
        let key = HashKey::from_bytes([1; 32]);
        let keys = Keys::new(&key, None, false);
        assert_ne!(keys.name_keys(b"CN=a"), keys.name_keys(b"cn=a"));
    }

    #[test]
    fn nothing_printed_can_be_tested() {
        let keys = keys(0x5A, None);
        let credential = keys.credential(b"cn=a", b"p");
        let printed = format!("{:?} {credential:?} {:?}", keys, HashKey::from_bytes([0x5A; 32]));
        let hex = |octets: &[u8]| octets.iter().map(|octet| format!("{octet:02x}")).collect::<String>();
        assert!(!printed.contains(&hex(&credential.digest.0[..4])));
        assert!(!printed.contains("5a5a") && !printed.contains("90, 90"));
        assert!(printed.contains(&ShortHash(credential.name.short()).to_string()[1..]));
    }
}
