//! `Accepted`: whether the spec is usable.

use super::judgement::Judgement;
use crate::reconcile::outcome::{Refusal, RefusalReason};
use crate::reconcile::validated::ValidatedBindProxy;

/// Why `Accepted` says what it says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// The spec is usable. What was left out though it was asked for is in the message.
    Accepted,
    /// The spec is not usable; nothing of it was applied, and what ran keeps running.
    Refused(RefusalReason),
}

impl Reason {
    /// As the API writes it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Accepted => "Accepted",
            Self::Refused(reason) => reason.as_str(),
        }
    }
}

/// Says whether the spec is usable.
#[must_use]
pub fn judge(verdict: Result<&ValidatedBindProxy, &Refusal>) -> Judgement<Reason> {
    match verdict {
        Ok(validated) if validated.remarks.is_empty() => Judgement::holds(Reason::Accepted, "the spec is usable"),
        Ok(validated) => {
            Judgement::holds(Reason::Accepted, format!("the spec is usable; {}", validated.remarks.join("; ")))
        }
        Err(refusal) => Judgement::fails(Reason::Refused(refusal.reason), refusal.message.clone()),
    }
}
