//! The same conversation with a directory and with a proxy in front of it, compared octet by octet.

use crate::ldap::{Connection, Endpoint, Frame};
use crate::request;

/// A conversation on a fresh connection: returns what is to be equal.
pub type Scene<'a> = (&'a str, Box<dyn Fn(&mut Connection) -> Vec<Frame> + 'a>);

/// Plays every scene with the directory, then through the proxy, and compares.
///
/// Message IDs are compared as well: a proxy that serves one client on one upstream connection has
/// no reason to change them.
pub fn compare(direct: &Endpoint, front: &Endpoint, scenes: &[Scene<'_>]) {
    let mut differences = Vec::new();
    for (name, scene) in scenes {
        let expected = scene(&mut direct.connect());
        let seen = scene(&mut front.connect());
        println!("{name}: {} messages", expected.len());
        if expected == seen {
            continue;
        }
        let at = expected.iter().zip(&seen).position(|(a, b)| a != b).unwrap_or(expected.len().min(seen.len()));
        differences.push(format!(
            "{name}: {} messages directly, {} through the proxy; first difference at {at}:\n  {:?}\n  {:?}",
            expected.len(),
            seen.len(),
            expected.get(at),
            seen.get(at)
        ));
    }
    assert!(differences.is_empty(), "{}", differences.join("\n"));
}

/// Sends all `operations` in one write and returns the answers ordered by message ID. Directories
/// answer out of order; within one ID the order is kept.
pub fn pipelined(connection: &mut Connection, operations: &[Vec<u8>]) -> Vec<Frame> {
    let mut burst = Vec::new();
    for operation in operations {
        let id = connection.next_id();
        burst.extend(request::message(id, operation));
    }
    connection.send(&burst);
    let mut frames = Vec::new();
    let mut open = operations.len();
    while open > 0 {
        let frame = connection.frame();
        open -= usize::from(frame.is_final());
        frames.push(frame);
    }
    frames.sort_by_key(Frame::message_id);
    frames
}
