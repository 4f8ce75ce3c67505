//! Requests that change something: Modify (RFC 4511 section 4.6) and Password Modify (RFC 3062).

use rasn_ldap::{ChangeOperation, ModifyRequest};

use super::answer::{Directory, Session, result_code};
use super::entry::{AccountState, fold_dn};
use super::filter::base_name;
use crate::clock::Tick;
use crate::codec::{code, element};

impl Directory {
    /// Gives the account a new password; ends a lock, an expiry and the duty to change it.
    pub(super) fn change_password(&mut self, index: usize, password: &[u8], now: Tick) {
        let entry = &mut self.entries[index];
        if let Some(former) = entry.password.replace(password.to_vec()) {
            entry.former_passwords.push(former);
        }
        entry.password_changed = Some(now);
        if matches!(entry.state, AccountState::Expired | AccountState::MustChange) {
            entry.state = AccountState::Normal;
        }
        self.accounts[index].unlock();
    }

    /// Who may change `target`: its owner (the password only) and administrators.
    fn may_change(&self, session: &Session, target: usize, password_only: bool) -> Result<(), (u32, &'static str)> {
        let Some(actor) = session.identity else {
            return Err((result_code::STRONGER_AUTH_REQUIRED, "modifications require authentication"));
        };
        if self.entries[actor].administrator || (password_only && actor == target) {
            Ok(())
        } else {
            Err((result_code::INSUFFICIENT_ACCESS_RIGHTS, ""))
        }
    }

    pub(super) fn password_modify(
        &mut self,
        session: &mut Session,
        value: Option<&[u8]>,
        now: Tick,
    ) -> (u32, &'static str) {
        let Some(request) = PasswordModify::parse(value.unwrap_or(&[element::SEQUENCE, 0])) else {
            return (code::PROTOCOL_ERROR, "malformed password modify request");
        };
        let Some(actor) = session.identity else {
            return (result_code::STRONGER_AUTH_REQUIRED, "only authenticated users may change passwords");
        };
        let target = match request.user {
            None => Some(actor),
            Some(user) => self.find(&String::from_utf8_lossy(user)),
        };
        let Some(target) = target else { return (result_code::NO_SUCH_OBJECT, "") };
        if let Err(refusal) = self.may_change(session, target, true) {
            return refusal;
        }
        if request.old.is_some_and(|old| self.entries[target].password.as_deref() != Some(old)) {
            return (code::UNWILLING_TO_PERFORM, "unwilling to verify old password");
        }
        match request.new {
            Some(new) if !new.is_empty() => {
                self.change_password(target, new, now);
                session.restricted = session.restricted && target != actor;
                (code::SUCCESS, "")
            }
            _ => (code::UNWILLING_TO_PERFORM, "this directory makes no passwords up"),
        }
    }

    pub(super) fn modify(&mut self, session: &mut Session, request: &ModifyRequest, now: Tick) -> (u32, &'static str) {
        if fold_dn(&request.object).is_none() {
            return (result_code::INVALID_DN_SYNTAX, "invalid DN");
        }
        let Some(target) = self.find(&request.object) else { return (result_code::NO_SUCH_OBJECT, "") };
        let concerns_password = |description: &str| base_name(description).eq_ignore_ascii_case("userPassword");
        let password_only = request.changes.iter().all(|change| concerns_password(&change.modification.r#type));
        if let Err(refusal) = self.may_change(session, target, password_only) {
            return refusal;
        }
        // All or nothing (RFC 4511 section 4.6): work on copies, keep them at the end.
        let mut entry = self.entries[target].clone();
        let mut unlock = false;
        let mut new_password = None;
        for change in &request.changes {
            let name = base_name(&change.modification.r#type);
            let values: Vec<Vec<u8>> = change.modification.vals.iter().map(|value| value.to_vec()).collect();
            let removes = change.operation == ChangeOperation::Delete;
            if concerns_password(name) {
                let present = entry.password.as_deref();
                match (removes, values.first()) {
                    (true, Some(old)) if present != Some(old.as_slice()) => {
                        return (result_code::NO_SUCH_ATTRIBUTE, "modify/delete: userPassword: no such value");
                    }
                    (true, _) => {}
                    (false, Some(new)) => new_password = Some(new.clone()),
                    (false, None) => return (code::PROTOCOL_ERROR, "modify: userPassword: no values given"),
                }
            } else if name.eq_ignore_ascii_case("pwdAccountLockedTime") {
                if self.accounts[target].locked_since().is_none() && removes {
                    return (result_code::NO_SUCH_ATTRIBUTE, "modify/delete: pwdAccountLockedTime: no such attribute");
                }
                unlock = true;
            } else if name.eq_ignore_ascii_case("pwdReset") {
                entry.state = match values.first() {
                    Some(value) if !removes && value.eq_ignore_ascii_case(b"TRUE") => AccountState::MustChange,
                    _ => AccountState::Normal,
                };
            } else {
                let present = entry.values(name).map(<[Vec<u8>]>::to_vec);
                let updated = match change.operation {
                    ChangeOperation::Add => {
                        let mut all = present.unwrap_or_default();
                        all.extend(values);
                        all
                    }
                    ChangeOperation::Replace => values,
                    ChangeOperation::Delete => match present {
                        None => return (result_code::NO_SUCH_ATTRIBUTE, "modify/delete: no such attribute"),
                        Some(_) if values.is_empty() => Vec::new(),
                        Some(all) => all.into_iter().filter(|value| !values.contains(value)).collect(),
                    },
                };
                entry.attributes.retain(|(known, _)| !known.eq_ignore_ascii_case(name));
                if !updated.is_empty() {
                    entry.attributes.push((name.to_owned(), updated));
                }
            }
        }
        self.entries[target] = entry;
        if unlock {
            self.accounts[target].unlock();
        }
        if let Some(password) = new_password {
            self.change_password(target, &password, now);
            session.restricted = session.restricted && session.identity != Some(target);
        }
        (code::SUCCESS, "")
    }
}

/// PasswdModifyRequestValue (RFC 3062 section 2).
struct PasswordModify<'a> {
    user: Option<&'a [u8]>,
    old: Option<&'a [u8]>,
    new: Option<&'a [u8]>,
}

impl<'a> PasswordModify<'a> {
    fn parse(mut value: &'a [u8]) -> Option<Self> {
        let mut body = element::expect(&mut value, element::SEQUENCE).ok()?.body;
        let mut request = Self { user: None, old: None, new: None };
        while !body.is_empty() {
            let field = element::take(&mut body).ok()?;
            match field.tag {
                0x80 => request.user = Some(field.body),
                0x81 => request.old = Some(field.body),
                0x82 => request.new = Some(field.body),
                _ => return None,
            }
        }
        Some(request)
    }
}
