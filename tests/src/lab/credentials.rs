//! What a cluster's members share: an authority, a hashing key, a token.

use crate::certificates::Authority;
use crate::scratch::Scratch;

/// The bearer token of every admin port.
pub const TOKEN: &str = "a-token-of-the-lab";

/// The files of one cluster.
#[derive(Debug)]
pub struct Credentials {
    /// Signs the members' certificates.
    pub authority: Authority,
    /// `cluster.name`.
    pub cluster: String,
    /// The octets of `hash.key`.
    pub hash_key: [u8; 32],
}

impl Credentials {
    pub(super) fn new(scratch: &Scratch, cluster: &str) -> Self {
        scratch.write("admin.token", TOKEN);
        Self {
            authority: Authority::new(&scratch.join("authority")),
            cluster: cluster.to_owned(),
            hash_key: new_hash_key(),
        }
    }
}

/// A hashing key that nobody else has.
#[must_use]
pub fn new_hash_key() -> [u8; 32] {
    random()
}

/// Octets that nobody could have guessed.
pub(super) fn random<const OCTETS: usize>() -> [u8; OCTETS] {
    let mut octets = [0; OCTETS];
    rand::TryRng::try_fill_bytes(&mut rand::rngs::SysRng, &mut octets).expect("the system's random numbers");
    octets
}
