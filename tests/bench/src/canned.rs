//! A server that answers with fixed octets and looks at nothing but lengths, the message ID and the
//! last octet of a bind.

use std::io::Write;

use anyhow::{Context, Result};
use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use crate::wire;

/// Octets that one connection can hold of requests that are not complete.
const BUFFER_BYTES: usize = 16 * 1024;

/// Which result a bind gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum BindAnswer {
    /// `invalidCredentials` (49).
    Refuse,
    /// `success` (0).
    Accept,
    /// 49 when the last octet of the request is `X`, else 0.
    ByLastOctet,
}

/// The answers, and what is counted while they are given.
pub struct Canned {
    answer: BindAnswer,
    entry: Vec<u8>,
    watched: Option<Watched>,
}

/// Binds whose request contains `name` are written to `log`, one line each.
struct Watched {
    name: Vec<u8>,
    log: Mutex<std::fs::File>,
}

/// What one run over a buffer did.
struct Progress {
    consumed: usize,
    close: bool,
}

impl Canned {
    /// Answers binds like this and every search with one entry of about 400 octets.
    #[must_use]
    pub fn new(answer: BindAnswer) -> Self {
        let attributes: Vec<u8> = [
            ("objectClass", "inetOrgPerson"),
            ("uid", "u00001"),
            ("cn", "User Number 00001"),
            ("sn", "Number00001"),
            ("mail", "u00001@example.org"),
            ("telephoneNumber", "+49 30 1234567"),
            ("description", "a synthetic user entry with a description of moderate length, like real ones"),
            ("title", "Engineer"),
            ("l", "Berlin"),
            ("ou", "Engineering"),
            ("employeeNumber", "100001"),
            ("homeDirectory", "/home/u00001"),
        ]
        .iter()
        .flat_map(|(kind, value)| {
            let mut attribute = wire::element(0x04, kind.as_bytes());
            attribute.extend(wire::element(0x31, &wire::element(0x04, value.as_bytes())));
            wire::element(wire::SEQUENCE, &attribute)
        })
        .collect();
        let mut entry = wire::element(0x04, b"uid=u00001,ou=people,dc=example,dc=org");
        entry.extend(wire::element(wire::SEQUENCE, &attributes));
        Self { answer, entry: wire::element(wire::SEARCH_ENTRY, &entry), watched: None }
    }

    /// Also notes every bind whose request contains `name` in the file `log`.
    pub fn watching(mut self, name: &str, log: &std::path::Path) -> Result<Self> {
        let log = std::fs::File::create(log).with_context(|| log.display().to_string())?;
        self.watched = Some(Watched { name: name.as_bytes().to_vec(), log: Mutex::new(log) });
        Ok(self)
    }

    /// Answers one connection until it ends, unbinds or sends something else.
    pub async fn serve<S: AsyncRead + AsyncWrite + Unpin>(&self, mut socket: S) {
        let mut buffer = vec![0; BUFFER_BYTES];
        let mut filled = 0;
        let mut out = Vec::with_capacity(1024);
        loop {
            match socket.read(&mut buffer[filled..]).await {
                Ok(0) | Err(_) => break,
                Ok(count) => filled += count,
            }
            out.clear();
            let Progress { consumed, close } = self.answer_all(&buffer[..filled], &mut out);
            buffer.copy_within(consumed..filled, 0);
            filled -= consumed;
            if !out.is_empty() && (socket.write_all(&out).await.is_err() || socket.flush().await.is_err()) {
                break;
            }
            if close {
                break;
            }
        }
        socket.shutdown().await.ok();
    }

    /// Appends the answers to every complete request of `octets` to `out`.
    fn answer_all(&self, octets: &[u8], out: &mut Vec<u8>) -> Progress {
        let mut consumed = 0;
        loop {
            let rest = &octets[consumed..];
            let frame = match wire::frame_length(rest) {
                Ok(Some(length)) if length <= rest.len() => &rest[..length],
                Ok(_) => return Progress { consumed, close: false },
                Err(wire::Garbage) => return Progress { consumed, close: true },
            };
            let Ok((_, operation)) = wire::id_and_operation(frame) else {
                return Progress { consumed, close: true };
            };
            let id = &frame[wire::header_length(frame)..operation];
            match frame[operation] {
                wire::BIND_REQUEST => push_result(out, id, 0x61, self.code(frame)),
                wire::SEARCH_REQUEST => {
                    out.push(wire::SEQUENCE);
                    wire::push_length(out, id.len() + self.entry.len());
                    out.extend_from_slice(id);
                    out.extend_from_slice(&self.entry);
                    push_result(out, id, wire::SEARCH_DONE, 0);
                }
                _ => return Progress { consumed: consumed + frame.len(), close: true },
            }
            consumed += frame.len();
        }
    }

    fn code(&self, frame: &[u8]) -> u8 {
        if let Some(Watched { name, log }) = &self.watched
            && frame.windows(name.len()).any(|window| window == name)
        {
            writeln!(log.lock(), "bind").ok();
        }
        match self.answer {
            BindAnswer::Refuse => 49,
            BindAnswer::Accept => 0,
            BindAnswer::ByLastOctet => match frame.last() {
                Some(b'X') => 49,
                _ => 0,
            },
        }
    }
}

/// A result without matched name and without text; `id` is the message ID with tag and length.
fn push_result(out: &mut Vec<u8>, id: &[u8], tag: u8, code: u8) {
    out.push(wire::SEQUENCE);
    wire::push_length(out, id.len() + 9);
    out.extend_from_slice(id);
    out.extend_from_slice(&[tag, 7, 0x0a, 1, code, 4, 0, 4, 0]);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answers(canned: &Canned, octets: &[u8]) -> (Vec<u8>, usize, bool) {
        let mut out = Vec::new();
        let Progress { consumed, close } = canned.answer_all(octets, &mut out);
        (out, consumed, close)
    }

    #[test]
    fn pipelined_requests_are_answered_and_half_a_request_waits() {
        let canned = Canned::new(BindAnswer::ByLastOctet);
        let mut octets = wire::message(wire::FIRST_ID, &wire::simple_bind("uid=a", "wrongX"));
        octets.extend(wire::message(wire::FIRST_ID + 1, &wire::simple_bind("uid=a", "right")));
        let whole = octets.len();
        octets.extend_from_slice(&[0x30, 0x20, 0x02]);
        let (out, consumed, close) = answers(&canned, &octets);
        assert_eq!((consumed, close), (whole, false));
        let first = wire::frame_length(&out).unwrap().unwrap();
        for (frame, id, code) in [(&out[..first], wire::FIRST_ID, 49), (&out[first..], wire::FIRST_ID + 1, 0)] {
            let (seen, operation) = wire::id_and_operation(frame).unwrap();
            assert_eq!((seen, wire::result_code(frame, operation).unwrap()), (id, code));
        }
    }

    #[test]
    fn a_search_gets_an_entry_and_a_result_and_an_unbind_ends() {
        let canned = Canned::new(BindAnswer::Accept);
        let (out, _, close) = answers(&canned, &wire::message(wire::FIRST_ID, &wire::base_search("dc=org", &[])));
        let first = wire::frame_length(&out).unwrap().unwrap();
        assert_eq!(out[wire::id_and_operation(&out).unwrap().1], wire::SEARCH_ENTRY);
        assert_eq!(out[first + wire::id_and_operation(&out[first..]).unwrap().1], wire::SEARCH_DONE);
        assert!(!close);
        assert!(answers(&canned, &wire::message(wire::FIRST_ID, &wire::unbind())).2);
    }
}
