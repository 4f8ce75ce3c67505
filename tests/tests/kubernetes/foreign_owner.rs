//! Scenario 23, first half: an object of somebody else stands where one of ours should.

use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::{ConfigMap, Service};
use kube::ResourceExt as _;
use kube::api::DeleteParams;

use bindproxy_tests::kubernetes::clients::{Outcome, login};
use bindproxy_tests::kubernetes::{Upstream, with_namespace};

const SERVICE: &str = "
apiVersion: v1
kind: Service
metadata: {name: corp, labels: {team: web, app.kubernetes.io/managed-by: bindproxy-operator}}
spec: {selector: {app: web}, ports: [{name: http, port: 80}]}
";

/// Nothing is made and nothing of the other's is touched, even when it carries our label; it heals by itself once the name
/// is free.
#[test]
fn a_foreign_service_is_left_alone_and_said() {
    with_namespace("foreign", |namespace| {
        let directory = Upstream::shared();
        let user = directory.slapd.add_user("foreign", "right");
        namespace.apply(SERVICE);
        let foreign: Service = namespace.get("corp").expect("the foreign Service");

        let proxies = namespace.bind_proxy("corp", &format!("replicas: 1\nupstreams: [{}]", directory.clear("dc1")));
        let told = proxies.reason("Accepted", "False", "ConflictingOwner");
        assert!(told.message.contains("Service") && told.message.contains("/corp "), "{}", told.message);
        proxies.reason("Ready", "False", "NotAccepted");
        assert!(namespace.get::<StatefulSet>("corp").is_none(), "no pods behind a Service that is not theirs");
        assert_eq!(namespace.get::<Service>("corp"), Some(foreign), "untouched");

        let services = namespace.api::<Service>();
        namespace.cluster().ask(services.delete("corp", &DeleteParams::default())).expect("delete the foreign Service");
        proxies.condition("Accepted", "True");
        proxies.ready();
        assert_eq!(login(proxies.service_that_answers(389), &user, "right"), Outcome::Code(0));
    });
}

/// One that belongs to another controller is named with its owner.
#[test]
fn the_owner_of_a_foreign_object_is_named() {
    with_namespace("foreign-owner", |namespace| {
        let directory = Upstream::shared();
        let spec = format!("replicas: 1\nupstreams: [{}]", directory.clear("dc1"));
        // `corp-peers` is what `corp` calls its headless Service.
        let other = namespace.bind_proxy("corp-peers", &spec);
        other.ready();
        let service: Service = namespace.get("corp-peers").expect("the client Service of the other");
        let proxies = namespace.bind_proxy("corp", &spec);
        let told = proxies.reason("Accepted", "False", "ConflictingOwner");
        assert!(told.message.contains("belongs to BindProxy/corp-peers"), "{}", told.message);
        let now: Service = namespace.get("corp-peers").expect("it is still there");
        assert_eq!((now.uid(), now.resource_version()), (service.uid(), service.resource_version()), "untouched");
        assert!(namespace.get::<ConfigMap>("corp-config").is_none(), "nothing was made");
        other.condition("Ready", "True");

        other.delete();
        proxies.condition("Accepted", "True");
        proxies.ready();
    });
}
