//! Pods of a BindProxy spread over the nodes by default, also where nodes have no zone, as on one's own machines.

use bindproxy_tests::kubernetes::bind_proxy::PATIENCE;
use bindproxy_tests::kubernetes::nodes::{addresses, spread};
use bindproxy_tests::kubernetes::{Namespace, Pod, Upstream, alone_with_namespace, cluster};

/// A node that fails takes no more than its share with it, though another node has more room.
#[test]
fn over_nodes_of_which_one_is_fuller() {
    // Alone, because what others put on a node counts too.
    alone_with_namespace("spread", |namespace| {
        if cluster().own_or_skip("the spread over nodes").is_none() {
            return;
        }
        let nodes = addresses();
        fill(namespace, nodes.keys().next().expect("a node"));
        let directory = Upstream::shared();
        let replicas = 2 * nodes.len();
        let proxies =
            namespace.bind_proxy("corp", &format!("replicas: {replicas}\nupstreams: [{}]", directory.clear("dc1")));
        let pods = proxies.until("pods on nodes", PATIENCE, || {
            let pods = proxies.pods();
            (pods.len() == replicas && pods.iter().all(Pod::has_address)).then_some(pods)
        });
        let found = spread(&pods);
        assert!(found.len() == nodes.len() && found.values().all(|&pods| pods == 2), "{found:?}");
    });
}

/// A pod that asks for much of a node, so that the scheduler would rather have everything on the others.
fn fill(namespace: &Namespace, node: &str) {
    namespace.apply(&format!(
        "{{apiVersion: v1, kind: Pod, metadata: {{name: ballast}}, spec: {{nodeSelector: {{kubernetes.io/hostname: {node}}},
           securityContext: {{runAsNonRoot: true, runAsUser: 65532, seccompProfile: {{type: RuntimeDefault}}}},
           containers: [{{name: ballast, image: 'localhost/pause:e2e', imagePullPolicy: Never,
             securityContext: {{allowPrivilegeEscalation: false, capabilities: {{drop: [ALL]}}}},
             resources: {{requests: {{cpu: 700m, memory: 1Gi}}}}}}]}}}}"
    ));
    namespace.until("the ballast on its node", PATIENCE, || {
        let answer = namespace.kubectl(&["get", "pod", "ballast", "-o", "jsonpath={.spec.nodeName}"]);
        (answer.output == node).then_some(())
    });
}
