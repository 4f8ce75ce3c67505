//! Which answers of the API server are for a person to repair: they become a condition, not an error.

use super::apply::ApplyError;
use super::dereference::DereferenceError;
use super::outcome::{Refusal, RefusalReason};

/// A refusal, if repeating alone does not help.
#[must_use]
pub fn of_dereference(error: &DereferenceError) -> Option<Refusal> {
    let DereferenceError::Read { what, source } = error;
    match source {
        kube::Error::Api(status) if status.is_forbidden() => Some(forbidden(&format!("read {what}"), &status.message)),
        _ => None,
    }
}

/// A refusal, if repeating alone does not help.
#[must_use]
pub fn of_apply(error: &ApplyError) -> Option<Refusal> {
    match error {
        ApplyError::Foreign { kind, name } => Some(Refusal {
            reason: RefusalReason::ConflictingOwner,
            message: format!(
                "{kind} {name} belongs to somebody else; delete or rename it, or give this BindProxy another name"
            ),
        }),
        ApplyError::Write { kind, name, verb, source } => of_write(kind, name, verb, source),
        ApplyError::Serialize(..) => None,
    }
}

fn of_write(kind: &str, name: &str, verb: &str, source: &kube::Error) -> Option<Refusal> {
    match source {
        kube::Error::Api(status) if status.is_forbidden() => {
            Some(forbidden(&format!("let {kind} {name} be {verb}"), &status.message))
        }
        // The API server's own rules about a part that is passed on as it is: resources, affinity, service.
        kube::Error::Api(status) if status.is_invalid() => Some(Refusal {
            reason: RefusalReason::InvalidSpec,
            message: format!("the API server refuses the {kind} {name} that the spec asks for: {}", status.message),
        }),
        _ => None,
    }
}

fn forbidden(what: &str, message: &str) -> Refusal {
    Refusal {
        reason: RefusalReason::PermissionDenied,
        message: format!(
            "the operator has no permission to {what}: {message}; give its role the right, or let it watch this namespace (chart value watchNamespaces)"
        ),
    }
}
