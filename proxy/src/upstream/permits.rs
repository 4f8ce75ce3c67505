//! How many connections one upstream may have over the whole process, and who waits for one.
//!
//! A permit count rather than a pool, because a socket belongs to the reactor of one core. The
//! queue is fair over the cores, with one exception: a connection given back on a core goes to a
//! waiter of that core unless another core's has waited noticeably longer, because moving a permit
//! to another core costs a new connection.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::oneshot;

use crate::clock::Tick;

/// Waiters beyond this are refused at once.
pub const MAX_WAITERS: usize = 4_096;
/// By how much longer another core's waiter must have waited to be served first.
const FAIRNESS_SLACK: Duration = Duration::from_millis(100);

/// What a waiter is granted.
#[derive(Debug)]
pub enum Grant {
    /// The right to open a connection.
    Permit(Permit),
    /// A connection that was set aside on the waiter's own core under its serial number.
    SetAside,
}

/// Permits of one upstream.
#[derive(Debug)]
pub struct Permits {
    inner: Mutex<Inner>,
}

#[derive(Debug)]
struct Inner {
    limit: u32,
    taken: u32,
    next_serial: u64,
    waiters: VecDeque<Waiter>,
}

#[derive(Debug)]
struct Waiter {
    core: usize,
    serial: u64,
    since: Tick,
    grant: oneshot::Sender<Grant>,
}

/// The right to hold one connection; given back when dropped.
#[derive(Debug)]
pub struct Permit {
    permits: Arc<Permits>,
}

/// A place in the queue.
#[derive(Debug)]
pub struct Place {
    /// Under which a connection is set aside for this waiter.
    pub serial: u64,
    /// Resolves when it is this waiter's turn.
    pub granted: oneshot::Receiver<Grant>,
}

/// Why no place in the queue was given. Nothing changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QueueFull;

impl Permits {
    /// `limit` connections at most.
    #[must_use]
    pub fn new(limit: u32) -> Arc<Self> {
        Arc::new(Self { inner: Mutex::new(Inner { limit, taken: 0, next_serial: 0, waiters: VecDeque::new() }) })
    }

    /// Changes the limit. Connections over a lowered limit live on until they are given back.
    pub fn set_limit(self: &Arc<Self>, limit: u32) {
        let granted: Vec<oneshot::Sender<Grant>> = {
            let mut inner = self.inner.lock();
            inner.limit = limit;
            let free = usize::try_from(limit.saturating_sub(inner.taken)).unwrap_or(usize::MAX);
            let free = free.min(inner.waiters.len());
            inner.taken += free as u32;
            inner.waiters.drain(..free).map(|waiter| waiter.grant).collect()
        };
        for grant in granted {
            // A waiter that has given up drops the permit, which goes to the next one.
            let _ = grant.send(Grant::Permit(Permit { permits: self.clone() }));
        }
    }

    /// A permit, when one is free and nobody waits for it.
    #[must_use]
    pub fn try_take(self: &Arc<Self>) -> Option<Permit> {
        let mut inner = self.inner.lock();
        (inner.taken < inner.limit && inner.waiters.is_empty()).then(|| {
            inner.taken += 1;
            Permit { permits: self.clone() }
        })
    }

    /// Queues a waiter of `core`.
    ///
    /// # Errors
    /// [`QueueFull`] when [`MAX_WAITERS`] wait already.
    pub fn wait(&self, core: usize, now: Tick) -> Result<Place, QueueFull> {
        let mut inner = self.inner.lock();
        inner.waiters.retain(|waiter| !waiter.grant.is_closed());
        if inner.waiters.len() >= MAX_WAITERS {
            return Err(QueueFull);
        }
        let serial = inner.next_serial;
        inner.next_serial += 1;
        let (grant, granted) = oneshot::channel();
        inner.waiters.push_back(Waiter { core, serial, since: now, grant });
        Ok(Place { serial, granted })
    }

