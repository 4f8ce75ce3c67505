//! TLS between the members of a cluster: both sides show a certificate, and both look whether it is one of
//! this cluster.
//!
//! A certificate belongs to the cluster `NAME` when it chains to an authority of `cluster.caFile` and carries
//! the URI `bindproxy://NAME` as a subject alternative name. Addresses and host names do not matter, because
//! members find each other by addresses that come and go.
//!
//! The dialling side learns late that it was refused: in TLS 1.3 its handshake is over before the other side
//! has looked at its certificate, so the refusal is the error of its first read ([`PeerError::RefusedByPeer`]).

use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{Resumption, verify_server_cert_signed_by_trust_anchor};
use rustls::crypto::{CryptoProvider, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{NoServerSessionStorage, ParsedCertificate, WebPkiClientVerifier};
use rustls::sign::SingleCertAndKey;
use rustls::{
    AlertDescription, CertificateError, ClientConfig, DigitallySignedStruct, DistinguishedName, Error, RootCertStore,
    ServerConfig, SignatureScheme,
};
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer as _, X509Certificate};

use super::{Identity, provider};

/// The application protocol (RFC 7301) of connections between members.
pub const PEER_PROTOCOL: &[u8] = b"bindproxy-cluster";

/// What the certificates of a cluster carry as URI is this and the cluster's name.
const SCHEME: &str = "bindproxy://";

/// How members talk to each other: dialling and accepting, with the same certificate.
#[derive(Clone, Debug)]
pub struct PeerTls {
    /// For connections to other members; dial with [`peer_server_name`].
    pub client: Arc<ClientConfig>,
    /// For connections from other members.
    pub server: Arc<ServerConfig>,
}

/// Why there is no talking to a member. Certificates are never quoted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PeerError {
    /// rustls refuses the combination of certificate, key and authorities.
    #[error("TLS between members cannot be set up: {0}")]
    Setup(String),
    /// The certificate does not chain to `cluster.caFile`.
    #[error("its certificate is not signed by an authority of cluster.caFile")]
    UnknownAuthority,
    /// The certificate is good, but for something else.
    #[error("its certificate does not carry the URI of this cluster")]
    OtherIdentity,
    /// The certificate, or one between it and the authority, has ended.
    #[error("its certificate has expired")]
    Expired,
    /// The certificate has not begun.
    #[error("its certificate is not valid yet")]
    NotYetValid,
    /// The certificate says that it is for other uses (extendedKeyUsage, RFC 5280 section 4.2.1.12).
    #[error("its certificate may not be used for TLS servers and clients both")]
    OtherPurpose,
    /// None was shown.
    #[error("it shows no certificate")]
    NoCertificate,
    /// Any other fault of the certificate.
    #[error("its certificate cannot be used: {0}")]
    BadCertificate(String),
    /// The other side refused this one's certificate, or something else of the handshake.
    #[error("it refuses this member: {0}")]
    RefusedByPeer(String),
    /// The other side does not speak TLS 1.3, or not as it should.
    #[error("the handshake failed: {0}")]
    Handshake(String),
    /// The connection broke.
    #[error("the connection was lost: {0}")]
    Connection(String),
}

impl PeerError {
    /// What an error of a TLS stream means, in the handshake or at the first read.
    #[must_use]
    pub fn of(error: &io::Error) -> Self {
        match error.get_ref().and_then(|inner| inner.downcast_ref::<Error>()) {
            Some(error) => Self::from(error),
            None => Self::Connection(error.to_string()),
        }
    }
}

impl From<&Error> for PeerError {
    fn from(error: &Error) -> Self {
        match error {
            Error::InvalidCertificate(CertificateError::UnknownIssuer | CertificateError::BadSignature) => {
                Self::UnknownAuthority
            }
            Error::InvalidCertificate(CertificateError::ApplicationVerificationFailure) => Self::OtherIdentity,
            Error::InvalidCertificate(CertificateError::Expired | CertificateError::ExpiredContext { .. }) => {
                Self::Expired
            }
            Error::InvalidCertificate(CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. }) => {
                Self::NotYetValid
            }
            Error::InvalidCertificate(
                CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. },
            ) => Self::OtherPurpose,
            Error::InvalidCertificate(other) => Self::BadCertificate(other.to_string()),
            Error::NoCertificatesPresented => Self::NoCertificate,
            Error::AlertReceived(alert) => Self::RefusedByPeer(match alert {
                AlertDescription::UnknownCA => "it does not know the authority of this member's certificate".into(),
                AlertDescription::AccessDenied => "this member's certificate does not carry its cluster's URI".into(),
                AlertDescription::CertificateExpired => "this member's certificate has expired".into(),
                AlertDescription::CertificateRequired => "this member shows no certificate".into(),
                other => format!("{other:?}"),
            }),
            other => Self::Handshake(other.to_string()),
        }
    }
}

/// The URI that the certificates of `cluster` carry.
#[must_use]
pub fn peer_uri(cluster: &str) -> String {
    format!("{SCHEME}{cluster}")
}

