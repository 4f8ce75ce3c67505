//! One connection with another member, from the greetings to its end: frames to events, messages
//! to frames.

use std::cell::Cell;
use std::io;
use std::rc::Rc;
use std::time::Duration;

use thiserror::Error;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, ReadHalf, WriteHalf};
use tokio::sync::Notify;

use crate::clock::Tick;
use crate::metrics::cluster::{ClusterRejection, MessageDirection, MessageKind};

use super::event::{Direction, Event, LinkId};
use super::mesh::Mesh;
use super::message::{Message, NodeId};
use super::outbox::{Frame, Outbox, Pushed};
use super::wire::{self, DecodeError};

/// A member that says nothing for so long although it was pinged is gone: with a ping every two
/// seconds, three have gone unanswered.
pub(super) const SILENCE: Duration = Duration::from_secs(6);
/// How long a connection that is closed may take for what is still to be written.
const LAST_WORDS: Duration = Duration::from_secs(1);
/// One read takes as much as a TLS record holds.
const ONE_READ: usize = 16 * 1024;
/// A buffer that grew beyond this is given back when it is empty.
const KEPT_BUFFER: usize = 64 * 1024;

/// A stream of either direction, both sides of it authenticated.
pub(super) trait Stream: AsyncRead + AsyncWrite + Unpin + 'static {}

impl<S: AsyncRead + AsyncWrite + Unpin + 'static> Stream for S {}

