//! One client connection: frames in, answers out, and whatever the script wants instead.

use std::collections::HashMap;
use std::future::pending;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{broadcast, mpsc, watch};
use tokio::task::{AbortHandle, JoinSet};
use tokio_rustls::TlsAcceptor;

use super::answer::{Answer, Session, Then, Tls};
use super::message;
use super::running::Announcement;
use super::script::{Behaviour, OnAccept, Request};
use super::server::Shared;
use super::stream::Stream;
use crate::codec::frame::{self, Peek};
use crate::codec::{build, code, element, op};

/// The longest message that the directory reads.
const MAX_MESSAGE: usize = 16 * 1024 * 1024;
/// How many answers of spawned tasks may wait for the socket; bounds what a stream of entries
/// keeps in memory when its reader is slow.
const WAITING_ANSWERS: usize = 8;
/// How long a closing connection waits for the client to close too, so that the last answer is not
/// lost to a reset.
const LINGER: Duration = Duration::from_millis(500);

/// How a connection goes on after a request.
enum Flow {
    Next,
    StartTls,
    Echo,
    Close,
    Reset,
}

/// Messages on their way out.
struct Delivery {
    octets: Vec<u8>,
    /// Pause after every octet.
    pace: Option<Duration>,
}

pub(super) struct Connection {
    shared: Arc<Shared>,
    session: Session,
    /// Answers that come later than the next request is read.
    tasks: JoinSet<()>,
    later: mpsc::Sender<Delivery>,
    pending: HashMap<u32, AbortHandle>,
    /// Answers that go out after that of the next request.
    held: Vec<u8>,
}

/// Serves `stream` until one side closes it.
pub(super) async fn serve(
    shared: Arc<Shared>,
    stream: Stream,
    ldaps: bool,
    announcements: broadcast::Receiver<Announcement>,
) {
    let number = shared.directory.lock().log_mut().connected();
    let tls = match (&shared.tls, &stream) {
        (Some(_), Stream::Tcp(_)) => Tls::Offered,
        _ => Tls::Unavailable,
    };
    let session = Session { connection: number, tls, ..Session::default() };
    let (later, waiting) = mpsc::channel(WAITING_ANSWERS);
    let connection =
        Connection { shared, session, tasks: JoinSet::new(), later, pending: HashMap::new(), held: Vec::new() };
    // An I/O error is the client's leaving; there is nobody to tell.
    let _ = connection.run(stream, ldaps, waiting, announcements).await;
}

impl Connection {
    async fn run(
        mut self,
        mut stream: Stream,
        ldaps: bool,
        mut waiting: mpsc::Receiver<Delivery>,
        mut announcements: broadcast::Receiver<Announcement>,
    ) -> io::Result<()> {
        let mut script_changed = self.shared.script_changed.subscribe();
        loop {
            let on_accept = self.shared.script.lock().on_accept.clone();
            match on_accept {
                OnAccept::Serve => break,
                OnAccept::Say(octets) => {
                    stream.write_all(&octets).await?;
                    break;
                }
                OnAccept::Close => return Ok(()),
                OnAccept::Reset => {
                    stream.reset();
                    return Ok(());
                }
                OnAccept::Hang => changed(&mut script_changed).await,
            }
        }
        if ldaps {
            stream = self.handshake(stream).await?;
        }
        let mut buffer = Vec::new();
        loop {
            let flow = match self.next_frame(&mut stream, &mut buffer).await? {
                Some(flow) => flow,
                None => {
                    self.wait(&mut stream, &mut buffer, &mut waiting, &mut announcements, &mut script_changed).await?
                }
            };
            match flow {
                Flow::Next => {}
                Flow::StartTls => stream = self.handshake(stream).await?,
                Flow::Echo => return echo(&mut stream).await,
                Flow::Close => return close(&mut stream).await,
                Flow::Reset => {
                    stream.reset();
                    return Ok(());
                }
            }
        }
    }

    async fn handshake(&mut self, stream: Stream) -> io::Result<Stream> {
        let (Some(config), Stream::Tcp(tcp)) = (self.shared.tls.clone(), stream) else {
            return Err(io::ErrorKind::Unsupported.into());
        };
        let tls = TlsAcceptor::from(config).accept(tcp).await?;
        self.session.tls = Tls::Active;
        Ok(Stream::Tls(Box::new(tls)))
    }

    /// Answers the first request of `buffer`, if there is a whole one.
    async fn next_frame(&mut self, stream: &mut Stream, buffer: &mut Vec<u8>) -> io::Result<Option<Flow>> {
        let peek = match frame::peek(buffer, MAX_MESSAGE) {
            Ok(Some(peek)) if buffer.len() >= peek.total => peek,
            Ok(_) => return Ok(None),
            Err(_) => {
                let notice = build::notice_of_disconnection(code::PROTOCOL_ERROR, "decoding error");
                self.write(stream, &notice, None).await?;
                return Ok(Some(Flow::Close));
            }
        };
        let rest = buffer.split_off(peek.total);
        let frame = std::mem::replace(buffer, rest);
        self.request(stream, &frame, &peek).await.map(Some)
    }

