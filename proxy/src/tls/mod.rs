//! TLS on both sides: reading certificates and keys, and the two rustls configurations.
//!
//! The cryptography provider (`ring`) is always named; the process-wide default that rustls
//! offers would make the outcome depend on what else is linked in.

mod client;
mod identity;
mod pem;
mod roots;
mod server;
mod validity;

use std::sync::Arc;

use rustls::crypto::CryptoProvider;

pub use client::{ServerNameError, client_config, server_name};
pub use identity::Identity;
pub use pem::{MaterialError, certificates, private_key};
pub use roots::{authorities, system_roots};
pub use server::{ClientAuthentication, server_config};
pub use validity::{Validity, validity};

/// The one cryptography provider of this program.
#[must_use]
pub fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}
