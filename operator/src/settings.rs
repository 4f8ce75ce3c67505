//! What the operator was told on its command line.

use std::net::SocketAddr;
use std::time::Duration;

use bindproxy::cli::LogFormat;
use bindproxy::config::LogLevel;
use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::crd::PullPolicy;

/// Reconciles BindProxy resources.
#[derive(Clone, Debug, Parser)]
#[command(name = "bindproxy-operator", version, arg_required_else_help = true)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Clone, Debug, Subcommand)]
pub enum Command {
    /// Run the controller until SIGTERM or SIGINT.
    Run(Box<RunArgs>),
    /// Print the resource definition as YAML.
    Crd {
        /// Print the reference of its fields as Markdown instead.
        #[arg(long, hide = true)]
        reference: bool,
    },
}

/// Arguments of `run`.
#[derive(Clone, Debug, Args)]
pub struct RunArgs {
    /// The operator's own namespace, where its lease is.
    #[arg(long, env = "BINDPROXY_OPERATOR_NAMESPACE", value_name = "NAMESPACE")]
    pub namespace: String,
    /// The operator's own pod, which the lease and the events name.
    #[arg(long, env = "BINDPROXY_OPERATOR_POD_NAME", value_name = "NAME")]
    pub pod_name: String,
    /// Namespaces whose BindProxies are reconciled, with commas between them [default: all].
    #[arg(long, env = "BINDPROXY_OPERATOR_WATCH_NAMESPACES", value_name = "NAMESPACES", default_value = "")]
    pub watch_namespaces: String,
    /// The image of the proxies, where a BindProxy does not name one.
    #[arg(long, env = "BINDPROXY_OPERATOR_PROXY_IMAGE", value_name = "REFERENCE")]
    pub proxy_image: String,
    /// When that image is pulled [default: as Kubernetes decides by the tag].
    #[arg(long, env = "BINDPROXY_OPERATOR_PROXY_IMAGE_PULL_POLICY", value_enum, value_name = "POLICY")]
    pub proxy_image_pull_policy: Option<ImagePullPolicy>,
    /// The domain of the Kubernetes cluster.
    #[arg(long, env = "BINDPROXY_OPERATOR_CLUSTER_DOMAIN", value_name = "DOMAIN", default_value = "cluster.local")]
    pub cluster_domain: String,
    /// Whether one of several operators is elected to work.
    #[arg(
        long,
        env = "BINDPROXY_OPERATOR_LEADER_ELECTION",
        value_name = "BOOL",
        default_value_t = true,
        action = clap::ArgAction::Set
    )]
    pub leader_election: bool,
    /// The name of the lease.
    #[arg(long, env = "BINDPROXY_OPERATOR_LEASE_NAME", value_name = "NAME", default_value = "bindproxy-operator")]
    pub lease_name: String,
    /// Seconds after which a lease that is not renewed may be taken.
    #[arg(long, env = "BINDPROXY_OPERATOR_LEASE_SECONDS", value_name = "N", default_value_t = 15, value_parser = clap::value_parser!(u64).range(2..=3600))]
    pub lease_seconds: u64,
    /// Seconds after which the holder renews it; less than --lease-seconds.
    #[arg(long, env = "BINDPROXY_OPERATOR_LEASE_RENEW_SECONDS", value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=3599))]
    pub lease_renew_seconds: u64,
    /// BindProxies that are worked on at the same time.
    #[arg(long, env = "BINDPROXY_OPERATOR_MAX_CONCURRENT_RECONCILES", value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u16).range(1..=1000))]
    pub max_concurrent_reconciles: u16,
    /// Seconds after which a BindProxy that is in order is looked at again.
    #[arg(long, env = "BINDPROXY_OPERATOR_RESYNC_SECONDS", value_name = "N", default_value_t = 60, value_parser = clap::value_parser!(u64).range(5..=3600))]
    pub resync_seconds: u64,
    /// Where health and metrics are served.
    #[arg(long, env = "BINDPROXY_OPERATOR_ADDRESS", value_name = "ADDRESS", default_value = "0.0.0.0:9390")]
    pub address: SocketAddr,
    /// Least severe events that are logged.
    #[arg(long, env = "BINDPROXY_OPERATOR_LOG_LEVEL", value_enum, value_name = "LEVEL", default_value = "info")]
    pub log_level: LogLevel,
    /// Form of the log on stderr [default: text on a terminal, else json].
    #[arg(long, env = "BINDPROXY_OPERATOR_LOG_FORMAT", value_enum, value_name = "FORMAT")]
    pub log_format: Option<LogFormat>,
}

