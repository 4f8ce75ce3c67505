//! The contents of the files that a configuration names: keys, certificates, tokens.

use std::cell::LazyCell;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use zeroize::Zeroizing;

use super::named_files::{self, read_bounded};
use super::problem::Report;
use super::rules;
use super::secret::{AdminToken, HashKey};
use super::{ClientCertificate, Cluster, Config, ServerTls, Upstream, UpstreamTlsMode};
use crate::tls::{self, Identity, MaterialError, PeerError, PeerTls};

/// Everything that a run needs beyond the configuration's own fields.
#[derive(Default)]
pub struct Material {
    /// For LDAPS and StartTLS listeners; present when `serverTLS` is.
    pub server_tls: Option<Arc<rustls::ServerConfig>>,
    /// By upstream name; present for every upstream whose `tls.mode` is not `Disabled`.
    pub upstream_tls: BTreeMap<String, Arc<rustls::ClientConfig>>,
    /// For connections between members; present when `cluster` is.
    pub cluster: Option<PeerTls>,
    /// The key of the cache's digests; absent = make a random one.
    pub hash_key: Option<HashKey>,
    /// The key before the last rotation.
    pub previous_hash_key: Option<HashKey>,
    /// The bearer token of the admin API; absent = only loopback is answered.
    pub admin_token: Option<AdminToken>,
    /// When which certificate ends.
    pub certificates: Vec<CertificateExpiry>,
    /// Every file whose change calls for a reload, with absolute paths.
    pub files: Vec<PathBuf>,
}

/// When a certificate ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateExpiry {
    /// `server`, `client-ca`, `upstream-ca/NAME`, `upstream-client/NAME`, `cluster` or `cluster-ca`.
    pub role: String,
    /// Seconds since 1970. Of several certificates in one file (a chain, a bundle) the earliest
    /// end for a chain, the latest for a bundle of authorities: a bundle serves while one does.
    pub not_after_unix: i64,
}

/// What is read besides the files that the configuration names.
pub(crate) struct Surroundings {
    /// The wall clock, in seconds since 1970.
    pub(crate) now_unix: i64,
    /// The system's authorities, for upstreams without `caFile`; a hundred and more, so only read
    /// when there is such an upstream.
    pub(crate) system_roots: LazyCell<Result<Arc<RootCertStore>, MaterialError>>,
}

/// Warn this long before a certificate ends.
const EXPIRY_NOTICE_SECONDS: i64 = 14 * 86_400;

/// A token that is shorter can be guessed over the network.
const SHORT_TOKEN_BYTES: usize = 16;

/// Reads everything that `config` (with absolute paths) names; what is wrong goes to `report`.
pub(crate) fn load(config: &Config, surroundings: &Surroundings, report: &mut Report) -> Material {
    let mut loading = Loading { surroundings, report, certificates: Vec::new() };
    let server_tls = config.server_tls.as_ref().and_then(|tls| loading.server(tls));
    let mut upstream_tls = BTreeMap::new();
    for (index, upstream) in config.upstreams.iter().enumerate() {
        if let Some(client) = loading.upstream(index, upstream) {
            upstream_tls.insert(upstream.name.clone(), client);
        }
    }
    let hash_key = loading.hash_key("cache.keyFile", config.cache.key_file.as_deref());
    // The same key in both is no rotation. It lets both files be named for ever, and a rotation be no
    // change of the configuration but of two files.
    let previous_hash_key = loading
        .hash_key("cache.previousKeyFile", config.cache.previous_key_file.as_deref())
        .filter(|previous| !hash_key.as_ref().is_some_and(|key| key.equals(previous)));
    let admin_token = loading.admin_token(config.admin.token_file.as_deref());
    let cluster = config.cluster.as_ref().and_then(|cluster| loading.cluster(cluster));
    let certificates = loading.certificates;
    let files = named_files::contents(config);
    Material { server_tls, upstream_tls, cluster, hash_key, previous_hash_key, admin_token, certificates, files }
}

struct Loading<'a> {
    surroundings: &'a Surroundings,
    report: &'a mut Report,
    certificates: Vec<CertificateExpiry>,
}

