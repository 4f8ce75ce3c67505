//! One pass over the two sockets of a session: write what waits, read what came, take requests and
//! answers, write again. Goes on until nothing moves or something needs waiting.
//!
//! Reads go to the core's buffers, so an idle session owns none. What the other side's socket does
//! not take at once stays in a backlog, and nothing more is read for a side with a backlog.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::AsyncWrite;
use zeroize::Zeroize as _;

use super::requests::Taken;
use super::responses::PassedOn;
use super::table::{Command, Phase};
use super::{Session, Step};
use crate::core::Scratch;
use crate::metrics::CloseReason;

impl Session {
    /// Moves octets until it would have to wait; ready with what needs more than moving octets.
    pub(super) fn poll_pass(&mut self, cx: &mut Context<'_>) -> Poll<Step> {
        if let Some(command) = self.handle.take_command() {
            return Poll::Ready(Step::Commanded(command));
        }
        let core = self.core.clone();
        let mut scratch = core.scratch.borrow_mut();
        loop {
            if let Poll::Ready(Err(())) = self.poll_flush_client(cx) {
                return Poll::Ready(Step::Closed(CloseReason::Client));
            }
            if let Poll::Ready(Err(detail)) = self.poll_flush_upstream(cx) {
                return Poll::Ready(Step::UpstreamLost(detail));
            }
            let moved_answers = match self.poll_answers(cx, &mut scratch) {
                Poll::Ready(Ok(())) => true,
                Poll::Ready(Err(step)) => return Poll::Ready(step),
                Poll::Pending => false,
            };
            let moved_requests = match self.poll_requests(cx, &mut scratch) {
                Poll::Ready(Ok(())) => true,
                Poll::Ready(Err(step)) => return Poll::Ready(step),
                Poll::Pending => false,
            };
            if !moved_answers && !moved_requests {
                break;
            }
        }
        let phase = self.phase();
        if core.is_draining() && !matches!(phase, Phase::Working | Phase::Stalled) {
            return Poll::Ready(Step::Commanded(Command::Drain));
        }
        self.handle.sleep(phase, self.operations.oldest_extended(), cx.waker());
        Poll::Pending
    }

    fn phase(&self) -> Phase {
        match &self.attached {
            // Whatever is in flight, a client that does not read is going nowhere.
            _ if !self.backlog.is_empty() => Phase::Stalled,
            // The start of a request is not in flight: whoever never ends it is idle.
            _ if !self.operations.is_empty() => Phase::Working,
            Some(connection) if connection.anonymous && !self.sasl_in_progress => Phase::IdleAttached,
            Some(_) | None => Phase::Idle,
        }
    }

    /// Reads from the directory once and passes the answers on. Pending when there is nothing to
    /// read, or when the client has not taken what it was sent.
    fn poll_answers(&mut self, cx: &mut Context<'_>, scratch: &mut Scratch) -> Poll<Result<(), Step>> {
        if !self.backlog.is_empty() {
            return Poll::Pending;
        }
        let Some(connection) = &mut self.attached else { return Poll::Pending };
        let held = connection.unread.len();
        // What is held back is the start of one message, at most MAX_HELD_ANSWER_BYTES.
        let (front, _) = scratch.read.split_at_mut(held);
        front.copy_from_slice(&connection.unread);
        let received = match ready!(connection.transport.poll_receive(cx, &mut scratch.read[held..])) {
            Ok(0) => return Poll::Ready(Err(Step::UpstreamLost("the directory closed the connection".to_owned()))),
            Ok(received) => received,
            Err(error) => return Poll::Ready(Err(Step::UpstreamLost(error.to_string()))),
        };
        connection.unread.clear();
        let Scratch { read, to_client, .. } = scratch;
        to_client.clear();
        let PassedOn { straight, lost } = self.take_answers(&read[..held + received], to_client);
        let straight = &read[straight];
        if to_client.is_empty() {
            self.send_to_client(cx, straight);
        } else {
            to_client.extend_from_slice(straight);
            self.send_to_client(cx, to_client);
        }
        Poll::Ready(lost.map_or(Ok(()), |lost| Err(Step::UpstreamLost(lost))))
    }

    /// Reads answers while a bind waits for outstanding operations: `None` goes on.
    pub(super) fn poll_answers_only(&mut self, cx: &mut Context<'_>, scratch: &mut Scratch) -> Poll<Option<Step>> {
        if ready!(self.poll_flush_client(cx)).is_err() {
            return Poll::Ready(Some(Step::Closed(CloseReason::Client)));
        }
        if let Poll::Ready(Err(detail)) = self.poll_flush_upstream(cx) {
            return Poll::Ready(Some(Step::UpstreamLost(detail)));
        }
        self.poll_answers(cx, scratch).map(Result::err)
    }

