//! The handle of whoever started a directory: its counters, its locks, and its misbehaviour.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use parking_lot::MutexGuard;
use tokio::sync::{broadcast, mpsc, oneshot};

use super::answer::Directory;
use super::entry::AccountState;
use super::log::Log;
use super::script::Script;
use super::server::{Addresses, Shared, StartError};
use crate::clock::Tick;

/// What every connection gets at once, unasked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Announcement {
    /// Notice of Disconnection with this result code, then the end.
    Notice(u32),
    /// The end.
    Close,
    /// A reset.
    Reset,
    /// These octets.
    Say(Vec<u8>),
}

pub(super) enum Command {
    /// Stop listening; connections stay.
    Refuse(oneshot::Sender<()>),
    /// Listen again where it was.
    Accept(oneshot::Sender<Result<(), StartError>>),
    /// Close every connection without a word.
    Drop(oneshot::Sender<()>),
    /// The end.
    Stop(oneshot::Sender<()>),
}

/// A directory that runs until [`RunningDirectory::stop`] is called or this is dropped.
pub struct RunningDirectory {
    pub(super) shared: Arc<Shared>,
    pub(super) addresses: Addresses,
    pub(super) commands: mpsc::Sender<Command>,
    pub(super) announcements: broadcast::Sender<Announcement>,
}

impl RunningDirectory {
    /// Where it listens in clear text.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.addresses.plain
    }

    /// Where it listens with TLS from the first byte.
    #[must_use]
    pub fn ldaps_addr(&self) -> Option<SocketAddr> {
        self.addresses.ldaps
    }

    /// Changes how it misbehaves, from the next request (or accepted connection) on.
    pub fn script(&self, change: impl FnOnce(&mut Script)) {
        change(&mut self.shared.script.lock());
        self.shared.script_changed.send_replace(());
    }

    /// Looks at the entries, the locks and the log. Holds the directory up meanwhile.
    #[must_use]
    pub fn directory(&self) -> impl std::ops::DerefMut<Target = Directory> + '_ {
        let guard: MutexGuard<'_, Directory> = self.shared.directory.lock();
        guard
    }

    /// Reads the log.
    pub fn log<T>(&self, read: impl FnOnce(&Log) -> T) -> T {
        read(self.shared.directory.lock().log())
    }

    /// Every bind with this name that did not succeed, those during a lock included.
    #[must_use]
    pub fn failures(&self, name: &str) -> u64 {
        self.log(|log| log.failures(name))
    }

    /// Every bind with this name.
    #[must_use]
    pub fn binds(&self, name: &str) -> u64 {
        self.log(|log| log.binds(name))
    }

    /// Every bind, anonymous ones included.
    #[must_use]
    pub fn total_binds(&self) -> u64 {
        self.log(Log::total_binds)
    }

    /// Connections accepted so far.
    #[must_use]
    pub fn connections(&self) -> u64 {
        self.log(Log::connections)
    }

    /// Whether the account is locked now.
    #[must_use]
    pub fn locked(&self, name: &str) -> bool {
        let now = self.now();
        self.shared.directory.lock().locked(name, now)
    }

    /// How many failures the lockout policy holds against the account.
    #[must_use]
    pub fn counted(&self, name: &str) -> usize {
        self.shared.directory.lock().counted(name)
    }

    /// Takes the lock and the counted failures away.
    pub fn unlock(&self, name: &str) {
        self.shared.directory.lock().unlock(name);
    }

    /// Gives the account a new password, as an administrator does behind the proxy's back.
    pub fn set_password(&self, name: &str, password: &str) {
        let now = self.now();
        self.shared.directory.lock().set_password(name, password.as_bytes(), now);
    }

    /// Changes what the account is besides its password.
    pub fn set_state(&self, name: &str, state: AccountState) {
        self.shared.directory.lock().set_state(name, state);
    }

    /// Lets the directory's clock jump forward: locks and windows run out, sockets notice nothing.
    pub fn advance(&self, by: Duration) {
        let millis = u64::try_from(by.as_millis()).unwrap_or(u64::MAX);
        self.shared.advanced_ms.fetch_add(millis, Ordering::Relaxed);
    }

    /// The directory's own time.
    #[must_use]
    pub fn now(&self) -> Tick {
        self.shared.now()
    }

    /// Tells every open connection.
    pub fn announce(&self, announcement: Announcement) {
        // Nobody is connected when it fails.
        let _ = self.announcements.send(announcement);
    }

    /// Stops listening, so that connecting is refused. Open connections stay.
    pub async fn refuse_connections(&self) {
        let (done, acknowledged) = oneshot::channel();
        self.order(Command::Refuse(done), acknowledged).await;
    }

    /// Listens again where it did.
    ///
    /// # Errors
    /// [`StartError`] when somebody else took the port meanwhile.
    pub async fn accept_connections(&self) -> Result<(), StartError> {
        let (done, acknowledged) = oneshot::channel();
        self.order(Command::Accept(done), acknowledged).await.unwrap_or(Err(StartError::Stopped))
    }

    /// Closes every open connection without a word.
    pub async fn drop_connections(&self) {
        let (done, acknowledged) = oneshot::channel();
        self.order(Command::Drop(done), acknowledged).await;
    }

    /// Stops listening and closes every connection; returns when that is done.
    pub async fn stop(self) {
        let (done, acknowledged) = oneshot::channel();
        self.order(Command::Stop(done), acknowledged).await;
    }

    /// `None` when the directory has stopped already.
    async fn order<T>(&self, command: Command, acknowledged: oneshot::Receiver<T>) -> Option<T> {
        self.commands.send(command).await.ok()?;
        acknowledged.await.ok()
    }
}
