//! TLS on both sides: reading certificates and keys, and the rustls configurations.
//!
//! The cryptography provider (`ring`) is always named; the process-wide default that rustls
//! offers would make the outcome depend on what else is linked in.

mod client;
mod identity;
mod peer;
mod pem;
mod roots;
mod server;
mod validity;

use std::sync::Arc;

use rustls::CipherSuite;
use rustls::crypto::CryptoProvider;

pub use client::{ServerNameError, client_config, server_name, server_name_of};
pub use identity::Identity;
pub use peer::{PEER_PROTOCOL, PeerError, PeerTls, check_peer_identity, peer_server_name, peer_tls, peer_uri};
pub use pem::{MaterialError, certificates, private_key};
pub use roots::{authorities, system_roots};
pub use server::{ClientAuthentication, server_config};
pub use validity::{Validity, validity};

/// The one cryptography provider of this program, the suites with SHA-256 first.
///
/// A TLS 1.3 handshake hashes some forty times, and processors have instructions for SHA-256 that
/// they lack for SHA-384: with `TLS_AES_256_GCM_SHA384`, which most clients name first, hashing was
/// 15 % of what a login costs the proxy. Nothing is offered or accepted that was not before.
#[must_use]
pub fn provider() -> Arc<CryptoProvider> {
    let mut provider = rustls::crypto::ring::default_provider();
    provider.cipher_suites.sort_by_key(|suite| suite.suite() != CipherSuite::TLS13_AES_128_GCM_SHA256);
    Arc::new(provider)
}
