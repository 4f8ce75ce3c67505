//! BindProxies for tests. Their name and namespace differ from the product's, so that labels in the wrong
//! place are seen.

use serde::Serialize;
use serde_json::Value;

use crate::crd::{BindProxySpec, IssuerKind, IssuerRef};
use crate::identity::Identity;
use crate::reconcile::validated::{
    CertificateRequest, Configuration, ListenerPort, MonitoringKinds, Mount, MountSource, PodImage, ValidatedBindProxy,
};

/// The least that a spec can say.
pub(super) const MINIMAL: &str = "upstreams: [{name: dc1, host: dc1.corp.example}]";

/// Everything at once.
const FULL: &str = r#"
replicas: 5
upstreams:
- name: dc1
  host: dc1.corp.example
  tls: {ca: {kind: ConfigMap, name: corporate-ca, key: bundle.pem}, clientCertificateSecretRef: {name: proxy-client}}
- {name: dc2, host: 10.1.2.3, tls: {mode: Disabled}, insecureAllowCleartext: true}
listeners:
- {name: ldap, port: 389, tls: StartTLS}
- {name: ldaps, port: 636, tls: LDAPS}
- {name: balanced, port: 390, proxyProtocol: {mode: V2, trustedCIDRs: [10.0.0.0/8]}}
serverTLS: {certManager: {issuerRef: {name: corporate, kind: ClusterIssuer}, dnsNames: [ldap.corp.example]}}
cluster: {port: 7950}
drain: {preStopSeconds: 10, timeoutSeconds: 30, terminationGracePeriodSeconds: 60}
rollout: {type: OnDelete, minReadySeconds: 20}
service:
  type: LoadBalancer
  externalTrafficPolicy: Local
  internalTrafficPolicy: Cluster
  trafficDistribution: PreferSameZone
  loadBalancerClass: example.net/nlb
  loadBalancerSourceRanges: [192.0.2.0/24]
  annotations: {example.net/name: ldap.corp.example}
  labels: {team: directory}
podDisruptionBudget: {minAvailable: 3}
networkPolicy:
  enabled: true
  ingressFrom: [{podSelector: {matchLabels: {login: "yes"}}}]
  metricsFrom: [{ipBlock: {cidr: 10.9.0.0/24}}]
  upstreamCIDRs: [10.1.2.0/24]
monitoring:
  podMonitor: {enabled: true, intervalSeconds: 15, labels: {release: prometheus}}
  prometheusRule: {enabled: true, labels: {release: prometheus}}
logging: {format: text}
pod:
  labels: {team: directory, app.kubernetes.io/instance: other}
  annotations: {example.net/scan: "yes", bindproxy.io/restart-hash: other}
  resources: {limits: {memory: 256Mi}}
  nodeSelector: {kubernetes.io/os: linux}
  tolerations: [{key: dedicated, operator: Equal, value: login, effect: NoSchedule}]
  affinity:
    nodeAffinity:
      requiredDuringSchedulingIgnoredDuringExecution:
        nodeSelectorTerms: [{matchExpressions: [{key: kubernetes.io/arch, operator: In, values: [amd64]}]}]
  topologySpreadConstraints:
  - {maxSkew: 1, topologyKey: example.net/rack, whenUnsatisfiable: DoNotSchedule}
  priorityClassName: login
  runtimeClassName: gvisor
  hostUsers: false
  dnsConfig: {options: [{name: ndots, value: "2"}]}
"#;

const CONFIGURATION: &str = "\
listeners:
- {name: ldap, address: '[::]:3389'}
upstreams:
- {name: dc1, host: dc1.corp.example, tls: {mode: LDAPS}}
";

/// A BindProxy with defaults everywhere.
pub(super) fn minimal() -> ValidatedBindProxy {
    from_yaml(MINIMAL)
}

/// A BindProxy that asks for everything, in a cluster that has every kind.
pub(super) fn full() -> ValidatedBindProxy {
    let mut proxy = from_yaml(FULL);
    proxy.image = PodImage {
        reference: "registry.corp.example/bindproxy:1.2.3".to_owned(),
        pull_policy: Some(crate::crd::PullPolicy::Always),
        pull_secrets: vec!["registry".to_owned()],
    };
    proxy.mounts.extend([
        Mount {
            volume: "server-tls".to_owned(),
            folder: "/etc/bindproxy/server-tls".to_owned(),
            source: MountSource::Secret("corp-server-tls".to_owned()),
            items: Vec::new(),
        },
        Mount {
            volume: "upstream-ca-dc1".to_owned(),
            folder: "/etc/bindproxy/upstream-ca/dc1".to_owned(),
            source: MountSource::ConfigMap("corporate-ca".to_owned()),
            items: vec![("bundle.pem".to_owned(), "ca.crt".to_owned())],
        },
    ]);
    proxy.certificate = Some(CertificateRequest {
        issuer: IssuerRef {
            name: "corporate".to_owned(),
            kind: IssuerKind::ClusterIssuer,
            group: "cert-manager.io".to_owned(),
        },
        dns_names: vec!["corp.mail.svc".to_owned(), "ldap.corp.example".to_owned()],
    });
    proxy.monitoring = MonitoringKinds { pod_monitor: true, service_monitor: true, prometheus_rule: true };
    proxy
}

/// A BindProxy `corp` in `mail` with that spec.
pub(super) fn from_yaml(spec: &str) -> ValidatedBindProxy {
    let spec: BindProxySpec = serde_saphyr::from_str(spec).unwrap();
    let ports = spec.listeners.iter().map(|listener| ListenerPort {
        name: listener.name.clone(),
        service: listener.port,
        container: match listener.port {
            389 => 3389,
            636 => 3636,
            low @ ..1024 => low + 10_000,
            high => high,
        },
    });
    ValidatedBindProxy {
        identity: Identity {
            namespace: "mail".to_owned(),
            name: "corp".to_owned(),
            uid: "6f1f7ff6-1a77-4d2e-9a4c-3d0f1c3f8a55".to_owned(),
            generation: 4,
        },
        image: PodImage {
            reference: "localhost/bindproxy:dev".to_owned(),
            pull_policy: None,
            pull_secrets: Vec::new(),
        },
        ports: ports.collect(),
        mounts: vec![Mount {
            volume: "cluster".to_owned(),
            folder: "/etc/bindproxy/cluster".to_owned(),
            source: MountSource::Secret("corp-cluster".to_owned()),
            items: Vec::new(),
        }],
        configuration: Configuration {
            text: CONFIGURATION.to_owned(),
            hash: bindproxy::config::review(CONFIGURATION).unwrap().hash,
            restart_hash: "0123456789abcdef".to_owned(),
        },
        makes_cluster_secret: true,
        certificate: None,
        monitoring: MonitoringKinds::default(),
        cluster_domain: "cluster.local".to_owned(),
        operator_namespace: "bindproxy-system".to_owned(),
        remarks: Vec::new(),
        spec,
    }
}

/// As the API server gets it.
pub(super) fn json_of(object: &impl Serialize) -> Value {
    serde_json::to_value(object).unwrap()
}
