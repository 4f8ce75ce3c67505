//! Misbehaviour on demand: which requests are answered otherwise than the directory would, and how.
//! Pure; `connection` performs it.

use std::fmt;
use std::time::Duration;

use super::entry::fold_name;
use super::message;
use crate::codec::bind_request::{self, Authentication};
use crate::codec::frame::Peek;
use crate::codec::{element, op};

/// What a running directory does otherwise; empty at the start, changed at any time.
#[derive(Clone, Debug, Default)]
pub struct Script {
    rules: Vec<Rule>,
    /// What happens to a connection that was just accepted.
    pub on_accept: OnAccept,
    /// Connections that were silent for so long are closed.
    pub close_idle_after: Option<Duration>,
    /// Whether Notice of Disconnection precedes that close.
    pub notice_when_idle: bool,
    /// Every answer is written with four length octets everywhere, as Active Directory does.
    pub long_lengths: bool,
}

#[derive(Clone, Debug)]
struct Rule {
    request: Match,
    behaviour: Behaviour,
    left: Option<u32>,
}

/// Which requests a rule is about: all conditions that are set must hold.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Match {
    operation: Option<u8>,
    name: Option<String>,
    password: Option<Vec<u8>>,
    connection: Option<u64>,
}

impl fmt::Debug for Match {
    /// Prints no password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Match")
            .field("operation", &self.operation)
            .field("name", &self.name)
            .field("connection", &self.connection)
            .finish_non_exhaustive()
    }
}

impl Match {
    /// Every request.
    #[must_use]
    pub fn any() -> Self {
        Self::default()
    }

    /// Requests with this operation tag ([`crate::codec::op`]).
    #[must_use]
    pub fn operation(operation: u8) -> Self {
        Self { operation: Some(operation), ..Self::default() }
    }

    /// Every bind.
    #[must_use]
    pub fn bind() -> Self {
        Self::operation(op::BIND_REQUEST)
    }

    /// Every search.
    #[must_use]
    pub fn search() -> Self {
        Self::operation(op::SEARCH_REQUEST)
    }

    /// Only those about this entry: a bind's name, a search's base, a modification's entry; of an
    /// extended request its object identifier.
    #[must_use]
    pub fn named(mut self, name: &str) -> Self {
        self.name = Some(fold_name(name));
        self
    }

    /// Only simple binds with this password.
    #[must_use]
    pub fn with_password(mut self, password: &str) -> Self {
        self.password = Some(password.as_bytes().to_vec());
        self
    }

    /// Only those on the connection with this number.
    #[must_use]
    pub fn on_connection(mut self, connection: u64) -> Self {
        self.connection = Some(connection);
        self
    }

    fn fits(&self, request: &Request<'_>) -> bool {
        let Self { operation, name, password, connection } = self;
        operation.is_none_or(|operation| operation == request.operation)
            && connection.is_none_or(|connection| connection == request.connection)
            && password.as_deref().is_none_or(|password| request.password == Some(password))
            && name.as_deref().is_none_or(|name| request.name.as_deref() == Some(name))
    }
}

/// What happens to a connection that was just accepted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum OnAccept {
    /// It is served.
    #[default]
    Serve,
    /// Nothing is read and nothing answered; it stays open until the script changes or the client
    /// leaves.
    Hang,
    /// It is closed (FIN).
    Close,
    /// It is reset (RST).
    Reset,
    /// These octets are written, then it is served.
    Say(Vec<u8>),
}

