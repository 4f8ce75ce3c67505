//! A certificate chain with the private key that belongs to it.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
use rustls::sign::CertifiedKey;

use super::validity::{all_x509, validity};
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

impl Identity {
    /// The moment nearest to `now_unix` at which its first certificate is valid: for looking at everything
    /// but the time.
    #[must_use]
    pub fn moment_of_validity(&self, now_unix: i64) -> UnixTime {
        let moment = match self.0.cert.first().map(validity) {
            Some(Ok(period)) => now_unix.min(period.not_after_unix).max(period.not_before_unix),
            Some(Err(_)) | None => now_unix,
        };
        UnixTime::since_unix_epoch(Duration::from_secs(u64::try_from(moment).unwrap_or(0)))
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Identity({} certificates)", self.0.cert.len())
    }
}
