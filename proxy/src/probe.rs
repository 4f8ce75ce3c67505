//! `bindproxy probe`: one anonymous read of the rootDSE, as the health check makes it, from where the program is
//! called. An image with nothing else in it has no other LDAP client.

use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail};

use crate::cli::ProbeArgs;
use crate::clock::Clock;
use crate::config::{HostPort, TlsVersion};
use crate::logging::Escaped;
use crate::metrics::Metrics;
use crate::tls;
use crate::upstream::checker::{self, RootDse};
use crate::upstream::permits::Permits;
use crate::upstream::resolve::Resolver;
use crate::upstream::target::{Endpoint, Target, TargetState, TargetTls};

const LDAP_PORT: u16 = 389;
const LDAPS_PORT: u16 = 636;
/// What the target is called in metrics that nobody reads.
const NAME: &str = "probe";

/// Reads the rootDSE and tells in one line what came.
///
/// # Errors
/// In one line, when the arguments cannot be used, nobody answers, or the answer is that no directory is there.
pub fn probe(arguments: &ProbeArgs) -> anyhow::Result<String> {
    let ProbeArgs { ldap, tls, starttls, ca, timeout_seconds } = arguments;
    let default_port = if *tls { LDAPS_PORT } else { LDAP_PORT };
    let place = HostPort::parse(ldap, Some(default_port))
        .map_err(|error| anyhow::anyhow!("--ldap: {} {error}", Escaped(ldap.as_bytes())))?;
    let encryption = (*tls || *starttls).then(|| encryption(&place, *starttls, ca.as_deref())).transpose()?;
    let endpoint = match place.host.parse::<IpAddr>() {
        Ok(address) => Endpoint::Address(address, place.port),
        Err(_) => Endpoint::Name(place.host.clone(), place.port),
    };
    let target = Arc::new(Target {
        name: NAME.into(),
        endpoint,
        tls: encryption,
        priority: 0,
        weight: 1,
        has_own_identity: false,
        metrics: Metrics::new(&[], &[NAME.to_owned()]).upstream(NAME),
        state: TargetState::new(1),
    });
    let limit = Duration::from_secs(u64::from(timeout_seconds.get()));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().context("starting")?;
    let read = runtime.block_on(async {
        let permit = Permits::new(1).try_take().context("no permit")?;
        let (resolver, clock) = (Resolver::default(), Clock::start());
        let reading = checker::read_root(&target, permit, &resolver, &clock, limit);
        match tokio::time::timeout(limit, reading).await {
            Ok(read) => read.map_err(|error| anyhow::anyhow!("{}", Escaped(error.to_string().as_bytes()))),
            Err(_) => bail!("no answer within {} s", limit.as_secs()),
        }
    });
    match read.with_context(|| place.to_string())? {
        RootDse::Read { password_policy: _ } => Ok(format!("{place}: the rootDSE was read")),
        RootDse::Hidden => Ok(format!("{place}: the directory answers, and shows its rootDSE to nobody anonymous")),
    }
}

fn encryption(place: &HostPort, start_tls: bool, ca: Option<&Path>) -> anyhow::Result<TargetTls> {
    let roots = match ca {
        Some(file) => {
            let shown = || format!("--ca {}", file.display());
            let contents = std::fs::read(file).with_context(shown)?;
            tls::certificates(&contents).and_then(tls::authorities).with_context(shown)?
        }
        None => tls::system_roots().context("name the authority's file with --ca")?,
    };
    Ok(TargetTls {
        start_tls,
        config: tls::client_config(roots, TlsVersion::V12, None)?,
        server_name: tls::server_name_of(&place.host)?,
    })
}