/// How a request is answered. Where `evaluated` is a field, it tells whether the directory sees and
/// counts the request first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Behaviour {
    /// As if there were no script; shields a request from the rules after it.
    Ordinary,
    /// No answer, the connection stays open and goes on with other requests.
    Silence {
        /// Counted all the same.
        evaluated: bool,
    },
    /// The connection is closed instead of an answer.
    Close {
        /// Counted all the same.
        evaluated: bool,
    },
    /// The connection is reset instead of an answer.
    Reset {
        /// Counted all the same.
        evaluated: bool,
    },
    /// Notice of Disconnection with this result code instead of an answer, then the end.
    Notice {
        /// Counted all the same.
        evaluated: bool,
        /// The notice's result code.
        code: u32,
    },
    /// These octets instead of an answer.
    Garbage(Vec<u8>),
    /// The ordinary answer, later; requests that follow are answered meanwhile.
    Delay(Duration),
    /// The ordinary answer one octet at a time, with this pause between two.
    Trickle(Duration),
    /// The ordinary answer right after that of the next request: two answers out of order.
    AfterNext,
    /// The ordinary answer under this message ID first, then under the right one.
    WrongIdFirst(u32),
    /// The ordinary answer twice.
    Twice,
    /// The ordinary answer with four length octets everywhere.
    LongLengths,
    /// This result; not counted against the account.
    Result(ScriptedResult),
    /// These operations (their octets, tag included) under the message ID of the request.
    Operations(Vec<Vec<u8>>),
    /// Generated entries, then success. Written no faster than the client reads.
    Entries {
        /// How many; `u64::MAX` is a search that never ends.
        count: u64,
        /// Octets of each entry's one value.
        octets: usize,
        /// Pause between two entries.
        every: Duration,
    },
}

/// A scripted LDAPResult.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ScriptedResult {
    /// The result code.
    pub code: u32,
    /// matchedDN.
    pub matched_dn: Vec<u8>,
    /// The diagnostic message.
    pub diagnostic: Vec<u8>,
    /// Whole controls ([`message::control`]).
    pub controls: Vec<Vec<u8>>,
    /// The tag of the response when it is not the one that the request calls for.
    pub tag: Option<u8>,
}

impl ScriptedResult {
    /// A result with this code and nothing else.
    #[must_use]
    pub fn code(code: u32) -> Self {
        Self { code, ..Self::default() }
    }

    /// The result with this diagnostic message.
    #[must_use]
    pub fn with_diagnostic(mut self, diagnostic: &str) -> Self {
        self.diagnostic = diagnostic.as_bytes().to_vec();
        self
    }

    /// The result with one more control.
    #[must_use]
    pub fn with_control(mut self, control: Vec<u8>) -> Self {
        self.controls.push(control);
        self
    }

    /// The whole response to the request with this ID and operation tag.
    #[must_use]
    pub fn message(&self, message_id: u32, request: u8) -> Vec<u8> {
        let tag = self.tag.unwrap_or(match request {
            op::BIND_REQUEST => op::BIND_RESPONSE,
            op::SEARCH_REQUEST => op::SEARCH_RESULT_DONE,
            op::MODIFY_REQUEST => op::MODIFY_RESPONSE,
            op::ADD_REQUEST => op::ADD_RESPONSE,
            op::DELETE_REQUEST => op::DELETE_RESPONSE,
            op::MODIFY_DN_REQUEST => op::MODIFY_DN_RESPONSE,
            op::COMPARE_REQUEST => op::COMPARE_RESPONSE,
            _ => op::EXTENDED_RESPONSE,
        });
        let operation = message::result(tag, self.code, &self.matched_dn, &self.diagnostic, b"");
        message::message(message_id, &operation, &self.controls)
    }
}

impl Script {
    /// Adds a rule; the first one that fits a request is followed.
    pub fn when(&mut self, request: Match, behaviour: Behaviour) -> &mut Self {
        self.rules.push(Rule { request, behaviour, left: None });
        self
    }

    /// Adds a rule that is followed so many times and then gone.
    pub fn times(&mut self, times: u32, request: Match, behaviour: Behaviour) -> &mut Self {
        self.rules.push(Rule { request, behaviour, left: Some(times) });
        self
    }

    /// Back to good behaviour.
    pub fn clear(&mut self) {
        *self = Self::default();
    }

