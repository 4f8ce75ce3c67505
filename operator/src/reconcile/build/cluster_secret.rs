//! What the pods of one BindProxy share and nobody else has: the key under which passwords are hashed, and
//! the certificate by which pods know each other. Made once; the operator can create Secrets, not read them.
//!
//! # One certificate for all pods, and no authority that could sign another
//!
//! A pod is a member because it can read this Secret; which member it is does not matter to the others. A
//! certificate for each pod, signed by a key in the same Secret, would tell whoever reads the Secret nothing
//! less and let them sign any number of new ones. So there is one certificate, and the key of the authority
//! that signed it is forgotten at once: from then on nobody can make another member, the operator included.
//! Connections are TLS 1.3 with keys of their own, so a certificate key that leaks later opens nothing that was
//! recorded before.
//!
//! # Rotation
//!
//! Pods read the files again when they change, so nothing restarts. Wait after each step until the condition
//! `ConfigApplied` is true again and every pod has taken the files over:
//! 1. make a new authority and certificate (`deploy/examples/cluster/certificates.sh`) and put the new authority
//!    beside the old one in `ca.crt`: now pods believe both;
//! 2. replace `tls.crt` and `tls.key` together;
//! 3. leave only the new authority in `ca.crt`.
//!
//! The hashing key is rotated by moving `hash.key` to `previous-hash.key` and putting a new one in its place;
//! equal keys mean that no rotation is under way. When the Secret leaked, it is deleted and then the pods are:
//! as soon as one of them is missing the operator makes a new Secret, and until every pod has it, those with
//! the old and those with the new one do not know each other.

use std::collections::BTreeMap;
use std::fmt;
use std::mem::take;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bindproxy::tls::peer_uri;
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, PKCS_ECDSA_P256_SHA256, SanType, date_time_ymd,
};
use ring::rand::{SecureRandom as _, SystemRandom};
use zeroize::Zeroizing;

use crate::identity::Identity;

/// The key under which passwords are hashed.
pub const HASH_KEY: &str = "hash.key";
/// The one before the last rotation.
pub const PREVIOUS_HASH_KEY: &str = "previous-hash.key";
/// The authorities that pods believe.
pub const CA_CERTIFICATE: &str = "ca.crt";
/// The certificate that pods show.
pub const CERTIFICATE: &str = "tls.crt";
/// Its key.
pub const CERTIFICATE_KEY: &str = "tls.key";

/// Ten years of 365.25 days: a certificate that only a person can renew must outlive the cluster.
const VALIDITY: Duration = Duration::from_secs(3652 * 86_400 + 43_200);
/// By so much a node's clock may be behind the operator's.
const BACKDATED: Duration = Duration::from_secs(3600);

/// What the pods of one BindProxy share. Forgotten when it is dropped.
pub struct ClusterMaterial {
    hash_key: Zeroizing<String>,
    ca_certificate: String,
    certificate: String,
    certificate_key: Zeroizing<String>,
}

/// Why there is no material; nothing was made.
#[derive(Debug, thiserror::Error)]
pub enum ClusterMaterialError {
    /// The system has no random numbers.
    #[error("the system gives no random numbers")]
    Random,
    /// No certificate can begin or end then.
    #[error("the clock shows {0} seconds since 1970, when no certificate can begin")]
    Clock(i64),
    /// A certificate or key cannot be made.
    #[error("the certificate between pods cannot be made")]
    Certificate(#[from] rcgen::Error),
}

impl ClusterMaterial {
    /// New material for the cluster of pods called `cluster_name` ([`Identity::cluster_name`]), valid for ten years
    /// from `now_unix` on. Not pure: keys are random.
    ///
    /// # Errors
    /// When the system gives no random numbers, or its clock is far off.
    pub fn generate(cluster_name: &str, now_unix: i64) -> Result<Self, ClusterMaterialError> {
        let validity = Validity::from(now_unix)?;
        let ca_key = key()?;
        let mut ca = validity.params(&format!("bindproxy cluster authority {now_unix}"));
        ca.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        ca.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let ca_certificate = ca.self_signed(&*ca_key)?.pem();
        let certificate_key = key()?;
        let mut leaf = validity.params("bindproxy cluster member");
        leaf.is_ca = IsCa::ExplicitNoCa;
        leaf.subject_alt_names = vec![SanType::URI(peer_uri(cluster_name).try_into()?)];
        leaf.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        leaf.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        leaf.use_authority_key_identifier_extension = true;
        let certificate = leaf.signed_by(&*certificate_key, &Issuer::from_params(&ca, &*ca_key))?.pem();
        Ok(Self {
            hash_key: hash_key()?,
            ca_certificate,
            certificate,
            certificate_key: Zeroizing::new(certificate_key.serialize_pem()),
        })
    }
}

impl fmt::Debug for ClusterMaterial {
    /// Says nothing of the keys, and certificates are of no use in a log.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClusterMaterial").finish_non_exhaustive()
    }
}

