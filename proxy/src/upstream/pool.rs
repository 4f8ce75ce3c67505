//! Lending connections to the sessions of one core.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use thiserror::Error;

use super::connect;
use super::connection::UpstreamConnection;
use super::permits::{Grant, Handover, Permit};
use super::target::Target;
use crate::clock::Tick;
use crate::core::{Core, CoreMessage};
use crate::transport::Liveness;

/// What a session wants a connection for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// A bind is sent first, so the connection's present identity does not matter.
    Bind,
    /// Operations of an anonymous session.
    Anonymous,
}

/// Why no connection was lent. Nothing was asked of a directory.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum CheckoutError {
    /// Every connection is in use, and none came free in time: result 51.
    #[error("all connections to the directory are in use")]
    Busy,
    /// No upstream can be reached: result 52.
    #[error("no directory server can be reached")]
    Unavailable,
}

/// Idle connections of one core.
#[derive(Default)]
pub struct Pool {
    idle: RefCell<HashMap<Arc<str>, Vec<UpstreamConnection>>>,
    /// Connections given back for a certain waiter, by upstream and the waiter's serial.
    set_aside: RefCell<HashMap<(Arc<str>, u64), UpstreamConnection>>,
}

impl Pool {
    /// Lends a connection, within `connectTimeoutSeconds` in all: an idle one, a new one, or the
    /// next that comes free; to the upstream that the strategy puts first, or to a later one when
    /// that cannot be reached.
    ///
    /// # Errors
    /// [`CheckoutError`].
    pub async fn checkout(&self, core: &Rc<Core>, need: Need) -> Result<UpstreamConnection, CheckoutError> {
        let settings = core.settings();
        let limit = settings.config.upstream_policy.connect_timeout_seconds.duration();
        let deadline = core.now().after(limit);
        let targets = settings.targets_in_order(core.now());
        let mut previous: Option<&Arc<Target>> = None;
        for (index, target) in targets.iter().enumerate() {
            if let Some(failed) = previous {
                core.shared.metrics.failover(&failed.name, &target.name);
            }
            previous = Some(target);
            let left = core.now().until(deadline);
            let share = left / u32::try_from(targets.len() - index).unwrap_or(u32::MAX);
            let connection = match self.take_idle(target, need, core.now()) {
                Some(connection) => connection,
                None => match self.open_or_wait(core, target, share, left).await {
                    Ok(connection) => connection,
                    Err(Failure::Busy) => return Err(CheckoutError::Busy),
                    Err(Failure::Unreachable) => continue,
                },
            };
            if let Some(connection) = self.prepared(connection, need, share).await {
                return Ok(connection);
            }
        }
        Err(CheckoutError::Unavailable)
    }

    /// Takes a connection back, if it can be lent again; else it closes.
    pub fn give_back(&self, core: &Core, mut connection: UpstreamConnection) {
        if !connection.is_reusable() || !core.settings().is_current(&connection.target) {
            return;
        }
        if !connection.target.state.is_up() {
            // It was of use.
            connection.target.record_health(Ok(()), &core.settings().config.upstream_policy.health_check);
        }
        let now = core.now();
        let name = connection.target.name.clone();
        match connection.target.state.permits.next_local(core.id, now) {
            Handover::OtherCore => {}
            Handover::Local { serial, grant } => {
                self.set_aside.borrow_mut().insert((name.clone(), serial), connection);
                if grant.send(Grant::SetAside).is_err() {
                    // The waiter gave up in this moment: serve the next one instead.
                    let returned = self.set_aside.borrow_mut().remove(&(name, serial));
                    if let Some(connection) = returned {
                        self.give_back(core, connection);
                    }
                }
            }
            Handover::Nobody => {
                connection.rest(now);
                self.idle.borrow_mut().entry(name).or_default().push(connection);
            }
        }
    }

    /// Closes one idle connection to `upstream`, because another core waits for a permit.
    pub fn shed(&self, upstream: &str) {
        let shed = self.idle.borrow_mut().get_mut(upstream).and_then(|idle| (!idle.is_empty()).then(|| idle.remove(0)));
        drop(shed);
    }

    /// Closes what has been idle for too long, what the server has closed, and what belongs to an
    /// upstream that the configuration no longer has. Called every second.
    pub fn sweep(&self, core: &Core) {
        let now = core.now();
        let settings = core.settings();
        let configured = settings.config.upstream_policy.idle_timeout_seconds.duration();
        let mut closing = Vec::new();
        for idle in self.idle.borrow_mut().values_mut() {
            let mut index = 0;
            while index < idle.len() {
                let connection = &idle[index];
                let age = connection.idle_for(now);
                let gone = match connection.transport.liveness() {
                    Liveness::Quiet => false,
                    Liveness::Readable | Liveness::Closed => {
                        connection.target.state.observe_idle_close(age);
                        true
                    }
                };
                if gone
                    || age >= connection.target.state.keep_idle(configured)
                    || !settings.is_current(&connection.target)
                {
                    closing.push(idle.swap_remove(index));
                } else {
                    index += 1;
                }
            }
        }
        // Dropped outside the borrow: a permit that is given back may wake a session of this core.
        drop(closing);
    }

