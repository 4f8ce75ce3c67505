//! A certificate authority for one test, and certificates signed by it.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
    SanType,
};

/// An authority whose files lie in one directory.
#[derive(Debug)]
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    directory: PathBuf,
    /// PEM file with the authority's certificate.
    pub ca_file: PathBuf,
}

/// A certificate and its key, as PEM files.
#[derive(Clone, Debug)]
pub struct Identity {
    /// The certificate.
    pub certificate_file: PathBuf,
    /// The private key (PKCS #8).
    pub key_file: PathBuf,
}

impl Authority {
    /// Makes an authority; its certificate becomes `ca.pem` in `directory`.
    #[must_use]
    pub fn new(directory: &Path) -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        params.distinguished_name.push(DnType::CommonName, "bindproxy tests authority");
        let key = KeyPair::generate().expect("generate a key");
        let certificate = params.self_signed(&key).expect("sign the authority's certificate");
        std::fs::create_dir_all(directory).expect("make the certificates' directory");
        let ca_file = directory.join("ca.pem");
        std::fs::write(&ca_file, certificate.pem()).expect("write ca.pem");
        Self { issuer: Issuer::new(params, key), directory: directory.to_owned(), ca_file }
    }

    /// A certificate for `localhost`, 127.0.0.1 and `names`, in files named after `stem`.
    #[must_use]
    pub fn server(&self, stem: &str, names: &[&str]) -> Identity {
        self.sign(stem, &server(names))
    }

    /// [`Authority::server`] whose time is over after `left`.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "certificates end by the clock on the wall")]
    pub fn server_for(&self, stem: &str, names: &[&str], left: Duration) -> Identity {
        let mut params = server(names);
        params.not_after = (SystemTime::now() + left).into();
        self.sign(stem, &params)
    }

    /// A certificate whose subject is `CN=name`, in files named after `stem`.
    #[must_use]
    pub fn client(&self, stem: &str, name: &str) -> Identity {
        let mut params = CertificateParams::default();
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, name);
        self.sign(stem, &params)
    }

    /// A certificate of a member of the cluster `cluster`: the URI SAN `bindproxy://CLUSTER`, for
    /// both sides of a connection.
    #[must_use]
    pub fn member(&self, stem: &str, cluster: &str) -> Identity {
        self.sign(stem, &member(cluster))
    }

    /// [`Authority::member`] whose time is over.
    #[must_use]
    pub fn expired_member(&self, stem: &str, cluster: &str) -> Identity {
        let mut params = member(cluster);
        params.not_before = rcgen::date_time_ymd(2020, 1, 1);
        params.not_after = rcgen::date_time_ymd(2021, 1, 1);
        self.sign(stem, &params)
    }

    fn sign(&self, stem: &str, params: &CertificateParams) -> Identity {
        let key = KeyPair::generate().expect("generate a key");
        let certificate = params.signed_by(&key, &self.issuer).expect("sign a certificate");
        let identity = Identity {
            certificate_file: self.directory.join(format!("{stem}.pem")),
            key_file: self.directory.join(format!("{stem}-key.pem")),
        };
        std::fs::write(&identity.certificate_file, certificate.pem()).expect("write a certificate");
        std::fs::write(&identity.key_file, key.serialize_pem()).expect("write a key");
        identity
    }
}

fn server(names: &[&str]) -> CertificateParams {
    let mut all = vec!["localhost".to_owned(), "127.0.0.1".to_owned()];
    all.extend(names.iter().map(|&name| name.to_owned()));
    let mut params = CertificateParams::new(all).expect("names that a certificate can carry");
    params.distinguished_name.push(DnType::CommonName, "localhost");
    params
}

fn member(cluster: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    let name = format!("bindproxy://{cluster}").try_into().expect("a URI in ASCII");
    params.subject_alt_names = vec![SanType::URI(name)];
    params.distinguished_name.push(DnType::CommonName, "a member");
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
    params
}
