//! What `deploy/` ships is accepted and fits the program.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use bindproxy::config::{self, Config, Drain, Limits, Peers};
use tempfile::TempDir;

use crate::folder::Folder;

fn deploy() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy")
}

/// The files that the examples name, beside a copy of the example.
fn furnished() -> Folder {
    let folder = Folder::furnished();
    let ca = fs::read(folder.path().join("ca.crt")).unwrap();
    for name in ["ldap-ca.crt", "ds-ca.crt", "ad-ca.crt", "ipa-ca.crt"] {
        folder.write(name, &ca);
    }
    folder
}

#[test]
fn every_example_is_accepted_without_a_warning() {
    let folder = furnished();
    let mut seen = Vec::new();
    for entry in fs::read_dir(deploy().join("examples")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "yaml") {
            continue;
        }
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        folder.write(&name, fs::read(&path).unwrap());
        let loaded = config::load(&folder.path().join(&name)).unwrap_or_else(|problems| panic!("{name}:\n{problems}"));
        assert_eq!(loaded.warnings, [], "{name}");
        assert_eq!(loaded.material.files[0], folder.path().join(&name));
        seen.push(name);
    }
    seen.sort();
    let expected =
        ["389ds.yaml", "active-directory.yaml", "freeipa.yaml", "minimal.yaml", "openldap.yaml", "sidecar.yaml"];
    assert_eq!(seen, expected);
}

#[test]
fn the_sidecar_is_for_its_own_pod() {
    let text = fs::read_to_string(deploy().join("examples/sidecar.yaml")).unwrap();
    let config = furnished().load(&text).unwrap().config;
    assert!(config.listeners.iter().all(|listener| listener.address.unwrap().ip().is_loopback()));
    assert_eq!(config.admin.address.to_string(), "0.0.0.0:9390");
    assert_eq!((config.cluster, config.cache.key_file, config.admin.token_file), (None, None, None));
}

#[test]
fn the_examples_show_the_preset_of_their_directory() {
    let folder = furnished();
    for (name, preset) in [
        ("openldap", config::VerdictPreset::OpenLdap),
        ("389ds", config::VerdictPreset::DirectoryServer389),
        ("active-directory", config::VerdictPreset::ActiveDirectory),
        ("freeipa", config::VerdictPreset::FreeIpa),
        ("minimal", config::VerdictPreset::Auto),
    ] {
        let text = fs::read_to_string(deploy().join(format!("examples/{name}.yaml"))).unwrap();
        assert_eq!(folder.load(&text).unwrap().config.cache.verdicts.preset, preset, "{name}");
    }
}

/// The script of the cluster's example, in `folder`, which has its configurations.
fn certificates(folder: &Path, arguments: &[&str]) -> String {
    let script = deploy().join("examples/cluster/certificates.sh");
    let output = Command::new("bash").arg(script).args(arguments).arg(folder).output().unwrap();
    String::from_utf8(if output.status.success() { output.stdout } else { output.stderr }).unwrap()
}

fn cluster() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for name in MEMBERS {
        let file = format!("{name}.yaml");
        fs::copy(deploy().join("examples/cluster").join(&file), folder.path().join(&file)).unwrap();
    }
    folder
}

fn member(folder: &TempDir, name: &str) -> config::Loaded {
    let loaded = config::load(&folder.path().join(format!("{name}.yaml")));
    loaded.unwrap_or_else(|problems| panic!("{name}:\n{problems}"))
}

const MEMBERS: [&str; 3] = ["node-0", "node-1", "node-2"];

#[test]
fn three_members_on_one_machine_are_accepted_once_the_script_has_run() {
    let folder = cluster();
    let problems = config::load(&folder.path().join("node-0.yaml")).unwrap_err();
    assert!(problems.to_string().contains("cluster.certificateFile: there is no file"), "{problems}");
    let said = certificates(folder.path(), &[]);
    assert!(
        said.contains("made ca.crt") && said.contains("made node-2.crt") && said.contains("made hash.key"),
        "{said}"
    );
    let mut addresses = Vec::new();
    let mut places = Vec::new();
    for name in MEMBERS {
        let loaded = member(&folder, name);
        assert_eq!(loaded.warnings, [], "{name}");
        let cluster = loaded.config.cluster.unwrap();
        assert_eq!(cluster.effective_node_name(), name);
        let Some(Peers::Static(peers)) = cluster.peers() else { panic!("{name} lists its peers") };
        addresses.push(cluster.address.to_string());
        places.extend([cluster.address, loaded.config.admin.address, loaded.config.listeners[0].address.unwrap()]);
        assert_eq!(
            peers.iter().map(ToString::to_string).collect::<Vec<_>>(),
            [7946, 7947, 7948].map(|port| format!("127.0.0.1:{port}"))
        );
    }
    assert_eq!(addresses, ["127.0.0.1:7946", "127.0.0.1:7947", "127.0.0.1:7948"]);
    places.sort();
    places.dedup();
    assert_eq!(places.len(), 9, "each has addresses of its own");
    assert_eq!(certificates(folder.path(), &[]), "", "what is there stays");
}

