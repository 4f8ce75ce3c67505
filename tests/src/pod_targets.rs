//! What `kubernetes_sd_configs` with `role: pod` makes of pods, for a Prometheus that was built
//! without it: one target for each port of each container, with the labels to choose by.

use serde_json::{Map, Value, json};

/// Targets in the form of `file_sd_configs`, of a list as `kubectl get pods -o json` prints it.
/// A pod that has no address yet has no targets.
#[must_use]
pub fn of(pods: &Value) -> Value {
    let mut targets = Vec::new();
    for pod in items(&pods["items"]) {
        let Some(address) = pod["status"]["podIP"].as_str() else { continue };
        for (kind, init) in [("containers", false), ("initContainers", true)] {
            for container in items(&pod["spec"][kind]) {
                for port in items(&container["ports"]) {
                    let number = port["containerPort"].as_u64().expect("a port has a number");
                    let host = if address.contains(':') { format!("[{address}]") } else { address.to_owned() };
                    targets.push(json!({
                        "targets": [format!("{host}:{number}")],
                        "labels": labels(pod, container, init, port, number),
                    }));
                }
            }
        }
    }
    targets.into()
}

fn labels(pod: &Value, container: &Value, init: bool, port: &Value, number: u64) -> Map<String, Value> {
    let mut labels = Map::new();
    let mut put = |name: &str, value: String| labels.insert(format!("__meta_kubernetes_{name}"), value.into());
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    put("namespace", text(&pod["metadata"]["namespace"]));
    put("pod_name", text(&pod["metadata"]["name"]));
    put("pod_uid", text(&pod["metadata"]["uid"]));
    put("pod_ip", text(&pod["status"]["podIP"]));
    put("pod_phase", text(&pod["status"]["phase"]));
    put("pod_node_name", text(&pod["spec"]["nodeName"]));
    put("pod_container_name", text(&container["name"]));
    put("pod_container_init", init.to_string());
    put("pod_container_port_name", text(&port["name"]));
    put("pod_container_port_number", number.to_string());
    for (label, value) in pod["metadata"]["labels"].as_object().into_iter().flatten() {
        let label: String = label.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect();
        put(&format!("pod_label_{label}"), text(value));
    }
    labels
}

fn items(list: &Value) -> &[Value] {
    list.as_array().map_or(&[], Vec::as_slice)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_port_is_a_target_and_a_pod_without_an_address_none() {
        let pods = json!({"items": [
            {"metadata": {"name": "corp-0", "namespace": "mail", "labels": {"app.kubernetes.io/instance": "corp"}},
             "spec": {"containers": [{"name": "bindproxy", "ports": [
                 {"name": "ldap", "containerPort": 3389}, {"name": "admin", "containerPort": 9390}]}],
                 "initContainers": [{"name": "side"}]},
             "status": {"phase": "Running", "podIP": "10.244.0.7"}},
            {"metadata": {"name": "corp-1", "namespace": "mail"},
             "spec": {"containers": [{"name": "bindproxy", "ports": [{"name": "admin", "containerPort": 9390}]}]},
             "status": {"phase": "Pending"}},
        ]});
        let targets = of(&pods);
        assert_eq!(targets.as_array().map(Vec::len), Some(2), "{targets}");
        assert_eq!(targets[1]["targets"], json!(["10.244.0.7:9390"]));
        let labels = &targets[1]["labels"];
        assert_eq!(labels["__meta_kubernetes_pod_label_app_kubernetes_io_instance"], "corp");
        assert_eq!(labels["__meta_kubernetes_pod_container_port_name"], "admin");
        assert_eq!(labels["__meta_kubernetes_pod_phase"], "Running");
    }
}
