//! Values that cannot be meant are refused, by their name.

use crate::helm::{Chart, Helm};

/// What Helm says about the operator's chart with `--set` of each of `sets`.
fn refusal(helm: Helm, sets: &[&str]) -> String {
    let arguments: Vec<&str> = sets.iter().flat_map(|set| ["--set", *set]).collect();
    match helm.template(Chart::Operator, &arguments) {
        Ok(_) => panic!("{helm:?} accepts {sets:?}"),
        Err(error) => error,
    }
}

#[track_caller]
fn refused(sets: &[&str], said: &[&str]) {
    for helm in Helm::ALL {
        let error = refusal(helm, sets);
        for part in said {
            assert!(error.contains(part), "{helm:?} does not say {part:?} of {sets:?}:\n{error}");
        }
    }
}

#[test]
fn a_mistyped_name() {
    refused(&["watchNamespace=mail"], &["'watchNamespace' not allowed"]);
    refused(&["proxyImage.tagg=1.0"], &["/proxyImage", "'tagg' not allowed"]);
    refused(&["operator.leaderElection.enable=true"], &["/operator/leaderElection", "'enable' not allowed"]);
    refused(&["metrics.podMonitor.enable=true"], &["/metrics/podMonitor", "'enable' not allowed"]);
    refused(&["bindProxies.corp.replicas=3"], &["/bindProxies/corp", "'replicas' not allowed"]);
}

#[test]
fn a_value_of_the_wrong_kind() {
    refused(&["image.pullPolicy=Sometimes"], &["/image/pullPolicy", "'IfNotPresent'"]);
    refused(&["operator.replicas=many"], &["/operator/replicas", "want integer"]);
    refused(&["watchNamespaces={Mail}"], &["/watchNamespaces/0", "'Mail'"]);
    refused(&["watchNamespaces=mail"], &["/watchNamespaces", "want array"]);
    refused(&["crds.keep=yes"], &["/crds/keep", "want boolean"]);
    refused(&["proxyImage.digest=latest"], &["/proxyImage/digest"]);
    refused(&["metrics.port=70000"], &["/metrics/port"]);
    refused(&["bindProxies.Corp.spec.upstreams[0].name=dc1"], &["/bindProxies", "'Corp'"]);
    refused(&["sidecarInjection.failurePolicy=Warn"], &["/sidecarInjection/failurePolicy", "'Ignore'"]);
}

#[test]
fn values_that_contradict_each_other() {
    refused(
        &["operator.replicas=2", "operator.leaderElection.enabled=false"],
        &["operator.replicas", "leaderElection"],
    );
    refused(&["operator.leaderElection.renewSeconds=15"], &["renewSeconds must be below leaseSeconds"]);
    refused(
        &["metrics.podMonitor.enabled=true", "metrics.serviceMonitor.enabled=true"],
        &["metrics.podMonitor.enabled and metrics.serviceMonitor.enabled"],
    );
    refused(&["serviceAccount.create=false"], &["serviceAccount.name must name an existing ServiceAccount"]);
    refused(
        &["watchNamespaces={mail}", "bindProxies.corp.spec.upstreams[0].name=dc1"],
        &["bindProxies.corp.namespace is \"bindproxy\", which is not in watchNamespaces"],
    );
}

#[test]
fn what_the_cluster_cannot_do() {
    let cases: [(&str, &[&str]); 3] = [
        ("sidecarInjection.enabled=true", &["sidecarInjection.enabled needs", "1.36", "docs/sidecar.md"]),
        (
            "bindProxies.corp.spec.upstreams[0].name=dc1",
            &["bindProxies: this cluster does not have the CRD", "helm upgrade"],
        ),
        ("bindProxies.corp.spec.upstreams[0].name=dc1,crds.install=false", &["bindproxy-crds"]),
    ];
    for helm in Helm::ALL {
        for (set, said) in cases {
            let error = helm.template_without_apis(Chart::Operator, &["--set", set]).expect_err(set);
            for part in said {
                assert!(error.contains(part), "{helm:?} does not say {part:?} of {set}:\n{error}");
            }
        }
        let folder = Chart::Operator.folder();
        let folder = crate::helm::path(&folder);
        let old = helm.run(&["template", "x", folder, "--kube-version", "1.32.9"]);
        assert!(!old.status.success() && String::from_utf8_lossy(&old.stderr).contains(">=1.33.0-0"), "{old:?}");
    }
}
