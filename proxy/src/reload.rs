//! Applying a new generation of the configuration while everything runs.
//!
//! A file that does not parse, names something missing, or changes what only a restart can change
//! is refused whole, and the old generation keeps serving; `/configz` and a metric say so.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::{ArcSwap, ArcSwapOption};
use thiserror::Error;

use crate::bind::HashKey;
use crate::cluster::start::key_ids;
use crate::config::watch::Fingerprint;
use crate::config::{self, AdminToken, Config, Loaded, Overrides, Problems, RestartOnly};
use crate::core::{CoreMessage, Shared};
use crate::descriptors;
use crate::logging::LogHandle;
use crate::settings::{self, Settings, SettingsError};

/// How often the files are looked at. The kubelet takes up to a minute to swap them; a person who
/// edits one can send SIGHUP.
const POLL_INTERVAL: Duration = Duration::from_secs(3);

/// Loads of one reload at most, while the files do not hold still.
const MOST_LOADS: u32 = 5;

/// Applies new generations.
pub struct Reloader {
    shared: Arc<Shared>,
    settings: Arc<ArcSwap<Settings>>,
    path: PathBuf,
    /// What the command line says in place of each generation's file.
    overrides: Overrides,
    random_key: HashKey,
    /// `None` where the command line fixes the level.
    log: Option<LogHandle>,
    admin_token: Arc<ArcSwapOption<AdminToken>>,
    /// What was looked at last, so that a file is judged once for each of its contents.
    seen: parking_lot::Mutex<Seen>,
}

struct Seen {
    files: Vec<PathBuf>,
    fingerprint: Fingerprint,
    certificate_roles: Vec<String>,
}

