//! Pods whose addresses are on loopback, and an API server that knows their events.

use axum::Router;
use axum::extract::{Path, RawQuery};
use axum::http::StatusCode;
use axum::routing::get;
use k8s_openapi::api::core::v1::Event;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use super::*;

const NOON: &str = "2027-01-15T12:00:00Z";

async fn serve(listener: TcpListener, router: Router) -> SocketAddr {
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, router).await });
    address
}

/// An API server that answers questions for events in `mail` with `status` and `body`, if they are for those of uid-3.
async fn api(status: StatusCode, body: Value) -> Client {
    let events = move |Path(namespace): Path<String>, RawQuery(query): RawQuery| async move {
        let query = query.unwrap_or_default().replace("%3D", "=").replace("%2C", ",");
        assert!(query.contains("fieldSelector=involvedObject.uid=uid-3,reason=FailedMount"), "{query}");
        assert_eq!(namespace, "mail");
        (status, axum::Json(body))
    };
    let router = Router::new().route("/api/v1/namespaces/{namespace}/events", get(events));
    let address = serve(TcpListener::bind("127.0.0.1:0").await.unwrap(), router).await;
    Client::try_from(kube::Config::new(format!("http://{address}").parse().unwrap())).unwrap()
}

/// Answers like a pod.
fn statusz() -> Router {
    let body = json!({"version": "0.1.0", "configHash": "ab", "configError": null, "ready": true, "draining": false,
                      "upstreams": [], "cluster": null, "certificates": []});
    Router::new().route("/statusz", get(async move || axum::Json(body)))
}

fn pod(ordinal: usize, change: impl FnOnce(&mut Value)) -> Arc<Pod> {
    let mut pod = json!({
        "metadata": {
            "name": format!("corp-{ordinal}"), "namespace": "mail", "uid": format!("uid-{ordinal}"),
            "creationTimestamp": "2027-01-15T11:00:00Z", "labels": {"controller-revision-hash": "corp-7d"},
            "ownerReferences": [{"apiVersion": "apps/v1", "kind": "StatefulSet", "name": "corp", "uid": "set", "controller": true}],
        },
        "status": {
            "phase": "Running", "podIP": format!("127.0.0.{}", ordinal + 1),
            "conditions": [{"type": "Ready", "status": "True"}],
            "containerStatuses": [{"name": "bindproxy", "image": "b", "imageID": "", "ready": true, "restartCount": 0,
                                   "state": {"running": {}}}],
        },
    });
    change(&mut pod);
    Arc::new(serde_json::from_value(pod).unwrap())
}

fn creating(pod: &mut Value) {
    pod["status"] = json!({
        "phase": "Pending", "startTime": "2027-01-15T11:59:00Z",
        "conditions": [{"type": "PodScheduled", "status": "True", "lastTransitionTime": "2027-01-15T11:59:00Z"}],
        "containerStatuses": [{"name": "bindproxy", "image": "b", "imageID": "", "ready": false, "restartCount": 0,
                               "state": {"waiting": {"reason": "ContainerCreating"}}}],
    });
}

fn event(at: &str, message: &str) -> Value {
    json!({"metadata": {"name": at}, "involvedObject": {"uid": "uid-3"}, "reason": "FailedMount", "message": message,
           "lastTimestamp": at})
}

async fn observe(observer: &Observer, client: &Client, pods: Vec<Arc<Pod>>) -> Observation {
    let identity = Identity { namespace: "mail".into(), name: "corp".into(), uid: "1".into(), generation: 1 };
    let set = serde_json::from_value(json!({"metadata": {"name": "corp", "uid": "set"}})).unwrap();
    observer.observe(client, &identity, Some(set), pods, NOON.parse().unwrap()).await
}

