//! Objects that stand where this BindProxy's should, and are somebody else's.

use crate::identity::Identity;
use crate::reconcile::dereference::References;
use crate::reconcile::outcome::{Refusal, RefusalReason};

/// Nothing of others is taken over: it might be in use, and it would be deleted with the BindProxy.
pub(super) fn check(identity: &Identity, references: &References) -> Result<(), Refusal> {
    let Some(foreign) = references.foreign.first() else { return Ok(()) };
    let owner = match &foreign.owner {
        Some(owner) => format!("belongs to {owner}"),
        None => "was made by somebody else".to_owned(),
    };
    Err(Refusal {
        reason: RefusalReason::ConflictingOwner,
        message: format!(
            "{} {}/{} {owner}; delete or rename it, or give this BindProxy another name",
            foreign.kind, identity.namespace, foreign.name
        ),
    })
}