    /// Waits for something to happen besides requests already read.
    async fn wait(
        &mut self,
        stream: &mut Stream,
        buffer: &mut Vec<u8>,
        waiting: &mut mpsc::Receiver<Delivery>,
        announcements: &mut broadcast::Receiver<Announcement>,
        script_changed: &mut watch::Receiver<()>,
    ) -> io::Result<Flow> {
        let (idle, notice) = {
            let script = self.shared.script.lock();
            (script.close_idle_after, script.notice_when_idle)
        };
        let silence = async {
            match idle {
                Some(idle) => tokio::time::sleep(idle).await,
                None => pending().await,
            }
        };
        tokio::select! {
            read = stream.read_buf(buffer) => Ok(if read? == 0 { Flow::Close } else { Flow::Next }),
            Some(delivery) = waiting.recv() => {
                self.write(stream, &delivery.octets, delivery.pace).await?;
                Ok(Flow::Next)
            }
            Some(_) = self.tasks.join_next(), if !self.tasks.is_empty() => Ok(Flow::Next),
            announcement = announcements.recv() => match announcement {
                Ok(Announcement::Notice(code)) => {
                    self.write(stream, &build::notice_of_disconnection(code, "going away"), None).await?;
                    Ok(Flow::Close)
                }
                Ok(Announcement::Close) => Ok(Flow::Close),
                Ok(Announcement::Reset) => Ok(Flow::Reset),
                Ok(Announcement::Say(octets)) => {
                    stream.write_all(&octets).await?;
                    stream.flush().await?;
                    Ok(Flow::Next)
                }
                Err(RecvError::Lagged(_)) => Ok(Flow::Next),
                Err(RecvError::Closed) => Ok(Flow::Close),
            },
            () = changed(script_changed) => Ok(Flow::Next),
            () = silence => {
                if notice {
                    self.write(stream, &build::notice_of_disconnection(code::UNAVAILABLE, "idle"), None).await?;
                }
                Ok(Flow::Close)
            }
        }
    }

    fn evaluate(&mut self, frame: &[u8], peek: &Peek) -> Answer {
        self.shared.directory.lock().handle(&mut self.session, frame, peek, self.shared.now())
    }

    fn note(&mut self, frame: &[u8], peek: &Peek, code: Option<u32>) {
        self.shared.directory.lock().note(&mut self.session, frame, peek, code, self.shared.now());
    }

    /// Lets the directory see the request or not, when its answer goes nowhere anyway.
    fn swallow(&mut self, frame: &[u8], peek: &Peek, evaluated: bool) {
        if evaluated {
            self.evaluate(frame, peek);
        } else {
            self.note(frame, peek, None);
        }
    }

    async fn request(&mut self, stream: &mut Stream, frame: &[u8], peek: &Peek) -> io::Result<Flow> {
        if peek.op == op::ABANDON_REQUEST {
            self.abandon(frame, peek);
        }
        let behaviour = {
            let mut script = self.shared.script.lock();
            if script.has_rules() { script.decide(&Request::read(frame, peek, self.session.connection)) } else { None }
        };
        let id = peek.message_id;
        match behaviour.unwrap_or(Behaviour::Ordinary) {
            Behaviour::Ordinary => {
                let answer = self.evaluate(frame, peek);
                return self.reply(stream, answer, |octets| octets, None).await;
            }
            Behaviour::Silence { evaluated } => self.swallow(frame, peek, evaluated),
            Behaviour::Close { evaluated } => {
                self.swallow(frame, peek, evaluated);
                return Ok(Flow::Close);
            }
            Behaviour::Reset { evaluated } => {
                self.swallow(frame, peek, evaluated);
                return Ok(Flow::Reset);
            }
            Behaviour::Notice { evaluated, code } => {
                self.swallow(frame, peek, evaluated);
                let operation =
                    message::extended(code, "going away", Some(crate::codec::oid::NOTICE_OF_DISCONNECTION), None);
                self.write(stream, &message::message(0, &operation, &[]), None).await?;
                return Ok(Flow::Close);
            }
            Behaviour::Garbage(octets) => {
                self.note(frame, peek, None);
                stream.write_all(&octets).await?;
                stream.flush().await?;
            }
            Behaviour::Delay(delay) => {
                let octets = self.evaluate(frame, peek).messages.concat();
                let later = self.later.clone();
                let handle = self.tasks.spawn(async move {
                    tokio::time::sleep(delay).await;
                    // A closed connection needs no answer.
                    let _ = later.send(Delivery { octets, pace: None }).await;
                });
                self.pending.insert(id, handle);
            }
            Behaviour::Trickle(pace) => {
                let answer = self.evaluate(frame, peek);
                return self.reply(stream, answer, |octets| octets, Some(pace)).await;
            }
            Behaviour::AfterNext => {
                let answer = self.evaluate(frame, peek);
                self.held.extend(answer.messages.concat());
            }
            Behaviour::WrongIdFirst(wrong) => {
                let answer = self.evaluate(frame, peek);
                let first = answer.messages.first().and_then(|first| message::with_message_id(first, wrong));
                self.write(stream, &first.unwrap_or_default(), None).await?;
                return self.reply(stream, answer, |octets| octets, None).await;
            }
            Behaviour::Twice => {
                let answer = self.evaluate(frame, peek);
                return self.reply(stream, answer, |octets| octets.repeat(2), None).await;
            }
            Behaviour::LongLengths => {
                let answer = self.evaluate(frame, peek);
                return self.reply(stream, answer, |octets| message::with_long_lengths(&octets), None).await;
            }
            Behaviour::Result(result) => {
                self.note(frame, peek, Some(result.code));
                let answer = Answer { messages: vec![result.message(id, peek.op)], then: Then::Nothing };
                return self.reply(stream, answer, |octets| octets, None).await;
            }
            Behaviour::Operations(operations) => {
                self.note(frame, peek, None);
                let messages = operations.iter().map(|operation| message::message(id, operation, &[])).collect();
                return self.reply(stream, Answer { messages, then: Then::Nothing }, |octets| octets, None).await;
            }
            Behaviour::Entries { count, octets, every } => {
                self.note(frame, peek, None);
                let handle = self.tasks.spawn(entries(self.later.clone(), id, count, octets, every));
                self.pending.insert(id, handle);
            }
        }
        Ok(Flow::Next)
    }

