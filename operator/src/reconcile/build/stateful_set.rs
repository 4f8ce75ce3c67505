//! The pods, as a StatefulSet: each has a name that stays, by which the others know it.

use k8s_openapi::api::apps::v1::{StatefulSet, StatefulSetSpec, StatefulSetUpdateStrategy};

use super::matching;
use super::pod_template::pod_template;
use crate::crd::RolloutType;
use crate::reconcile::validated::ValidatedBindProxy;

/// How many former templates are kept for `kubectl rollout undo`.
const REVISIONS: i32 = 5;

/// The StatefulSet NAME.
///
/// Pods start and stop in any order (`Parallel`), because no pod needs another one first, and because the
/// ordered kind waits for ever for a pod that a bad template broke, even after the template was mended.
/// Updates go one pod at a time all the same. `updateStrategy.rollingUpdate` is not named: whoever holds pods
/// back by a partition keeps it.
pub(super) fn stateful_set(proxy: &ValidatedBindProxy) -> StatefulSet {
    let identity = &proxy.identity;
    StatefulSet {
        metadata: identity.metadata(identity.main()),
        spec: Some(StatefulSetSpec {
            replicas: Some(proxy.spec.replicas),
            service_name: Some(identity.peers()),
            selector: matching(identity.selector()),
            pod_management_policy: Some("Parallel".to_owned()),
            update_strategy: Some(StatefulSetUpdateStrategy {
                type_: Some(strategy(proxy.spec.rollout.strategy).to_owned()),
                rolling_update: None,
            }),
            min_ready_seconds: Some(proxy.spec.rollout.min_ready_seconds),
            revision_history_limit: Some(REVISIONS),
            template: pod_template(proxy),
            ..StatefulSetSpec::default()
        }),
        status: None,
    }
}

fn strategy(strategy: RolloutType) -> &'static str {
    match strategy {
        RolloutType::RollingUpdate => "RollingUpdate",
        RolloutType::OnDelete => "OnDelete",
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::stateful_set;
    use crate::reconcile::build::fixture::{from_yaml, json_of, minimal};

    #[test]
    fn it_runs_the_wanted_pods_in_any_order_behind_the_headless_service() {
        let set = json_of(&stateful_set(&minimal()));
        let spec = &set["spec"];
        assert_eq!(set["metadata"]["name"], "corp");
        assert_eq!(spec["replicas"], 3);
        assert_eq!(spec["serviceName"], "corp-peers");
        assert_eq!(spec["podManagementPolicy"], "Parallel");
        assert_eq!(spec["updateStrategy"], json!({ "type": "RollingUpdate" }));
        assert_eq!(spec["minReadySeconds"], 5);
        assert_eq!(spec["revisionHistoryLimit"], 5);
        assert_eq!(spec["volumeClaimTemplates"], json!(null));
    }

    #[test]
    fn the_selector_selects_the_template_and_holds_nothing_that_can_change() {
        let set = json_of(&stateful_set(&minimal()));
        let selector = set["spec"]["selector"]["matchLabels"].as_object().unwrap();
        assert_eq!(selector.len(), 2);
        for (key, value) in selector {
            assert_eq!(&set["spec"]["template"]["metadata"]["labels"][key], value);
        }
    }

    #[test]
    fn pods_are_replaced_as_asked() {
        let proxy = from_yaml(
            "upstreams: [{name: dc1, host: dc1.corp.example}]\nreplicas: 0\nrollout: {type: OnDelete, minReadySeconds: 0}",
        );
        let set = json_of(&stateful_set(&proxy));
        assert_eq!(set["spec"]["replicas"], 0);
        assert_eq!(set["spec"]["updateStrategy"], json!({ "type": "OnDelete" }));
        assert_eq!(set["spec"]["minReadySeconds"], 0);
    }

    #[test]
    fn a_configuration_that_running_pods_can_take_over_does_not_replace_them() {
        let before = minimal();
        let mut after = before.clone();
        after.configuration.text.push_str("# another text\n");
        after.identity.generation += 1;
        assert_eq!(stateful_set(&before), stateful_set(&after));
        after.configuration.restart_hash = "other".to_owned();
        assert_ne!(stateful_set(&before), stateful_set(&after));
    }
}
