//! What every pod is made of.
//!
//! Nothing in the template changes by itself: no time, no generation, no hash of what a running pod takes over.
//! A changed template replaces every pod.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{
    Affinity, Capabilities, ConfigMapVolumeSource, Container, ContainerPort, EnvVar, EnvVarSource, HTTPGetAction,
    KeyToPath, Lifecycle, LifecycleHandler, LocalObjectReference, ObjectFieldSelector, PodAffinityTerm,
    PodAntiAffinity, PodSecurityContext, PodSpec, PodTemplateSpec, Probe, ResourceRequirements, SeccompProfile,
    SecretVolumeSource, SecurityContext, SleepAction, TopologySpreadConstraint, Volume, VolumeMount,
    WeightedPodAffinityTerm,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use super::{beneath, matching};
use crate::crd::{LogFormat, Pod};
use crate::reconcile::validated::{
    ADMIN_PORT, CONFIG_FILE, CONFIG_FOLDER, CONFIG_VOLUME, Mount, MountSource, ValidatedBindProxy,
};

/// The container of the proxy.
pub const CONTAINER: &str = "bindproxy";
/// The port of health, metrics and the JSON API, by name.
pub(super) const ADMIN_PORT_NAME: &str = "admin";
/// The port of the other pods, by name.
pub(super) const PEERS_PORT_NAME: &str = "peers";
/// The annotation that replaces pods by changing.
pub const RESTART_HASH: &str = "bindproxy.io/restart-hash";

/// The user and group of the image; it has no name for them, and needs none.
const USER: i64 = 65_532;
/// Keys are read by the owner and by the group of the pod, which `fsGroup` makes [`USER`]; by nobody else.
const SECRET_MODE: i32 = 0o440;
/// Nothing in a ConfigMap is secret.
const CONFIG_MAP_MODE: i32 = 0o444;
/// Where the proxy writes why it ended.
const TERMINATION_LOG: &str = "/dev/termination-log";

/// The template of the pods.
pub(super) fn pod_template(proxy: &ValidatedBindProxy) -> PodTemplateSpec {
    let pod = proxy.spec.pod.clone().unwrap_or_default();
    let annotations = BTreeMap::from([
        (RESTART_HASH.to_owned(), proxy.configuration.restart_hash.clone()),
        ("kubectl.kubernetes.io/default-container".to_owned(), CONTAINER.to_owned()),
    ]);
    PodTemplateSpec {
        metadata: Some(ObjectMeta {
            labels: Some(beneath(&pod.labels, proxy.identity.labels())),
            annotations: Some(beneath(&pod.annotations, annotations)),
            ..ObjectMeta::default()
        }),
        spec: Some(pod_spec(proxy, pod)),
    }
}

fn pod_spec(proxy: &ValidatedBindProxy, pod: Pod) -> PodSpec {
    let Pod {
        labels: _,
        annotations: _,
        resources,
        node_selector,
        tolerations,
        affinity,
        topology_spread_constraints,
        priority_class_name,
        runtime_class_name,
        host_users,
        dns_config,
    } = pod;
    PodSpec {
        service_account_name: Some(proxy.identity.main()),
        automount_service_account_token: Some(false),
        // Variables about other Services are of no use here, and there may be thousands.
        enable_service_links: Some(false),
        security_context: Some(pod_security_context()),
        termination_grace_period_seconds: Some(i64::from(proxy.spec.drain.termination_grace_period_seconds)),
        image_pull_secrets: some(
            proxy.image.pull_secrets.iter().map(|name| LocalObjectReference { name: name.clone() }).collect(),
        ),
        containers: vec![container(proxy, resources)],
        volumes: Some(volumes(proxy)),
        affinity: affinity.or_else(|| topology_spread_constraints.is_none().then(|| apart_in_zones(proxy))),
        topology_spread_constraints: Some(
            topology_spread_constraints.map_or_else(|| spread(proxy), |wanted| spread_as(wanted, proxy)),
        ),
        node_selector: (!node_selector.is_empty()).then_some(node_selector),
        tolerations: some(tolerations),
        priority_class_name,
        runtime_class_name,
        host_users,
        dns_config,
        ..PodSpec::default()
    }
}

/// What the Pod Security Standard "restricted" asks for, and no more rights than that.
fn pod_security_context() -> PodSecurityContext {
    PodSecurityContext {
        run_as_non_root: Some(true),
        run_as_user: Some(USER),
        run_as_group: Some(USER),
        fs_group: Some(USER),
        seccomp_profile: Some(SeccompProfile { type_: "RuntimeDefault".to_owned(), localhost_profile: None }),
        ..PodSecurityContext::default()
    }
}