#[test]
fn the_authority_is_rotated_step_by_step() {
    let folder = cluster();
    certificates(folder.path(), &[]);
    let file = |name: &str| fs::read_to_string(folder.path().join(name)).unwrap();
    let (old_authority, old_key) = (file("ca.crt"), file("hash.key"));
    certificates(folder.path(), &["--rotate-ca"]);
    assert_eq!(file("ca.crt").matches("BEGIN CERTIFICATE").count(), 2);
    assert!(file("ca.crt").contains(&old_authority));
    member(&folder, "node-0");
    let both = file("ca.crt");
    let refused = certificates(folder.path(), &["--rotate-ca"]);
    assert!(refused.contains("finish that rotation first"), "{refused}");
    assert_eq!(file("ca.crt"), both);
    for name in MEMBERS {
        fs::remove_file(folder.path().join(format!("{name}.crt"))).unwrap();
    }
    certificates(folder.path(), &[]);
    member(&folder, "node-0");
    fs::copy(folder.path().join("authority/ca.crt"), folder.path().join("ca.crt")).unwrap();
    assert_eq!(file("ca.crt").matches("BEGIN CERTIFICATE").count(), 1);
    assert!(file("ca.crt") != old_authority && file("hash.key") == old_key);
    for name in MEMBERS {
        assert_eq!(member(&folder, name).warnings, [], "{name}");
    }
}

#[test]
fn the_schema_is_current() {
    let path = deploy().join("bindproxy.schema.json");
    let current = config::schema_text();
    if fs::read_to_string(&path).ok().as_deref() != Some(current.as_str()) {
        fs::write(&path, current).unwrap();
        panic!(
            "deploy/bindproxy.schema.json was stale and has been rewritten; look at it, commit it, and run \
             `cargo test -p bindproxy --test configuration the_schema_is_current` again"
        );
    }
}

/// The number behind `NAME=` in the systemd unit.
fn unit_setting(name: &str) -> u32 {
    let unit = fs::read_to_string(deploy().join("bindproxy.service")).unwrap();
    let line = unit.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('=')).unwrap();
    line.parse().unwrap()
}

#[test]
fn the_systemd_unit_leaves_room_for_the_defaults() {
    assert!(unit_setting("TimeoutStopSec") > Drain::default().timeout_seconds.0);
    assert!(unit_setting("LimitNOFILE") > 2 * Limits::default().max_connections);
}

#[test]
fn what_is_watched_includes_files_that_are_missing() {
    let folder = Folder::new();
    folder.write("c.yaml", "listeners: oops\nupstreams: []\ncache: {keyFile: missing.key}\n");
    let path = folder.path().join("c.yaml");
    assert!(config::load(&path).is_err());
    assert_eq!(config::watched_files(&path), [path.clone(), folder.path().join("missing.key")]);
    folder.write("c.yaml", "]");
    assert_eq!(config::watched_files(&path), [path]);
}

#[test]
fn defaults_are_what_the_contract_says() {
    let folder = Folder::new();
    let text = fs::read_to_string(deploy().join("examples/minimal.yaml")).unwrap();
    let Config { upstream_policy, cache, limits, drain, admin, logging, .. } = folder.load(&text).unwrap().config;
    let shown = serde_json::json!({
        "upstreamPolicy": upstream_policy, "cache": cache, "limits": limits, "drain": drain, "admin": admin, "logging": logging,
    });
    assert_eq!(
        shown,
        serde_json::json!({
            "upstreamPolicy": {
                "strategy": "Priority", "connectTimeoutSeconds": 3, "requestTimeoutSeconds": 10, "maxConnections": 64,
                "idleTimeoutSeconds": 600,
                "healthCheck": {"enabled": true, "intervalSeconds": 5, "failureThreshold": 3, "successThreshold": 2},
            },
            "cache": {
                "ttlSeconds": 900, "maxTTLSeconds": 86400, "firstTTLSeconds": 10, "maxEntries": 1_000_000,
                "answerDelayMilliseconds": 0, "foldNames": true, "verdicts": {"preset": "auto"},
                "requestPasswordPolicy": "Auto", "rejectUnauthenticated": false,
            },
            "limits": {
                "maxConnections": 10000, "maxConnectionsPerClient": 0, "maxMessageBytes": 1_048_576,
                "maxPipelinedRequests": 64, "idleTimeoutSeconds": 900, "handshakeTimeoutSeconds": 10,
                "maxConnectionAgeSeconds": 0,
            },
            "drain": {"timeoutSeconds": 25},
            "admin": {"address": "127.0.0.1:9390"},
            "logging": {"level": "info", "redactNames": true},
        })
    );
}
