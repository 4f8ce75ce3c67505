//! What RFC 4511 and RFC 4513 let a session be: who it is, and what it waits for. Pure.

use std::collections::VecDeque;

use crate::clock::Tick;
use crate::codec::op;

/// Who the client is to the directory (RFC 4513 section 4).
#[derive(Clone, PartialEq, Eq)]
pub enum Identity {
    /// Nobody in particular.
    Anonymous,
    /// Bound by name and password; the name octets as sent.
    Bound(Box<[u8]>),
    /// Bound by SASL; the name is the directory's business.
    Sasl,
}

impl std::fmt::Debug for Identity {
    /// Never prints a name: logs redact names by default.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Anonymous => "Anonymous",
            Self::Bound(_) => "Bound",
            Self::Sasl => "Sasl",
        })
    }
}

/// What a success of an outstanding operation means for the cache.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OnSuccess {
    /// Nothing.
    Nothing,
    /// The password or the lock state of this name changed: what was refused may be right now.
    CredentialChanged(Box<[u8]>),
}

/// A request that the directory has not answered for good.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outstanding {
    /// Its message ID.
    pub message_id: u32,
    /// The tag of the request.
    pub request: u8,
    /// What its success means.
    pub on_success: OnSuccess,
    /// When it was forwarded.
    pub since: Tick,
}

/// The outstanding operations of one session, in the order in which they were forwarded.
#[derive(Debug, Default)]
pub struct Operations {
    outstanding: VecDeque<Outstanding>,
    /// An abandoned operation may still be answered, or not; nobody can tell when it is over. The
    /// connection is of no use to another session after one.
    abandoned_any: bool,
}

impl Operations {
    /// Records a forwarded request.
    pub fn start(&mut self, operation: Outstanding) {
        self.outstanding.push_back(operation);
    }

    /// Whether the operation `message_id` is outstanding; it is forgotten then (RFC 4511 section 4.11).
    pub fn abandon(&mut self, message_id: u32) -> bool {
        let found = self.position(message_id);
        if let Some(index) = found {
            self.outstanding.remove(index);
            self.abandoned_any = true;
        }
        found.is_some()
    }

    /// Forgets all operations as abandoned and gives their message IDs.
    pub fn abandon_all(&mut self) -> Vec<u32> {
        self.abandoned_any |= !self.outstanding.is_empty();
        self.outstanding.drain(..).map(|operation| operation.message_id).collect()
    }

    /// The oldest outstanding operation with this message ID.
    #[must_use]
    pub fn find(&self, message_id: u32) -> Option<&Outstanding> {
        self.outstanding.iter().find(|operation| operation.message_id == message_id)
    }

    /// Takes the oldest outstanding operation with this message ID: its final answer came.
    pub fn finish(&mut self, message_id: u32) -> Option<Outstanding> {
        self.position(message_id).and_then(|index| self.outstanding.remove(index))
    }

    /// Takes all: the connection to the directory is lost.
    pub fn take_all(&mut self) -> Vec<Outstanding> {
        std::mem::take(&mut self.outstanding).into()
    }

    /// Takes those extended operations that were forwarded before `deadline`.
    pub fn take_overdue_extended(&mut self, deadline: Tick) -> Vec<Outstanding> {
        let overdue = |operation: &Outstanding| operation.request == op::EXTENDED_REQUEST && operation.since < deadline;
        let (overdue, kept): (Vec<_>, Vec<_>) = self.take_all().into_iter().partition(overdue);
        self.outstanding = kept.into();
        self.abandoned_any |= !overdue.is_empty();
        overdue
    }

    /// When the oldest extended operation was forwarded.
    #[must_use]
    pub fn oldest_extended(&self) -> Option<Tick> {
        self.outstanding
            .iter()
            .find(|operation| operation.request == op::EXTENDED_REQUEST)
            .map(|operation| operation.since)
    }

    /// How many are outstanding.
    #[must_use]
    pub fn len(&self) -> usize {
        self.outstanding.len()
    }

    /// Whether none is.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.outstanding.is_empty()
    }

    /// Whether an operation was ever abandoned on the present upstream connection.
    #[must_use]
    pub fn abandoned_any(&self) -> bool {
        self.abandoned_any
    }

    /// The session got another upstream connection.
    pub fn forget_abandoned(&mut self) {
        self.abandoned_any = false;
    }

    fn position(&self, message_id: u32) -> Option<usize> {
        self.outstanding.iter().position(|operation| operation.message_id == message_id)
    }
}

/// Whether a response of this kind is followed by others to the same request.
#[must_use]
pub fn is_intermediate(response: u8) -> bool {
    matches!(response, op::SEARCH_RESULT_ENTRY | op::SEARCH_RESULT_REFERENCE | op::INTERMEDIATE_RESPONSE)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn operation(message_id: u32, request: u8, since: u64) -> Outstanding {
        Outstanding { message_id, request, on_success: OnSuccess::Nothing, since: Tick(since) }
    }

    #[test]
    fn a_reused_message_id_finishes_the_oldest_first() {
        let mut operations = Operations::default();
        operations.start(operation(5, op::SEARCH_REQUEST, 1));
        operations.start(operation(5, op::COMPARE_REQUEST, 2));
        assert_eq!(operations.finish(5).unwrap().request, op::SEARCH_REQUEST);
        assert_eq!(operations.finish(5).unwrap().request, op::COMPARE_REQUEST);
        assert!(operations.finish(5).is_none());
    }

    #[test]
    fn abandoning_taints_the_connection() {
        let mut operations = Operations::default();
        operations.start(operation(1, op::SEARCH_REQUEST, 1));
        assert!(!operations.abandon(2));
        assert!(!operations.abandoned_any());
        assert!(operations.abandon(1));
        assert!(operations.abandoned_any() && operations.is_empty());
    }

    #[test]
    fn only_extended_operations_time_out() {
        let mut operations = Operations::default();
        operations.start(operation(1, op::SEARCH_REQUEST, 1));
        operations.start(operation(2, op::EXTENDED_REQUEST, 1));
        operations.start(operation(3, op::EXTENDED_REQUEST, 50));
        let overdue = operations.take_overdue_extended(Tick(10));
        assert_eq!(overdue.iter().map(|operation| operation.message_id).collect::<Vec<_>>(), [2]);
        assert_eq!(operations.len(), 2);
    }
}
