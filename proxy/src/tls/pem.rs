//! Certificates and keys from PEM files (RFC 7468).

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

/// Why material for TLS is unusable. No variant carries key octets.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MaterialError {
    /// PEM without a certificate, or no PEM at all.
    #[error("it holds no certificate in PEM")]
    NoCertificate,
    /// PEM without a private key, or no PEM at all.
    #[error("it holds no private key in PEM")]
    NoPrivateKey,
    /// A key protected by a pass phrase, which nobody could type into a service.
    #[error("its private key is encrypted with a pass phrase")]
    EncryptedKey,
    /// Binary DER where PEM belongs.
    #[error("it is binary (DER), not PEM")]
    Der,
    /// A PEM section that is cut off or not base64.
    #[error("its PEM is damaged: {0}")]
    Damaged(String),
    /// A certificate that cannot be parsed.
    #[error("certificate {position} in it cannot be read: {reason}")]
    BadCertificate {
        /// Counted from one, in the order of the file.
        position: usize,
        /// What the parser says.
        reason: String,
    },
    /// A key of a kind or size that is not supported.
    #[error("the private key cannot be used: {0}")]
    UnusableKey(String),
    /// The key of another certificate.
    #[error("the private key does not belong to the certificate")]
    KeyMismatch,
    /// The system's list of authorities is missing.
    #[error("no list of authorities was found in {0}")]
    NoSystemRoots(String),
    /// rustls refuses the combination.
    #[error("TLS cannot be set up: {0}")]
    Setup(String),
}

impl MaterialError {
    /// What to do about it.
    #[must_use]
    pub fn remedy(&self) -> &'static str {
        match self {
            Self::NoCertificate => "write a file that has a `-----BEGIN CERTIFICATE-----` section",
            Self::NoPrivateKey => "write a file that has a `-----BEGIN PRIVATE KEY-----` section",
            Self::EncryptedKey => "decrypt it with `openssl pkey -in KEY -out PLAIN` and protect the file instead",
            Self::Der => "convert it, for a certificate with `openssl x509 -inform DER -in FILE -out FILE.pem`",
            Self::Damaged(_) => "copy the whole file again, with its BEGIN and END lines",
            Self::BadCertificate { .. } => "replace it; check it with `openssl x509 -in FILE -noout -text`",
            Self::UnusableKey(_) => "use an RSA key of 2048 bits or more, an ECDSA key on P-256 or P-384, or Ed25519",
            Self::KeyMismatch => "name the key that the certificate was made for; after a renewal both files change",
            Self::NoSystemRoots(_) => "install the system's certificates, set SSL_CERT_FILE, or write caFile",
            Self::Setup(_) => "check the certificate and the key",
        }
    }
}

/// Every certificate of a PEM file, in its order; at least one.
///
/// # Errors
/// When there is none or one is damaged.
pub fn certificates(contents: &[u8]) -> Result<Vec<CertificateDer<'static>>, MaterialError> {
    let certificates = CertificateDer::pem_slice_iter(contents)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| MaterialError::Damaged(error.to_string()))?;
    if certificates.is_empty() {
        return Err(if is_der(contents) { MaterialError::Der } else { MaterialError::NoCertificate });
    }
    Ok(certificates)
}

/// The first private key of a PEM file (PKCS#8, PKCS#1 or SEC1).
///
/// # Errors
/// When there is none, or it is encrypted or damaged.
pub fn private_key(contents: &[u8]) -> Result<PrivateKeyDer<'static>, MaterialError> {
    match PrivateKeyDer::from_pem_slice(contents) {
        Ok(key) if is_encrypted(contents) => {
            // `Proc-Type: 4,ENCRYPTED` inside a traditional section decodes to noise.
            drop(key);
            Err(MaterialError::EncryptedKey)
        }
        Ok(key) => Ok(key),
        Err(_) if is_encrypted(contents) => Err(MaterialError::EncryptedKey),
        Err(rustls::pki_types::pem::Error::NoItemsFound) if is_der(contents) => Err(MaterialError::Der),
        Err(rustls::pki_types::pem::Error::NoItemsFound) => Err(MaterialError::NoPrivateKey),
        // The parser's words may quote a line of the file, which here is the key.
        Err(_) => Err(MaterialError::Damaged("a section is cut off or not base64".into())),
    }
}

fn is_encrypted(contents: &[u8]) -> bool {
    contents.windows(9).any(|window| window == b"ENCRYPTED")
}

/// A DER SEQUENCE with a long-form length: what certificates and keys begin with.
fn is_der(contents: &[u8]) -> bool {
    matches!(contents, [0x30, 0x81..=0x84, ..])
}
