//! What cert-manager is asked for: the certificate that clients see.

use kube::core::DynamicObject;
use serde_json::json;

use super::foreign;
use crate::crd::IssuerRef;
use crate::reconcile::validated::{CertificateRequest, ValidatedBindProxy};

/// The Certificate NAME-server-tls, which fills the Secret of that name. Pods take a renewed one over while they run.
pub(super) fn certificate(proxy: &ValidatedBindProxy) -> Option<DynamicObject> {
    let CertificateRequest { issuer, dns_names } = proxy.certificate.as_ref()?;
    let IssuerRef { name, kind, group } = issuer;
    let secret = proxy.identity.server_tls_secret();
    let spec = json!({
        "secretName": &secret,
        "dnsNames": dns_names,
        "issuerRef": { "name": name, "kind": kind.as_str(), "group": group },
        // A key that leaked is of no use after the next renewal.
        "privateKey": { "rotationPolicy": "Always" },
        // The second is for clients without elliptic curves, which encrypt to the key.
        "usages": ["digital signature", "key encipherment", "server auth"],
    });
    Some(foreign("cert-manager.io/v1", "Certificate", proxy.identity.metadata(secret.clone()), spec))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::certificate;
    use crate::reconcile::build::fixture::{full, json_of, minimal};

    #[test]
    fn it_names_the_secret_the_issuer_and_every_name() {
        let certificate = json_of(&certificate(&full()).unwrap());
        assert_eq!(certificate["apiVersion"], "cert-manager.io/v1");
        assert_eq!(certificate["kind"], "Certificate");
        assert_eq!(certificate["metadata"]["name"], "corp-server-tls");
        assert_eq!(certificate["metadata"]["namespace"], "mail");
        let spec = &certificate["spec"];
        assert_eq!(spec["secretName"], "corp-server-tls");
        assert_eq!(spec["dnsNames"], json!(["corp.mail.svc", "ldap.corp.example"]));
        assert_eq!(
            spec["issuerRef"],
            json!({ "name": "corporate", "kind": "ClusterIssuer", "group": "cert-manager.io" })
        );
        assert_eq!(spec["privateKey"]["rotationPolicy"], "Always");
        assert!(spec["usages"].as_array().unwrap().contains(&json!("server auth")));
    }

    #[test]
    fn there_is_none_unless_asked_for() {
        assert_eq!(certificate(&minimal()), None);
    }
}
