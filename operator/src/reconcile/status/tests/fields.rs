//! What the status says beside its conditions.

use super::*;

#[test]
fn a_healthy_one_as_it_is_written() {
    let written = serde_json::to_value(Case::healthy().status()).unwrap();
    let since = "2027-01-15T08:00:00Z";
    assert_eq!(written["observedGeneration"], 4);
    assert_eq!(written["selector"], "app.kubernetes.io/instance=corp,app.kubernetes.io/name=bindproxy");
    assert_eq!(written["endpoints"], json!(["ldap://corp.mail.svc:389", "ldaps://corp.mail.svc:636"]));
    assert_eq!(written["configHash"], hash(&spec(3)).to_string());
    assert_eq!(written["upstreamSummary"], "2/2");
    assert_eq!(written["certificateNotAfter"], "2027-06-01T00:00:00Z");
    assert_eq!(written["peers"], json!({"expected": 3, "alive": 3}));
    assert_eq!(
        written["upstreams"][0],
        json!({"name": "dc1", "healthyPods": 3, "totalPods": 3, "reason": "Healthy", "lastTransitionTime": since})
    );
    let numbers = ["replicas", "readyReplicas", "updatedReplicas", "currentReplicas"].map(|name| written[name].clone());
    assert_eq!(numbers, [3, 3, 3, 3].map(|number| json!(number)));
    assert_eq!(
        written["conditions"][0],
        json!({"type": "Ready", "status": "True", "reason": "Ready", "observedGeneration": 4, "lastTransitionTime": since,
               "message": format!("3 of 3 pods are ready; the pods run with configuration {}", hash(&spec(3)))})
    );
}

#[test]
fn the_first_certificate_that_ends_is_told() {
    let case = Case::healthy().with_pod(2, |pod| {
        says(pod, |says| {
            says.certificates.push(PodCertificate { role: "cluster".into(), not_after: "2027-02-01T00:00:00Z".into() });
            says.certificates.push(PodCertificate { role: "later".into(), not_after: "who knows".into() });
        });
    });
    assert_eq!(case.status().certificate_not_after, Some(Time("2027-02-01T00:00:00Z".parse().unwrap())));
}

#[test]
fn what_is_not_applied_leaves_what_runs() {
    let listeners = |case: &mut Case| case.spec.listeners.truncate(1);
    let applied = Case::settled();
    for left_alone in [
        applied.clone().with(listeners).refused(RefusalReason::InvalidSpec),
        applied.clone().with(listeners).with(|case| {
            case.spec.paused = true;
            case.spec.cache.ttl_seconds = 1000;
        }),
    ] {
        let status = left_alone.status();
        assert_eq!(status.endpoints, applied.previous.endpoints);
        assert_eq!(status.config_hash, applied.previous.config_hash);
    }
    assert_eq!(applied.with(listeners).status().endpoints, ["ldap://corp.mail.svc:389"]);
}

#[test]
fn a_directory_server_that_is_no_longer_in_the_spec_is_told_of_only_while_the_spec_is_not_applied() {
    let renamed = Case::settled().with(|case| case.spec.upstreams[1].name = "dc3".into());
    assert_eq!(renamed.status().upstream_summary.as_deref(), Some("1/1"));
    check("the new name is not known yet", &renamed, "UpstreamsHealthy=Unknown/NotAsked");
    check(
        "one that fails is",
        &renamed.clone().with_pod(0, |pod| {
            says(pod, |says| says.upstreams[0] = down("dc1", UpstreamReason::DNSFailed, "no address"));
        }),
        "UpstreamsHealthy=False/DNSFailed",
    );
    let refused = renamed.refused(RefusalReason::InvalidSpec).status();
    let names: Vec<&str> = refused.upstreams.iter().map(|upstream| upstream.name.as_str()).collect();
    assert_eq!(names, ["dc1", "dc2"]);
}

#[test]
fn remarks_are_told() {
    let case = Case::healthy().with(|case| case.remarks = vec!["there is no PodMonitor kind".into()]);
    assert_eq!(message(&case, ConditionType::Accepted), "the spec is usable; there is no PodMonitor kind");
}

#[test]
fn long_words_are_cut() {
    let long = "ä".repeat(40_000);
    let mut case = Case::settled();
    case.refusal = Some(Refusal { reason: RefusalReason::InvalidSpec, message: long.clone() });
    for pod in &mut case.seen.pods {
        says(pod, |says| says.config_error = Some(long.clone()));
    }
    for condition in case.status().conditions {
        assert!(condition.message.len() <= 32_768, "{}: {}", condition.type_, condition.message.len());
    }
    let quoted = message(&case, ConditionType::ConfigApplied);
    assert!(quoted.contains("corp-2: ä") && quoted.ends_with("[…]") && quoted.len() < 3_200, "{}", quoted.len());
}
