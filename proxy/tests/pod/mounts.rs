//! ConfigMaps and Secrets, replaced as the kubelet does it: a new folder beside the old one, and one rename of a
//! symbolic link.

use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use bindproxy::admin::PodStatus;
use bindproxy::admin::pod_status::UpstreamReason;
use bindproxy::config;
use bindproxy::demo::client::Client;
use bindproxy::directory::{Directory, Options};
use bindproxy::server::Server;

use super::pod::{Authority, Folder, Pair, eventually, program, start, status};

/// From the swap to what serves.
const WITHIN: Duration = Duration::from_secs(8);

/// A volume of a pod.
struct Mount {
    root: PathBuf,
    generation: u32,
}

impl Mount {
    fn new(folder: &Folder, name: &str, files: &[(&str, &str)]) -> Self {
        let root = folder.path(name);
        fs::create_dir(&root).unwrap();
        let mut mount = Self { root, generation: 0 };
        mount.swap(files);
        for (file, _) in files {
            symlink(format!("..data/{file}"), mount.root.join(file)).unwrap();
        }
        mount
    }

    /// Replaces all files in one step.
    fn swap(&mut self, files: &[(&str, &str)]) {
        let former = self.generation;
        self.generation += 1;
        let folder = format!("..2026_11_21_20_00_{:02}", self.generation);
        fs::create_dir(self.root.join(&folder)).unwrap();
        for (file, contents) in files {
            fs::write(self.root.join(&folder).join(file), contents).unwrap();
        }
        self.point_to(&folder);
        let former = self.root.join(format!("..2026_11_21_20_00_{former:02}"));
        if former.exists() {
            fs::remove_dir_all(former).unwrap();
        }
    }

    fn point_to(&self, folder: &str) {
        symlink(folder, self.root.join("..data_tmp")).unwrap();
        fs::rename(self.root.join("..data_tmp"), self.root.join("..data")).unwrap();
    }

    fn present(&self) -> String {
        format!("..2026_11_21_20_00_{:02}", self.generation)
    }
}

/// Waits until the process at `admin` says what is waited for.
fn told(admin: SocketAddr, what: &str, holds: impl Fn(&PodStatus) -> bool) -> PodStatus {
    let since = Instant::now();
    let found = eventually(what, || Some(status(admin)).filter(|told| holds(told)));
    assert!(since.elapsed() < WITHIN, "{what}: {:?}", since.elapsed());
    found
}

fn server_end(told: &PodStatus) -> &str {
    let server = told.certificates.iter().find(|certificate| certificate.role == "server");
    &server.expect("a server's certificate").not_after
}

