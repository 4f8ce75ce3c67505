//! TLS towards clients.

use std::sync::Arc;

use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::sign::SingleCertAndKey;
use rustls::{RootCertStore, ServerConfig};

use super::{Identity, MaterialError, provider};

/// Whether clients are asked for a certificate, and who may have signed it.
#[derive(Clone, Debug)]
pub enum ClientAuthentication {
    /// Not asked for.
    None,
    /// Asked for; one that is shown must be valid.
    Optional(Arc<RootCertStore>),
    /// No session without a valid one.
    Required(Arc<RootCertStore>),
}

/// The configuration of LDAPS and StartTLS listeners: TLS 1.2 and 1.3, no ALPN (LDAP has none).
///
/// Sessions are resumed by tickets, so that no memory is held for a client that may come back.
/// The ticket keys live and die with the configuration: after a reload clients do one full
/// handshake, and an identity that was verified against an old `clientCAFile` cannot be resumed.
///
/// # Errors
/// When the authorities are empty or rustls refuses the combination.
pub fn server_config(identity: Identity, clients: ClientAuthentication) -> Result<Arc<ServerConfig>, MaterialError> {
    let setup = |error: &dyn std::fmt::Display| MaterialError::Setup(error.to_string());
    let provider = provider();
    let verifier = |roots| WebPkiClientVerifier::builder_with_provider(roots, Arc::clone(&provider));
    let verifier = match clients {
        ClientAuthentication::None => WebPkiClientVerifier::no_client_auth(),
        ClientAuthentication::Optional(roots) => {
            verifier(roots).allow_unauthenticated().build().map_err(|error| setup(&error))?
        }
        ClientAuthentication::Required(roots) => verifier(roots).build().map_err(|error| setup(&error))?,
    };
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])
        .map_err(|error| setup(&error))?
        .with_client_cert_verifier(verifier)
        .with_cert_resolver(Arc::new(SingleCertAndKey::from(identity.0)));
    config.ticketer = rustls::crypto::ring::Ticketer::new().map_err(|error| setup(&error))?;
    // See `super::provider` for the order.
    config.ignore_client_order = true;
    config.session_storage = Arc::new(NoServerSessionStorage {});
    // One ticket per handshake: an LDAP client opens its connections one after the other.
    config.send_tls13_tickets = 1;
    // Early data could be replayed, and a bind must never be sent twice.
    config.max_early_data_size = 0;
    Ok(Arc::new(config))
}
