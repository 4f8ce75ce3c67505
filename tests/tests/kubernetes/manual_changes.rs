//! Scenario 23, second half: what a person or another controller changes in our objects.

use std::time::Duration;

use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::{ConfigMap, Service};
use kube::ResourceExt as _;

use bindproxy_tests::kubernetes::clients::{Outcome, login};
use bindproxy_tests::kubernetes::{Clients, Upstream, with_namespace};

/// Ours is put right, others' stays, and a restart by `kubectl rollout restart` is a restart.
#[test]
fn ours_is_put_right_and_others_fields_stay() {
    with_namespace("manual", |namespace| {
        let directory = Upstream::shared();
        let user = directory.slapd.add_user("manual", "right");
        let proxies = namespace.bind_proxy("corp", &format!("replicas: 2\nupstreams: [{}]", directory.clear("dc1")));
        proxies.ready();
        let before = proxies.incarnations();
        let done = |arguments: &[&str]| {
            let answer = namespace.kubectl(arguments);
            assert!(answer.done, "kubectl {arguments:?}: {}", answer.errors);
        };
        let set = || namespace.get::<StatefulSet>("corp").expect("the StatefulSet");

        // What others add.
        done(&["annotate", "statefulset", "corp", "example.net/note=mine"]);
        done(&["label", "service", "corp", "team=directory"]);
        done(&["annotate", "configmap", "corp-config", "example.net/note=mine"]);

        // As `kubectl edit` sends it: by another field manager, which then owns the field.
        let edited = set().metadata.generation;
        done(&["patch", "statefulset", "corp", "--patch", "{\"spec\": {\"replicas\": 1}}"]);
        proxies.until("two replicas again", Duration::from_secs(30), || {
            let set = set();
            (set.metadata.generation > edited && set.spec.as_ref()?.replicas == Some(2)).then_some(())
        });
        proxies.ready();
        assert_eq!(proxies.incarnations()[0], before[0], "the first pod has gone on running");

        let edit = "{\"spec\": {\"ports\": [{\"name\": \"ldap\", \"port\": 389, \"targetPort\": 1}]}}";
        done(&["patch", "service", "corp", "--patch", edit]);
        done(&[
            "patch",
            "configmap",
            "corp-config",
            "--type=merge",
            "--patch",
            "{\"data\": {\"bindproxy.yaml\": \"nonsense\"}}",
        ]);
        proxies.until("the Service and the ConfigMap as they were", Duration::from_secs(30), || {
            let service = namespace.get::<Service>("corp")?;
            let config = namespace.get::<ConfigMap>("corp-config")?;
            let well = config.data.as_ref()?["bindproxy.yaml"] != "nonsense";
            (well && format!("{:?}", service.spec).contains("String(\"ldap\")")).then_some(())
        });
        proxies.condition("ConfigApplied", "True");
        done(&["delete", "service", "corp-peers"]);
        proxies.until("the deleted Service", Duration::from_secs(30), || namespace.get::<Service>("corp-peers"));

        assert_eq!(set().annotations().get("example.net/note").map(String::as_str), Some("mine"));
        let service = namespace.get::<Service>("corp").expect("the Service");
        assert_eq!(service.labels().get("team").map(String::as_str), Some("directory"));
        let config = namespace.get::<ConfigMap>("corp-config").expect("the ConfigMap");
        assert_eq!(config.annotations().get("example.net/note").map(String::as_str), Some("mine"));

        let service = proxies.service_that_answers(389);
        // `kubectl rollout restart` writes an annotation into the pod template.
        let logins = Clients::at(vec![service], &user, "right").count(2).connecting_anew().retrying().start();
        let before = proxies.incarnations();
        done(&["rollout", "restart", "statefulset", "corp"]);
        done(&["rollout", "status", "statefulset", "corp", "--timeout=120s"]);
        proxies.ready();
        let after = proxies.incarnations();
        assert!(after.iter().zip(&before).all(|(after, before)| after.1 != before.1), "{before:?} {after:?}");
        let template = set().spec.expect("a spec").template.metadata.expect("metadata of the template");
        let restarted = template.annotations.unwrap_or_default();
        assert!(restarted.contains_key("kubectl.kubernetes.io/restartedAt"), "{restarted:?}");
        let log = logins.stop();
        println!("{log}");
        log.expect_only(0);
        assert_eq!(login(service, &user, "right"), Outcome::Code(0));
        proxies.condition("Progressing", "False");
    });
}
