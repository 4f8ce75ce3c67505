//! From when until when a certificate is valid.

use super::MaterialError;
use rustls::pki_types::CertificateDer;
use x509_parser::prelude::{FromDer as _, X509Certificate};

/// The validity period of one certificate (RFC 5280 section 4.1.2.5).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Validity {
    /// Whose certificate it is, for messages.
    pub subject: String,
    /// Seconds since 1970.
    pub not_before_unix: i64,
    /// Seconds since 1970.
    pub not_after_unix: i64,
    /// `not_before_unix` for messages.
    pub not_before: String,
    /// `not_after_unix` for messages.
    pub not_after: String,
}

/// Why a certificate cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("it is no X.509 certificate")]
pub struct NotX509;

/// Makes sure that every one of `certificates` can be read.
pub(super) fn all_x509(certificates: &[CertificateDer<'_>]) -> Result<(), MaterialError> {
    for (index, certificate) in certificates.iter().enumerate() {
        validity(certificate)
            .map_err(|reason| MaterialError::BadCertificate { position: index + 1, reason: reason.to_string() })?;
    }
    Ok(())
}

/// Reads the period of `certificate`.
///
/// # Errors
/// When it is no X.509 certificate.
pub fn validity(certificate: &CertificateDer<'_>) -> Result<Validity, NotX509> {
    let (_, parsed) = X509Certificate::from_der(certificate).map_err(|_| NotX509)?;
    let period = parsed.validity();
    let subject = parsed.subject().to_string();
    Ok(Validity {
        subject: if subject.is_empty() { "an unnamed subject".into() } else { subject },
        not_before_unix: period.not_before.timestamp(),
        not_after_unix: period.not_after.timestamp(),
        not_before: period.not_before.to_string(),
        not_after: period.not_after.to_string(),
    })
}
