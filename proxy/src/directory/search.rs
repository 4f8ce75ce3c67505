//! Search and Compare (RFC 4511 sections 4.5 and 4.10), and the rootDSE.

use rasn_ldap::{CompareRequest, SearchRequest, SearchRequestScope};

use super::answer::{Answer, Directory, Session, Then, Tls, result_code};
use super::entry::{BASE, Entry, fold_dn};
use super::filter::{self, Values};
use super::message;
use super::verdict::Flavour;
use crate::clock::Tick;
use crate::codec::{code, oid, op};

type Attributes = Vec<(String, Vec<Vec<u8>>)>;

/// The attributes of an entry as one reader may see them.
struct View<'a> {
    entry: &'a Entry,
    operational: Attributes,
    shows_password: bool,
}

impl Values for View<'_> {
    fn values(&self, attribute: &str) -> Option<Vec<Vec<u8>>> {
        if attribute.eq_ignore_ascii_case("userPassword") {
            return self.entry.password.clone().filter(|_| self.shows_password).map(|password| vec![password]);
        }
        let operational = self.operational.iter().find(|(name, _)| name.eq_ignore_ascii_case(attribute));
        operational.map(|(_, values)| values.clone()).or_else(|| self.entry.values(attribute).map(<[Vec<u8>]>::to_vec))
    }
}

impl Directory {
    pub(super) fn search(&mut self, session: &Session, message_id: u32, search: &SearchRequest) -> Answer {
        let done = |code: u32, matched: &str| {
            let operation = message::result(op::SEARCH_RESULT_DONE, code, matched.as_bytes(), b"", b"");
            message::message(message_id, &operation, &[])
        };
        let Some(base) = fold_dn(&search.base_object) else {
            return Answer { messages: vec![done(result_code::INVALID_DN_SYNTAX, "")], then: Then::Nothing };
        };
        if base.is_empty() && search.scope == SearchRequestScope::BaseObject {
            let root = self.root_dse(session);
            let view = View { entry: &root.0, operational: root.1, shows_password: false };
            let mut messages = Vec::new();
            if filter::evaluate(&search.filter, &view) == Some(true) {
                messages.push(message::message(message_id, &entry_operation(&view, search), &[]));
            }
            messages.push(done(code::SUCCESS, ""));
            return Answer { messages, then: Then::Nothing };
        }
        if !base.is_empty() && !self.names.contains_key(&base) {
            return Answer {
                messages: vec![done(result_code::NO_SUCH_OBJECT, &self.nearest(&base))],
                then: Then::Nothing,
            };
        }
        let mut messages = Vec::new();
        for index in 0..self.entries.len() {
            if !in_scope(&self.keys[index], &base, search.scope) {
                continue;
            }
            let view = self.view(session, index);
            if filter::evaluate(&search.filter, &view) != Some(true) {
                continue;
            }
            if search.size_limit != 0 && messages.len() == search.size_limit as usize {
                messages.push(done(result_code::SIZE_LIMIT_EXCEEDED, ""));
                return Answer { messages, then: Then::Nothing };
            }
            messages.push(message::message(message_id, &entry_operation(&view, search), &[]));
        }
        messages.push(done(code::SUCCESS, ""));
        Answer { messages, then: Then::Nothing }
    }

    pub(super) fn compare(&mut self, session: &Session, compare: &CompareRequest) -> (u32, String) {
        let Some(key) = fold_dn(&compare.entry) else { return (result_code::INVALID_DN_SYNTAX, String::new()) };
        let Some(&index) = self.names.get(&key) else { return (result_code::NO_SUCH_OBJECT, self.nearest(&key)) };
        let asserted = &compare.ava.assertion_value;
        let code = match self.view(session, index).values(filter::base_name(&compare.ava.attribute_desc)) {
            None => result_code::NO_SUCH_ATTRIBUTE,
            Some(values) if values.iter().any(|value| value.eq_ignore_ascii_case(asserted)) => {
                result_code::COMPARE_TRUE
            }
            Some(_) => result_code::COMPARE_FALSE,
        };
        (code, String::new())
    }

