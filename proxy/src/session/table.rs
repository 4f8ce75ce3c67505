//! The open sessions of one core, so that time and shutdown can reach them.
//!
//! An idle session owns no timer: one sweep a second looks at all of them (20 µs for 10,000), and
//! a command is left where the session finds it when it wakes.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::{Rc, Weak};
use std::task::Waker;
use std::time::Duration;

use crate::clock::Tick;
use crate::core::Core;

/// An anonymous session keeps its upstream connection for so long after its last operation: a
/// paged search (RFC 2696) must continue on the connection that it began on.
const ANONYMOUS_ATTACHMENT_IDLE: Duration = Duration::from_secs(30);

/// What a session is asked to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command {
    /// Give the upstream connection back.
    Detach,
    /// Close: nothing came for too long.
    CloseIdle,
    /// Close: the connection is older than allowed.
    CloseAged,
    /// Say goodbye if nothing is in flight; the process is going down.
    Drain,
    /// Say goodbye whatever is in flight.
    Close,
    /// Answer extended operations that the directory did not.
    ExpireExtended,
}

/// What a session is doing, as far as time is concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Nothing is in flight and no upstream connection is held, or one is held under an identity.
    Idle,
    /// Nothing is in flight, and an upstream connection is held that nobody's identity is on.
    IdleAttached,
    /// Something is in flight.
    Working,
}

/// One session, as the table sees it.
#[derive(Debug)]
pub struct SessionHandle {
    opened: Tick,
    last_activity: Cell<Tick>,
    phase: Cell<Phase>,
    oldest_extended: Cell<Option<Tick>>,
    command: Cell<Option<Command>>,
    waker: RefCell<Option<Waker>>,
}

impl SessionHandle {
    /// The session did something at `now`.
    pub fn touch(&self, now: Tick) {
        self.last_activity.set(now);
    }

    /// The session is about to sleep in this phase.
    pub fn sleep(&self, phase: Phase, oldest_extended: Option<Tick>, waker: &Waker) {
        self.phase.set(phase);
        self.oldest_extended.set(oldest_extended);
        let mut held = self.waker.borrow_mut();
        if !held.as_ref().is_some_and(|held| held.will_wake(waker)) {
            *held = Some(waker.clone());
        }
    }

    /// The session works on something that a command must wait for.
    pub fn work(&self) {
        self.phase.set(Phase::Working);
    }

    /// Takes the command that was left for the session.
    pub fn take_command(&self) -> Option<Command> {
        self.command.take()
    }

    fn tell(&self, command: Command) {
        self.command.set(Some(command));
        if let Some(waker) = &*self.waker.borrow() {
            waker.wake_by_ref();
        }
    }
}

/// The sessions of one core.
#[derive(Default)]
pub struct SessionTable {
    sessions: RefCell<HashMap<u64, Weak<SessionHandle>>>,
    next: Cell<u64>,
}

impl SessionTable {
    /// Enters a session; it leaves when the handle is dropped.
    pub fn enter(&self, now: Tick) -> Rc<SessionHandle> {
        let handle = Rc::new(SessionHandle {
            opened: now,
            last_activity: Cell::new(now),
            phase: Cell::new(Phase::Idle),
            oldest_extended: Cell::new(None),
            command: Cell::new(None),
            waker: RefCell::new(None),
        });
        let number = self.next.get();
        self.next.set(number + 1);
        self.sessions.borrow_mut().insert(number, Rc::downgrade(&handle));
        handle
    }

    /// Leaves a command with every session that time or shutdown has one for.
    pub fn sweep(&self, core: &Core, now: Tick) {
        let (idle_timeout, max_age, request_timeout) = core.with_settings(|settings| {
            let limits = &settings.config.limits;
            (
                limits.idle_timeout_seconds.duration(),
                limits.max_connection_age_seconds.duration(),
                settings.request_timeout,
            )
        });
        let draining = core.is_draining();
        self.sessions.borrow_mut().retain(|_, session| {
            let Some(session) = session.upgrade() else { return false };
            let idle = now.since(session.last_activity.get());
            let phase = session.phase.get();
            let resting = phase != Phase::Working;
            let command = if draining {
                resting.then_some(Command::Drain)
            } else if resting && !idle_timeout.is_zero() && idle >= idle_timeout {
                Some(Command::CloseIdle)
            } else if resting && !max_age.is_zero() && now.since(session.opened) >= max_age {
                Some(Command::CloseAged)
            } else if phase == Phase::IdleAttached && idle >= ANONYMOUS_ATTACHMENT_IDLE {
                Some(Command::Detach)
            } else if session.oldest_extended.get().is_some_and(|since| now.since(since) >= request_timeout) {
                Some(Command::ExpireExtended)
            } else {
                None
            };
            if let Some(command) = command {
                session.tell(command);
            }
            true
        });
    }

    /// Tells every session to close.
    pub fn close_all(&self) {
        for session in self.sessions.borrow().values().filter_map(Weak::upgrade) {
            session.tell(Command::Close);
        }
    }
}
