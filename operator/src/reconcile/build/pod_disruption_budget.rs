//! Keeps the pods from being evicted together, as when nodes are drained.

use k8s_openapi::api::policy::v1::{PodDisruptionBudget, PodDisruptionBudgetSpec};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use super::matching;
use crate::reconcile::validated::ValidatedBindProxy;

/// The PodDisruptionBudget NAME, when there is more than one pod: with a single one it would only keep nodes
/// from being drained.
pub(super) fn pod_disruption_budget(proxy: &ValidatedBindProxy) -> Option<PodDisruptionBudget> {
    if !proxy.spec.wants_pod_disruption_budget() {
        return None;
    }
    let wanted = proxy.spec.pod_disruption_budget.clone().unwrap_or_default();
    let max_unavailable = match wanted.min_available {
        Some(_) => None,
        None => Some(wanted.max_unavailable.unwrap_or(IntOrString::Int(1))),
    };
    let identity = &proxy.identity;
    Some(PodDisruptionBudget {
        metadata: identity.metadata(identity.main()),
        spec: Some(PodDisruptionBudgetSpec {
            min_available: wanted.min_available,
            max_unavailable,
            selector: Some(matching(identity.selector())),
            // A pod that does not serve protects nobody by staying, and would keep its node from being drained.
            unhealthy_pod_eviction_policy: Some("AlwaysAllow".to_owned()),
        }),
        status: None,
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::pod_disruption_budget;
    use crate::reconcile::build::fixture::{from_yaml, json_of, minimal};

    const UPSTREAM: &str = "upstreams: [{name: dc1, host: dc1.corp.example}]\n";

    #[test]
    fn one_pod_at_a_time_and_broken_ones_always() {
        let budget = json_of(&pod_disruption_budget(&minimal()).unwrap());
        assert_eq!(budget["metadata"]["name"], "corp");
        assert_eq!(budget["spec"]["maxUnavailable"], 1);
        assert_eq!(budget["spec"]["minAvailable"], json!(null));
        assert_eq!(budget["spec"]["unhealthyPodEvictionPolicy"], "AlwaysAllow");
        assert_eq!(budget["spec"]["selector"]["matchLabels"]["app.kubernetes.io/instance"], "corp");
    }

    #[test]
    fn there_is_none_for_a_single_pod_or_where_it_is_turned_off() {
        for more in ["replicas: 1", "replicas: 0", "podDisruptionBudget: {enabled: false}"] {
            assert_eq!(pod_disruption_budget(&from_yaml(&format!("{UPSTREAM}{more}"))), None, "{more}");
        }
        assert!(pod_disruption_budget(&from_yaml(&format!("{UPSTREAM}replicas: 2"))).is_some());
    }

    #[test]
    fn what_was_asked_for_stands_alone() {
        let budget = pod_disruption_budget(&from_yaml(&format!("{UPSTREAM}podDisruptionBudget: {{minAvailable: 2}}")));
        let budget = json_of(&budget.unwrap());
        assert_eq!(budget["spec"]["minAvailable"], 2);
        assert_eq!(budget["spec"]["maxUnavailable"], json!(null));
        let budget =
            pod_disruption_budget(&from_yaml(&format!("{UPSTREAM}podDisruptionBudget: {{maxUnavailable: 50%}}")));
        assert_eq!(json_of(&budget.unwrap())["spec"]["maxUnavailable"], "50%");
    }
}