#[tokio::test]
async fn each_pod_is_asked_that_runs_and_belongs() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    serve(listener, statusz()).await;
    serve(TcpListener::bind(("127.0.0.11", port)).await.unwrap(), statusz()).await;
    let client = api(
        StatusCode::OK,
        json!({"kind": "EventList", "apiVersion": "v1", "metadata": {},
               "items": [event("2027-01-15T11:59:30Z", "MountVolume.SetUp failed for volume \"ca\" : secret \"ad-ca\" not found")]}),
    )
    .await;
    let pods = vec![
        pod(10, |_| {}),
        pod(1, |_| {}),
        pod(2, |pod| pod["metadata"]["deletionTimestamp"] = json!(NOON)),
        pod(3, creating),
        pod(4, |pod| pod["metadata"]["ownerReferences"][0]["uid"] = json!("another")),
        pod(0, |_| {}),
    ];
    let seen = observe(&Observer { port }, &client, pods).await;
    let names: Vec<&str> = seen.pods.iter().map(|pod| pod.name.as_str()).collect();
    assert_eq!(names, ["corp-0", "corp-1", "corp-2", "corp-3", "corp-10"]);
    let answers: Vec<&str> = seen
        .pods
        .iter()
        .map(|pod| match &pod.answer {
            PodAnswer::Told(status) => status.config_hash.as_str(),
            PodAnswer::Silent(why) => why.as_str(),
            PodAnswer::NotAsked => "not asked",
        })
        .collect();
    assert_eq!(answers, ["ab", "it cannot be reached: connection refused", "not asked", "not asked", "ab"]);
    let [first, _, third, fourth, _] = seen.pods.as_slice() else { panic!("{}", seen.pods.len()) };
    assert_eq!(first.revision.as_deref(), Some("corp-7d"));
    assert_eq!(first.created.as_ref().unwrap().0, "2027-01-15T11:00:00Z".parse().unwrap());
    assert_eq!([first.ready, first.terminating, third.terminating, fourth.ready], [true, false, true, false]);
    assert_eq!(
        fourth.trouble,
        Some(PodTrouble::MountFailed("MountVolume.SetUp failed for volume \"ca\" : secret \"ad-ca\" not found".into()))
    );
}

#[tokio::test]
async fn without_the_right_to_list_events_there_is_a_hint() {
    let forbidden = json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "reason": "Forbidden",
                           "message": "events is forbidden", "code": 403});
    let client = api(StatusCode::FORBIDDEN, forbidden).await;
    let seen = observe(&Observer::new(), &client, vec![pod(3, creating)]).await;
    let Some(PodTrouble::Waiting(hint)) = &seen.pods[0].trouble else { panic!("{:?}", seen.pods[0].trouble) };
    assert!(hint.ends_with("kubectl describe pod corp-3 -n mail says why"), "{hint}");
}

#[tokio::test]
async fn a_container_that_is_merely_slow_has_no_trouble() {
    let client =
        api(StatusCode::OK, json!({"kind": "EventList", "apiVersion": "v1", "metadata": {}, "items": []})).await;
    let seen = observe(&Observer::new(), &client, vec![pod(3, creating)]).await;
    assert_eq!(seen.pods[0].trouble, None);
}

#[test]
fn the_last_event_that_names_an_object_is_quoted() {
    let event = |at, message| serde_json::from_value::<Event>(event(at, message)).unwrap();
    let events = [
        event("2027-01-15T11:59:01Z", "MountVolume.SetUp failed for volume \"a\" : secret \"a\" not found"),
        event("2027-01-15T11:59:03Z", "MountVolume.SetUp failed for volume \"b\" : secret \"b\" not found"),
        event(
            "2027-01-15T11:59:09Z",
            "Unable to attach or mount volumes: unmounted volumes=[b]: timed out waiting for the condition",
        ),
    ];
    assert_eq!(mounts::latest(&events).as_deref(), events[1].message.as_deref());
    assert_eq!(mounts::latest(&events[2..]).as_deref(), events[2].message.as_deref());
    assert_eq!(mounts::latest(&[]), None);
}