/// The Secret NAME-cluster, to be created and never applied over one that is there. It shows its contents with
/// `{:?}`: never log it.
#[must_use]
pub fn cluster_secret(identity: &Identity, material: ClusterMaterial) -> Secret {
    let ClusterMaterial { mut hash_key, ca_certificate, certificate, mut certificate_key } = material;
    let entry = |name: &str, contents: String| (name.to_owned(), ByteString(contents.into_bytes()));
    Secret {
        metadata: identity.metadata(identity.cluster_secret()),
        type_: Some("Opaque".to_owned()),
        // Or nothing in it could be rotated.
        immutable: Some(false),
        data: Some(BTreeMap::from([
            entry(PREVIOUS_HASH_KEY, hash_key.to_string()),
            entry(HASH_KEY, take(&mut *hash_key)),
            entry(CA_CERTIFICATE, ca_certificate),
            entry(CERTIFICATE, certificate),
            entry(CERTIFICATE_KEY, take(&mut *certificate_key)),
        ])),
        string_data: None,
    }
}

/// When certificates begin and end, in seconds since 1970.
struct Validity {
    begins: Duration,
    ends: Duration,
}

impl Validity {
    /// The last moment that a certificate can name is the end of the year 9999 (RFC 5280 section 4.1.2.5).
    const LAST: Duration = Duration::from_secs(253_402_300_799);

    fn from(now_unix: i64) -> Result<Self, ClusterMaterialError> {
        let now =
            u64::try_from(now_unix).map(Duration::from_secs).map_err(|_| ClusterMaterialError::Clock(now_unix))?;
        let ends = now.saturating_add(VALIDITY);
        if ends > Self::LAST {
            return Err(ClusterMaterialError::Clock(now_unix));
        }
        Ok(Self { begins: now.saturating_sub(BACKDATED), ends })
    }

    fn params(&self, common_name: &str) -> CertificateParams {
        let mut params = CertificateParams::default();
        params.not_before = date_time_ymd(1970, 1, 1) + self.begins;
        params.not_after = date_time_ymd(1970, 1, 1) + self.ends;
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, common_name);
        params
    }
}

fn key() -> Result<Zeroizing<KeyPair>, rcgen::Error> {
    KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map(Zeroizing::new)
}