/// The name to dial with. rustls wants one; it is neither sent nor compared with anything.
#[must_use]
pub fn peer_server_name() -> ServerName<'static> {
    ServerName::IpAddress(IpAddr::V4(Ipv4Addr::UNSPECIFIED).into())
}

/// Both configurations for a member of `cluster` that shows `identity` and believes `roots` (one or two
/// generations of the cluster's authority), and only those.
///
/// TLS 1.3 alone, and every connection with a handshake of its own: no resumption and no early data, so
/// what was recorded of one connection is worth nothing on another.
///
/// # Errors
/// [`PeerError::Setup`] when `roots` is empty or rustls refuses the combination.
pub fn peer_tls(identity: Identity, roots: Arc<RootCertStore>, cluster: &str) -> Result<PeerTls, PeerError> {
    let setup = |error: &dyn std::fmt::Display| PeerError::Setup(error.to_string());
    let provider = provider();
    let verifier = Arc::new(Verifier::new(roots, cluster, &provider)?);
    let resolver = Arc::new(SingleCertAndKey::from(identity.0));
    let mut client = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(|error| setup(&error))?
        .dangerous()
        .with_custom_certificate_verifier(Arc::<Verifier>::clone(&verifier))
        .with_client_cert_resolver(Arc::<SingleCertAndKey>::clone(&resolver));
    client.resumption = Resumption::disabled();
    client.enable_early_data = false;
    client.enable_sni = false;
    client.alpn_protocols = vec![PEER_PROTOCOL.to_vec()];
    let mut server = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(|error| setup(&error))?
        .with_client_cert_verifier(verifier)
        .with_cert_resolver(resolver);
    server.session_storage = Arc::new(NoServerSessionStorage {});
    server.send_tls13_tickets = 0;
    server.max_early_data_size = 0;
    server.alpn_protocols = vec![PEER_PROTOCOL.to_vec()];
    Ok(PeerTls { client: Arc::new(client), server: Arc::new(server) })
}

/// Whether other members with the same `roots` would accept `identity` at `now`, when they dial it and when
/// it dials them.
///
/// # Errors
/// What they would say.
pub fn check_peer_identity(
    identity: &Identity,
    roots: Arc<RootCertStore>,
    cluster: &str,
    now: UnixTime,
) -> Result<(), PeerError> {
    let verifier = Verifier::new(roots, cluster, &provider())?;
    let (leaf, chain) = identity.0.cert.split_first().ok_or(PeerError::NoCertificate)?;
    let server = ServerCertVerifier::verify_server_cert(&verifier, leaf, chain, &peer_server_name(), &[], now);
    server.map_err(|error| PeerError::from(&error))?;
    let client = ClientCertVerifier::verify_client_cert(&verifier, leaf, chain, now);
    client.map_err(|error| PeerError::from(&error)).map(drop)
}

/// Looks at the other side's certificate, whichever side it is.
#[derive(Debug)]
struct Verifier {
    roots: Arc<RootCertStore>,
    clients: Arc<dyn ClientCertVerifier>,
    provider: Arc<CryptoProvider>,
    uri: String,
}

impl Verifier {
    fn new(roots: Arc<RootCertStore>, cluster: &str, provider: &Arc<CryptoProvider>) -> Result<Self, PeerError> {
        let clients = WebPkiClientVerifier::builder_with_provider(Arc::clone(&roots), Arc::clone(provider))
            .build()
            .map_err(|error| PeerError::Setup(error.to_string()))?;
        Ok(Self { roots, clients, provider: Arc::clone(provider), uri: peer_uri(cluster) })
    }

    /// Octet for octet: a name of a cluster is not a host name, and nothing is folded.
    fn belongs(&self, certificate: &CertificateDer<'_>) -> Result<(), Error> {
        let (_, parsed) =
            X509Certificate::from_der(certificate).map_err(|_| Error::from(CertificateError::BadEncoding))?;
        let names = parsed.subject_alternative_name().map_err(|_| Error::from(CertificateError::BadEncoding))?;
        let mut names = names.iter().flat_map(|extension| &extension.value.general_names);
        let carried = names.any(|name| matches!(name, GeneralName::URI(uri) if *uri == self.uri));
        if carried { Ok(()) } else { Err(CertificateError::ApplicationVerificationFailure.into()) }
    }

    fn verify_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signed, &self.provider.signature_verification_algorithms)
    }

    fn schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

/// Never reached: neither side offers TLS 1.2.
fn not_tls12() -> Error {
    Error::PeerIncompatible(rustls::PeerIncompatible::Tls12NotOfferedOrEnabled)
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let certificate = ParsedCertificate::try_from(end_entity)?;
        let algorithms = self.provider.signature_verification_algorithms.all;
        verify_server_cert_signed_by_trust_anchor(&certificate, &self.roots, intermediates, now, algorithms)?;
        self.belongs(end_entity)?;
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(not_tls12())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.verify_signature(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.schemes()
    }
}

impl ClientCertVerifier for Verifier {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        // A member has one certificate and shows that.
        &[]
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let verified = self.clients.verify_client_cert(end_entity, intermediates, now)?;
        self.belongs(end_entity)?;
        Ok(verified)
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(not_tls12())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.verify_signature(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.schemes()
    }
}
