//! Where a run keeps its files, the ports that it uses, and where the programs are.

use std::collections::BTreeSet;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use parking_lot::Mutex;
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, SanType};

/// The directory of one run; its configurations and logs stay there until the next one.
pub struct Yard {
    root: PathBuf,
    programs: PathBuf,
    ports: Mutex<BTreeSet<u16>>,
}

impl Yard {
    /// An empty directory with certificates in it; what an earlier run left there is removed.
    pub fn new(root: &Path) -> Result<Self> {
        if root.exists() {
            fs::remove_dir_all(root).with_context(|| root.display().to_string())?;
        }
        fs::create_dir_all(root).with_context(|| root.display().to_string())?;
        let root = root.canonicalize()?;
        let programs = std::env::current_exe()?.parent().context("a program without a directory")?.to_owned();
        let yard = Self { root, programs, ports: Mutex::default() };
        yard.make_certificates().context("cannot make certificates")?;
        Ok(yard)
    }

    /// A file of this run.
    #[must_use]
    pub fn file(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }

    /// Writes a file of this run.
    pub fn write(&self, name: &str, text: &str) -> Result<PathBuf> {
        let path = self.file(name);
        fs::write(&path, text).with_context(|| path.display().to_string())?;
        Ok(path)
    }

    /// A program that was built together with this one.
    #[must_use]
    pub fn program(&self, name: &str) -> PathBuf {
        self.programs.join(name)
    }

    /// An address on loopback that nobody listens on.
    pub fn address(&self) -> Result<SocketAddr> {
        loop {
            let address = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?;
            if self.ports.lock().insert(address.port()) {
                return Ok(address);
            }
        }
    }

    /// The authority that signed the certificate (PEM).
    #[must_use]
    pub fn authority(&self) -> PathBuf {
        self.file("ca.pem")
    }

    /// A certificate for `localhost` with an EC P-256 key (PEM).
    #[must_use]
    pub fn certificate(&self) -> PathBuf {
        self.file("server.pem")
    }

    /// The key of that certificate (PEM, PKCS#8).
    #[must_use]
    pub fn key(&self) -> PathBuf {
        self.file("server.key")
    }

    /// Certificate and key (PEM) of the members of this cluster.
    pub fn member_of(&self, cluster: &str) -> Result<(PathBuf, PathBuf)> {
        let authority_key = KeyPair::from_pem(&fs::read_to_string(self.file("ca.key"))?)?;
        let key = KeyPair::generate()?;
        let mut member = CertificateParams::default();
        member.subject_alt_names = vec![SanType::URI(format!("bindproxy://{cluster}").try_into()?)];
        let authority = authority()?;
        let certificate = member.signed_by(&key, &Issuer::from_params(&authority, &authority_key))?;
        Ok((self.write("member.pem", &certificate.pem())?, self.write("member.key", &key.serialize_pem())?))
    }

    fn make_certificates(&self) -> Result<()> {
        let authority_key = KeyPair::generate()?;
        let authority = authority()?;
        let certificate = authority.self_signed(&authority_key)?;
        fs::write(self.authority(), certificate.pem())?;
        fs::write(self.file("ca.key"), authority_key.serialize_pem())?;

        let key = KeyPair::generate()?;
        let mut server = CertificateParams::new(vec!["localhost".to_owned(), "127.0.0.1".to_owned()])?;
        server.distinguished_name.push(DnType::CommonName, "localhost");
        let issuer = Issuer::from_params(&authority, &authority_key);
        fs::write(self.certificate(), server.signed_by(&key, &issuer)?.pem())?;
        fs::write(self.key(), key.serialize_pem())?;
        Ok(())
    }
}

fn authority() -> Result<CertificateParams> {
    let mut authority = CertificateParams::new(Vec::new())?;
    authority.distinguished_name.push(DnType::CommonName, "bench authority");
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    Ok(authority)
}
