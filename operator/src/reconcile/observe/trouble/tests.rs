//! Pods as kubelets and schedulers of 1.33 to 1.36 write them.

use serde_json::{Value, json};

use super::*;

const NOON: &str = "2027-01-15T12:00:00Z";

fn trouble(status: Value) -> Option<Finding> {
    let pod: Pod =
        serde_json::from_value(json!({"metadata": {"name": "corp-0", "uid": "1"}, "status": status})).unwrap();
    trouble_of(&pod, NOON.parse().unwrap())
}

/// A pod on a node since `since`, whose proxy is in `state` and was in `last` before.
fn container(since: &str, state: Value, last: Value) -> Value {
    json!({
        "phase": "Pending", "qosClass": "Burstable", "startTime": since,
        "conditions": [
            {"type": "PodScheduled", "status": "True", "lastTransitionTime": since},
            {"type": "Ready", "status": "False", "reason": "ContainersNotReady", "lastTransitionTime": since,
             "message": "containers with unready status: [bindproxy]"},
        ],
        "containerStatuses": [
            {"name": "bindproxy", "image": "localhost/bindproxy:dev", "imageID": "", "ready": false, "started": false,
             "restartCount": 3, "state": state, "lastState": last},
            {"name": "mesh", "image": "mesh", "imageID": "", "ready": true, "restartCount": 0, "state": {"running": {}}},
        ],
    })
}

fn waiting_for(reason: &str, message: &str) -> Value {
    json!({"waiting": {"reason": reason, "message": message}})
}

fn terminated(exit_code: i32, reason: &str, message: Option<&str>) -> Value {
    json!({"terminated": {"exitCode": exit_code, "reason": reason, "message": message, "containerID": "containerd://7",
                          "startedAt": "2027-01-15T11:59:58Z", "finishedAt": "2027-01-15T11:59:59Z"}})
}

fn ended(status: i32, message: &str) -> Option<Finding> {
    Some(Finding::Trouble(PodTrouble::Ended { status, message: message.into() }))
}

#[test]
fn a_proxy_that_ends_is_quoted_in_every_state_of_its_restarts() {
    let words = "cache.ttlSeconds: 0 is too short: write 1 or more\n";
    let end = || terminated(2, "Error", Some(words));
    let backoff =
        waiting_for("CrashLoopBackOff", "back-off 40s restarting failed container=bindproxy pod=corp-0_mail(8f6c)");
    let long_ago = "2027-01-15T11:00:00Z";
    for (state, last) in
        [(end(), json!({})), (end(), end()), (backoff, end()), (json!({"running": {"startedAt": NOON}}), end())]
    {
        assert_eq!(trouble(container(long_ago, state, last)), ended(2, words.trim()));
    }
    let killed = terminated(137, "OOMKilled", None);
    assert_eq!(trouble(container(long_ago, killed, json!({}))), ended(137, "OOMKilled"));
    let over = trouble(container(long_ago, terminated(0, "Completed", None), json!({})));
    assert_eq!(over, None, "an orderly end is none");
}

#[test]
fn a_ready_pod_has_no_trouble_whatever_was_before() {
    let mut status = container(NOON, json!({"running": {"startedAt": NOON}}), terminated(2, "Error", Some("so")));
    status["containerStatuses"][0]["ready"] = json!(true);
    assert_eq!(trouble(status), None);
    assert_eq!(trouble(container(NOON, json!({"running": {"startedAt": NOON}}), json!({}))), None, "it starts");
}

#[test]
fn the_words_on_an_image_are_the_same_between_two_attempts() {
    let cause =
        "rpc error: code = NotFound desc = failed to pull and unpack image \"docker.io/library/nope:1\": not found";
    let image = |words: &str| Some(Finding::Trouble(PodTrouble::Image(words.to_owned())));
    let attempt = container(NOON, waiting_for("ErrImagePull", cause), json!({}));
    let between = waiting_for("ImagePullBackOff", &format!("Back-off pulling image \"nope:1\": ErrImagePull: {cause}"));
    assert_eq!(trouble(attempt), image(cause));
    assert_eq!(trouble(container(NOON, between, json!({}))), image(cause));
    let never = "Container image \"nope:1\" is not present with pull policy of Never";
    assert_eq!(trouble(container(NOON, waiting_for("ErrImageNeverPull", never), json!({}))), image(never));
    let injected = json!({
        "phase": "Pending",
        "initContainerStatuses": [{"name": "mesh-init", "image": "m", "imageID": "", "ready": false, "restartCount": 0,
                                   "state": waiting_for("ImagePullBackOff", "")}],
        "containerStatuses": [{"name": "bindproxy", "image": "b", "imageID": "", "ready": false, "restartCount": 0,
                               "state": waiting_for("PodInitializing", "")}],
    });
    assert_eq!(trouble(injected), image("ImagePullBackOff"));
}

#[test]
fn a_pod_that_no_node_takes() {
    let words = "0/1 nodes are available: 1 Insufficient cpu. preemption: 0/1 nodes are available: 1 No preemption victims found for incoming pod.";
    let status = json!({
        "phase": "Pending",
        "conditions": [{"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": words, "lastTransitionTime": NOON}],
    });
    assert_eq!(trouble(status), Some(Finding::Trouble(PodTrouble::Unschedulable(words.into()))));
}

#[test]
fn what_is_long_in_the_making_may_lack_a_volume() {
    let creating = || json!({"waiting": {"reason": "ContainerCreating"}});
    assert_eq!(trouble(container("2027-01-15T11:59:50Z", creating(), json!({}))), None, "10 s");
    assert_eq!(trouble(container("2027-01-15T11:59:49Z", creating(), json!({}))), Some(Finding::MaybeMount));
    assert_eq!(trouble(container("2027-01-15T12:00:59Z", creating(), json!({}))), None, "a clock that is ahead");
    let refused = waiting_for("CreateContainerConfigError", "container has runAsNonRoot and image will run as root");
    assert_eq!(
        trouble(container(NOON, refused, json!({}))),
        Some(Finding::Trouble(PodTrouble::Waiting(
            "CreateContainerConfigError: container has runAsNonRoot and image will run as root".into()
        )))
    );
    assert_eq!(trouble(json!({})), None, "just made");
}