fn hash_key() -> Result<Zeroizing<String>, ClusterMaterialError> {
    let mut octets = Zeroizing::new([0_u8; 32]);
    SystemRandom::new().fill(&mut *octets).map_err(|_| ClusterMaterialError::Random)?;
    Ok(Zeroizing::new(STANDARD.encode(octets.as_slice())))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use bindproxy::config::HashKey;
    use bindproxy::tls::{
        Identity as Certificate, PeerError, authorities, certificates, check_peer_identity, peer_server_name, peer_tls,
        private_key,
    };
    use k8s_openapi::api::core::v1::Secret;
    use rustls::RootCertStore;
    use rustls::pki_types::UnixTime;

    use super::{ClusterMaterial, ClusterMaterialError, cluster_secret};
    use crate::identity::Identity;
    use crate::reconcile::build::fixture::{json_of, minimal};

    /// 1 January 2026.
    const NOW: i64 = 1_767_225_600;
    const YEAR: i64 = 365 * 86_400;

    fn secret(now_unix: i64) -> Secret {
        let identity = minimal().identity;
        cluster_secret(&identity, ClusterMaterial::generate(&identity.cluster_name(), now_unix).unwrap())
    }

    fn file<'a>(secret: &'a Secret, name: &str) -> &'a [u8] {
        &secret.data.as_ref().unwrap()[name].0
    }

    fn certificate(secret: &Secret) -> Certificate {
        let chain = certificates(file(secret, "tls.crt")).unwrap();
        Certificate::new(chain, private_key(file(secret, "tls.key")).unwrap()).unwrap()
    }

    fn roots(contents: &[u8]) -> Arc<RootCertStore> {
        authorities(certificates(contents).unwrap()).unwrap()
    }

    fn at(unix: i64) -> UnixTime {
        UnixTime::since_unix_epoch(Duration::from_secs(unix.try_into().unwrap()))
    }

    fn check(secret: &Secret, authorities: &[u8], cluster: &str, now: i64) -> Result<(), PeerError> {
        check_peer_identity(&certificate(secret), roots(authorities), cluster, at(now))
    }

    #[test]
    fn two_pods_with_it_shake_hands() {
        #[expect(clippy::disallowed_methods, reason = "rustls asks the real clock in a handshake")]
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
        let secret = secret(now.try_into().unwrap());
        let end = || peer_tls(certificate(&secret), roots(file(&secret, "ca.crt")), "mail/corp").unwrap();
        let mut dialling = rustls::ClientConnection::new(end().client, peer_server_name()).unwrap();
        let mut accepting = rustls::ServerConnection::new(end().server).unwrap();
        for _ in 0..10 {
            let mut wire = Vec::new();
            while dialling.wants_write() {
                dialling.write_tls(&mut wire).unwrap();
            }
            feed(&wire, |octets| {
                accepting.read_tls(octets).unwrap();
                accepting.process_new_packets().unwrap();
            });
            let mut wire = Vec::new();
            while accepting.wants_write() {
                accepting.write_tls(&mut wire).unwrap();
            }
            feed(&wire, |octets| {
                dialling.read_tls(octets).unwrap();
                dialling.process_new_packets().unwrap();
            });
        }
        assert!(!dialling.is_handshaking());
        assert!(!accepting.is_handshaking());
        assert_eq!(accepting.peer_certificates().map(<[_]>::len), Some(1));
    }

    fn feed(mut wire: &[u8], mut read: impl FnMut(&mut &[u8])) {
        while !wire.is_empty() {
            read(&mut wire);
        }
    }

    #[test]
    fn it_lasts_ten_years_and_bears_a_clock_that_is_behind() {
        let secret = secret(NOW);
        let ca = file(&secret, "ca.crt");
        for now in [NOW - 3500, NOW, NOW + 9 * YEAR] {
            assert_eq!(check(&secret, ca, "mail/corp", now), Ok(()));
        }
        assert_eq!(check(&secret, ca, "mail/corp", NOW - 3700), Err(PeerError::NotYetValid));
        assert_eq!(check(&secret, ca, "mail/corp", NOW + 11 * YEAR), Err(PeerError::Expired));
    }

    #[test]
    fn a_pod_of_another_bindproxy_is_not_believed() {
        let (ours, theirs) = (secret(NOW), secret(NOW));
        let ca = file(&ours, "ca.crt");
        assert_eq!(check(&ours, ca, "mail/other", NOW), Err(PeerError::OtherIdentity));
        assert_eq!(check(&theirs, ca, "mail/corp", NOW), Err(PeerError::UnknownAuthority), "of the same name");
    }

    #[test]
    fn with_both_authorities_both_generations_are_believed() {
        let (old, new) = (secret(NOW), secret(NOW + YEAR));
        let both = [file(&new, "ca.crt"), file(&old, "ca.crt")].concat();
        for secret in [&old, &new] {
            assert_eq!(check(secret, &both, "mail/corp", NOW + YEAR), Ok(()));
        }
    }

    #[test]
    fn hashing_keys_are_new_each_time_and_no_rotation_is_under_way() {
        let (one, other) = (secret(NOW), secret(NOW));
        let key = |secret: &Secret, name: &str| HashKey::from_file_contents(file(secret, name)).unwrap();
        assert!(key(&one, "hash.key").equals(&key(&one, "previous-hash.key")));
        assert!(!key(&one, "hash.key").equals(&key(&other, "hash.key")));
    }

    #[test]
    fn the_secret_belongs_to_the_bindproxy_and_holds_no_key_of_an_authority() {
        let secret = secret(NOW);
        let names: Vec<&str> = secret.data.as_ref().unwrap().keys().map(String::as_str).collect();
        assert_eq!(names, ["ca.crt", "hash.key", "previous-hash.key", "tls.crt", "tls.key"]);
        assert!(!String::from_utf8_lossy(file(&secret, "ca.crt")).contains("PRIVATE"));
        assert_eq!(String::from_utf8_lossy(file(&secret, "tls.key")).matches("BEGIN PRIVATE KEY").count(), 1);
        let json = json_of(&secret);
        assert_eq!(json["metadata"]["name"], "corp-cluster");
        assert_eq!(json["metadata"]["ownerReferences"][0]["name"], "corp");
        assert_eq!(json["metadata"]["labels"]["app.kubernetes.io/managed-by"], "bindproxy-operator");
        assert_eq!(json["type"], "Opaque");
        assert_eq!(json["immutable"], false);
    }

    #[test]
    fn the_longest_names_fit() {
        let identity = Identity { namespace: "n".repeat(63), name: "x".repeat(40), uid: "1".to_owned(), generation: 1 };
        let cluster = identity.cluster_name();
        let secret = cluster_secret(&identity, ClusterMaterial::generate(&cluster, NOW).unwrap());
        assert_eq!(check(&secret, file(&secret, "ca.crt"), &cluster, NOW), Ok(()));
    }

    #[test]
    fn nothing_of_it_is_shown() {
        let material = ClusterMaterial::generate("mail/corp", NOW).unwrap();
        assert_eq!(format!("{material:?}"), "ClusterMaterial { .. }");
    }

    #[test]
    fn a_clock_that_is_far_off_is_an_error() {
        for now in [-1, i64::MAX, 253_402_300_799] {
            assert!(
                matches!(ClusterMaterial::generate("mail/corp", now), Err(ClusterMaterialError::Clock(at)) if at == now)
            );
        }
    }
}
