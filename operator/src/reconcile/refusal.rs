//! Which answers of the API server are for a person to repair: they become a condition, not an error.

use kube::core::Status;

use super::apply::ApplyError;
use super::dereference::DereferenceError;
use super::outcome::{Refusal, RefusalReason};

/// A refusal, if repeating alone does not help.
#[must_use]
pub fn of_dereference(error: &DereferenceError) -> Option<Refusal> {
    let DereferenceError::Read { what, source } = error;
    match source {
        kube::Error::Api(status) if is_refused(status) => Some(forbidden(&format!("read {what}"), &status.message)),
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
        kube::Error::Api(status) if is_refused(status) => {
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

/// Whether the operator lacks a right.
fn is_refused(status: &Status) -> bool {
    status.is_forbidden() && !is_terminating(status)
}

/// Whether something could not be made because its namespace is being deleted. No right helps, nobody has to do anything, and
/// soon there is nothing left to look at.
#[must_use]
pub fn is_of_terminating_namespace(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status) if status.is_forbidden() && is_terminating(status))
}

fn is_terminating(status: &Status) -> bool {
    let mut causes = status.details.iter().flat_map(|details| &details.causes);
    causes.any(|cause| cause.reason == "NamespaceTerminating")
}

fn forbidden(what: &str, message: &str) -> Refusal {
    // A quota answers with the code of a missing right; no role would help.
    let (cause, remedy) = if message.contains("exceeded quota") {
        ("the namespace's quota does not", "raise that ResourceQuota, or make room for what the BindProxy consists of")
    } else {
        (
            "the operator has no permission to",
            "give its role the right, or let it watch this namespace (chart value watchNamespaces)",
        )
    };
    Refusal { reason: RefusalReason::PermissionDenied, message: format!("{cause} {what}: {message}; {remedy}") }
}

#[cfg(test)]
mod tests {
    use kube::core::response::{StatusCause, StatusDetails};

    use super::*;

    #[test]
    fn a_quota_that_is_used_up_is_not_told_as_a_missing_right() {
        let quota = forbidden("let Service corp be applied", "services \"corp\" is forbidden: exceeded quota: small");
        assert_eq!(quota.reason, RefusalReason::PermissionDenied);
        assert!(quota.message.contains("quota does not let Service corp be applied"), "{}", quota.message);
        assert!(!quota.message.contains("give its role"), "{}", quota.message);
        let right = forbidden("let Service corp be applied", "services is forbidden: User cannot patch");
        assert!(right.message.contains("give its role"), "{}", right.message);
    }

    fn secret_refused(causes: Vec<StatusCause>) -> ApplyError {
        let mut status = Status::failure("secrets is forbidden", "Forbidden").with_code(403);
        status.details = Some(StatusDetails {
            name: "mail".to_owned(),
            group: String::new(),
            kind: "namespaces".to_owned(),
            uid: String::new(),
            causes,
            retry_after_seconds: 0,
        });
        ApplyError::Write {
            kind: "Secret".to_owned(),
            name: "corp-cluster".to_owned(),
            verb: "created",
            source: Box::new(kube::Error::Api(Box::new(status))),
        }
    }

    #[test]
    fn a_lacking_right_is_for_a_person_and_a_namespace_that_goes_is_not() {
        let refusal = of_apply(&secret_refused(Vec::new())).expect("a refusal");
        assert_eq!(refusal.reason, RefusalReason::PermissionDenied);
        let going = StatusCause {
            reason: "NamespaceTerminating".to_owned(),
            message: "namespace mail is being terminated".to_owned(),
            field: "metadata.namespace".to_owned(),
        };
        let refused = secret_refused(vec![going]);
        assert_eq!(of_apply(&refused), None);
        let terminating = |error: &ApplyError| error.answer().is_some_and(is_of_terminating_namespace);
        assert!(terminating(&refused));
        assert!(!terminating(&secret_refused(Vec::new())));
    }
}
