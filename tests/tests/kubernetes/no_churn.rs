//! A BindProxy that is in order is left in peace: looks at it write nothing.

use std::collections::BTreeMap;
use std::time::Duration;

use bindproxy_tests::kubernetes::cluster::RESYNC_SECONDS;
use bindproxy_tests::kubernetes::installation::applies;
use bindproxy_tests::kubernetes::{Namespace, Upstream, with_namespace};

const KINDS: &str = "bindproxies,statefulsets,services,configmaps,serviceaccounts,secrets,poddisruptionbudgets,\
                     networkpolicies,pods,controllerrevisions,endpointslices,events";
const PEACE: Duration = Duration::from_secs(30);

/// Quantities and numbers are written as a person would, not as the API server writes them back.
#[test]
fn nothing_changes_in_half_a_minute() {
    with_namespace("no-churn", |namespace| {
        let directory = Upstream::shared();
        let proxies = namespace.bind_proxy(
            "corp",
            &format!(
                "replicas: 2\nupstreams: [{}]\nservice: {{annotations: {{example.net/a: b}}}}\n\
                 pod: {{resources: {{requests: {{cpu: '0.010', memory: 0.0625Gi}}, limits: {{memory: 1024Mi}}}}}}\n\
                 networkPolicy: {{enabled: true, upstreamCIDRs: [0.0.0.0/0]}}",
                directory.clear("dc1")
            ),
        );
        proxies.ready();
        for (kind, status) in [("UpstreamsHealthy", "True"), ("PeersConnected", "True"), ("Progressing", "False")] {
            proxies.condition(kind, status);
        }
        // Whatever follows from becoming ready (the endpoints, the last events) has come when nothing changes for two
        // looks; a BindProxy that is never left in peace fails here.
        let quiet = Duration::from_secs(2 * u64::from(RESYNC_SECONDS) + 1);
        let mut last = versions(namespace);
        let mut since = bindproxy_tests::wait::Stopwatch::start();
        proxies.until("peace", Duration::from_secs(90), || {
            let now = versions(namespace);
            if now != last {
                println!("changed: {}", difference(&last, &now));
                last = now;
                since = bindproxy_tests::wait::Stopwatch::start();
            }
            (since.elapsed() > quiet).then_some(())
        });

        let applied = applies(namespace);
        let watch = bindproxy_tests::wait::Stopwatch::start();
        while watch.elapsed() < PEACE {
            let now = versions(namespace);
            assert!(now == last, "changed after {:?}: {}", watch.elapsed(), difference(&last, &now));
            std::thread::sleep(Duration::from_secs(1));
        }
        assert_eq!(applies(namespace), applied, "the operator applied something that was there");
    });
}

/// The version of each object.
fn versions(namespace: &Namespace) -> BTreeMap<String, String> {
    let columns = "jsonpath={range .items[*]}{.kind}/{.metadata.name} {.metadata.resourceVersion}{\"\\n\"}{end}";
    let answer = namespace.kubectl(&["get", KINDS, "-o", columns]);
    assert!(answer.done, "{}", answer.errors);
    let lines = answer.output.lines().filter_map(|line| line.split_once(' '));
    lines.map(|(name, version)| (name.to_owned(), version.to_owned())).collect()
}

fn difference(before: &BTreeMap<String, String>, now: &BTreeMap<String, String>) -> String {
    let changed =
        now.iter().filter(|(name, version)| before.get(*name) != Some(version)).map(|(name, _)| name.as_str());
    let gone = before.keys().filter(|name| !now.contains_key(*name)).map(String::as_str);
    changed.chain(gone).collect::<Vec<_>>().join(", ")
}
