//! Taking the directory's answers off its octets: pass on, and notice what they mean.

use std::ops::Range;
use std::time::Duration;

use super::Session;
use super::state::{OnSuccess, is_intermediate};
use crate::clock::Tick;
use crate::codec::frame::{self, Peek};
use crate::codec::{code, extended, oid, op, result};
use crate::effects::perform;
use crate::metrics::{Operation, RequestResult, UpstreamResult};

/// The longest answer that is held back until it is whole, because its result matters. A longer
/// one is taken for a success: purging too much costs an attempt, purging too little a refusal.
const MAX_HELD_ANSWER_BYTES: usize = 16 * 1024;

impl Session {
    /// Takes the answers in `octets`, which an answer of any length may outlast: what is to be
    /// passed on is either in `to_client` or stands in `octets` as it came, which saves copying it.
    /// What cannot be told yet is kept in the connection's `unread`.
    pub(super) fn take_answers(&mut self, octets: &[u8], to_client: &mut Vec<u8>) -> PassedOn {
        let now = self.core.now();
        let mut tally = Tally::default();
        let mut at = 0;
        let mut pass_from = 0;
        let mut lost = None;
        while at < octets.len() && lost.is_none() {
            let Some(connection) = &mut self.attached else { break };
            if connection.streaming > 0 {
                let passed = connection.streaming.min(octets.len() - at);
                connection.streaming -= passed;
                at += passed;
                continue;
            }
            let rest = &octets[at..];
            let peek = match frame::peek(rest, usize::MAX) {
                Ok(Some(peek)) => peek,
                Ok(None) => {
                    connection.unread.extend_from_slice(rest);
                    break;
                }
                Err(error) => {
                    lost = Some(format!("not an LDAP answer: {error}"));
                    break;
                }
            };
            let whole = rest.len() >= peek.total;
            let message = &rest[..peek.total.min(rest.len())];
            match self.take_answer(message, &peek, now, &mut tally) {
                Passing::Pass => {
                    at += message.len();
                    if !whole && let Some(connection) = &mut self.attached {
                        connection.streaming = peek.total - message.len();
                    }
                }
                Passing::Hold => {
                    if let Some(connection) = &mut self.attached {
                        connection.unread.extend_from_slice(rest);
                    }
                    break;
                }
                Passing::Drop => {
                    to_client.extend_from_slice(&octets[pass_from..at]);
                    pass_from = at;
                    if whole {
                        at += message.len();
                        pass_from = at;
                    } else {
                        lost = Some("an answer to an unknown message ID".to_owned());
                    }
                }
                Passing::Disconnected => lost = Some("the directory sent a notice of disconnection".to_owned()),
            }
        }
        self.count_tally(tally);
        PassedOn { straight: pass_from..at, lost }
    }

    /// Counts a final answer together with those before it, or after them when it is another kind.
    fn tally(&self, tally: &mut Tally, answered: Alike) {
        if tally.alike != Some(answered) {
            self.count_tally(std::mem::take(tally));
            tally.alike = Some(answered);
        }
        tally.count += 1;
    }

    fn count_tally(&self, Tally { alike, count }: Tally) {
        let Some(Alike { request, code, taken }) = alike else { return };
        let kind = Operation::from_tag(request);
        if let Some(connection) = &self.attached {
            let result = code.map_or(UpstreamResult::Other, UpstreamResult::from_code);
            connection.target.metrics.answered(kind, result, taken, count);
        }
        let result = code.map_or(RequestResult::Other, RequestResult::from_code);
        self.core.shared.metrics.forwarded(kind, result, taken, count);
    }

    fn take_answer(&mut self, message: &[u8], peek: &Peek, now: Tick, tally: &mut Tally) -> Passing {
        if peek.message_id == 0 {
            let notice = peek.op == op::EXTENDED_RESPONSE
                && extended::response_name(message, peek) == Some(oid::NOTICE_OF_DISCONNECTION);
            return if notice { Passing::Disconnected } else { Passing::Pass };
        }
        let Some(operation) = self.operations.find(peek.message_id) else {
            if self.operations.abandoned_any() {
                // It may belong to an abandoned operation, whose late answers the client expects.
                return Passing::Pass;
            }
            if let Some(connection) = &mut self.attached {
                connection.target.metrics.unexpected.inc();
                connection.reusable = false;
            }
            return Passing::Drop;
        };
        if is_intermediate(peek.op) {
            return Passing::Pass;
        }
        let matters = operation.on_success != OnSuccess::Nothing;
        if matters && message.len() < peek.total && peek.total <= MAX_HELD_ANSWER_BYTES {
            return Passing::Hold;
        }
        let Some(operation) = self.operations.finish(peek.message_id) else { return Passing::Pass };
        let code = result::code_of(message, peek);
        self.tally(tally, Alike { request: operation.request, code, taken: now.since(operation.since) });
        match operation.on_success {
            OnSuccess::CredentialChanged(name) if code.is_none_or(|code| code == code::SUCCESS) => {
                let effects = self.core.shared.guard.password_changed(&name, self.core.shared.cluster_clock.of(now));
                perform(&self.core.shared, effects);
            }
            OnSuccess::CredentialChanged(_) | OnSuccess::Nothing => {}
        }
        Passing::Pass
    }
}

/// What became of the octets of one read.
pub(super) struct PassedOn {
    /// Where in them stands what is passed on as it came, after what was put aside for the client.
    pub(super) straight: Range<usize>,
    /// Why the upstream connection is of no more use; what came before is passed on all the same.
    pub(super) lost: Option<String>,
}

/// The final answers of one pass that are alike. Counting each by itself costs more than passing
/// it on, and at sixteen requests in flight a pass brings many.
#[derive(Default)]
struct Tally {
    alike: Option<Alike>,
    count: u64,
}

#[derive(Clone, Copy, PartialEq, Eq)]
struct Alike {
    request: u8,
    code: Option<u32>,
    taken: Duration,
}

/// What becomes of one answer.
enum Passing {
    /// It goes to the client.
    Pass,
    /// It is kept until it is whole.
    Hold,
    /// It goes nowhere.
    Drop,
    /// It was the directory's last word.
    Disconnected,
}