#[test]
fn what_the_kubelet_swaps_serves_within_seconds() {
    let (old, new) = (Authority::new(), Authority::new());
    let folder = Folder::new();
    let directory = Directory::start_on_thread(Options {
        listen_ldaps: Some(SocketAddr::from(([127, 0, 0, 1], 0))),
        tls: Some(new.server().server_config()),
        ..Options::default()
    })
    .unwrap();
    let configuration = |ttl: u32| {
        format!(
            "listeners: [{{name: ldap, address: '127.0.0.1:0', tls: StartTLS}}]\nadmin: {{address: '127.0.0.1:0'}}\n\
             serverTLS: {{certificateFile: ../server-tls/tls.crt, keyFile: ../server-tls/tls.key}}\n\
             upstreams: [{{name: dc1, host: localhost, port: {}, tls: {{mode: LDAPS, caFile: ../upstream-ca/dc1/ca.crt}}}}]\n\
             upstreamPolicy: {{healthCheck: {{intervalSeconds: 1, failureThreshold: 1, successThreshold: 1}}}}\n\
             cache: {{ttlSeconds: {ttl}}}\n",
            directory.ldaps_addr().unwrap().port()
        )
    };
    let pair = |year| old.server_until(year);
    let files = |pair: &Pair| [("tls.crt", pair.certificate.clone()), ("tls.key", pair.key.clone())];
    let first = files(&pair(2090));
    let mut config = Mount::new(&folder, "config", &[("bindproxy.yaml", &configuration(60))]);
    let mut server_tls =
        Mount::new(&folder, "server-tls", &first.each_ref().map(|(name, text)| (*name, text.as_str())));
    fs::create_dir(folder.path("upstream-ca")).unwrap();
    let mut ca = Mount::new(&folder, "upstream-ca/dc1", &[("ca.crt", &old.pem())]);

    let server = start(&folder.path("config/bindproxy.yaml"));
    let (admin, ldap) = (server.admin_address(), server.addresses()[0].1);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let mut client = runtime.block_on(Client::connect(ldap)).unwrap();
    let at_first = told(admin, "the old authority is not the directory's", |told| {
        told.upstreams[0].reason == UpstreamReason::TLSVerifyFailed
    });
    assert_eq!(server_end(&at_first), "2090-01-01T00:00:00Z");

    ca.swap(&[("ca.crt", &new.pem())]);
    let trusted = told(admin, "the new authority is", |told| told.upstreams[0].up);
    assert_eq!(trusted.config_hash, at_first.config_hash, "contents of named files are no part of it");

    config.swap(&[("bindproxy.yaml", &configuration(61))]);
    let changed = told(admin, "the configuration is the new one", |told| told.config_hash != at_first.config_hash);
    assert_eq!(changed.config_error, None);

    let second = files(&pair(2091));
    server_tls.swap(&second.each_ref().map(|(name, text)| (*name, text.as_str())));
    let renewed =
        told(admin, "certificate and key are the new ones", |told| server_end(told) == "2091-01-01T00:00:00Z");
    assert_eq!(renewed.config_error, None);
    folder.write("old-ca.crt", old.pem());
    let place = format!("localhost:{}", ldap.port());
    let shaken =
        program().args(["probe", "--starttls", "--ldap", &place, "--ca"]).arg(folder.path("old-ca.crt")).output();
    assert!(shaken.unwrap().status.success());

    server_tls.point_to("..nowhere");
    let refused = told(admin, "what is missing is told", |told| told.config_error.is_some());
    let cause = refused.config_error.clone().unwrap();
    assert!(cause.contains("serverTLS.certificateFile: ") && cause.contains("server-tls/tls.crt"), "{cause}");
    assert_eq!((refused.ready, server_end(&refused)), (true, "2091-01-01T00:00:00Z"));
    server_tls.point_to(&server_tls.present());
    told(admin, "it is back", |told| told.config_error.is_none());

    config.swap(&[("bindproxy.yaml", "listeners: []\n")]);
    let refused = told(admin, "a bad configuration is refused", |told| told.config_error.is_some());
    assert_eq!((refused.ready, &refused.config_hash), (true, &changed.config_hash));
    config.swap(&[("bindproxy.yaml", &configuration(61))]);
    told(admin, "the one before is good again", |told| told.config_error.is_none());

    // The connection of before is still served.
    let (code, _) = runtime.block_on(client.bind("", "")).unwrap();
    assert_eq!(code, 0);
    drop(client);
    assert!(server.drain(Duration::from_secs(2)));
}

#[test]
fn a_swap_while_the_process_starts_is_not_missed() {
    let folder = Folder::new();
    let configuration = |ttl: u32| {
        format!(
            "listeners: [{{name: ldap, address: '127.0.0.1:0'}}]\nadmin: {{address: '127.0.0.1:0'}}\n\
             upstreams: [{{name: dc1, host: 127.0.0.1, tls: {{mode: Disabled}}}}]\ncache: {{ttlSeconds: {ttl}}}\n"
        )
    };
    let mut config = Mount::new(&folder, "config", &[("bindproxy.yaml", &configuration(60))]);
    let path = folder.path("config/bindproxy.yaml");
    let loaded = config::load(&path).unwrap();
    config.swap(&[("bindproxy.yaml", &configuration(61))]);
    let wanted = config::load(&path).unwrap().hash.to_string();
    let server = Server::start(&loaded, &path, 1, None).unwrap();
    assert_ne!(loaded.hash.to_string(), wanted);
    told(server.admin_address(), "the later one serves", |told| told.config_hash == wanted);
    assert!(server.drain(Duration::from_secs(2)));
}