fn container(proxy: &ValidatedBindProxy, resources: Option<ResourceRequirements>) -> Container {
    Container {
        name: CONTAINER.to_owned(),
        image: Some(proxy.image.reference.clone()),
        image_pull_policy: proxy.image.pull_policy.map(|policy| policy.as_str().to_owned()),
        args: Some(vec!["run".to_owned(), "--config".to_owned(), format!("{CONFIG_FOLDER}/{CONFIG_FILE}")]),
        env: Some(environment(proxy)),
        ports: Some(ports(proxy)),
        resources: Some(resources.unwrap_or_else(default_resources)),
        security_context: Some(SecurityContext {
            allow_privilege_escalation: Some(false),
            read_only_root_filesystem: Some(true),
            capabilities: Some(Capabilities { add: None, drop: Some(vec!["ALL".to_owned()]) }),
            ..SecurityContext::default()
        }),
        // A pod has started once it has met the others, which it tries for 10 seconds.
        startup_probe: Some(probe("/startupz", Every { period: 1, timeout: 1, failures: 60 })),
        readiness_probe: Some(probe("/readyz", Every { period: 2, timeout: 2, failures: 2 })),
        liveness_probe: Some(probe("/livez", Every { period: 10, timeout: 3, failures: 3 })),
        lifecycle: pre_stop(proxy.spec.drain.pre_stop_seconds),
        termination_message_path: Some(TERMINATION_LOG.to_owned()),
        termination_message_policy: Some("FallbackToLogsOnError".to_owned()),
        volume_mounts: Some(volume_mounts(proxy)),
        ..Container::default()
    }
}

fn environment(proxy: &ValidatedBindProxy) -> Vec<EnvVar> {
    let format = match proxy.spec.logging.format {
        LogFormat::Json => "json",
        LogFormat::Text => "text",
    };
    let plain =
        |name: &str, value: &str| EnvVar { name: name.to_owned(), value: Some(value.to_owned()), value_from: None };
    let own_name = ObjectFieldSelector { api_version: Some("v1".to_owned()), field_path: "metadata.name".to_owned() };
    vec![
        plain("BINDPROXY_LOG_FORMAT", format),
        plain("BINDPROXY_TERMINATION_LOG", TERMINATION_LOG),
        EnvVar {
            name: "BINDPROXY_NODE_NAME".to_owned(),
            value: None,
            value_from: Some(EnvVarSource { field_ref: Some(own_name), ..EnvVarSource::default() }),
        },
    ]
}

fn ports(proxy: &ValidatedBindProxy) -> Vec<ContainerPort> {
    let listeners = proxy.ports.iter().map(|port| (port.name.as_str(), port.container));
    let own = [(ADMIN_PORT_NAME, ADMIN_PORT), (PEERS_PORT_NAME, proxy.spec.cluster.port)];
    let port = |(name, number): (&str, i32)| ContainerPort {
        name: Some(name.to_owned()),
        container_port: number,
        protocol: Some("TCP".to_owned()),
        ..ContainerPort::default()
    };
    listeners.chain(own).map(port).collect()
}

fn default_resources() -> ResourceRequirements {
    let quantity = |name: &str, quantity: &str| (name.to_owned(), Quantity(quantity.to_owned()));
    ResourceRequirements {
        requests: Some(BTreeMap::from([quantity("cpu", "50m"), quantity("memory", "64Mi")])),
        ..ResourceRequirements::default()
    }
}

/// How often a probe is made, in seconds, and how many failures in a row count.
struct Every {
    period: i32,
    timeout: i32,
    failures: i32,
}

fn probe(path: &str, every: Every) -> Probe {
    Probe {
        http_get: Some(HTTPGetAction {
            path: Some(path.to_owned()),
            port: IntOrString::String(ADMIN_PORT_NAME.to_owned()),
            scheme: Some("HTTP".to_owned()),
            ..HTTPGetAction::default()
        }),
        period_seconds: Some(every.period),
        timeout_seconds: Some(every.timeout),
        failure_threshold: Some(every.failures),
        success_threshold: Some(1),
        ..Probe::default()
    }
}

