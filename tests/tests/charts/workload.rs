//! The operator's own pods, the pods of `helm test`, and what the notes say after an install.

use serde_json::{Value, json};

use crate::helm::{Chart, Helm, NAMESPACE, RELEASE, answer, objects, of_kind, only, path, value_files};

fn rendered(arguments: &[&str]) -> Vec<Value> {
    objects(&Helm::Four.template(Chart::Operator, arguments).unwrap_or_else(|error| panic!("{error}")))
}

fn set(sets: &[&str]) -> Vec<Value> {
    rendered(&sets.iter().flat_map(|set| ["--set", *set]).collect::<Vec<_>>())
}

fn container(objects: &[Value]) -> Value {
    only(objects, "Deployment")["spec"]["template"]["spec"]["containers"][0].clone()
}

/// The value of `--name=value` among the operator's arguments.
fn argument(objects: &[Value], name: &str) -> Option<String> {
    let container = container(objects);
    let arguments = container["args"].as_array().unwrap().iter().map(|argument| argument.as_str().unwrap().to_owned());
    let prefix = format!("--{name}=");
    let all: Vec<String> = arguments.filter_map(|argument| argument.strip_prefix(&prefix).map(str::to_owned)).collect();
    assert!(all.len() <= 1, "{name} is given twice: {all:?}");
    all.into_iter().next()
}

#[test]
fn images_are_what_the_values_say() {
    let objects = set(&[
        "image.repository=example.org/o,image.tag=v7,image.pullPolicy=Never",
        "proxyImage.repository=example.org/p,proxyImage.tag=,proxyImage.pullPolicy=Always",
    ]);
    assert_eq!(container(&objects)["image"], "example.org/o:v7");
    assert_eq!(container(&objects)["imagePullPolicy"], "Never");
    let own_version = format!("example.org/p:{}", env!("CARGO_PKG_VERSION"));
    assert_eq!(argument(&objects, "proxy-image").as_deref(), Some(own_version.as_str()));
    assert_eq!(argument(&objects, "proxy-image-pull-policy").as_deref(), Some("Always"));

    let digest = format!("sha256:{}", "0a".repeat(32));
    let objects = set(&[&format!("image.digest={digest},proxyImage.digest={digest}")]);
    assert_eq!(container(&objects)["image"], format!("localhost/bindproxy-operator@{digest}"));
    assert_eq!(argument(&objects, "proxy-image"), Some(format!("localhost/bindproxy@{digest}")));
}

#[test]
fn arguments_follow_the_values() {
    let objects = set(&["watchNamespaces={mail,wiki}", "metrics.bindAddress=::", "metrics.port=9000"]);
    assert_eq!(argument(&objects, "watch-namespaces").as_deref(), Some("mail,wiki"));
    assert_eq!(argument(&objects, "address").as_deref(), Some("[::]:9000"));
    assert_eq!(container(&objects)["ports"][0]["containerPort"], 9000);
    assert_eq!(argument(&set(&[]), "watch-namespaces"), None);
    // The Role names the Lease that the operator is told to take.
    let objects = set(&["fullnameOverride=other"]);
    assert_eq!(argument(&objects, "lease-name").as_deref(), Some("other"));
    assert_eq!(only(&objects, "Role")["rules"][1]["resourceNames"], json!(["other"]));
}

/// The restricted profile of Pod Security, and what goes beyond it: no writable root, no token that nobody needs.
#[track_caller]
fn restricted(pod: &Value) {
    let of = |container: &Value, name: &str| match &container["securityContext"][name] {
        Value::Null => pod["securityContext"][name].clone(),
        own => own.clone(),
    };
    for container in pod["containers"].as_array().unwrap() {
        assert_eq!(of(container, "allowPrivilegeEscalation"), false);
        assert_eq!(of(container, "capabilities"), json!({"drop": ["ALL"]}));
        assert_eq!(of(container, "runAsNonRoot"), true);
        assert_eq!(of(container, "runAsUser"), 65532);
        assert_eq!(of(container, "seccompProfile"), json!({"type": "RuntimeDefault"}));
        assert_eq!(of(container, "readOnlyRootFilesystem"), true);
        assert!(
            container["resources"]["requests"].is_object() && container["resources"]["limits"]["memory"].is_string()
        );
    }
    assert_eq!(pod["enableServiceLinks"], false);
}

