//! A certificate chain with the private key that belongs to it.

use std::fmt;
use std::sync::Arc;

use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;

use super::validity::all_x509;
use super::{MaterialError, provider};

/// A certificate chain with its private key; that they belong together was verified.
#[derive(Clone)]
pub struct Identity(pub(super) Arc<CertifiedKey>);

impl Identity {
    /// Joins chain and key.
    ///
    /// # Errors
    /// When a certificate cannot be parsed, the key is of an unsupported kind, or the two do not
    /// belong together.
    pub fn new(chain: Vec<CertificateDer<'static>>, key: PrivateKeyDer<'static>) -> Result<Self, MaterialError> {
        all_x509(&chain)?;
        let key = provider().key_provider.load_private_key(key).map_err(|error| {
            // rustls's words name the kinds it knows, never octets of the key.
            MaterialError::UnusableKey(error.to_string())
        })?;
        let certified = CertifiedKey::new(chain, key);
        match certified.keys_match() {
            Ok(()) => Ok(Self(Arc::new(certified))),
            Err(rustls::Error::InconsistentKeys(rustls::InconsistentKeys::KeyMismatch)) => {
                Err(MaterialError::KeyMismatch)
            }
            Err(error) => Err(MaterialError::BadCertificate { position: 1, reason: error.to_string() }),
        }
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Identity({} certificates)", self.0.cert.len())
    }
}
