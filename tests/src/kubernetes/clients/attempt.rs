//! One bind, and how it can end.

use std::fmt;
use std::io;
use std::net::SocketAddr;

use crate::ldap::{Connection, Endpoint};
use crate::request;

/// The port of a pod for the Service's 389.
pub const LDAP_PORT: u16 = 3389;
/// The port of a pod for the Service's 636.
pub const LDAPS_PORT: u16 = 3636;

/// What became of an attempt.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Outcome {
    /// The server's answer.
    Code(u32),
    /// Notice of Disconnection with this code instead of an answer.
    Notice(u32),
    /// The connection ended before the answer.
    Ended,
    /// Nobody listens.
    Refused,
    /// No answer, or no connection, in time.
    TimedOut,
    /// Anything else.
    Other(String),
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Code(code) => write!(f, "result {code}"),
            Self::Notice(code) => write!(f, "notice of disconnection {code}"),
            Self::Ended => f.write_str("connection ended"),
            Self::Refused => f.write_str("connection refused"),
            Self::TimedOut => f.write_str("timed out"),
            Self::Other(error) => f.write_str(error),
        }
    }
}

/// One bind on a connection of its own, without a panic.
#[must_use]
pub fn login(target: SocketAddr, name: &str, password: &str) -> Outcome {
    match connect(target) {
        Ok(mut connection) => bind(&mut connection, name, password),
        Err(outcome) => outcome,
    }
}

pub(super) fn connect(target: SocketAddr) -> Result<Connection, Outcome> {
    Endpoint::tcp(target).try_connect().map_err(|error| failed(&error))
}

pub(super) fn bind(connection: &mut Connection, name: &str, password: &str) -> Outcome {
    let id = connection.next_id();
    if let Err(error) = connection.try_send(&request::message(id, &request::bind(name, password))) {
        return failed(&error);
    }
    match connection.try_frame() {
        Ok(Some(frame)) if frame.message_id() == id => Outcome::Code(frame.code()),
        Ok(Some(frame)) if frame.message_id() == 0 => Outcome::Notice(frame.code()),
        Ok(Some(frame)) => Outcome::Other(format!("an answer to something else: {frame:?}")),
        Ok(None) => Outcome::Ended,
        Err(error) => failed(&error),
    }
}

fn failed(error: &io::Error) -> Outcome {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => Outcome::Refused,
        io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock => Outcome::TimedOut,
        io::ErrorKind::ConnectionReset
        | io::ErrorKind::BrokenPipe
        | io::ErrorKind::ConnectionAborted
        | io::ErrorKind::UnexpectedEof => Outcome::Ended,
        _ => Outcome::Other(error.to_string()),
    }
}
