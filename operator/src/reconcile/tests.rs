//! Whole looks, at an API server that answers as a test says.

use std::convert::Infallible;

use futures_util::future::{Either, pending, ready};
use hyper::{Method, Request, Response};
use kube::client::Body;
use kube::runtime::events::Reporter;
use serde_json::Value;

use super::*;

const RESYNC: Duration = Duration::from_secs(90);

/// What is looked at with: `answer` says code and body to a method and a path, or `None` where none ever comes.
fn context(answer: impl Fn(&Method, &str) -> Option<(u16, Value)> + Clone + Send + Sync + 'static) -> Arc<Context> {
    let server =
        tower::service_fn(move |request: Request<Body>| match answer(request.method(), request.uri().path()) {
            Some((code, body)) => {
                let response =
                    Response::builder().status(code).body(Body::from(body.to_string().into_bytes())).unwrap();
                Either::Left(ready(Ok::<_, Infallible>(response)))
            }
            None => Either::Right(pending()),
        });
    let client = Client::new(server, "mail");
    Arc::new(Context {
        recorder: Recorder::new(client.clone(), Reporter::from("bindproxy-operator")),
        client,
        defaults: Defaults::for_test(),
        owned: Owned::default(),
        kinds: KindsCache::default(),
        observer: Observer::new(),
        metrics: Arc::new(Metrics::new().unwrap()),
        clock: Clock,
        resync: RESYNC,
    })
}

/// A namespace that is being deleted takes nothing new, and all that is left is what the operator still looks at.
fn terminating(refused: &'static str) -> impl Fn(&Method, &str) -> Option<(u16, Value)> + Clone {
    move |method, path| {
        let forbidden = json!({
            "kind": "Status", "status": "Failure", "code": 403, "reason": "Forbidden",
            "message": "forbidden: unable to create new content in namespace mail because it is being terminated",
            "details": {"causes": [{"reason": "NamespaceTerminating", "message": "namespace mail is being terminated"}]},
        });
        let failure = |code, reason| Some((code, json!({"status": "Failure", "code": code, "reason": reason})));
        match *method {
            Method::GET => failure(404, "NotFound"),
            _ if path.ends_with(refused) => Some((403, forbidden)),
            Method::POST if path.ends_with("/secrets") => failure(409, "AlreadyExists"),
            _ => panic!("{method} {path}: no status and no event should be written"),
        }
    }
}

fn corp() -> Arc<DeserializeGuard<BindProxy>> {
    let stored = json!({
        "apiVersion": "bindproxy.io/v1alpha1",
        "kind": "BindProxy",
        "metadata": {"name": "corp", "namespace": "mail", "uid": "6f1f7ff6-1a77-4d2e-9a4c-3d0f1c3f8a55", "generation": 1},
        "spec": {"upstreams": [{"name": "dc1", "host": "dc1.corp.example"}]},
    });
    Arc::new(DeserializeGuard(Ok(serde_json::from_value(stored).unwrap())))
}

fn has(context: &Context, line: &str) -> bool {
    context.metrics.text().lines().any(|found| found == line)
}

#[tokio::test(start_paused = true)]
async fn a_look_that_hangs_is_ended_told_and_repeated() {
    let context = context(|_, _| None);
    let began = Instant::now();
    let looked = tokio::time::timeout(10 * LOOK_WITHIN, reconcile(corp(), Arc::clone(&context))).await;
    let error = looked.expect("the limit").expect_err("nobody answered");
    assert_eq!(began.elapsed(), LOOK_WITHIN);
    assert!(error.to_string().starts_with("it took longer than 60 s"), "{error}");
    assert!(has(&context, "bindproxy_operator_reconcile_errors_total{reason=\"timeout\"} 1"));
    assert!(has(&context, "bindproxy_operator_queue_depth 0"));
    assert_eq!(on_error(corp(), &error, context), Action::requeue(failure::RETRIED_AFTER));
}

#[tokio::test]
async fn nothing_is_told_of_a_namespace_that_is_being_deleted() {
    for refused in ["/secrets", "/serviceaccounts/corp"] {
        let context = context(terminating(refused));
        let next = reconcile(corp(), Arc::clone(&context)).await.expect("no error");
        assert_eq!(next, Action::requeue(RESYNC), "{refused}");
        assert!(has(&context, "bindproxy_operator_reconciles_total{result=\"error\"} 0"), "{refused}");
    }
}

#[tokio::test]
async fn what_is_forbidden_otherwise_becomes_a_condition() {
    let context = context(|method, path| match *method {
        Method::GET => Some((404, json!({"status": "Failure", "code": 404, "reason": "NotFound"}))),
        Method::PATCH if path.ends_with("/bindproxies/corp/status") => {
            Some((200, json!({"metadata": {}, "spec": {"upstreams": []}})))
        }
        _ => Some((403, json!({"status": "Failure", "code": 403, "reason": "Forbidden", "message": "no right"}))),
    });
    reconcile(corp(), Arc::clone(&context)).await.expect("a refusal is no error");
    assert!(has(&context, "bindproxy_operator_reconciles_total{result=\"refused\"} 1"));
}