/// When an image is pulled, as the API writes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "PascalCase")]
pub enum ImagePullPolicy {
    /// At every start of a pod.
    Always,
    /// When the node does not have it.
    IfNotPresent,
    /// Never: the node must have it.
    Never,
}

impl From<ImagePullPolicy> for PullPolicy {
    fn from(policy: ImagePullPolicy) -> Self {
        match policy {
            ImagePullPolicy::Always => Self::Always,
            ImagePullPolicy::IfNotPresent => Self::IfNotPresent,
            ImagePullPolicy::Never => Self::Never,
        }
    }
}

/// Why the command line cannot be followed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SettingsError {
    /// A holder that renews too late loses what it holds.
    #[error("--lease-renew-seconds {renew} must be less than --lease-seconds {lease}")]
    RenewTooLate {
        /// As given.
        renew: u64,
        /// As given.
        lease: u64,
    },
    /// Nothing can be pulled by such a name.
    #[error("--proxy-image is empty: write the image of the proxies, as in registry.example/bindproxy:0.1.0")]
    NoImage,
}

impl RunArgs {
    /// Checks what clap cannot.
    ///
    /// # Errors
    /// Names the argument and what to write.
    pub fn check(&self) -> Result<(), SettingsError> {
        if self.lease_renew_seconds >= self.lease_seconds {
            return Err(SettingsError::RenewTooLate { renew: self.lease_renew_seconds, lease: self.lease_seconds });
        }
        if self.proxy_image.trim().is_empty() {
            return Err(SettingsError::NoImage);
        }
        Ok(())
    }

    /// The namespaces that are watched; empty = all.
    #[must_use]
    pub fn namespaces(&self) -> Vec<String> {
        let mut names: Vec<String> = self
            .watch_namespaces
            .split(',')
            .map(str::trim)
            .filter(|name| !name.is_empty())
            .map(str::to_owned)
            .collect();
        names.sort();
        names.dedup();
        names
    }

    /// What a BindProxy gets that does not say otherwise.
    #[must_use]
    pub fn defaults(&self) -> Defaults {
        Defaults {
            image: ImageReference::parse(self.proxy_image.trim()),
            pull_policy: self.proxy_image_pull_policy.map(PullPolicy::from),
            cluster_domain: self.cluster_domain.clone(),
            operator_namespace: self.namespace.clone(),
        }
    }

    /// How often a BindProxy that is in order is looked at.
    #[must_use]
    pub fn resync(&self) -> Duration {
        Duration::from_secs(self.resync_seconds)
    }
}

/// What a BindProxy gets that does not say otherwise.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Defaults {
    /// The image of the proxies.
    pub image: ImageReference,
    /// When it is pulled.
    pub pull_policy: Option<PullPolicy>,
    /// The domain of the Kubernetes cluster.
    pub cluster_domain: String,
    /// Where the operator runs.
    pub operator_namespace: String,
}

impl Defaults {
    /// Those of tests.
    #[doc(hidden)]
    #[must_use]
    pub fn for_test() -> Self {
        Self {
            image: ImageReference::parse("registry.example/bindproxy:1.2.3"),
            pull_policy: None,
            cluster_domain: "cluster.local".to_owned(),
            operator_namespace: "bindproxy-system".to_owned(),
        }
    }
}

/// The name of an image, taken apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImageReference {
    /// Registry and name.
    pub repository: String,
    /// `:tag`, `@digest` or nothing.
    pub suffix: String,
}

impl ImageReference {
    /// Takes a reference apart; a port of the registry is no tag.
    #[must_use]
    pub fn parse(reference: &str) -> Self {
        let at = reference.find('@').or_else(|| {
            let name = reference.rfind('/').map_or(0, |slash| slash + 1);
            reference.get(name..)?.find(':').map(|colon| name + colon)
        });
        let (repository, suffix) = at.and_then(|at| reference.split_at_checked(at)).unwrap_or((reference, ""));
        Self { repository: repository.to_owned(), suffix: suffix.to_owned() }
    }
}
