//! The authorities that certificates are checked against.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;

use super::validity::all_x509;
use super::{MaterialError, certificates};

/// Where systems keep their list of authorities; `SSL_CERT_FILE` comes first.
const SYSTEM_FILES: [&str; 3] =
    ["/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/cert.pem"];

/// The authorities of a file that somebody chose: every certificate must be usable.
///
/// # Errors
/// When one cannot be parsed.
pub fn authorities(certificates: Vec<CertificateDer<'static>>) -> Result<Arc<RootCertStore>, MaterialError> {
    all_x509(&certificates)?;
    let mut roots = RootCertStore::empty();
    for (index, certificate) in certificates.into_iter().enumerate() {
        roots
            .add(certificate)
            .map_err(|error| MaterialError::BadCertificate { position: index + 1, reason: error.to_string() })?;
    }
    Ok(Arc::new(roots))
}

/// The authorities that the system trusts. Single ones that cannot be parsed are left out, as
/// everybody does with a list that somebody else maintains.
///
/// # Errors
/// When there is no list, or nothing usable in it.
pub fn system_roots() -> Result<Arc<RootCertStore>, MaterialError> {
    let chosen = std::env::var_os("SSL_CERT_FILE").filter(|file| !file.is_empty()).map(PathBuf::from);
    match chosen {
        Some(file) => roots_of(&[&file]),
        None => roots_of(&SYSTEM_FILES.map(Path::new)),
    }
}

fn roots_of(files: &[&Path]) -> Result<Arc<RootCertStore>, MaterialError> {
    for file in files {
        let Ok(contents) = std::fs::read(file) else { continue };
        let Ok(certificates) = certificates(&contents) else { continue };
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(certificates);
        if !roots.is_empty() {
            return Ok(Arc::new(roots));
        }
    }
    let names: Vec<String> = files.iter().map(|file| file.display().to_string()).collect();
    Err(MaterialError::NoSystemRoots(names.join(", ")))
}
