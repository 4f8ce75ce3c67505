//! Secrets in memory: wiped when dropped, and without any way to print them.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use zeroize::Zeroizing;

/// The key of the digests of failed passwords: 32 octets. It has no `Debug` and no `Display`.
#[derive(Clone)]
pub struct HashKey(Zeroizing<[u8; 32]>);

/// Why the contents of a file are no hashing key. Says nothing about the contents but their length.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HashKeyError {
    /// Neither 32 octets nor the base64 of 32.
    #[error("it holds {0} bytes, which is neither 32 raw bytes nor the base64 of 32")]
    WrongLength(usize),
    /// 32 equal octets: a file that was allocated and never filled.
    #[error("all 32 bytes are equal")]
    Constant,
}

impl HashKey {
    /// Reads a key file: 32 raw octets or the base64 of 32, either with a line end after it.
    ///
    /// # Errors
    /// When it is neither, or obviously no random key.
    pub fn from_file_contents(contents: &[u8]) -> Result<Self, HashKeyError> {
        let key = raw(contents).or_else(|| from_base64(contents)).ok_or(HashKeyError::WrongLength(contents.len()))?;
        if key.iter().all(|octet| *octet == key[0]) {
            return Err(HashKeyError::Constant);
        }
        Ok(Self(key))
    }

    /// The octets, for the hash function and nothing else.
    #[must_use]
    pub fn expose(&self) -> &[u8; 32] {
        &self.0
    }

    /// Whether both are the same key.
    #[must_use]
    pub fn equals(&self, other: &Self) -> bool {
        blake3::Hash::from_bytes(*self.0) == blake3::Hash::from_bytes(*other.0)
    }
}

fn raw(contents: &[u8]) -> Option<Zeroizing<[u8; 32]>> {
    let octets = match contents.len() {
        32 => contents,
        33 => contents.strip_suffix(b"\n")?,
        34 => contents.strip_suffix(b"\r\n")?,
        _ => return None,
    };
    octets.try_into().ok().map(Zeroizing::new)
}

fn from_base64(contents: &[u8]) -> Option<Zeroizing<[u8; 32]>> {
    let text = contents.trim_ascii();
    let engine = if text.ends_with(b"=") { STANDARD } else { STANDARD_NO_PAD };
    let octets = Zeroizing::new(engine.decode(text).ok()?);
    octets.as_slice().try_into().ok().map(Zeroizing::new)
}

/// The bearer token of the admin API. Only its hash is kept, so that no copy of the process's
/// memory holds the token; comparing hashes takes the same time wherever they differ.
#[derive(Clone)]
pub struct AdminToken(blake3::Hash);

/// Why the contents of a file are no token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AdminTokenError {
    /// Nothing but white space.
    #[error("it is empty")]
    Empty,
    /// A bearer token is one word of visible ASCII (RFC 6750 section 2.1).
    #[error("it holds more than one word of printable ASCII")]
    NotOneWord,
}

impl AdminToken {
    /// Reads a token file; white space around the token does not count.
    ///
    /// # Errors
    /// When no client could present what the file holds.
    pub fn from_file_contents(contents: &[u8]) -> Result<Self, AdminTokenError> {
        let token = contents.trim_ascii();
        if token.is_empty() {
            return Err(AdminTokenError::Empty);
        }
        if !token.iter().all(u8::is_ascii_graphic) {
            return Err(AdminTokenError::NotOneWord);
        }
        Ok(Self(blake3::hash(token)))
    }

    /// Whether `presented` is the token, in time that does not depend on where they differ.
    #[must_use]
    pub fn matches(&self, presented: &[u8]) -> bool {
        // `blake3::Hash` compares in constant time.
        blake3::hash(presented) == self.0
    }
}

impl fmt::Debug for AdminToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AdminToken(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: [u8; 32] = *b"0123456789abcdef0123456789ABCDEF";

    #[test]
    fn raw_and_base64_keys_with_and_without_line_ends() {
        let with = |suffix: &str| [&KEY[..], suffix.as_bytes()].concat();
        let padded = STANDARD.encode(KEY);
        let forms = [
            with(""),
            with("\n"),
            with("\r\n"),
            padded.clone().into_bytes(),
            format!("{padded}\n").into_bytes(),
            STANDARD_NO_PAD.encode(KEY).into_bytes(),
            format!("{}\r\n", STANDARD_NO_PAD.encode(KEY)).into_bytes(),
        ];
        for form in forms {
            assert_eq!(HashKey::from_file_contents(&form).map(|key| *key.expose()), Ok(KEY));
        }
    }

    #[test]
    fn other_lengths_and_constant_keys_are_refused() {
        for length in [0, 1, 16, 31, 33, 34, 35, 43, 44, 64] {
            let contents: Vec<u8> = (0..length).map(|n| 128 + n).collect();
            assert_eq!(
                HashKey::from_file_contents(&contents).err(),
                Some(HashKeyError::WrongLength(length.into())),
                "{length}"
            );
        }
        assert_eq!(HashKey::from_file_contents(&[0; 32]).err(), Some(HashKeyError::Constant));
        let hex = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";
        assert_eq!(HashKey::from_file_contents(hex.as_bytes()).err(), Some(HashKeyError::WrongLength(64)));
    }

    #[test]
    fn a_token_is_one_word() {
        let token = AdminToken::from_file_contents(b"  s3cret-token\n").unwrap();
        assert!(token.matches(b"s3cret-token"));
        assert!(!token.matches(b"s3cret-toke") && !token.matches(b"") && !token.matches(b"s3cret-token\n"));
        assert_eq!(format!("{token:?}"), "AdminToken(…)");
        assert_eq!(AdminToken::from_file_contents(b" \n").err(), Some(AdminTokenError::Empty));
        assert_eq!(AdminToken::from_file_contents(b"two words").err(), Some(AdminTokenError::NotOneWord));
    }
}