/// Why a generation was refused. The old one keeps serving.
#[derive(Debug, Error)]
pub enum ReloadError {
    /// The file, or one that it names.
    #[error("{0}")]
    Problems(#[from] Problems),
    /// Something that only a restart can change.
    #[error("{0} changed: that needs a restart")]
    NeedsRestart(&'static str),
    /// What was loaded cannot be run.
    #[error(transparent)]
    Settings(#[from] SettingsError),
}

impl Reloader {
    /// A reloader of the file at `path`, whose present generation is `loaded`.
    #[must_use]
    pub fn new(
        shared: Arc<Shared>,
        settings: Arc<ArcSwap<Settings>>,
        path: PathBuf,
        random_key: HashKey,
        log: Option<LogHandle>,
        loaded: &Loaded,
    ) -> Self {
        let files = config::watched_files(&path);
        // A swap since the process began to load is a change too.
        let fingerprint = loaded.fingerprint.unwrap_or_else(|| Fingerprint::of(&files));
        let seen = Seen { fingerprint, files, certificate_roles: Vec::new() };
        let reloader = Self {
            shared,
            settings,
            path,
            overrides: loaded.overrides.clone(),
            random_key,
            log,
            admin_token: Arc::new(ArcSwapOption::empty()),
            seen: parking_lot::Mutex::new(seen),
        };
        reloader.announce(loaded);
        reloader
    }

    /// The token of the admin API, as the present generation has it.
    #[must_use]
    pub fn admin_token(&self) -> Arc<ArcSwapOption<AdminToken>> {
        self.admin_token.clone()
    }

    /// How long a drain may take, as the present generation has it.
    #[must_use]
    pub fn drain_timeout(&self) -> Duration {
        self.settings.load().config.drain.timeout_seconds.duration()
    }

    /// Looks at the files until the task is aborted, and reloads when one changed.
    pub async fn watch(self: Arc<Self>) {
        loop {
            tokio::time::sleep(POLL_INTERVAL).await;
            let changed = {
                let seen = self.seen.lock();
                Fingerprint::of(&seen.files) != seen.fingerprint
            };
            if changed {
                tracing::info!("a configuration file changed");
                self.reload();
            }
        }
    }

    /// Loads the file and applies it; what is wrong with it is logged, counted and shown.
    pub fn reload(&self) {
        match self.load().map_err(ReloadError::from).and_then(|loaded| self.apply(&loaded).map(|()| loaded)) {
            Ok(loaded) => {
                self.announce(&loaded);
                descriptors::raise_limit(&loaded.config);
                self.shared.metrics.reload(true);
                tracing::info!(hash = %loaded.hash, "configuration reloaded");
            }
            Err(error) => {
                self.shared.metrics.reload(false);
                self.shared.status.set_config_error(&error.to_string());
                tracing::error!(%error, "the new configuration is refused; the old one keeps serving");
            }
        }
    }

    /// Loads what lies there. Files that change meanwhile are loaded again, so that an old certificate with a
    /// new key is not taken for a mistake of somebody's.
    fn load(&self) -> Result<Loaded, Problems> {
        let mut left = MOST_LOADS;
        loop {
            left -= 1;
            // Taken before loading, so that a change after the last look shows at the next one.
            let files = config::watched_files(&self.path);
            let fingerprint = Fingerprint::of(&files);
            let loaded = config::load_with(&self.path, &self.overrides);
            let settled = Fingerprint::of(&files) == fingerprint;
            if settled || left == 0 {
                let mut seen = self.seen.lock();
                seen.files = files;
                seen.fingerprint = fingerprint;
                return loaded;
            }
        }
    }

    fn apply(&self, loaded: &Loaded) -> Result<(), ReloadError> {
        let present = self.settings.load_full();
        refuse_restart_only(&present.config, &loaded.config)?;
        let next = Settings::build(loaded, &self.shared.metrics, Some(&present))?;
        self.shared.guard.set_policy(settings::policy(loaded, &self.random_key));
        self.shared.guard.set_max_entries(loaded.config.cache.max_entries);
        if let (Some(cluster), Some(config), Some(tls)) =
            (self.shared.cluster.get(), &loaded.config.cluster, &loaded.material.cluster)
        {
            cluster.rotate(tls.clone(), key_ids(&self.shared), config.coordination);
        }
        self.settings.store(next.clone());
        for core in self.shared.cores.get().into_iter().flatten() {
            let _ = core.inbox.send(CoreMessage::Settings(next.clone()));
        }
        let kept: Vec<String> = loaded.config.upstreams.iter().map(|upstream| upstream.name.clone()).collect();
        self.shared.metrics.retain_upstreams(&kept);
        if let Some(log) = &self.log {
            log.set_level(loaded.config.logging.level);
        }
        Ok(())
    }

    /// Shows the generation that now serves.
    fn announce(&self, loaded: &Loaded) {
        let hash = loaded.hash.to_string();
        self.admin_token.store(loaded.material.admin_token.clone().map(Arc::new));
        let loaded_at = unix_now();
        self.shared.status.set_config(&hash, loaded_at);
        self.shared.metrics.set_config(&hash, loaded_at);
        self.shared.metrics.cache().capacity.set(i64::from(loaded.config.cache.max_entries));
        self.shared.metrics.connections_limit(loaded.config.limits.max_connections);
        let mut roles = Vec::new();
        for certificate in &loaded.material.certificates {
            self.shared.metrics.certificate_not_after(&certificate.role, certificate.not_after_unix);
            roles.push(certificate.role.clone());
        }
        let mut seen = self.seen.lock();
        for gone in seen.certificate_roles.iter().filter(|role| !roles.contains(role)) {
            self.shared.metrics.certificate_gone(gone);
        }
        seen.certificate_roles = roles;
        for warning in &loaded.warnings {
            tracing::warn!("{warning}");
        }
    }
}

/// Wall-clock seconds, for people to read.
#[expect(clippy::disallowed_methods, reason = "shown as `loadedAt`; nothing is decided by it")]
fn unix_now() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}

/// What only a restart can change is refused: half a reload would be worse than none.
fn refuse_restart_only(present: &Config, next: &Config) -> Result<(), ReloadError> {
    match RestartOnly::of(present).difference(&RestartOnly::of(next)) {
        Some(field) => Err(ReloadError::NeedsRestart(field)),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn config(cluster: Option<Value>) -> Config {
        let mut value = json!({
            "listeners": [{"name": "a", "address": "127.0.0.1:3389"}],
            "upstreams": [{"name": "b", "host": "localhost"}],
        });
        if let Some(cluster) = cluster {
            value["cluster"] = cluster;
        }
        serde_json::from_value(value).unwrap()
    }

    fn block() -> Value {
        json!({
            "name": "mail/corp", "address": "127.0.0.1:7946", "discovery": {"static": ["127.0.0.1:7946"]},
            "certificateFile": "c.crt", "keyFile": "c.key", "caFile": "ca.crt",
        })
    }

    fn refusal(present: Option<Value>, next: Option<Value>) -> Option<String> {
        refuse_restart_only(&config(present), &config(next)).err().map(|error| error.to_string())
    }

    #[test]
    fn who_a_member_is_needs_a_restart() {
        for (field, value, expected) in [
            ("name", json!("mail/other"), Some("cluster.name changed: that needs a restart")),
            ("address", json!("127.0.0.1:7947"), Some("cluster.address changed: that needs a restart")),
            ("nodeName", json!("corp-0"), Some("cluster.nodeName changed: that needs a restart")),
            ("discovery", json!({"dns": "peers"}), Some("cluster.discovery changed: that needs a restart")),
            // What is renewed while members talk.
            ("certificateFile", json!("d.crt"), None),
            ("keyFile", json!("d.key"), None),
            ("caFile", json!("both.crt"), None),
            ("coordination", json!("Strict"), None),
        ] {
            let mut next = block();
            next[field] = value;
            assert_eq!(refusal(Some(block()), Some(next)).as_deref(), expected, "{field}");
        }
        assert_eq!(refusal(Some(block()), Some(block())), None);
        assert_eq!(refusal(None, None), None);
        let presence = Some("whether there is a cluster changed: that needs a restart");
        assert_eq!(refusal(None, Some(block())).as_deref(), presence);
        assert_eq!(refusal(Some(block()), None).as_deref(), presence);
    }
}
