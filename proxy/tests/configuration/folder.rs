//! A temporary folder with certificates, keys and tokens, good and bad.

use std::fs;
use std::path::Path;

use bindproxy::config::{self, Loaded, Problems};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose, SanType,
};
use tempfile::TempDir;

pub(crate) const HASH_KEY: &str = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlBQkNERUY=\n";

/// A folder that a configuration's relative paths start at.
pub(crate) struct Folder {
    dir: TempDir,
    ca: CertifiedIssuer<'static, KeyPair>,
}

impl Folder {
    /// A folder with `ca.crt`.
    pub(crate) fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, "test authority");
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let ca = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let folder = Self { dir: tempfile::tempdir().unwrap(), ca };
        folder.write("ca.crt", folder.ca.pem());
        folder
    }

    pub(crate) fn path(&self) -> &Path {
        self.dir.path()
    }

    pub(crate) fn write(&self, name: &str, contents: impl AsRef<[u8]>) {
        fs::write(self.path().join(name), contents).unwrap();
    }

    /// Writes `NAME.crt` and `NAME.key`, signed by the authority, for the DNS name `localhost`.
    pub(crate) fn certificate(&self, name: &str) {
        self.certificate_until(name, 2099);
    }

    /// As [`Self::certificate`], valid until the first day of `year`.
    pub(crate) fn certificate_until(&self, name: &str, year: i32) {
        self.certificate_with(name, |params| params.not_after = rcgen::date_time_ymd(year, 1, 1));
    }

    /// As [`Self::certificate`], for the URI of a cluster instead.
    pub(crate) fn member(&self, name: &str, uri: &str) {
        self.certificate_with(name, |params| params.subject_alt_names = vec![SanType::URI(uri.try_into().unwrap())]);
    }

    /// As [`Self::certificate`], with a change.
    pub(crate) fn certificate_with(&self, name: &str, change: impl FnOnce(&mut CertificateParams)) {
        let mut params = CertificateParams::new(vec!["localhost".to_owned(), "127.0.0.1".to_owned()]).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        params.not_after = rcgen::date_time_ymd(2099, 1, 1);
        change(&mut params);
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.ca).unwrap();
        self.write(&format!("{name}.crt"), certificate.pem() + &self.ca.pem());
        self.write(&format!("{name}.key"), key.serialize_pem());
    }

    /// Everything that the good configurations of these tests name.
    pub(crate) fn furnished() -> Self {
        let folder = Self::new();
        folder.certificate("server");
        folder.certificate("client");
        folder.member("member", "bindproxy://mail/corp");
        folder.write("hash.key", HASH_KEY);
        folder.write("previous.key", [7_u8, 8].repeat(16));
        folder.write("admin.token", "0123456789abcdef0123456789abcdef\n");
        folder
    }

    pub(crate) fn load(&self, text: &str) -> Result<Loaded, Problems> {
        config::load_text(text, self.path())
    }

    /// Every problem as a line, with the folder's path as `DIR`.
    pub(crate) fn problems(&self, text: &str) -> Vec<String> {
        match self.load(text) {
            Ok(_) => Vec::new(),
            Err(problems) => problems.0.iter().map(|problem| self.line(problem)).collect(),
        }
    }

    pub(crate) fn line(&self, problem: &impl ToString) -> String {
        problem.to_string().replace(self.path().to_str().unwrap(), "DIR")
    }
}

/// A configuration that uses every field of the contract and is accepted in [`Folder::furnished`].
pub(crate) const FULL: &str = r#"
listeners:
- {name: ldap, address: "127.0.0.1:3389"}
- {name: starttls, address: "127.0.0.1:3390", tls: StartTLS}
- {name: ldaps, address: "[::]:3636", tls: LDAPS}
- {name: local, socket: run/ldapi, mode: "0660"}
- {name: lb, address: "0.0.0.0:3391", proxyProtocol: {mode: V2, trustedCIDRs: ["10.0.0.0/8", "2001:db8::/32"]}}
serverTLS: {certificateFile: server.crt, keyFile: server.key, clientCAFile: ca.crt, clientCertificate: Optional}
upstreams:
- name: dc1
  host: dc1.corp.example
  port: 636
  priority: 0
  weight: 1
  tls: {mode: LDAPS, caFile: ca.crt, serverName: localhost, minVersion: TLSv1.3, certificateFile: client.crt, keyFile: client.key}
- {name: dc2, host: 10.1.2.3, port: 389, tls: {mode: Disabled}, insecureAllowCleartext: true}
- {name: dc3, host: dc3.corp.example, tls: {mode: StartTLS, caFile: ca.crt}, weight: 0, priority: 2}
- {name: here, socket: /run/slapd/ldapi}
upstreamPolicy: {strategy: LeastConnections, connectTimeoutSeconds: 3, requestTimeoutSeconds: 10, maxConnections: 64,
                 idleTimeoutSeconds: 600, healthCheck: {intervalSeconds: 5, failureThreshold: 3, successThreshold: 2}}
cache:
  ttlSeconds: 900
  maxTTLSeconds: 86400
  firstTTLSeconds: 10
  maxEntries: 1000000
  keyFile: hash.key
  previousKeyFile: previous.key
  answerDelayMilliseconds: 5
  foldNames: false
  verdicts:
    preset: activeDirectory
    rules:
    - {code: 49, diagnosticContains: "data 52e", action: Cache}
    - {code: 49, diagnostic: "locked", action: Ignore}
    - {code: 53, action: CacheShort}
  requestPasswordPolicy: Never
  rejectUnauthenticated: true
limits: {maxConnections: 10000, maxConnectionsPerClient: 9, maxMessageBytes: 1048576, maxPipelinedRequests: 64, idleTimeoutSeconds: 0,
         handshakeTimeoutSeconds: 10, maxConnectionAgeSeconds: 0}
drain: {timeoutSeconds: 25}
admin: {address: "127.0.0.1:9390", tokenFile: admin.token}
logging: {level: debug, redactNames: false}
cluster: {name: mail/corp, address: "10.0.0.7:7946", nodeName: corp-0, discovery: {static: ["10.0.0.7:7946", "corp-1.example:7946"]},
          certificateFile: member.crt, keyFile: member.key, caFile: ca.crt, coordination: Strict}
"#;