impl Loading<'_> {
    fn server(&mut self, tls: &ServerTls) -> Option<Arc<rustls::ServerConfig>> {
        let identity = self.identity(
            ("serverTLS.certificateFile", &tls.certificate_file),
            ("serverTLS.keyFile", &tls.key_file),
            "server",
        );
        let authorities = tls
            .client_ca_file
            .as_deref()
            .and_then(|file| self.authorities("serverTLS.clientCAFile", file, "client-ca"));
        let clients = match (tls.client_certificate, authorities) {
            (ClientCertificate::None, _) => tls::ClientAuthentication::None,
            (ClientCertificate::Optional, Some(roots)) => tls::ClientAuthentication::Optional(roots),
            (ClientCertificate::Required, Some(roots)) => tls::ClientAuthentication::Required(roots),
            // Without authorities there is a problem already; a weaker configuration is never made.
            (ClientCertificate::Optional | ClientCertificate::Required, None) => return None,
        };
        match tls::server_config(identity?, clients) {
            Ok(config) => Some(config),
            Err(error) => {
                self.report.problem("serverTLS", &[], error.to_string(), error.remedy());
                None
            }
        }
    }

    fn upstream(&mut self, index: usize, upstream: &Upstream) -> Option<Arc<rustls::ClientConfig>> {
        if upstream.tls.mode == UpstreamTlsMode::Disabled {
            return None;
        }
        let path = format!("upstreams[{index}].tls");
        let (ca_path, certificate_path, key_path) =
            (format!("{path}.caFile"), format!("{path}.certificateFile"), format!("{path}.keyFile"));
        let roots = match &upstream.tls.ca_file {
            Some(file) => self.authorities(&ca_path, file, &format!("upstream-ca/{}", upstream.name)),
            None => match &*self.surroundings.system_roots {
                Ok(roots) => Some(Arc::clone(roots)),
                Err(error) => {
                    self.report.problem(
                        ca_path,
                        &[],
                        format!("the field is absent and the system has no authorities: {error}"),
                        "write the path of a PEM file with the authority that signed the server's certificate",
                    );
                    None
                }
            },
        };
        let identity = match (&upstream.tls.certificate_file, &upstream.tls.key_file) {
            (Some(certificate), Some(key)) => {
                let role = format!("upstream-client/{}", upstream.name);
                Some(self.identity((&certificate_path, certificate), (&key_path, key), &role)?)
            }
            // One without the other is reported by the rules.
            (None, None) | (Some(_), None) | (None, Some(_)) => None,
        };
        match tls::client_config(roots?, upstream.tls.min_version, identity) {
            Ok(config) => Some(config),
            Err(error) => {
                self.report.problem(path, &[], error.to_string(), error.remedy());
                None
            }
        }
    }

    fn cluster(&mut self, cluster: &Cluster) -> Option<PeerTls> {
        let path = "cluster.certificateFile";
        let identity =
            self.identity((path, &cluster.certificate_file), ("cluster.keyFile", &cluster.key_file), "cluster");
        let roots = self.authorities("cluster.caFile", &cluster.ca_file, "cluster-ca");
        let (identity, roots) = (identity?, roots?);
        if !rules::is_cluster_name(&cluster.name) {
            // No certificate could carry it; the rules have said so.
            return None;
        }
        let now = identity.moment_of_validity(self.surroundings.now_unix);
        match tls::check_peer_identity(&identity, Arc::clone(&roots), &cluster.name, now) {
            // What has ended, or has not begun, is warned about as any other certificate's end is.
            Ok(()) | Err(PeerError::Expired | PeerError::NotYetValid) => {}
            Err(error) => {
                let remedy = match error {
                    PeerError::OtherIdentity => {
                        let uri = tls::peer_uri(&cluster.name);
                        format!("make one with the subject alternative name `URI:{uri}`")
                    }
                    PeerError::UnknownAuthority => "write the file of the authority that signed it as caFile".into(),
                    PeerError::OtherPurpose => {
                        "make one with both serverAuth and clientAuth as extended key usage, or without any".into()
                    }
                    _ => "replace it; check it with `openssl x509 -in FILE -noout -text`".into(),
                };
                let because = ["cluster.name", "cluster.caFile"];
                self.report.problem(path, &because, format!("other members would refuse it: {error}"), remedy);
                return None;
            }
        }
        match tls::peer_tls(identity, roots, &cluster.name) {
            Ok(peer) => Some(peer),
            Err(error) => {
                self.report.problem("cluster", &[], error.to_string(), "check the certificate and the key");
                None
            }
        }
    }

    /// Reads a certificate chain and its key, and makes sure that they belong together.
    fn identity(&mut self, certificate: (&str, &Path), key: (&str, &Path), role: &str) -> Option<Identity> {
        let chain = self.parsed(certificate, tls::certificates);
        let key = (key.0, self.parsed(key, tls::private_key));
        if let Some(chain) = &chain {
            self.expiry(certificate.0, role, chain, Iterator::min);
        }
        let (key_path, Some(key)) = key else { return None };
        match Identity::new(chain?, key) {
            Ok(identity) => Some(identity),
            Err(error) => {
                let path = match error {
                    MaterialError::BadCertificate { .. } => certificate.0,
                    // The key is the file that is usually forgotten when a certificate is renewed.
                    _ => key_path,
                };
                self.report.problem(path, &[certificate.0], error.to_string(), error.remedy());
                None
            }
        }
    }

    fn authorities(&mut self, path: &str, file: &Path, role: &str) -> Option<Arc<RootCertStore>> {
        let certificates = self.parsed((path, file), tls::certificates)?;
        self.expiry(path, role, &certificates, Iterator::max);
        match tls::authorities(certificates) {
            Ok(roots) => Some(roots),
            Err(error) => {
                self.report.problem(path, &[], format!("{}: {error}", file.display()), error.remedy());
                None
            }
        }
    }

    fn parsed<T>(
        &mut self,
        (path, file): (&str, &Path),
        parse: impl FnOnce(&[u8]) -> Result<T, MaterialError>,
    ) -> Option<T> {
        let contents = self.contents(path, file)?;
        match parse(&contents) {
            Ok(value) => Some(value),
            Err(error) => {
                self.report.problem(path, &[], format!("{}: {error}", file.display()), error.remedy());
                None
            }
        }
    }

    fn contents(&mut self, path: &str, file: &Path) -> Option<Zeroizing<Vec<u8>>> {
        if file.as_os_str().is_empty() {
            self.report.problem(path, &[], "the path is empty", "write the path of a file");
            return None;
        }
        if file.as_os_str().as_encoded_bytes().contains(&b'\n') {
            // Not repeated: it may be a private key.
            self.report.problem(
                path,
                &[],
                "these are lines, not a path",
                "put them into a file and write the file's path",
            );
            return None;
        }
        match read_bounded(file) {
            Ok(contents) => Some(Zeroizing::new(contents)),
            Err(error) => {
                let cause = match error.kind() {
                    std::io::ErrorKind::NotFound => format!("there is no file {}", file.display()),
                    std::io::ErrorKind::PermissionDenied => format!("{} may not be read by this user", file.display()),
                    _ => format!("{} cannot be read: {error}", file.display()),
                };
                let remedy = "write the path of a file that exists and can be read; a relative path starts at the configuration file's folder";
                self.report.problem(path, &[], cause, remedy);
                None
            }
        }
    }

    /// Notes when the certificates end and warns about those that have or soon will.
    fn expiry(
        &mut self,
        path: &str,
        role: &str,
        certificates: &[CertificateDer<'static>],
        decisive: impl FnOnce(std::vec::IntoIter<i64>) -> Option<i64>,
    ) {
        let now = self.surroundings.now_unix;
        let mut ends = Vec::new();
        for certificate in certificates {
            // What cannot be parsed is reported by whoever uses it.
            if let Ok(validity) = tls::validity(certificate) {
                ends.push(validity.not_after_unix);
                if validity.not_before_unix > now {
                    self.report.warning(
                        path,
                        &[],
                        format!(
                            "the certificate of {} is valid only from {} on",
                            validity.subject, validity.not_before
                        ),
                        "check this host's clock, or renew the certificate",
                    );
                }
                let left = validity.not_after_unix.saturating_sub(now);
                if left < 0 {
                    self.report.warning(
                        path,
                        &[],
                        format!("the certificate of {} expired at {}", validity.subject, validity.not_after),
                        "renew it; the file is read again when it changes",
                    );
                } else if left < EXPIRY_NOTICE_SECONDS {
                    self.report.warning(
                        path,
                        &[],
                        format!("the certificate of {} expires at {}", validity.subject, validity.not_after),
                        "renew it; the file is read again when it changes",
                    );
                }
            }
        }
        if let Some(not_after_unix) = decisive(ends.into_iter()) {
            self.certificates.push(CertificateExpiry { role: role.to_owned(), not_after_unix });
        }
    }

    fn hash_key(&mut self, path: &str, file: Option<&Path>) -> Option<HashKey> {
        let file = file?;
        let remedy = "make one with `head -c 32 /dev/urandom | base64`";
        if ends_with_a_key(file) && !file.exists() {
            // The value must not be repeated: it is the secret.
            self.report.problem(
                path,
                &[],
                "this looks like the key itself",
                "put it into a file and write the file's path",
            );
            return None;
        }
        let contents = self.contents(path, file)?;
        match HashKey::from_file_contents(&contents) {
            Ok(key) => Some(key),
            Err(error) => {
                self.report.problem(path, &[], format!("{}: {error}", file.display()), remedy);
                None
            }
        }
    }

    fn admin_token(&mut self, file: Option<&Path>) -> Option<AdminToken> {
        let path = "admin.tokenFile";
        let file = file?;
        let contents = self.contents(path, file)?;
        let remedy = "write one random word, as from `openssl rand -hex 32`";
        match AdminToken::from_file_contents(&contents) {
            Ok(token) => {
                if contents.trim_ascii().len() < SHORT_TOKEN_BYTES {
                    let cause = format!("{}: it is shorter than {SHORT_TOKEN_BYTES} characters", file.display());
                    self.report.warning(path, &[], cause, remedy);
                }
                Some(token)
            }
            Err(error) => {
                self.report.problem(path, &[], format!("{}: {error}", file.display()), remedy);
                None
            }
        }
    }
}

/// Whether somebody wrote a key where the path of its file belongs. Base64 has slashes, so the
/// key may look like several components; a relative one has the folder in front.
fn ends_with_a_key(file: &Path) -> bool {
    let path = file.as_os_str().as_encoded_bytes();
    [44, 43].into_iter().any(|length| {
        path.len()
            .checked_sub(length)
            .and_then(|start| path.get(start..))
            .is_some_and(|end| HashKey::from_file_contents(end).is_ok())
    })
}