/// The kubelet's own sleep, because the image has no program that could.
fn pre_stop(seconds: i32) -> Option<Lifecycle> {
    (seconds > 0).then(|| Lifecycle {
        pre_stop: Some(LifecycleHandler {
            sleep: Some(SleepAction { seconds: i64::from(seconds) }),
            ..LifecycleHandler::default()
        }),
        ..Lifecycle::default()
    })
}

/// Whole folders: the kubelet never renews what is mounted by `subPath`.
fn volume_mounts(proxy: &ValidatedBindProxy) -> Vec<VolumeMount> {
    let configuration = (CONFIG_VOLUME, CONFIG_FOLDER);
    let others = proxy.mounts.iter().map(|mount| (mount.volume.as_str(), mount.folder.as_str()));
    let mount = |(volume, folder): (&str, &str)| VolumeMount {
        name: volume.to_owned(),
        mount_path: folder.to_owned(),
        read_only: Some(true),
        ..VolumeMount::default()
    };
    std::iter::once(configuration).chain(others).map(mount).collect()
}

fn volumes(proxy: &ValidatedBindProxy) -> Vec<Volume> {
    let configuration = config_map_volume(CONFIG_VOLUME, &proxy.identity.config_map(), &[]);
    std::iter::once(configuration).chain(proxy.mounts.iter().map(volume)).collect()
}

fn volume(mount: &Mount) -> Volume {
    match &mount.source {
        MountSource::ConfigMap(name) => config_map_volume(&mount.volume, name, &mount.items),
        MountSource::Secret(name) => Volume {
            name: mount.volume.clone(),
            secret: Some(SecretVolumeSource {
                secret_name: Some(name.clone()),
                items: items(&mount.items),
                default_mode: Some(SECRET_MODE),
                optional: None,
            }),
            ..Volume::default()
        },
    }
}

fn config_map_volume(volume: &str, name: &str, keys: &[(String, String)]) -> Volume {
    Volume {
        name: volume.to_owned(),
        config_map: Some(ConfigMapVolumeSource {
            name: name.to_owned(),
            items: items(keys),
            default_mode: Some(CONFIG_MAP_MODE),
            optional: None,
        }),
        ..Volume::default()
    }
}

fn items(keys: &[(String, String)]) -> Option<Vec<KeyToPath>> {
    some(keys.iter().map(|(key, path)| KeyToPath { key: key.clone(), path: path.clone(), mode: None }).collect())
}

/// Over nodes where that is possible; a cluster of one node runs all of them.
///
/// Zones are not named here: a node that lacks the label of any constraint is ranked by none of them, so where nodes have
/// no zone, pods would not spread over nodes either.
fn spread(proxy: &ValidatedBindProxy) -> Vec<TopologySpreadConstraint> {
    let over_nodes = TopologySpreadConstraint {
        max_skew: 1,
        topology_key: "kubernetes.io/hostname".to_owned(),
        when_unsatisfiable: "ScheduleAnyway".to_owned(),
        ..TopologySpreadConstraint::default()
    };
    spread_as(vec![over_nodes], proxy)
}

/// Over zones, where nodes have them.
fn apart_in_zones(proxy: &ValidatedBindProxy) -> Affinity {
    let others = PodAffinityTerm {
        topology_key: "topology.kubernetes.io/zone".to_owned(),
        label_selector: Some(matching(proxy.identity.selector())),
        ..PodAffinityTerm::default()
    };
    let preferred = WeightedPodAffinityTerm { weight: 100, pod_affinity_term: others };
    let apart = PodAntiAffinity {
        preferred_during_scheduling_ignored_during_execution: Some(vec![preferred]),
        ..PodAntiAffinity::default()
    };
    Affinity { pod_anti_affinity: Some(apart), ..Affinity::default() }
}

/// As asked for; which pods are counted need not be said, and without it none would be.
fn spread_as(wanted: Vec<TopologySpreadConstraint>, proxy: &ValidatedBindProxy) -> Vec<TopologySpreadConstraint> {
    let complete = |constraint: TopologySpreadConstraint| TopologySpreadConstraint {
        label_selector: Some(constraint.label_selector.unwrap_or_else(|| matching(proxy.identity.selector()))),
        ..constraint
    };
    wanted.into_iter().map(complete).collect()
}

