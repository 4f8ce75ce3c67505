//! Alerts about the operator, and what it says of the BindProxies.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use bindproxy_tests::kubernetes::cluster::{RELEASE, SYSTEM};
use bindproxy_tests::kubernetes::kubectl::{kubectl, kubectl_with_input, must};
use bindproxy_tests::kubernetes::{Namespace, Upstream, alone_with_namespace, cluster};

use crate::undecodable::Loosened;

use super::Watch;

/// Logins never depend on it, so that all of this is about changes that do not come about.
#[test]
fn nobody_leads_nobody_is_there_or_something_cannot_be_done() {
    alone_with_namespace("alerts-operator", |namespace| {
        let Some(watch) = Watch::over(&[namespace.name()]) else { return };
        let outcome = catch_unwind(AssertUnwindSafe(|| body(namespace, &watch)));
        let restored = catch_unwind(AssertUnwindSafe(|| cluster().install(&[])));
        if let Err(panic) = outcome.and(restored) {
            resume_unwind(panic);
        }
    });
}

fn body(namespace: &Namespace, watch: &Watch) {
    let directory = Upstream::shared();
    let proxies = namespace.bind_proxy("corp", &format!("replicas: 1\nupstreams: [{}]", directory.clear("dc1")));
    proxies.ready();
    watch.until("an operator that is scraped", || {
        (watch.scraped() && !watch.query("bindproxy_operator_build_info").is_empty()).then_some(())
    });
    let system = [("namespace", SYSTEM)];
    assert!(
        watch.firing().iter().all(|labels| !labels["alertname"].starts_with("BindProxyOperator")),
        "all is in order: {:?}",
        watch.firing()
    );

    // A Secret that is not there.
    let waiting = namespace.bind_proxy(
        "waiting",
        &format!(
            "replicas: 1\nupstreams: [{}]\nlisteners: [{{name: ldaps, port: 636, tls: LDAPS}}]\n\
             serverTLS: {{secretRef: {{name: nobody-made-it}}}}",
            directory.clear("dc1")
        ),
    );
    watch.fires("BindProxyNotReady", &system);
    waiting.delete();

    // What the API server answers with neither a missing right nor an invalid object is tried again.
    let policy = Policy::that_refuses_services(namespace);
    let refused = namespace.bind_proxy("refused", &format!("replicas: 1\nupstreams: [{}]", directory.clear("dc1")));
    watch.fires("BindProxyOperatorReconcileErrors", &system);
    drop(policy);
    refused.delete();

    // The operator leaves what it cannot read alone, and says so.
    let loosened = Loosened::definition();
    let odd = format!(
        "apiVersion: bindproxy.io/v1alpha1\nkind: BindProxy\nmetadata: {{name: odd}}\n\
         spec: {{logging: {{level: deafening}}, upstreams: [{}]}}",
        directory.clear("dc1")
    );
    namespace.until("the definition to hold", super::SOON, || {
        namespace.kubectl_with_input(&["apply", "-f", "-"], &odd).done.then_some(())
    });
    watch.fires("BindProxyOperatorRejectedResources", &system);
    let deleted = namespace.kubectl(&["delete", "bindproxy", "odd"]);
    assert!(deleted.done, "{}", deleted.errors);
    drop(loosened);
    watch.ends("BindProxyOperatorRejectedResources");

    // Somebody else holds the Lease, and renews it.
    watch.until("somebody else to lead", || {
        let lease = r#"{"spec": {"holderIdentity": "somebody", "leaseDurationSeconds": 60}}"#;
        let _told = kubectl(&["patch", "lease", RELEASE, "--namespace", SYSTEM, "--type=merge", "-p", lease]);
        let leaders: f64 = watch.query("sum(bindproxy_operator_leader)").iter().map(|sample| sample.value).sum();
        (leaders == 0.0 && watch.scraped()).then_some(())
    });
    watch.fires("BindProxyOperatorNoLeader", &system);

    must(&["scale", "deployment", RELEASE, "--namespace", SYSTEM, "--replicas=0"]);
    watch.fires("BindProxyOperatorDown", &[]);
    must(&["delete", "lease", RELEASE, "--namespace", SYSTEM]);
    cluster().install(&[]);
    watch.ends("BindProxyOperatorDown");
    watch.ends("BindProxyOperatorNoLeader");
}

/// A policy of the cluster that keeps Services out of one namespace with an answer that is no refusal of the operator's
/// rights (413). It goes when this is dropped.
struct Policy(String);

impl Policy {
    fn that_refuses_services(namespace: &Namespace) -> Self {
        let name = namespace.name();
        let applied = kubectl_with_input(
            &["apply", "-f", "-"],
            &format!(
                "apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicy
metadata: {{name: {name}}}
spec:
  failurePolicy: Fail
  matchConstraints:
    resourceRules: [{{apiGroups: [''], apiVersions: [v1], operations: [CREATE, UPDATE], resources: [services]}}]
  validations: [{{expression: 'false', message: no room, reason: RequestEntityTooLarge}}]
---
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicyBinding
metadata: {{name: {name}}}
spec:
  policyName: {name}
  validationActions: [Deny]
  matchResources: {{namespaceSelector: {{matchLabels: {{kubernetes.io/metadata.name: {name}}}}}}}
"
            ),
        );
        assert!(applied.done, "{}", applied.errors);
        let service = "{apiVersion: v1, kind: Service, metadata: {name: dry}, spec: {ports: [{port: 1}]}}";
        namespace.until("the policy to hold", super::SOON, || {
            let answer = namespace.kubectl_with_input(&["create", "--dry-run=server", "-f", "-"], service);
            (!answer.done && answer.errors.contains("no room")).then_some(())
        });
        Self(name.to_owned())
    }
}

impl Drop for Policy {
    fn drop(&mut self) {
        for kind in ["validatingadmissionpolicybinding", "validatingadmissionpolicy"] {
            let _gone = kubectl(&["delete", kind, &self.0, "--ignore-not-found"]);
        }
    }
}
