//! What a person asks a pod: the program's own commands by `kubectl exec`, and its API by `kubectl port-forward`. Neither
//! needs a token, and nobody else gets in without one.

use serde_json::Value;

use bindproxy_tests::kubernetes::clients::{Outcome, login};
use bindproxy_tests::kubernetes::{Namespace, Upstream, with_namespace};

#[test]
fn status_offenders_explain_and_flush_by_kubectl_exec() {
    with_namespace("pod-commands", |namespace| {
        let directory = Upstream::shared();
        let proxies = namespace.bind_proxy("corp", &format!("replicas: 2\nupstreams: [{}]", directory.clear("dc1")));
        proxies.ready();
        let user = directory.slapd.add_user("pod-commands", "right");
        let pods = proxies.addresses();
        for pod in pods.iter().chain(&pods) {
            assert_eq!(login(*pod, &user, "stale"), Outcome::Code(49));
        }
        assert_eq!(directory.slapd.failures(&user), 1);

        let status = exec(namespace, &["status"]);
        for word in ["dc1", "corp-0", "corp-1"] {
            assert!(status.contains(word), "{word} in\n{status}");
        }
        let status: Value = serde_json::from_str(&exec(namespace, &["status", "-o", "json"])).expect("JSON");
        assert_eq!(status["version"], env!("CARGO_PKG_VERSION"), "{status}");

        // The name itself is only in what a person asks for by name; a list has hashes unless it is told otherwise.
        let offenders = exec(namespace, &["offenders"]);
        assert!(offenders.lines().count() >= 2, "{offenders}");
        let explained = exec(namespace, &["explain", &user]);
        for word in ["corp-0", "corp-1"] {
            assert!(explained.contains(word), "{word} in\n{explained}");
        }

        let flushed = exec(namespace, &["flush", &user]);
        println!("{status}\n{offenders}\n{explained}\n{flushed}");
        for pod in &pods {
            assert_eq!(login(*pod, &user, "stale"), Outcome::Code(49));
        }
        assert_eq!(directory.slapd.failures(&user), 2, "both pods had forgotten, and asked once");

        // From anywhere but the pod itself the API wants a token; health and metrics do not.
        let pod = proxies.pod(0);
        for (path, wanted) in [("/api/v1/status", 401), ("/metrics", 200), ("/statusz", 200)] {
            let answer = pod.http(path).map(|(code, _)| code);
            if wanted == 200 {
                assert_eq!(answer, Some(200), "{path}");
            } else {
                assert!(matches!(answer, Some(401 | 403)), "{path}: {answer:?}");
            }
        }
        for (path, body) in [("/metrics", pod.http("/metrics")), ("/statusz", pod.http("/statusz"))] {
            let (_, body) = body.expect("it answered just now");
            assert!(!body.contains("pod-commands"), "{path} has a name in it");
        }
        assert!(!pod.log().contains("stale"), "the log has a password in it");
    });
}

fn exec(namespace: &Namespace, arguments: &[&str]) -> String {
    let mut all = vec!["exec", "corp-0", "--", "/bindproxy"];
    all.extend(arguments);
    let answer = namespace.kubectl(&all);
    assert!(answer.done, "kubectl {all:?}: {}{}", answer.output, answer.errors);
    answer.output
}