    /// Closes every idle connection.
    pub fn close_all(&self) {
        let all = std::mem::take(&mut *self.idle.borrow_mut());
        drop(all);
    }

    fn take_idle(&self, target: &Arc<Target>, need: Need, now: Tick) -> Option<UpstreamConnection> {
        loop {
            let mut connection = {
                let mut idle = self.idle.borrow_mut();
                let idle = idle.get_mut(&target.name)?;
                let clean = match need {
                    Need::Bind => None,
                    Need::Anonymous => idle.iter().rposition(|connection| connection.anonymous),
                };
                match clean {
                    Some(index) => idle.swap_remove(index),
                    None => idle.pop()?,
                }
            };
            match connection.transport.liveness() {
                Liveness::Quiet if Arc::ptr_eq(&connection.target, target) => {
                    connection.lend();
                    return Some(connection);
                }
                Liveness::Quiet => {}
                Liveness::Readable | Liveness::Closed => target.state.observe_idle_close(connection.idle_for(now)),
            }
        }
    }

    async fn open_or_wait(
        &self,
        core: &Rc<Core>,
        target: &Arc<Target>,
        share: Duration,
        left: Duration,
    ) -> Result<UpstreamConnection, Failure> {
        let permit = match target.state.permits.try_take() {
            Some(permit) => permit,
            None => match self.wait(core, target, left).await? {
                Granted::Permit(permit) => permit,
                Granted::Connection(connection) => return Ok(connection),
            },
        };
        let shared = &core.shared;
        match connect::connect(target, permit, &shared.resolver, &shared.clock, share).await {
            Ok(connection) => {
                let policy = &core.settings().config.upstream_policy.health_check;
                // With TLS 1.3 a server refuses the client's certificate after the handshake, so checks that fail
                // would be outvoted by connections that are of no use.
                if target.tls.is_none() || !policy.enabled {
                    target.record_health(Ok(()), policy);
                }
                Ok(connection)
            }
            Err(error) => {
                let policy = &core.settings().config.upstream_policy.health_check;
                target.record_health(Err((&error).into()), policy);
                target.metrics.connect_failure(error.kind());
                tracing::debug!(upstream = %target.name, %error, "cannot connect");
                Err(Failure::Unreachable)
            }
        }
    }

    /// Waits in the queue of `target`: a full pool is not a failure, so no other one is tried.
    async fn wait(&self, core: &Rc<Core>, target: &Arc<Target>, left: Duration) -> Result<Granted, Failure> {
        let place = target.state.permits.wait(core.id, core.now()).map_err(|_| Failure::Busy)?;
        let queue = core.shared.metrics.pool_queue();
        queue.waiting.inc();
        core.tell_others(&CoreMessage::ShedIdle(target.name.clone()));
        let granted = tokio::time::timeout(left, place.granted).await;
        queue.waiting.dec();
        match granted {
            Ok(Ok(Grant::Permit(permit))) => Ok(Granted::Permit(permit)),
            Ok(Ok(Grant::SetAside)) => {
                let set_aside = self.set_aside.borrow_mut().remove(&(target.name.clone(), place.serial));
                set_aside.map(Granted::Connection).ok_or(Failure::Unreachable)
            }
            Ok(Err(_)) => Err(Failure::Unreachable),
            Err(_) => {
                // A connection may have been set aside between the deadline and this line.
                let late = self.set_aside.borrow_mut().remove(&(target.name.clone(), place.serial));
                if let Some(connection) = late {
                    return Ok(Granted::Connection(connection));
                }
                queue.timeouts.inc();
                Err(Failure::Busy)
            }
        }
    }

    async fn prepared(
        &self,
        mut connection: UpstreamConnection,
        need: Need,
        limit: Duration,
    ) -> Option<UpstreamConnection> {
        if need == Need::Anonymous
            && !connection.anonymous
            && let Err(error) = connection.reset_identity(limit).await
        {
            tracing::debug!(upstream = %connection.target.name, %error, "cannot reset the identity of a connection");
            return None;
        }
        Some(connection)
    }
}

enum Granted {
    Permit(Permit),
    Connection(UpstreamConnection),
}

/// Why one target gave no connection.
enum Failure {
    Busy,
    Unreachable,
}