    /// Takes requests: those that are left of the last read, or those of a new one.
    fn poll_requests(&mut self, cx: &mut Context<'_>, scratch: &mut Scratch) -> Poll<Result<(), Step>> {
        // A client that does not read its answers, or a directory that does not read its requests,
        // is not read from either.
        let blocked =
            !self.backlog.is_empty() || self.attached.as_ref().is_some_and(|connection| !connection.backlog.is_empty());
        if blocked {
            return Poll::Pending;
        }
        let full = self.core.with_settings(|settings| self.operations.len() >= settings.max_pipelined);
        if full {
            return Poll::Pending;
        }
        let Scratch { read, to_client, to_upstream } = scratch;
        to_client.clear();
        to_upstream.clear();
        if !self.unread.is_empty() {
            let unread = std::mem::take(&mut self.unread);
            let before = unread.len();
            let result = self.take_and_send(cx, unread, to_client, to_upstream);
            if result.is_err() || self.unread.len() < before {
                return Poll::Ready(result);
            }
        }
        let received = match ready!(self.client.poll_receive(cx, read)) {
            Ok(0) => return Poll::Ready(Err(Step::Closed(CloseReason::Client))),
            Ok(received) => received,
            Err(error) => return Poll::Ready(Err(Step::Closed(super::close::reason_of(&error)))),
        };
        if self.unread.is_empty() {
            let taken = self.take_requests(&read[..received], to_client, to_upstream);
            self.unread.extend_from_slice(&read[taken.octets..received]);
            if taken.saw_bind {
                // The buffer outlives the session; a password must not. It is handed to the system
                // again, so the compiler cannot take this for a dead store.
                read[..received].fill(0);
            }
            Poll::Ready(self.send_both(cx, taken, to_client, to_upstream))
        } else {
            let mut unread = std::mem::take(&mut self.unread);
            unread.extend_from_slice(&read[..received]);
            Poll::Ready(self.take_and_send(cx, unread, to_client, to_upstream))
        }
    }

    fn take_and_send(
        &mut self,
        cx: &mut Context<'_>,
        mut octets: Vec<u8>,
        to_client: &mut Vec<u8>,
        to_upstream: &mut Vec<u8>,
    ) -> Result<(), Step> {
        let taken = self.take_requests(&octets, to_client, to_upstream);
        if taken.saw_bind || taken.octets == octets.len() {
            // A new buffer, or none: an idle session holds none, and a password must not linger.
            self.unread = octets[taken.octets..].to_vec();
            octets.zeroize();
        } else {
            octets.drain(..taken.octets);
            self.unread = octets;
        }
        self.send_both(cx, taken, to_client, to_upstream)
    }

    fn send_both(
        &mut self,
        cx: &mut Context<'_>,
        taken: Taken,
        to_client: &[u8],
        to_upstream: &[u8],
    ) -> Result<(), Step> {
        if !to_upstream.is_empty()
            && let Some(connection) = &mut self.attached
        {
            let sent = match connection.transport.poll_send(cx, to_upstream) {
                Poll::Ready(Ok(sent)) => sent,
                Poll::Ready(Err(error)) => return Err(Step::UpstreamLost(error.to_string())),
                Poll::Pending => 0,
            };
            connection.backlog.extend_from_slice(&to_upstream[sent..]);
            if let Poll::Ready(Err(error)) = Pin::new(&mut connection.transport).poll_flush(cx) {
                return Err(Step::UpstreamLost(error.to_string()));
            }
        }
        self.send_to_client(cx, to_client);
        taken.step.map_or(Ok(()), Err)
    }

    /// Writes `octets` to the client; what its socket does not take waits in the backlog. A fault
    /// shows at the next read.
    fn send_to_client(&mut self, cx: &mut Context<'_>, octets: &[u8]) {
        if octets.is_empty() {
            return;
        }
        let sent = if self.backlog.is_empty() {
            match self.client.poll_send(cx, octets) {
                Poll::Ready(Ok(sent)) => sent,
                Poll::Ready(Err(_)) => octets.len(),
                Poll::Pending => 0,
            }
        } else {
            0
        };
        self.backlog.extend_from_slice(&octets[sent..]);
        self.unflushed = self.client.is_tls();
        let _ = self.poll_flush_client(cx);
    }

    /// Writes the backlog. `Ready(Ok)` when nothing is left of it.
    pub(super) fn poll_flush_client(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), ()>> {
        while !self.backlog.is_empty() {
            match ready!(self.client.poll_send(cx, &self.backlog)) {
                Ok(sent) => {
                    self.handle.touch(self.core.now());
                    if sent == self.backlog.len() {
                        self.backlog = Vec::new();
                    } else {
                        self.backlog.drain(..sent);
                    }
                }
                Err(_) => return Poll::Ready(Err(())),
            }
        }
        if self.unflushed {
            ready!(Pin::new(&mut self.client).poll_flush(cx)).map_err(|_| ())?;
            self.unflushed = false;
        }
        Poll::Ready(Ok(()))
    }

    pub(super) fn poll_flush_upstream(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), String>> {
        let Some(connection) = &mut self.attached else { return Poll::Ready(Ok(())) };
        while !connection.backlog.is_empty() {
            match ready!(connection.transport.poll_send(cx, &connection.backlog)) {
                Ok(sent) if sent == connection.backlog.len() => connection.backlog = Vec::new(),
                Ok(sent) => drop(connection.backlog.drain(..sent)),
                Err(error) => return Poll::Ready(Err(error.to_string())),
            }
        }
        if matches!(connection.transport, crate::transport::Transport::ClientTls(_)) {
            ready!(Pin::new(&mut connection.transport).poll_flush(cx)).map_err(|error| error.to_string())?;
        }
        Poll::Ready(Ok(()))
    }

    /// Carries out what the session table or the shutdown asked for.
    pub(super) fn obey(&mut self, command: Command) -> super::Flow {
        use super::Flow;
        use crate::codec::code;
        match command {
            Command::Detach => {
                if self.phase() == Phase::IdleAttached {
                    self.detach();
                }
                Flow::Continue
            }
            Command::CloseIdle => Flow::End(CloseReason::Idle),
            Command::CloseAged => {
                Flow::Dismiss(CloseReason::MaxAge, code::UNAVAILABLE, "connection age limit reached; connect again")
            }
            Command::Drain if matches!(self.phase(), Phase::Working | Phase::Stalled) => Flow::Continue,
            Command::Drain | Command::Close => {
                Flow::Dismiss(CloseReason::Drain, code::UNAVAILABLE, "the proxy is shutting down; connect again")
            }
            Command::ExpireExtended => {
                self.expire_extended();
                Flow::Continue
            }
        }
    }
}