#[test]
fn every_pod_is_restricted() {
    for values in value_files() {
        let objects = rendered(&["-f", path(&values)]);
        let operator = &only(&objects, "Deployment")["spec"]["template"]["spec"];
        restricted(operator);
        assert_eq!(operator["automountServiceAccountToken"], true);
        assert_eq!(only(&objects, "ServiceAccount")["automountServiceAccountToken"], false);
        for pod in of_kind(&objects, "Pod") {
            restricted(&pod["spec"]);
            assert_eq!(pod["spec"]["automountServiceAccountToken"], false);
        }
    }
}

#[test]
fn selectors_hold_whatever_the_labels_are() {
    let labels = r"commonLabels.app\.kubernetes\.io/name=mine";
    let objects = set(&[labels, "networkPolicy.enabled=true", "podDisruptionBudget.enabled=true"]);
    let deployment = only(&objects, "Deployment");
    let pod = &deployment["spec"]["template"]["metadata"]["labels"];
    let selectors = [
        &deployment["spec"]["selector"]["matchLabels"],
        &only(&objects, "Service")["spec"]["selector"],
        &only(&objects, "PodDisruptionBudget")["spec"]["selector"]["matchLabels"],
        &only(&objects, "NetworkPolicy")["spec"]["podSelector"]["matchLabels"],
    ];
    for selector in selectors {
        assert_eq!(
            *selector,
            json!({"app.kubernetes.io/name": "bindproxy-operator", "app.kubernetes.io/instance": RELEASE})
        );
        for (key, value) in selector.as_object().unwrap() {
            assert_eq!(&pod[key], value);
        }
    }
}

#[test]
fn the_keep_policy_is_a_value() {
    for chart in Chart::ALL {
        let crd = |arguments: &[&str]| {
            let objects = objects(&Helm::Four.template(chart, arguments).unwrap());
            only(&objects, "CustomResourceDefinition").clone()
        };
        assert_eq!(crd(&[])["metadata"]["annotations"]["helm.sh/resource-policy"], "keep");
        let loose = crd(&["--set", "crds.keep=false"]);
        assert_eq!(loose["metadata"]["annotations"]["helm.sh/resource-policy"], Value::Null);
        // The template adds to the manifest and changes nothing of it.
        let manifest = std::fs::read_to_string(chart.folder().join("manifests/bindproxies.yaml")).unwrap();
        let manifest: Value = serde_saphyr::from_str(&manifest).unwrap();
        assert_eq!(loose["spec"], manifest["spec"]);
    }
    assert_eq!(of_kind(&set(&["crds.install=false"]), "CustomResourceDefinition"), Vec::<&Value>::new());
}

#[test]
fn helm_test_asks_every_proxy_that_speaks_plain_ldap() {
    let everything = value_files().into_iter().find(|file| file.ends_with("everything.yaml")).unwrap();
    let objects = rendered(&["-f", path(&everything)]);
    let pods = of_kind(&objects, "Pod");
    let arguments: Vec<&Value> = pods.iter().map(|pod| &pod["spec"]["containers"][0]["args"]).collect();
    assert_eq!(
        arguments,
        [&json!(["probe", "--ldap", "corp.mail.svc:389"]), &json!(["probe", "--ldap", "old.mail.svc:3389"])]
    );
    for pod in pods {
        assert_eq!(pod["metadata"]["annotations"]["helm.sh/hook"], "test");
    }
    assert_eq!(of_kind(&set(&["tests.enabled=false", "tests.ldap={a.b.svc:389}"]), "Pod"), Vec::<&Value>::new());
}

/// What Helm says after an install for the namespace `mail`, and the object that it proposes to apply.
pub(crate) fn notes() -> (String, Value) {
    // Helm 3 asks a cluster even for a dry run at the client.
    let folder = Chart::Operator.folder();
    let mut arguments = vec!["install", RELEASE, path(&folder), "--namespace", NAMESPACE, "--dry-run=client"];
    arguments.extend(["--set", "watchNamespaces={mail}"]);
    let printed = answer(&Helm::Four.run(&arguments)).unwrap_or_else(|error| panic!("{error}"));
    let (_, notes) = printed.split_once("NOTES:").unwrap();
    let (_, example) = notes.split_once("<<'YAML'\n").unwrap();
    (notes.to_owned(), serde_saphyr::from_str(example.split_once("\nYAML\n").unwrap().0).unwrap())
}

#[test]
fn the_notes_name_the_next_three_commands() {
    let (notes, example) = notes();
    assert_eq!(example["kind"], "BindProxy");
    assert_eq!(example["metadata"]["namespace"], "mail");
    for command in ["kubectl wait -n mail bindproxy/corp", "service/corp 3389:389", "ldapwhoami ", "/metrics"] {
        assert!(notes.contains(command), "{command}: {notes}");
    }
}