    /// Connections open or being opened.
    #[must_use]
    pub fn taken(&self) -> u32 {
        self.inner.lock().taken
    }

    /// How many wait.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.inner.lock().waiters.len()
    }

    /// For whom a connection that `core` gives back should be set aside.
    pub(crate) fn next_local(&self, core: usize, now: Tick) -> Handover {
        let mut inner = self.inner.lock();
        inner.waiters.retain(|waiter| !waiter.grant.is_closed());
        let Some(oldest) = inner.waiters.front() else { return Handover::Nobody };
        let oldest_wait = now.since(oldest.since);
        let local = inner.waiters.iter().position(|waiter| waiter.core == core);
        match local {
            Some(index) if index == 0 || oldest_wait < now.since(inner.waiters[index].since) + FAIRNESS_SLACK => inner
                .waiters
                .remove(index)
                .map_or(Handover::Nobody, |waiter| Handover::Local { serial: waiter.serial, grant: waiter.grant }),
            _ => Handover::OtherCore,
        }
    }
}

/// What to do with a connection that is given back.
#[derive(Debug)]
pub(crate) enum Handover {
    /// Nobody waits: keep it idle.
    Nobody,
    /// Set it aside under `serial`, then send [`Grant::SetAside`].
    Local { serial: u64, grant: oneshot::Sender<Grant> },
    /// Somebody on another core is due: close it, so that its permit moves there.
    OtherCore,
}

impl Drop for Permit {
    fn drop(&mut self) {
        loop {
            let next = {
                let mut inner = self.permits.inner.lock();
                let next = if inner.taken <= inner.limit { inner.waiters.pop_front() } else { None };
                if next.is_none() {
                    inner.taken -= 1;
                }
                next
            };
            let Some(waiter) = next else { return };
            if waiter.grant.is_closed() {
                continue;
            }
            // The receiver may still vanish between the check and the send. Then the value comes
            // back and drops here, which is this very loop again, once deeper.
            let _ = waiter.grant.send(Grant::Permit(Permit { permits: self.permits.clone() }));
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn permits_are_bounded_and_go_to_the_oldest_waiter() {
        let permits = Permits::new(1);
        let held = permits.try_take().unwrap();
        assert!(permits.try_take().is_none());
        let mut first = permits.wait(0, Tick(0)).unwrap();
        let mut second = permits.wait(1, Tick(1)).unwrap();
        drop(held);
        assert!(matches!(first.granted.try_recv(), Ok(Grant::Permit(_))));
        // The permit just received was dropped again by the assertion, so it moved on.
        assert!(matches!(second.granted.try_recv(), Ok(Grant::Permit(_))));
        assert_eq!((permits.taken(), permits.waiting()), (0, 0));
    }

    #[test]
    fn waiters_that_gave_up_are_skipped() {
        let permits = Permits::new(1);
        let held = permits.try_take().unwrap();
        drop(permits.wait(0, Tick(0)).unwrap());
        let mut patient = permits.wait(0, Tick(1)).unwrap();
        drop(held);
        assert!(matches!(patient.granted.try_recv(), Ok(Grant::Permit(_))));
    }

    #[test]
    fn a_local_waiter_is_preferred_within_the_slack() {
        let permits = Permits::new(1);
        let _held = permits.try_take().unwrap();
        let _other = permits.wait(1, Tick(0)).unwrap();
        let _local = permits.wait(0, Tick(50)).unwrap();
        assert!(matches!(permits.next_local(0, Tick(60)), Handover::Local { .. }));
        let _late = permits.wait(0, Tick(500)).unwrap();
        assert!(matches!(permits.next_local(0, Tick(501)), Handover::OtherCore));
    }

    #[test]
    fn a_raised_limit_serves_waiters_at_once() {
        let permits = Permits::new(1);
        let _held = permits.try_take().unwrap();
        let mut waiter = permits.wait(0, Tick(0)).unwrap();
        permits.set_limit(2);
        assert!(waiter.granted.try_recv().is_ok());
    }
}
