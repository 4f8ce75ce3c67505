//! Runs Helm on the charts. Knows where the programs and the charts are, and nothing of what is in them.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

/// What a chart may ask of the cluster and a rendering without one cannot know.
const APIS: [&str; 2] = ["bindproxy.io/v1alpha1/BindProxy", "admissionregistration.k8s.io/v1/MutatingAdmissionPolicy"];

/// The Kubernetes that is rendered for.
const KUBERNETES: &str = "1.36.2";

/// The release in every rendering.
pub(crate) const RELEASE: &str = "bp";

/// The release's namespace in every rendering.
pub(crate) const NAMESPACE: &str = "bindproxy";

/// The command that writes generated files anew.
pub(crate) const REFRESH: &str =
    "BINDPROXY_REFRESH=1 cargo test -p bindproxy-tests --features kubernetes --test charts";

/// One of the two charts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Chart {
    Crds,
    Operator,
}

impl Chart {
    pub(crate) const ALL: [Self; 2] = [Self::Crds, Self::Operator];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Crds => "bindproxy-crds",
            Self::Operator => "bindproxy-operator",
        }
    }

    pub(crate) fn folder(self) -> PathBuf {
        root().join("charts").join(self.name())
    }
}

/// A major version of Helm. Both are in use, and they differ in more than their names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Helm {
    Four,
    Three,
}

impl Helm {
    pub(crate) const ALL: [Self; 2] = [Self::Four, Self::Three];

    fn program(self) -> PathBuf {
        let (variable, name) = match self {
            Self::Four => ("HELM", "helm"),
            Self::Three => ("HELM3", "helm3"),
        };
        program(variable, name)
    }

    /// Runs Helm with `arguments`, without the settings of whoever runs the test.
    pub(crate) fn run(self, arguments: &[&str]) -> Output {
        let program = self.program();
        Command::new(&program)
            .args(arguments)
            .env_remove("KUBECONFIG")
            .env_remove("HELM_NAMESPACE")
            .output()
            .unwrap_or_else(|error| panic!("{}: {error}", program.display()))
    }

    /// The manifests of `chart` with the arguments (`-f FILE`, `--set NAME=VALUE`), or what Helm complains about.
    pub(crate) fn template(self, chart: Chart, arguments: &[&str]) -> Result<String, String> {
        let folder = chart.folder();
        let mut all = vec!["template", RELEASE, path(&folder), "--namespace", NAMESPACE, "--kube-version", KUBERNETES];
        for api in APIS {
            all.extend(["--api-versions", api]);
        }
        all.extend(arguments);
        answer(&self.run(&all))
    }

    /// As [`Helm::template`], for a cluster that has neither of [`APIS`].
    pub(crate) fn template_without_apis(self, chart: Chart, arguments: &[&str]) -> Result<String, String> {
        let folder = chart.folder();
        let mut all = vec!["template", RELEASE, path(&folder), "--namespace", NAMESPACE, "--kube-version", KUBERNETES];
        all.extend(arguments);
        answer(&self.run(&all))
    }
}

/// What a program printed, or what it said on stderr when it failed.
pub(crate) fn answer(output: &Output) -> Result<String, String> {
    if output.status.success() {
        Ok(String::from_utf8(output.stdout.clone()).unwrap())
    } else {
        Err(String::from_utf8_lossy(&output.stderr).into_owned())
    }
}

/// The program of an environment variable, else the one that the cluster's scripts built.
pub(crate) fn program(variable: &str, name: &str) -> PathBuf {
    if let Some(program) = std::env::var_os(variable) {
        return program.into();
    }
    let script = root().join("tests/cluster/build.sh");
    let built = Command::new(&script).args(["--path", name]).output().ok().filter(|output| output.status.success());
    let program = built.map(|output| PathBuf::from(String::from_utf8(output.stdout).unwrap().trim()));
    match program {
        Some(program) if program.exists() => program,
        _ => panic!("no {name}: set {variable} to the program, or build it with `{} {name}`", script.display()),
    }
}

/// The repository.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// A path as an argument.
pub(crate) fn path(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// The named value files of the operator's chart, `charts/bindproxy-operator/ci/*.yaml`, in the order of their names.
pub(crate) fn value_files() -> Vec<PathBuf> {
    let folder = Chart::Operator.folder().join("ci");
    let mut files: Vec<PathBuf> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    assert!(files.len() >= 4, "{files:?}");
    files
}

/// The objects of a rendering.
pub(crate) fn objects(manifests: &str) -> Vec<Value> {
    documents(manifests)
        .iter()
        .map(|text| serde_saphyr::from_str(text).unwrap_or_else(|error| panic!("{error} in\n{text}")))
        .collect()
}

/// The documents of a rendering as text. The Helms put different amounts of white space between them.
pub(crate) fn documents(manifests: &str) -> Vec<String> {
    let mut documents = vec![String::new()];
    for line in manifests.lines() {
        if line == "---" {
            documents.push(String::new());
        } else if let Some(last) = documents.last_mut() {
            last.push_str(line);
            last.push('\n');
        }
    }
    documents.iter().map(|text| text.trim().to_owned()).filter(|text| text.contains("kind:")).collect()
}

/// The objects of a kind.
pub(crate) fn of_kind<'a>(objects: &'a [Value], kind: &str) -> Vec<&'a Value> {
    objects.iter().filter(|object| object["kind"] == kind).collect()
}

/// The one object of a kind.
pub(crate) fn only<'a>(objects: &'a [Value], kind: &str) -> &'a Value {
    match of_kind(objects, kind)[..] {
        [object] => object,
        ref others => panic!("{} objects of kind {kind}", others.len()),
    }
}
