//! The identity of the pods. It has no rights, and nothing mounts its token: a proxy never asks the API server.

use k8s_openapi::api::core::v1::ServiceAccount;

use crate::reconcile::validated::ValidatedBindProxy;

/// The ServiceAccount NAME. Its own `imagePullSecrets` stay for administrators to set.
pub(super) fn service_account(proxy: &ValidatedBindProxy) -> ServiceAccount {
    ServiceAccount {
        metadata: proxy.identity.metadata(proxy.identity.main()),
        automount_service_account_token: Some(false),
        ..ServiceAccount::default()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::service_account;
    use crate::reconcile::build::fixture::{json_of, minimal};

    #[test]
    fn it_is_an_identity_without_a_token() {
        let account = json_of(&service_account(&minimal()));
        assert_eq!(account["metadata"]["name"], "corp");
        assert_eq!(account["metadata"]["namespace"], "mail");
        assert_eq!(account["automountServiceAccountToken"], json!(false));
        assert_eq!(account["metadata"]["ownerReferences"][0]["controller"], json!(true));
    }
}
