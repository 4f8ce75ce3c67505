//! Figures: what the operator takes with one BindProxy and with 500, while nothing changes.
//!
//! Of the 500, one has a pod and 499 have `replicas: 0`: everything of them but pods is real and watched. Nodes of this
//! kind could not run 500 pods.

use std::collections::BTreeMap;
use std::time::Duration;

use bindproxy_operator::crd::BindProxy;
use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::{ConfigMap, Service, ServiceAccount};

use bindproxy_tests::kubernetes::extent::full_or_skip;
use bindproxy_tests::kubernetes::installation::{changed, operators};
use bindproxy_tests::kubernetes::pods::Usage;
use bindproxy_tests::kubernetes::{Namespace, Upstream, alone_with_namespace, figures};
use bindproxy_tests::wait::{self, Stopwatch};

/// BindProxies in all.
const MANY: usize = 500;
/// How many one `kubectl apply` makes.
const AT_A_TIME: usize = 50;
/// How long it is watched. The operator looks at each BindProxy once in that time by itself.
const WATCHED: Duration = Duration::from_secs(60);
/// As installed by default, unlike for the other tests.
const RESYNC: &str = "operator.resyncSeconds=60";
/// The most of one core, in percent, for looks that find nothing to do: three times what 500 take on two cores that have other
/// work too, and a quarter of what they took while each was looked at every ten seconds.
const BUSY: f64 = 5.0;
/// For 500 BindProxies with six objects each, and for the garbage collection of the API server to remove them.
const APPLIED: Duration = Duration::from_secs(900);

/// The target: 30 MB with one BindProxy, next to no time on a processor, and no write while nothing changes.
#[test]
fn one_bind_proxy_at_rest() {
    alone_with_namespace("footprint", |namespace| {
        let cluster = namespace.cluster();
        if cluster.own_or_skip("the operator's footprint").is_none() {
            return;
        }
        let directory = Upstream::shared();
        let proxies = namespace.bind_proxy("corp", &format!("replicas: 1\nupstreams: [{}]", directory.clear("dc1")));
        proxies.ready();
        let resident = at_rest(namespace, 1, Duration::from_secs(20));
        assert!(resident < 30e6, "{resident} octets");
    });
}

/// The target: 100 MB with 500 BindProxies; the rest as with one.
#[test]
fn five_hundred_bind_proxies_at_rest() {
    if !full_or_skip("500 BindProxies at rest") {
        return;
    }
    alone_with_namespace("footprint-500", |namespace| {
        let cluster = namespace.cluster();
        if cluster.own_or_skip("the operator's footprint").is_none() {
            return;
        }
        let directory = Upstream::shared();
        let proxies = namespace.bind_proxy("corp", &format!("replicas: 1\nupstreams: [{}]", directory.clear("dc1")));
        proxies.ready();
        let usual = changed(cluster, &["--set", RESYNC]);
        let watch = Stopwatch::start();
        let upstream = directory.clear("dc1");
        for numbers in (1..MANY).collect::<Vec<_>>().chunks(AT_A_TIME) {
            let manifests: String = numbers
                .iter()
                .map(|number| {
                    format!(
                        "---\napiVersion: bindproxy.io/v1alpha1\nkind: BindProxy\nmetadata: {{name: many-{number}}}\n\
                         spec: {{replicas: 0, upstreams: [{upstream}]}}\n"
                    )
                })
                .collect();
            namespace.apply(&manifests);
        }
        wait::until_true("every BindProxy to be told of", APPLIED, || {
            let all: Vec<BindProxy> = namespace.list();
            let told = all.iter().filter(|one| {
                let status = one.status.as_ref();
                status.is_some_and(|status| status.observed_generation == one.metadata.generation)
            });
            std::thread::sleep(Duration::from_secs(1));
            told.count() == MANY
        });
        figures::record_seconds("operator: 500 BindProxies applied", watch.elapsed());
        let resident = at_rest(namespace, MANY, WATCHED);
        assert!(resident < 100e6, "{resident} octets");
        // Before the operator of the other tests starts: it would have to do with all that is left.
        let deleted = namespace.kubectl(&["delete", "bindproxies", "--all"]);
        assert!(deleted.done, "{}", deleted.errors);
        wait::until_true("the end of everything", APPLIED, || {
            std::thread::sleep(Duration::from_secs(1));
            let (sets, services) = (namespace.list::<StatefulSet>(), namespace.list::<Service>());
            let (files, accounts) = (namespace.list::<ConfigMap>(), namespace.list::<ServiceAccount>());
            // Each namespace has one of these two by itself.
            sets.is_empty() && services.is_empty() && files.len() <= 1 && accounts.len() <= 1
        });
        usual.back();
    });
}

/// Watches the operator while nothing changes; its memory in octets.
fn at_rest(namespace: &Namespace, count: usize, time: Duration) -> f64 {
    let operator = operators(namespace.cluster()).pop().expect("an operator");
    settled(namespace);
    let before = versions(namespace);
    assert_eq!(before.len(), count);
    let first = Usage::of(operator.process()).expect("the operator runs");
    std::thread::sleep(time);
    let last = Usage::of(operator.process()).expect("the operator runs");
    let after = versions(namespace);
    let written: Vec<&String> =
        after.iter().filter(|(name, version)| before.get(*name) != Some(version)).map(|(name, _)| name).collect();
    let busy = (last.processor - first.processor).as_secs_f64() / time.as_secs_f64() * 100.0;
    figures::record(&format!("operator: memory with {count} BindProxies"), last.resident as f64 / 1e6, "MB");
    figures::record(&format!("operator: processor with {count} BindProxies at rest"), busy, "%");
    figures::record(&format!("operator: writes to {count} BindProxies at rest"), written.len() as f64, "");
    assert_eq!(written, Vec::<&String>::new(), "written while nothing changed, in {time:?}");
    assert!(busy < BUSY, "{busy} % of a core");
    last.resident as f64
}

/// Waits until nothing is written any more: the last events of a rollout may come late.
fn settled(namespace: &Namespace) {
    let mut last = versions(namespace);
    let mut since = Stopwatch::start();
    wait::until_true("a quiet operator", Duration::from_secs(180), || {
        std::thread::sleep(Duration::from_secs(1));
        let now = versions(namespace);
        if now != last {
            last = now;
            since = Stopwatch::start();
        }
        since.elapsed() > Duration::from_secs(12)
    });
}

fn versions(namespace: &Namespace) -> BTreeMap<String, String> {
    let all: Vec<BindProxy> = namespace.list();
    all.into_iter()
        .map(|one| (one.metadata.name.unwrap_or_default(), one.metadata.resource_version.unwrap_or_default()))
        .collect()
}
