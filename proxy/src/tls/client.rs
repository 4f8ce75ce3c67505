//! TLS towards upstreams.

use std::sync::Arc;

use rustls::client::{Resumption, WebPkiServerVerifier};
use rustls::pki_types::ServerName;
use rustls::sign::SingleCertAndKey;
use rustls::{ClientConfig, RootCertStore, SupportedProtocolVersion};

use super::{Identity, MaterialError, provider};
use crate::config::{TlsVersion, Upstream};

/// Sessions remembered for one upstream. Each configuration dials one server, which is one entry
/// (rustls keeps up to eight tickets in it).
const REMEMBERED_SESSIONS: usize = 8;

/// The configuration for one upstream. The server's certificate is always verified, against
/// `roots` and against the name of [`server_name`].
///
/// # Errors
/// When `roots` is empty or rustls refuses the combination.
pub fn client_config(
    roots: Arc<RootCertStore>,
    min_version: TlsVersion,
    identity: Option<Identity>,
) -> Result<Arc<ClientConfig>, MaterialError> {
    let setup = |error: &dyn std::fmt::Display| MaterialError::Setup(error.to_string());
    let versions: &[&SupportedProtocolVersion] = match min_version {
        TlsVersion::V12 => &[&rustls::version::TLS13, &rustls::version::TLS12],
        TlsVersion::V13 => &[&rustls::version::TLS13],
    };
    let verifier =
        WebPkiServerVerifier::builder_with_provider(roots, provider()).build().map_err(|error| setup(&error))?;
    let builder = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(versions)
        .map_err(|error| setup(&error))?
        .with_webpki_verifier(verifier);
    let mut config = match identity {
        Some(identity) => builder.with_client_cert_resolver(Arc::new(SingleCertAndKey::from(identity.0))),
        None => builder.with_no_client_auth(),
    };
    config.resumption = Resumption::in_memory_sessions(REMEMBERED_SESSIONS);
    // Early data could be replayed, and a bind must never be sent twice.
    config.enable_early_data = false;
    Ok(Arc::new(config))
}

/// Why there is no name to verify a server's certificate against.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ServerNameError {
    /// A unix socket has no name of its own.
    #[error("neither `tls.serverName` nor `host` is given")]
    NoName,
    /// Neither a DNS name nor an IP address.
    #[error("\"{}\" is neither a DNS name nor an IP address", .0.escape_debug())]
    Invalid(String),
}

/// The name that the server's certificate must carry: `tls.serverName`, else `host`.
///
/// # Errors
/// When there is no name or it is not one that a certificate could carry.
pub fn server_name(upstream: &Upstream) -> Result<ServerName<'static>, ServerNameError> {
    let name = upstream.tls.server_name.as_deref().or(upstream.host.as_deref()).ok_or(ServerNameError::NoName)?;
    server_name_of(name)
}

/// `name`, as a certificate would carry it.
///
/// # Errors
/// When it is not one that a certificate could carry.
pub fn server_name_of(name: &str) -> Result<ServerName<'static>, ServerNameError> {
    // The dot of an absolute DNS name is for resolvers; certificates never carry it.
    let bare = name.strip_suffix('.').filter(|bare| !bare.is_empty()).unwrap_or(name);
    ServerName::try_from(bare.to_owned()).map_err(|_| ServerNameError::Invalid(name.to_owned()))
}