/// Why a connection came to its end.
#[derive(Debug, Error)]
pub(super) enum LinkEnd {
    #[error("the other side closed it")]
    Closed,
    #[error("{0}")]
    Io(#[from] io::Error),
    #[error("what came is no message: {0}")]
    Malformed(#[from] DecodeError),
    #[error("{0}")]
    Ended(&'static str),
}

/// What the rest of the cluster's thread knows of one connection.
pub(super) struct Link {
    pub(super) id: LinkId,
    pub(super) direction: Direction,
    /// The run of the member at the other end.
    pub(super) node: NodeId,
    /// Its name, for the log.
    pub(super) name: String,
    outbox: Outbox,
    /// Since when a ping waits for an answer, or for anything else from the other side.
    unanswered: Cell<Option<Tick>>,
    /// When something came last. Whoever opened a connection pings on it, so nothing at all is a sign too.
    heard: Cell<Tick>,
    why: Cell<Option<&'static str>>,
    /// When the patience with a closing connection ends.
    close_by: Cell<Option<Tick>>,
    ended: Notify,
}

impl Link {
    pub(super) fn new(id: LinkId, direction: Direction, node: NodeId, name: String, now: Tick) -> Rc<Self> {
        Rc::new(Self {
            id,
            direction,
            node,
            name,
            outbox: Outbox::default(),
            unanswered: Cell::new(None),
            heard: Cell::new(now),
            why: Cell::new(None),
            close_by: Cell::new(None),
            ended: Notify::new(),
        })
    }

    /// Puts a message at the end of the queue.
    pub(super) fn send(&self, message: &Message, frame: &Frame, repairable: bool, now: Tick) -> Pushed {
        if matches!(message, Message::Ping { .. }) && self.unanswered.get().is_none() {
            self.unanswered.set(Some(now));
        }
        self.outbox.push(frame, repairable)
    }

    /// Closes it when what waits is written, or after a moment.
    pub(super) fn close(&self, why: &'static str, now: Tick) {
        if self.close_by.get().is_none() {
            self.why.set(Some(why));
            self.close_by.set(Some(now.after(LAST_WORDS)));
            self.outbox.close();
        }
    }

    /// Closes it at once.
    pub(super) fn abort(&self, why: &'static str) {
        self.why.set(Some(why));
        self.ended.notify_one();
    }

    /// Closes it when its time has come.
    pub(super) fn look(&self, now: Tick) {
        if self.unanswered.get().is_some_and(|since| now.since(since) > SILENCE) {
            self.abort("nothing was heard of the member although it was pinged");
        }
        if self.direction == Direction::Accepted && now.since(self.heard.get()) > SILENCE {
            self.abort("the member that opened it does not ping any more");
        }
        if self.close_by.get().is_some_and(|by| now > by) {
            self.abort(self.why.get().unwrap_or("closed"));
        }
    }
}

/// Serves a connection to its end. `unread` came with the greeting.
pub(super) async fn serve(mesh: &Rc<Mesh>, link: &Rc<Link>, stream: impl Stream, unread: Vec<u8>) -> LinkEnd {
    let (reading, writing) = tokio::io::split(stream);
    tokio::select! {
        end = read(mesh, link, reading, unread) => end,
        end = write(mesh, link, writing) => end,
        () = link.ended.notified() => LinkEnd::Ended(link.why.get().unwrap_or("closed")),
    }
}

async fn read(mesh: &Rc<Mesh>, link: &Link, mut stream: ReadHalf<impl Stream>, unread: Vec<u8>) -> LinkEnd {
    let mut frames = Frames::resume(unread);
    loop {
        loop {
            match frames.next() {
                Ok(Some((message, octets))) => {
                    let metrics = mesh.metrics();
                    metrics.message(MessageDirection::In, kind(&message), octets);
                    // Waits while the node is behind: then the other side's queue fills, not this one's.
                    if mesh.report(Event::Received { link: link.id, message }).await.is_err() {
                        return LinkEnd::Ended("the process ends");
                    }
                }
                Ok(None) => break,
                Err(error) => {
                    mesh.metrics().rejected(ClusterRejection::Malformed);
                    return error.into();
                }
            }
        }
        match frames.fill(&mut stream).await {
            Ok(0) => return LinkEnd::Closed,
            Ok(_) => {
                link.unanswered.set(None);
                link.heard.set(mesh.process_now());
            }
            Err(error) => return error.into(),
        }
    }
}

async fn write(mesh: &Rc<Mesh>, link: &Link, mut stream: WriteHalf<impl Stream>) -> LinkEnd {
    let mut octets = Vec::new();
    while link.outbox.take(&mut octets).await {
        let sent = async {
            stream.write_all(&octets).await?;
            stream.flush().await
        };
        if let Err(error) = sent.await {
            return error.into();
        }
        let drained = link.outbox.written(octets.len());
        octets.clear();
        octets.shrink_to(KEPT_BUFFER);
        if drained && mesh.report(Event::Drained { link: link.id }).await.is_err() {
            break;
        }
    }
    // The goodbye is a courtesy: whoever is gone does not hear it.
    let _ = tokio::time::timeout(LAST_WORDS, stream.shutdown()).await;
    LinkEnd::Ended(link.why.get().unwrap_or("closed"))
}

/// Octets as they come, and the messages in them.
#[derive(Default)]
pub(super) struct Frames {
    octets: Vec<u8>,
    /// Octets at the start of them that were taken.
    taken: usize,
}

impl Frames {
    /// Goes on with octets that came before.
    pub(super) fn resume(octets: Vec<u8>) -> Self {
        Self { octets, taken: 0 }
    }

    /// The next message that is whole, and how many octets it took.
    pub(super) fn next(&mut self) -> Result<Option<(Message, usize)>, DecodeError> {
        let rest = self.octets.get(self.taken..).unwrap_or_default();
        let Some(length) = wire::frame_length(rest)? else { return Ok(None) };
        let Some(frame) = rest.get(wire::LENGTH_OCTETS..length) else { return Ok(None) };
        let message = wire::decode(frame)?;
        self.taken += length;
        Ok(Some((message, length)))
    }

    /// Reads more; 0 is the end of the stream.
    pub(super) async fn fill(&mut self, stream: &mut (impl AsyncRead + Unpin)) -> io::Result<usize> {
        self.octets.drain(..self.taken);
        self.taken = 0;
        if self.octets.is_empty() {
            self.octets.shrink_to(KEPT_BUFFER);
        }
        self.octets.reserve(ONE_READ);
        stream.read_buf(&mut self.octets).await
    }

    /// What has come and was not taken.
    pub(super) fn into_rest(mut self) -> Vec<u8> {
        self.octets.split_off(self.taken)
    }
}

/// What a message is counted as.
pub(super) fn kind(message: &Message) -> MessageKind {
    match message {
        Message::Hello(_) | Message::Refused(_) => MessageKind::Hello,
        Message::Facts { .. } => MessageKind::Facts,
        Message::SnapshotRequest { .. } | Message::SnapshotPart { .. } => MessageKind::Snapshot,
        Message::Compare { .. }
        | Message::Same { .. }
        | Message::Branches { .. }
        | Message::Descend { .. }
        | Message::LeafSums { .. }
        | Message::Leaves { .. }
        | Message::Want { .. } => MessageKind::Sync,
        Message::Ask { .. } | Message::Answer { .. } | Message::Concluded { .. } | Message::Withdraw { .. } => {
            MessageKind::Lease
        }
        Message::Barrier { .. } | Message::Passed { .. } => MessageKind::Barrier,
        Message::Query { .. } | Message::Reply { .. } => MessageKind::Query,
        Message::Ping { .. } | Message::Pong { .. } => MessageKind::Ping,
        Message::Update { .. } => MessageKind::Update,
        Message::Unknown(_) => MessageKind::Unknown,
    }
}