    /// Writes an answer, and the answers that waited for it.
    async fn reply(
        &mut self,
        stream: &mut Stream,
        answer: Answer,
        change: impl Fn(Vec<u8>) -> Vec<u8>,
        pace: Option<Duration>,
    ) -> io::Result<Flow> {
        let Answer { messages, then } = answer;
        if !messages.is_empty() {
            self.write(stream, &change(messages.concat()), pace).await?;
            let held = std::mem::take(&mut self.held);
            self.write(stream, &held, None).await?;
        }
        Ok(match then {
            Then::Nothing => Flow::Next,
            Then::StartTls => Flow::StartTls,
            Then::Close => Flow::Close,
            Then::Echo => Flow::Echo,
        })
    }

    async fn write(&mut self, stream: &mut Stream, octets: &[u8], pace: Option<Duration>) -> io::Result<()> {
        if octets.is_empty() {
            return Ok(());
        }
        let long = self.shared.script.lock().long_lengths.then(|| message::with_long_lengths(octets));
        let octets = long.as_deref().unwrap_or(octets);
        match pace {
            None => stream.write_all(octets).await?,
            Some(pace) => {
                for octet in octets {
                    stream.write_all(std::slice::from_ref(octet)).await?;
                    stream.flush().await?;
                    tokio::time::sleep(pace).await;
                }
            }
        }
        stream.flush().await
    }

    /// Ends the answers that are still to come for the operation that `frame` abandons.
    fn abandon(&mut self, frame: &[u8], peek: &Peek) {
        let mut rest = &frame[peek.op_offset..];
        let target = element::take(&mut rest).and_then(|element| element::integer(element.body));
        let task = target.ok().and_then(|id| self.pending.remove(&u32::try_from(id).ok()?));
        if let Some(task) = task {
            task.abort();
        }
    }
}

/// Completes when the script changes; never when it cannot change any more.
async fn changed(script: &mut watch::Receiver<()>) {
    if script.changed().await.is_err() {
        pending().await
    }
}

async fn echo(stream: &mut Stream) -> io::Result<()> {
    let mut buffer = vec![0; 16 * 1024];
    loop {
        let read = stream.read(&mut buffer).await?;
        if read == 0 {
            return Ok(());
        }
        stream.write_all(&buffer[..read]).await?;
        stream.flush().await?;
    }
}

async fn close(stream: &mut Stream) -> io::Result<()> {
    stream.shutdown().await?;
    let mut rest = [0; 1024];
    let drained = async { while stream.read(&mut rest).await.is_ok_and(|read| read > 0) {} };
    // Whoever does not close within the time gets what is left as a reset.
    let _ = tokio::time::timeout(LINGER, drained).await;
    Ok(())
}

async fn entries(later: mpsc::Sender<Delivery>, id: u32, count: u64, octets: usize, every: Duration) {
    let value = vec![b'x'; octets];
    for number in 0..count {
        let name = format!("cn=entry-{number},{}", super::entry::BASE);
        let operation = message::search_entry(&name, &[("description".to_owned(), vec![value.clone()])]);
        let octets = message::message(id, &operation, &[]);
        if later.send(Delivery { octets, pace: None }).await.is_err() {
            return;
        }
        if !every.is_zero() {
            tokio::time::sleep(every).await;
        }
    }
    let done = message::message(id, &message::result(op::SEARCH_RESULT_DONE, 0, b"", b"", b""), &[]);
    // A closed connection needs no answer.
    let _ = later.send(Delivery { octets: done, pace: None }).await;
}
