//! Bind names between members: a report has to show them, and no frame may (promise I4).
//!
//! ChaCha20-Poly1305 under a sub-key of the cluster's hashing key, with a random nonce of 96 bits for each message. TLS
//! hides the frame too; this keeps names out of whatever sees frames in clear, such as a core dump or a debugger's trace.

use std::fmt;

use rand::TryCryptoRng;
use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use zeroize::Zeroizing;

const CONTEXT: &str = "bindproxy 2026 failed-bind cache: names between members";

/// Why nothing was sealed or opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    /// The system has no random numbers.
    #[error("no random numbers for a nonce")]
    NoRandom,
    /// More than the cipher takes.
    #[error("too long to be sealed")]
    TooLong,
    /// It was sealed with another key or for something else, or it was changed on its way.
    #[error("not sealed with a hashing key of this member")]
    NotOurs,
}

/// The sub-key of one generation. Wiped when dropped, never printed.
#[derive(Clone)]
pub(super) struct SealKey(Zeroizing<[u8; 32]>);

impl SealKey {
    pub(super) fn derive(hash_key: &[u8; 32]) -> Self {
        Self(Zeroizing::new(blake3::derive_key(CONTEXT, hash_key)))
    }

    fn cipher(&self) -> Result<LessSafeKey, SealError> {
        UnboundKey::new(&CHACHA20_POLY1305, &*self.0).map(LessSafeKey::new).map_err(|_| SealError::NotOurs)
    }

    fn open(&self, about: &[u8], nonce: [u8; NONCE_LEN], sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, SealError> {
        let mut octets = Zeroizing::new(sealed.to_vec());
        let nonce = Nonce::assume_unique_for_key(nonce);
        let length =
            self.cipher()?.open_in_place(nonce, Aad::from(about), &mut octets).map_err(|_| SealError::NotOurs)?.len();
        octets.truncate(length);
        Ok(octets)
    }
}

/// Seals with the current hashing key, opens with the previous one too.
#[derive(Clone)]
pub struct NameSeal {
    current: SealKey,
    previous: Option<SealKey>,
}

impl NameSeal {
    pub(super) fn new(current: SealKey, previous: Option<SealKey>) -> Self {
        Self { current, previous }
    }

    /// Nonce and ciphertext of `plain`, which opens only together with the same `about`. `plain` is wiped.
    ///
    /// # Errors
    /// [`SealError::NoRandom`], [`SealError::TooLong`]; nothing is given away.
    pub fn seal(
        &self,
        about: &[u8],
        mut plain: Zeroizing<Vec<u8>>,
        random: &mut impl TryCryptoRng,
    ) -> Result<Vec<u8>, SealError> {
        let mut nonce = [0; NONCE_LEN];
        random.try_fill_bytes(&mut nonce).map_err(|_| SealError::NoRandom)?;
        let tag = self
            .current
            .cipher()?
            .seal_in_place_separate_tag(Nonce::assume_unique_for_key(nonce), Aad::from(about), &mut plain)
            .map_err(|_| SealError::TooLong)?;
        let mut sealed = Vec::with_capacity(NONCE_LEN + plain.len() + tag.as_ref().len());
        sealed.extend_from_slice(&nonce);
        sealed.extend_from_slice(&plain);
        sealed.extend_from_slice(tag.as_ref());
        Ok(sealed)
    }

    /// What was sealed for the same `about` by a member whose current key is one of these.
    ///
    /// # Errors
    /// [`SealError::NotOurs`].
    pub fn open(&self, about: &[u8], sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, SealError> {
        let (nonce, sealed) = sealed.split_first_chunk::<NONCE_LEN>().ok_or(SealError::NotOurs)?;
        let current = self.current.open(about, *nonce, sealed);
        match (current, &self.previous) {
            (Err(SealError::NotOurs), Some(previous)) => previous.open(about, *nonce, sealed),
            (opened, _) => opened,
        }
    }
}

impl fmt::Debug for NameSeal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("NameSeal(..)")
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng as _;

    use super::super::key::{HashKey, Keys};
    use super::*;

    fn seal(current: u8, previous: Option<u8>) -> NameSeal {
        let key = |octet| HashKey::from_bytes([octet; 32]);
        Keys::new(&key(current), previous.map(key).as_ref(), true).name_seal()
    }

    fn sealed(by: &NameSeal, about: &[u8], seed: u64) -> Vec<u8> {
        let mut random = rand_chacha::ChaCha20Rng::seed_from_u64(seed);
        by.seal(about, Zeroizing::new(b"cn=alice".to_vec()), &mut random).unwrap()
    }

    #[test]
    fn what_one_member_seals_another_one_opens() {
        let octets = sealed(&seal(1, None), b"about", 1);
        assert_eq!(&**seal(1, None).open(b"about", &octets).unwrap(), b"cn=alice");
        assert!(!octets.windows(5).any(|window| window == b"alice"));
        assert_ne!(octets, sealed(&seal(1, None), b"about", 2), "each message has a nonce of its own");
    }

    #[test]
    fn during_a_rotation_the_previous_key_opens_too() {
        let old = sealed(&seal(1, None), b"", 1);
        assert_eq!(&**seal(2, Some(1)).open(b"", &old).unwrap(), b"cn=alice");
        let new = sealed(&seal(2, Some(1)), b"", 1);
        assert_eq!(seal(1, None).open(b"", &new).err(), Some(SealError::NotOurs));
    }

    #[test]
    fn what_was_changed_cut_or_is_about_something_else_does_not_open() {
        let ours = seal(1, None);
        let octets = sealed(&ours, b"about", 1);
        assert_eq!(ours.open(b"other", &octets).err(), Some(SealError::NotOurs));
        for length in 0..octets.len() {
            assert_eq!(ours.open(b"about", &octets[..length]).err(), Some(SealError::NotOurs), "{length}");
        }
        for at in 0..octets.len() {
            let mut changed = octets.clone();
            changed[at] ^= 1;
            assert_eq!(ours.open(b"about", &changed).err(), Some(SealError::NotOurs), "{at}");
        }
    }

    #[test]
    fn the_key_is_not_printed() {
        assert_eq!(format!("{:?}", seal(0x5A, Some(0x5A))), "NameSeal(..)");
    }
}
