//! Alerts about pods that differ: in whom they see, in what they reach, and in what they run with.

use std::time::Duration;

use bindproxy_tests::kubernetes::network::Cuts;
use bindproxy_tests::kubernetes::{Upstream, alone_with_namespace, cluster, components};

use super::Watch;

/// Everything here takes something from one node or one pod.
#[test]
fn partitions_pods_without_a_directory_and_a_node_that_lags() {
    let test = "partitions_pods_without_a_directory_and_a_node_that_lags";
    if cluster().own_or_skip(test).is_none() {
        return;
    }
    alone_with_namespace("alerts-network", |namespace| {
        let Some(watch) = Watch::over(&[namespace.name()]) else { return };
        let directory = Upstream::shared();
        let proxies = namespace.bind_proxy(
            "corp",
            &format!(
                "replicas: 2\nupstreams: [{}]\nupstreamPolicy: {{connectTimeoutSeconds: 1, healthCheck: \
                 {{intervalSeconds: 1, failureThreshold: 1, successThreshold: 1}}}}\npod: {{topologySpreadConstraints: \
                 [{{maxSkew: 1, topologyKey: kubernetes.io/hostname, whenUnsatisfiable: DoNotSchedule}}]}}",
                directory.clear("dc1")
            ),
        );
        proxies.ready();
        let ours = [("namespace", namespace.name()), ("bindproxy", "corp")];
        watch.settles(namespace.name(), &[]);
        let (first, second) = (proxies.pod(0), proxies.pod(1));

        let cuts = Cuts::none();
        cuts.cut(&first, &second);
        watch.fires("BindProxyClusterPartition", &ours);
        cuts.heal();
        watch.ends("BindProxyClusterPartition");

        let cuts = Cuts::none();
        cuts.cut_from(&second, directory.address());
        watch.fires("BindProxyPodWithoutUpstream", &[ours[0], ours[1], ("pod", &second.name())]);
        cuts.heal();
        watch.ends("BindProxyPodWithoutUpstream");

        // Without its kubelet, the second node's pod keeps the configuration that it has.
        assert_ne!(first.node(), second.node(), "two pods on two nodes");
        let lagging = if first.node() == components::CONTROL_PLANE { &second } else { &first };
        let stopped = components::stop(&lagging.node(), "kubelet", "TERM");
        proxies.patch("spec: {cache: {ttlSeconds: 601}}");
        watch.fires("BindProxyConfigDrift", &ours);
        stopped.start();
        proxies.ready();
        watch.ends("BindProxyConfigDrift");
        namespace.until("the nodes to be as they were", Duration::from_secs(60), || {
            let waited = namespace.kubectl(&["wait", "nodes", "--all", "--for=condition=Ready", "--timeout=10s"]);
            waited.done.then_some(())
        });
    });
}
