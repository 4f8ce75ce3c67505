//! Asking each upstream for its rootDSE, again and again: whether it is up, and what it supports.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use rasn_ldap::{LdapMessage, ProtocolOp};
use thiserror::Error;

use super::connect::{self, ConnectError};
use super::connection::{ExchangeError, UpstreamConnection};
use super::permits::{Permit, Permits};
use super::resolve::Resolver;
use super::target::Target;
use crate::clock::Clock;
use crate::codec::element;
use crate::codec::{build, code, oid, op, result};
use crate::config::RequestPasswordPolicy;
use crate::core::Shared;
use crate::settings::Settings;

const MESSAGE_ID: u32 = 1;
/// Where checks are off, the rootDSE is still read now and then, because `requestPasswordPolicy:
/// Auto` asks what the server supports.
const SUPPORT_INTERVAL: Duration = Duration::from_secs(30);
/// A rootDSE nests five levels; more is not one.
const MAX_DEPTH: usize = 16;

/// Why a check failed.
#[derive(Debug, Error)]
pub enum CheckError {
    /// No connection.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// A connection, but no answer.
    #[error(transparent)]
    Exchange(#[from] ExchangeError),
    /// An answer that says that the server does not serve.
    #[error("the rootDSE read was answered with result {0}")]
    Unavailable(u32),
}

/// Checks all upstreams of the present generation until the task is aborted.
pub async fn run(shared: Arc<Shared>, settings: Arc<ArcSwap<Settings>>) {
    // Checks take no permit from clients: a pool that is full is no reason to call a server dead.
    let permits = Permits::new(u32::MAX);
    loop {
        let present = settings.load_full();
        let health_check = present.config.upstream_policy.health_check.clone();
        let wanted =
            health_check.enabled || present.config.cache.request_password_policy == RequestPasswordPolicy::Auto;
        for target in present.targets.iter().filter(|_| wanted) {
            let (shared, target, permits) = (shared.clone(), target.clone(), permits.clone());
            let health_check = health_check.clone();
            let limit = present.config.upstream_policy.connect_timeout_seconds.duration();
            tokio::spawn(async move {
                // There are as many as anybody wants.
                let Some(permit) = permits.try_take() else { return };
                let checked = read_root(&target, permit, &shared.resolver, &shared.clock, limit).await;
                if health_check.enabled {
                    target.record_health(checked.as_ref().map(|_| ()).map_err(Into::into), &health_check);
                }
                if let Ok(read) = checked {
                    let supported = matches!(read, RootDse::Read { password_policy: true });
                    target.state.set_supports_password_policy(supported);
                }
            });
        }
        let interval = if health_check.enabled { health_check.interval_seconds.duration() } else { SUPPORT_INTERVAL };
        tokio::time::sleep(interval).await;
    }
}

/// What a server that serves says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RootDse {
    /// It was read.
    Read {
        /// Whether it lists the password policy control.
        password_policy: bool,
    },
    /// Some servers hide it from strangers. They are up all the same.
    Hidden,
}

/// Reads the rootDSE of `target`, with `limit` for the connection and again for the answer.
///
/// # Errors
/// [`CheckError`].
pub async fn read_root(
    target: &Arc<Target>,
    permit: Permit,
    resolver: &Resolver,
    clock: &Clock,
    limit: Duration,
) -> Result<RootDse, CheckError> {
    let mut connection = connect::connect(target, permit, resolver, clock, limit).await?;
    let request = build::base_search(MESSAGE_ID, "", &["supportedControl"], 5);
    let (first, peek) = connection.exchange(&request, MESSAGE_ID, limit).await?;
    if peek.op == op::SEARCH_RESULT_ENTRY {
        let password_policy = lists_password_policy(&first);
        say_goodbye(&mut connection).await;
        return Ok(RootDse::Read { password_policy });
    }
    match result::code_of(&first, &peek) {
        Some(found) if found != code::UNAVAILABLE && found != code::BUSY => Ok(RootDse::Hidden),
        found => Err(CheckError::Unavailable(found.unwrap_or(code::PROTOCOL_ERROR))),
    }
}

async fn say_goodbye(connection: &mut UpstreamConnection) {
    // Best effort: closing without an unbind is legal, but fills some servers' logs.
    let _ = tokio::io::AsyncWriteExt::write_all(&mut connection.transport, &build::unbind(MESSAGE_ID + 1)).await;
}

fn lists_password_policy(entry: &[u8]) -> bool {
    if element::check_depth(entry, MAX_DEPTH).is_err() {
        return false;
    }
    let Ok(message) = rasn::ber::decode::<LdapMessage>(entry) else { return false };
    let ProtocolOp::SearchResEntry(entry) = message.protocol_op else { return false };
    entry.attributes.iter().any(|attribute| {
        attribute.r#type.eq_ignore_ascii_case("supportedControl")
            && attribute.vals.to_vec().iter().any(|value| ***value == *oid::PASSWORD_POLICY)
    })
}