/// An empty list is left away, so that it is nobody's.
fn some<T>(list: Vec<T>) -> Option<Vec<T>> {
    (!list.is_empty()).then_some(list)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::pod_template;
    use crate::reconcile::build::fixture::{from_yaml, full, json_of, minimal};

    fn container(template: &Value) -> &Value {
        &template["spec"]["containers"][0]
    }

    #[test]
    fn it_satisfies_the_restricted_pod_security_standard() {
        let template = json_of(&pod_template(&minimal()));
        let pod = &template["spec"]["securityContext"];
        assert_eq!(pod["runAsNonRoot"], json!(true));
        assert_eq!(pod["runAsUser"], 65532);
        assert_eq!(pod["fsGroup"], 65532);
        assert_eq!(pod["seccompProfile"], json!({ "type": "RuntimeDefault" }));
        let own = &container(&template)["securityContext"];
        assert_eq!(own["allowPrivilegeEscalation"], json!(false));
        assert_eq!(own["readOnlyRootFilesystem"], json!(true));
        assert_eq!(own["capabilities"], json!({ "drop": ["ALL"] }));
        assert_eq!(template["spec"]["automountServiceAccountToken"], json!(false));
        assert_eq!(template["spec"]["enableServiceLinks"], json!(false));
        for volume in template["spec"]["volumes"].as_array().unwrap() {
            assert!(volume["hostPath"].is_null());
        }
    }

    #[test]
    fn the_program_is_told_its_configuration_its_name_and_where_to_say_why_it_ended() {
        let template = json_of(&pod_template(&minimal()));
        let container = container(&template);
        assert_eq!(container["name"], "bindproxy");
        assert_eq!(container["args"], json!(["run", "--config", "/etc/bindproxy/config/bindproxy.yaml"]));
        assert_eq!(container["command"], json!(null));
        assert_eq!(
            container["env"],
            json!([
                { "name": "BINDPROXY_LOG_FORMAT", "value": "json" },
                { "name": "BINDPROXY_TERMINATION_LOG", "value": "/dev/termination-log" },
                { "name": "BINDPROXY_NODE_NAME",
                  "valueFrom": { "fieldRef": { "apiVersion": "v1", "fieldPath": "metadata.name" } } },
            ])
        );
        assert_eq!(container["terminationMessagePath"], "/dev/termination-log");
        assert_eq!(container["terminationMessagePolicy"], "FallbackToLogsOnError");
    }

    #[test]
    fn ports_are_those_of_listeners_health_and_peers() {
        let template = json_of(&pod_template(&full()));
        let ports: Vec<(&str, i64)> = container(&template)["ports"]
            .as_array()
            .unwrap()
            .iter()
            .map(|port| (port["name"].as_str().unwrap(), port["containerPort"].as_i64().unwrap()))
            .collect();
        let expected = [("ldap", 3389), ("ldaps", 3636), ("balanced", 10390), ("admin", 9390), ("peers", 7950)];
        assert_eq!(ports, expected);
    }

    #[test]
    fn probes_ask_the_admin_port_and_never_about_directories() {
        let template = json_of(&pod_template(&minimal()));
        for (probe, path) in [("startupProbe", "/startupz"), ("readinessProbe", "/readyz"), ("livenessProbe", "/livez")]
        {
            let probe = &container(&template)[probe];
            assert_eq!(probe["httpGet"], json!({ "path": path, "port": "admin", "scheme": "HTTP" }));
            assert!(probe["timeoutSeconds"].as_i64().unwrap() <= probe["periodSeconds"].as_i64().unwrap());
        }
    }

    #[test]
    fn a_pod_that_goes_waits_for_the_network_first() {
        let template = json_of(&pod_template(&minimal()));
        assert_eq!(container(&template)["lifecycle"], json!({ "preStop": { "sleep": { "seconds": 5 } } }));
        assert_eq!(template["spec"]["terminationGracePeriodSeconds"], 45);
        let proxy = from_yaml("upstreams: [{name: dc1, host: dc1.corp.example}]\ndrain: {preStopSeconds: 0}");
        let template = json_of(&pod_template(&proxy));
        assert_eq!(container(&template)["lifecycle"], json!(null), "a sleep of 0 s is refused by old API servers");
    }

    #[test]
    fn every_folder_is_mounted_whole_and_read_only() {
        let template = json_of(&pod_template(&full()));
        let volumes = template["spec"]["volumes"].as_array().unwrap();
        let mounts = container(&template)["volumeMounts"].as_array().unwrap();
        assert_eq!(volumes.len(), mounts.len());
        for (volume, mount) in volumes.iter().zip(mounts) {
            assert_eq!(volume["name"], mount["name"]);
            assert_eq!(mount["readOnly"], json!(true));
            assert_eq!(mount["subPath"], json!(null));
        }
        assert_eq!(mounts[0]["mountPath"], "/etc/bindproxy/config");
        assert_eq!(volumes[0]["configMap"], json!({ "name": "corp-config", "defaultMode": 0o444 }));
    }

    #[test]
    fn keys_are_not_for_everybody_to_read() {
        let template = json_of(&pod_template(&full()));
        let secrets: Vec<&Value> = template["spec"]["volumes"]
            .as_array()
            .unwrap()
            .iter()
            .filter(|volume| !volume["secret"].is_null())
            .collect();
        assert!(secrets.len() >= 2);
        for volume in secrets {
            assert_eq!(volume["secret"]["defaultMode"], 0o440);
        }
        let ca =
            template["spec"]["volumes"].as_array().unwrap().iter().find(|volume| volume["name"] == "upstream-ca-dc1");
        assert_eq!(ca.unwrap()["configMap"]["items"], json!([{ "key": "bundle.pem", "path": "ca.crt" }]));
    }

    #[test]
    fn what_the_user_asks_for_is_in_it_beneath_what_is_ours() {
        let template = json_of(&pod_template(&full()));
        let (metadata, spec) = (&template["metadata"], &template["spec"]);
        assert_eq!(metadata["labels"]["team"], "directory");
        assert_eq!(metadata["labels"]["app.kubernetes.io/instance"], "corp");
        assert_eq!(metadata["annotations"]["example.net/scan"], "yes");
        assert_eq!(metadata["annotations"]["bindproxy.io/restart-hash"], "0123456789abcdef");
        assert_eq!(metadata["annotations"]["kubectl.kubernetes.io/default-container"], "bindproxy");
        assert_eq!(container(&template)["resources"], json!({ "limits": { "memory": "256Mi" } }));
        assert_eq!(container(&template)["imagePullPolicy"], "Always");
        assert_eq!(spec["imagePullSecrets"], json!([{ "name": "registry" }]));
        assert_eq!(spec["nodeSelector"], json!({ "kubernetes.io/os": "linux" }));
        assert_eq!(spec["tolerations"][0]["key"], "dedicated");
        assert_eq!(spec["topologySpreadConstraints"][0]["topologyKey"], "example.net/rack");
        assert_eq!(spec["topologySpreadConstraints"].as_array().unwrap().len(), 1);
        let counted = &spec["topologySpreadConstraints"][0]["labelSelector"]["matchLabels"];
        assert_eq!(counted["app.kubernetes.io/instance"], "corp", "a constraint without a selector counts no pod");
        assert_eq!(spec["priorityClassName"], "login");
        assert_eq!(spec["runtimeClassName"], "gvisor");
        assert_eq!(spec["hostUsers"], json!(false));
        assert_eq!(spec["dnsConfig"]["options"][0]["name"], "ndots");
        assert!(!spec["affinity"].is_null());
    }

    #[test]
    fn without_wishes_pods_spread_and_ask_for_little() {
        let template = json_of(&pod_template(&minimal()));
        assert_eq!(container(&template)["resources"], json!({ "requests": { "cpu": "50m", "memory": "64Mi" } }));
        let spread = template["spec"]["topologySpreadConstraints"].as_array().unwrap();
        let keys: Vec<&str> = spread.iter().map(|one| one["topologyKey"].as_str().unwrap()).collect();
        assert_eq!(keys, ["kubernetes.io/hostname"]);
        for one in spread {
            assert_eq!(one["whenUnsatisfiable"], "ScheduleAnyway");
            assert_eq!(one["labelSelector"]["matchLabels"]["app.kubernetes.io/instance"], "corp");
        }
        let apart =
            &template["spec"]["affinity"]["podAntiAffinity"]["preferredDuringSchedulingIgnoredDuringExecution"][0];
        assert_eq!(apart["podAffinityTerm"]["topologyKey"], "topology.kubernetes.io/zone");
        assert_eq!(apart["podAffinityTerm"]["labelSelector"]["matchLabels"]["app.kubernetes.io/instance"], "corp");
    }

    #[test]
    fn who_says_how_pods_spread_says_all_of_it() {
        let mut proxy = minimal();
        proxy.spec.pod.get_or_insert_default().topology_spread_constraints = Some(Vec::new());
        assert!(json_of(&pod_template(&proxy))["spec"]["affinity"].is_null());
    }
}