    fn view(&self, session: &Session, index: usize) -> View<'_> {
        let entry = &self.entries[index];
        let account = &self.accounts[index];
        let mut operational = vec![("entryDN".to_owned(), vec![entry.dn.clone().into_bytes()])];
        if !account.failures().is_empty() {
            let times = account.failures().iter().map(|&tick| generalized_time(tick)).collect();
            operational.push(("pwdFailureTime".to_owned(), times));
        }
        if let Some(since) = account.locked_since() {
            operational.push(("pwdAccountLockedTime".to_owned(), vec![generalized_time(since)]));
        }
        if let Some(changed) = entry.password_changed {
            operational.push(("pwdChangedTime".to_owned(), vec![generalized_time(changed)]));
        }
        let administrator = session.identity.is_some_and(|reader| self.entries[reader].administrator);
        View { entry, operational, shows_password: administrator || session.identity == Some(index) }
    }

    fn root_dse(&self, session: &Session) -> (Entry, Attributes) {
        let root = Entry::new("", &[("objectClass", "top")]);
        let list = |values: &[&[u8]]| values.iter().map(|value| value.to_vec()).collect::<Vec<_>>();
        let mut operational = vec![
            ("supportedLDAPVersion".to_owned(), list(&[b"3"])),
            ("namingContexts".to_owned(), list(&[BASE.as_bytes()])),
            ("supportedSASLMechanisms".to_owned(), list(&[b"PLAIN", b"X-TWO-STEP", b"X-SEALED"])),
        ];
        let mut operations = list(&[oid::WHO_AM_I, oid::PASSWORD_MODIFY]);
        if session.tls != Tls::Unavailable {
            operations.push(oid::START_TLS.to_vec());
        }
        operational.push(("supportedExtension".to_owned(), operations));
        if self.policy.password_policy_control {
            operational.push(("supportedControl".to_owned(), list(&[oid::PASSWORD_POLICY])));
        }
        match self.flavour {
            Flavour::OpenLdap => {}
            Flavour::DirectoryServer389 => {
                operational.push(("vendorName".to_owned(), list(&[b"389 Project"])));
                operational.push(("vendorVersion".to_owned(), list(&[b"389-Directory/2.3.1"])));
            }
            Flavour::ActiveDirectory => {
                let capabilities = list(&[b"1.2.840.113556.1.4.800", b"1.2.840.113556.1.4.1670"]);
                operational.push(("supportedCapabilities".to_owned(), capabilities));
            }
        }
        (root, operational)
    }

    /// The nearest entry above `key` that exists, for matchedDN.
    fn nearest(&self, key: &str) -> String {
        let mut at = key;
        while let Some(parent) = parent(at) {
            if let Some(&index) = self.names.get(parent) {
                return self.entries[index].dn.clone();
            }
            at = parent;
        }
        String::new()
    }
}

fn parent(key: &str) -> Option<&str> {
    let mut escaped = false;
    for (at, octet) in key.bytes().enumerate() {
        match octet {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b',' => return Some(&key[at + 1..]),
            _ => {}
        }
    }
    None
}

fn in_scope(key: &str, base: &str, scope: SearchRequestScope) -> bool {
    match scope {
        SearchRequestScope::BaseObject => key == base,
        SearchRequestScope::SingleLevel => parent(key).unwrap_or_default() == base && key != base,
        SearchRequestScope::WholeSubtree => {
            let mut at = Some(key);
            while let Some(here) = at {
                if here == base {
                    return true;
                }
                at = parent(here);
            }
            base.is_empty()
        }
        _ => false,
    }
}

/// The SearchResultEntry for what `search` selects (RFC 4511 section 4.5.1.8).
fn entry_operation(view: &View<'_>, search: &SearchRequest) -> Vec<u8> {
    let wanted: Vec<&str> = search.attributes.iter().map(|name| name.as_str()).collect();
    let asks = |name: &str| wanted.iter().any(|&wanted| filter::base_name(wanted).eq_ignore_ascii_case(name));
    let all_user = wanted.is_empty() || wanted.contains(&"*");
    let all_operational = wanted.contains(&"+");
    let mut selected: Attributes = Vec::new();
    for (name, values) in &view.entry.attributes {
        if all_user || asks(name) {
            selected.push((name.clone(), values.clone()));
        }
    }
    if (all_user || asks("userPassword"))
        && let Some(values) = view.values("userPassword")
    {
        selected.push(("userPassword".to_owned(), values));
    }
    for (name, values) in &view.operational {
        if all_operational || asks(name) {
            selected.push((name.clone(), values.clone()));
        }
    }
    if search.types_only {
        selected.iter_mut().for_each(|(_, values)| values.clear());
    }
    message::search_entry(&view.entry.dn, &selected)
}

/// A GeneralizedTime that grows with the tick. The directory has no calendar: it starts on the
/// first of January 2000 and its months have 28 days.
fn generalized_time(tick: Tick) -> Vec<u8> {
    let Tick(millis) = tick;
    let seconds = millis / 1000;
    let days = seconds / 86_400;
    let (year, month, day) = (2000 + days / 336, days % 336 / 28 + 1, days % 28 + 1);
    let (hour, minute, second) = (seconds / 3600 % 24, seconds / 60 % 60, seconds % 60);
    format!("{year:04}{month:02}{day:02}{hour:02}{minute:02}{second:02}.{:06}Z", millis % 1000 * 1000).into_bytes()
}