    /// What to do about `request`, and one use less of the rule that says so.
    pub(super) fn decide(&mut self, request: &Request<'_>) -> Option<Behaviour> {
        let at = self.rules.iter().position(|rule| rule.request.fits(request))?;
        let rule = &mut self.rules[at];
        if let Some(left) = &mut rule.left {
            *left = left.saturating_sub(1);
            if *left == 0 {
                return Some(self.rules.remove(at).behaviour);
            }
        }
        Some(rule.behaviour.clone())
    }

    pub(super) fn has_rules(&self) -> bool {
        !self.rules.is_empty()
    }
}

/// What a rule looks at.
pub(super) struct Request<'a> {
    pub(super) operation: u8,
    pub(super) connection: u64,
    pub(super) name: Option<String>,
    pub(super) password: Option<&'a [u8]>,
}

impl<'a> Request<'a> {
    pub(super) fn read(frame: &'a [u8], peek: &Peek, connection: u64) -> Self {
        let (name, password) = match bind_request::parse(frame, peek) {
            Ok(bind) => {
                let password = match bind.authentication {
                    Authentication::Simple(password) => Some(password),
                    Authentication::Sasl { .. } | Authentication::Other(_) => None,
                };
                (Some(bind.name), password)
            }
            Err(_) => (first_string(frame, peek), None),
        };
        let name = name.map(|name| fold_name(&String::from_utf8_lossy(name)));
        Self { operation: peek.op, connection, name, password }
    }
}

/// The entry that an operation other than a bind is about.
fn first_string<'a>(frame: &'a [u8], peek: &Peek) -> Option<&'a [u8]> {
    let mut rest = frame.get(peek.op_offset..peek.total)?;
    let operation = element::take(&mut rest).ok()?;
    if operation.tag == op::DELETE_REQUEST {
        return Some(operation.body);
    }
    let mut body = operation.body;
    let first = element::take(&mut body).ok()?;
    matches!(first.tag, element::OCTET_STRING | 0x80).then_some(first.body)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::{build, frame};

    fn decide(script: &mut Script, bytes: &[u8]) -> Option<Behaviour> {
        let peek = frame::peek(bytes, 10_000).unwrap().unwrap();
        script.decide(&Request::read(bytes, &peek, 1))
    }

    #[test]
    fn the_first_rule_that_fits_is_followed_as_often_as_it_says() {
        let mut script = Script::default();
        script.times(2, Match::bind().named("CN=a, dc=b"), Behaviour::Twice);
        script.when(Match::bind().with_password("late"), Behaviour::Delay(Duration::from_secs(1)));
        let named = build::simple_bind(1, "cn=A,dc=b", b"late");
        assert_eq!(decide(&mut script, &named), Some(Behaviour::Twice));
        assert_eq!(decide(&mut script, &named), Some(Behaviour::Twice));
        assert_eq!(decide(&mut script, &named), Some(Behaviour::Delay(Duration::from_secs(1))));
        assert_eq!(decide(&mut script, &build::simple_bind(1, "cn=A,dc=b", b"other")), None);
        script.clear();
        assert_eq!(decide(&mut script, &named), None);
    }

    #[test]
    fn searches_are_told_apart_by_their_base() {
        let mut script = Script::default();
        script.when(Match::search().named("dc=b"), Behaviour::AfterNext);
        assert_eq!(decide(&mut script, &build::base_search(1, "DC=B", &[], 0)), Some(Behaviour::AfterNext));
        assert_eq!(decide(&mut script, &build::base_search(1, "dc=c", &[], 0)), None);
        assert_eq!(decide(&mut script, &build::simple_bind(1, "dc=b", b"x")), None);
    }

    #[test]
    fn no_password_is_printed() {
        let mut script = Script::default();
        script.when(Match::bind().with_password("s3cret"), Behaviour::Twice);
        assert!(!format!("{script:?}").contains("s3cret") && !format!("{script:?}").contains("[115,"));
    }
}
