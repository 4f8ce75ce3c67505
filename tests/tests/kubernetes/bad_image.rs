//! Scenario 8: a template that cannot run, and the way back.

use std::time::Duration;

use bindproxy_tests::kubernetes::clients::{Clients, Outcome, login};
use bindproxy_tests::kubernetes::{Pod, Proxies, Running, Upstream, figures, with_namespace};
use bindproxy_tests::wait::Stopwatch;

const LIMIT: Duration = Duration::from_secs(90);

/// An image that does not exist stops at the first pod, and so does a template that no node takes. Once it is mended, that
/// pod comes back without anybody deleting it.
#[test]
fn stops_at_one_pod_and_heals() {
    with_namespace("bad-image", |namespace| {
        let directory = Upstream::shared();
        let person = directory.slapd.add_user("bad-image", "right");
        let spec = format!("replicas: 3\nrollout: {{minReadySeconds: 1}}\nupstreams: [{}]", directory.clear("dc1"));
        let proxies = namespace.bind_proxy("corp", &spec);
        proxies.ready();
        let load =
            Clients::at(vec![proxies.service(389)], &person, "right").count(4).connecting_anew().retrying().start();

        broken(&proxies, &load, "spec: {image: {tag: there-is-none}}", &["ErrImagePull", "ImagePullBackOff", "image"]);
        mended(&proxies, "spec: {image: null}", "bad image: until all is well again");
        broken(&proxies, &load, "spec: {pod: {nodeSelector: {nowhere: 'true'}}}", &["schedul", "node"]);
        mended(&proxies, "spec: {pod: null}", "unschedulable: until all is well again");

        let log = load.stop();
        println!("{log}");
        log.expect_only(0);
        assert_eq!(login(proxies.service(389), &person, "right"), Outcome::Code(0));
    });
}

fn uids(pods: &[Pod]) -> Vec<(u32, String)> {
    pods.iter().map(|pod| (pod.ordinal(), pod.uid())).collect()
}

/// Applies a template that cannot run; the last pod alone falls to it, and the status says which and why.
fn broken(proxies: &Proxies<'_>, load: &Running, change: &str, words: &[&str]) {
    let before = uids(&proxies.pods());
    proxies.patch(change);
    let down = proxies.until("the last pod to be replaced by one that cannot run", LIMIT, || {
        proxies.pods().into_iter().find(|pod| pod.ordinal() == 2 && pod.uid() != before[2].1 && !pod.ready())
    });
    proxies.until("a status that says which pod and why", LIMIT, || {
        let available = proxies.condition_now("Available").expect("the condition");
        let tells =
            available.message.contains(&down.name()) && words.iter().any(|word| available.message.contains(word));
        (tells && available.status == "True").then(|| println!("{}", available.message))
    });
    let progressing = proxies.condition("Progressing", "True");
    assert_eq!(progressing.reason, "RollingUpdate");
    // A roll that did not stop would have taken the next pod after `minReadySeconds`.
    let made = load.log().len();
    load.until(made + 250);
    let after = proxies.pods();
    assert_eq!(uids(&after)[..2], before[..2], "only one pod is down");
    assert!(after[..2].iter().all(|pod| pod.ready() && pod.restarts() == 0));
    assert!(!after[2].ready());
}

/// Takes the template back; nobody deletes anything.
fn mended(proxies: &Proxies<'_>, change: &str, figure: &str) {
    let before = uids(&proxies.pods());
    let watch = Stopwatch::start();
    proxies.patch(change);
    proxies.ready();
    figures::record_seconds(figure, watch.elapsed());
    let progressing = proxies.condition("Progressing", "False");
    assert_eq!(progressing.reason, "Complete");
    assert_eq!(uids(&proxies.pods())[..2], before[..2], "pods that ran all the time were not replaced");
}
