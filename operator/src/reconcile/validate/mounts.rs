//! Which Secrets and ConfigMaps a pod mounts, and under what paths the configuration names their files.

use std::path::PathBuf;

use crate::crd::{BindProxySpec, CaKind, CaRef, KeyRef, ServerTls};
use crate::identity::Identity;
use crate::reconcile::dereference::References;
use crate::reconcile::outcome::{Refusal, RefusalReason};
use crate::reconcile::validated::{Mount, MountSource};

const ROOT: &str = "/etc/bindproxy";
const CERTIFICATE: &str = "tls.crt";
const KEY: &str = "tls.key";
const HASH_KEY: &str = "hash.key";
const PREVIOUS_HASH_KEY: &str = "previous-hash.key";
const CA: &str = "ca.crt";

/// Where the files lie that the configuration names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Files {
    pub(super) server_certificate: PathBuf,
    pub(super) server_key: PathBuf,
    pub(super) client_ca: PathBuf,
    pub(super) cluster_certificate: PathBuf,
    pub(super) cluster_key: PathBuf,
    pub(super) cluster_ca: PathBuf,
    pub(super) hash_key: PathBuf,
    pub(super) previous_hash_key: Option<PathBuf>,
}

impl Files {
    pub(super) fn of(spec: &BindProxySpec) -> Self {
        let cluster = |file: &str| path("cluster", file);
        // The Secret that the operator makes has both keys from the start, equal until they are rotated.
        let (hash_key, previous_hash_key) = match (&spec.cache.key_secret_ref, &spec.cache.previous_key_secret_ref) {
            (None, None) => (cluster(HASH_KEY), Some(cluster(PREVIOUS_HASH_KEY))),
            (key, previous) => (
                key.as_ref().map_or_else(|| cluster(HASH_KEY), |_| path("hash-key", HASH_KEY)),
                previous.as_ref().map(|_| path("previous-hash-key", HASH_KEY)),
            ),
        };
        let peers = |file: &str| match spec.cluster.secret_ref {
            None => cluster(file),
            Some(_) => path("peers", file),
        };
        Self {
            server_certificate: path("server-tls", CERTIFICATE),
            server_key: path("server-tls", KEY),
            client_ca: path("client-ca", CA),
            cluster_certificate: peers(CERTIFICATE),
            cluster_key: peers(KEY),
            cluster_ca: peers(CA),
            hash_key,
            previous_hash_key,
        }
    }
}

/// The file with the authorities of an upstream.
pub(super) fn upstream_ca(upstream: &str) -> PathBuf {
    path(&format!("upstream-ca/{upstream}"), CA)
}

/// The file with the proxy's certificate for an upstream, and that with its key.
pub(super) fn upstream_client(upstream: &str) -> (PathBuf, PathBuf) {
    let folder = format!("upstream-client/{upstream}");
    (path(&folder, CERTIFICATE), path(&folder, KEY))
}

fn path(folder: &str, file: &str) -> PathBuf {
    PathBuf::from(format!("{ROOT}/{folder}/{file}"))
}

/// Everything that a pod mounts beside the configuration.
pub(super) fn mounts(spec: &BindProxySpec, identity: &Identity) -> Vec<Mount> {
    let mut mounts = Vec::new();
    if spec.uses_own_cluster_secret() {
        mounts.push(whole("cluster", "cluster", identity.cluster_secret()));
    }
    if let Some(secret) = &spec.cluster.secret_ref {
        mounts.push(whole("peers", "peers", secret.name.clone()));
    }
    for (folder, key) in
        [("hash-key", &spec.cache.key_secret_ref), ("previous-hash-key", &spec.cache.previous_key_secret_ref)]
    {
        if let Some(KeyRef { name, key }) = key {
            mounts.push(Mount {
                volume: folder.to_owned(),
                folder: format!("{ROOT}/{folder}"),
                source: MountSource::Secret(name.clone()),
                items: vec![(key.clone(), HASH_KEY.to_owned())],
            });
        }
    }
    if let Some(ServerTls { secret_ref, cert_manager: _, client_ca, client_certificate: _ }) = &spec.server_tls {
        let secret = secret_ref.as_ref().map_or_else(|| identity.server_tls_secret(), |secret| secret.name.clone());
        mounts.push(whole("server-tls", "server-tls", secret));
        if let Some(ca) = client_ca {
            mounts.push(authorities("client-ca", "client-ca", ca));
        }
    }
    for upstream in &spec.upstreams {
        let name = &upstream.name;
        if let Some(ca) = &upstream.tls.ca {
            mounts.push(authorities(&format!("upstream-ca-{name}"), &format!("upstream-ca/{name}"), ca));
        }
        if let Some(secret) = &upstream.tls.client_certificate_secret_ref {
            mounts.push(whole(
                &format!("upstream-client-{name}"),
                &format!("upstream-client/{name}"),
                secret.name.clone(),
            ));
        }
    }
    mounts
}

fn whole(volume: &str, folder: &str, secret: String) -> Mount {
    Mount {
        volume: volume.to_owned(),
        folder: format!("{ROOT}/{folder}"),
        source: MountSource::Secret(secret),
        items: Vec::new(),
    }
}

fn authorities(volume: &str, folder: &str, ca: &CaRef) -> Mount {
    let CaRef { kind, name, key } = ca;
    Mount {
        volume: volume.to_owned(),
        folder: format!("{ROOT}/{folder}"),
        source: match kind {
            CaKind::ConfigMap => MountSource::ConfigMap(name.clone()),
            CaKind::Secret => MountSource::Secret(name.clone()),
        },
        items: vec![(key.clone(), CA.to_owned())],
    }
}

/// The ConfigMaps that a spec names, with the field that names each and the key in it. Secrets are the
/// kubelet's to read: what is wrong with them shows when it mounts them.
pub fn config_maps(spec: &BindProxySpec) -> Vec<(String, &CaRef)> {
    let upstreams = spec
        .upstreams
        .iter()
        .filter_map(|upstream| Some((format!("upstreams[{}].tls.ca", upstream.name), upstream.tls.ca.as_ref()?)));
    let client = spec.server_tls.as_ref().and_then(|tls| tls.client_ca.as_ref());
    upstreams
        .chain(client.map(|ca| ("serverTLS.clientCA".to_owned(), ca)))
        .filter(|(_, ca)| ca.kind == CaKind::ConfigMap)
        .collect()
}

/// Every ConfigMap that is named must be there and have its key: pods could not start without it.
pub(super) fn check_config_maps(spec: &BindProxySpec, references: &References) -> Result<(), Refusal> {
    for (field, ca) in config_maps(spec) {
        let cause = match references.config_maps.get(&ca.name) {
            None => format!("there is no ConfigMap {} in this namespace; make it, or correct {field}.name", ca.name),
            Some(keys) if !keys.contains(&ca.key) => format!(
                "ConfigMap {} has no key {}; it has {}; correct {field}.key",
                ca.name,
                ca.key,
                if keys.is_empty() { "none".to_owned() } else { keys.join(", ") }
            ),
            Some(_) => continue,
        };
        return Err(Refusal { reason: RefusalReason::ReferenceNotFound, message: format!("{field}: {cause}") });
    }
    Ok(())
}
