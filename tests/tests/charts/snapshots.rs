//! What the charts render, word for word, with both Helms.

use std::path::PathBuf;

use crate::generated::compare;
use crate::helm::{Chart, Helm, answer, documents, path, root, value_files};

/// Where a long document that is made from another committed file is cut, by its kind.
///
/// Its own file says the rest, and other tests look at what the template does with it.
fn cut(document: &str) -> String {
    let at = if document.contains("\nkind: CustomResourceDefinition\n") || document.contains("\nkind: PrometheusRule\n")
    {
        document.find("\nspec:\n")
    } else if document.contains("\n  bindproxy.json: |\n") {
        document.find("\n  bindproxy.json: |\n")
    } else {
        None
    };
    match at {
        Some(at) => format!("{}\n# cut here", &document[..at]),
        None => document.to_owned(),
    }
}

/// A rendering as it is committed. Both Helms must agree on it.
fn snapshot(chart: Chart, arguments: &[&str]) -> String {
    let [four, three] = Helm::ALL.map(|helm| {
        let manifests = helm.template(chart, arguments).unwrap_or_else(|error| panic!("{helm:?}: {error}"));
        documents(&manifests).iter().map(|document| cut(document)).collect::<Vec<_>>()
    });
    assert_eq!(four.len(), three.len(), "the Helms render different numbers of objects");
    for (four, three) in four.iter().zip(&three) {
        assert_eq!(four, three, "the Helms render different objects");
    }
    four.join("\n---\n") + "\n"
}

fn snapshot_file(name: &str) -> PathBuf {
    root().join("tests/tests/charts/snapshots").join(format!("{name}.yaml"))
}

#[test]
fn the_renderings_are_those_committed() {
    let mut wanted = vec![snapshot_file("crds")];
    compare(&snapshot_file("crds"), &snapshot(Chart::Crds, &[]));
    for values in value_files() {
        let file = snapshot_file(values.file_stem().unwrap().to_str().unwrap());
        compare(&file, &snapshot(Chart::Operator, &["-f", path(&values)]));
        wanted.push(file);
    }
    wanted.sort();
    let mut committed: Vec<PathBuf> =
        std::fs::read_dir(snapshot_file("x").parent().unwrap()).unwrap().map(|entry| entry.unwrap().path()).collect();
    committed.sort();
    assert_eq!(committed, wanted, "a snapshot without its value file");
}

#[test]
fn helm_has_nothing_to_complain_about() {
    for helm in Helm::ALL {
        let crds = Chart::Crds.folder();
        answer(&helm.run(&["lint", "--strict", path(&crds)])).unwrap_or_else(|error| panic!("{helm:?}: {error}"));
        for values in value_files() {
            let folder = Chart::Operator.folder();
            let output = helm.run(&["lint", "--strict", path(&folder), "-f", path(&values)]);
            assert!(output.status.success(), "{helm:?} {values:?}: {output:?}");
        }
    }
}

#[test]
fn a_package_renders_as_its_folder_does() {
    let scratch = tempfile::tempdir().unwrap();
    for chart in Chart::ALL {
        let folder = chart.folder();
        answer(&Helm::Four.run(&["package", path(&folder), "-d", path(scratch.path())])).unwrap();
        let package = scratch.path().join(format!("{}-{}.tgz", chart.name(), env!("CARGO_PKG_VERSION")));
        let render = |what: &str| {
            answer(&Helm::Four.run(&["template", "x", what, "--kube-version", "1.36.2"]))
                .unwrap_or_else(|e| panic!("{e}"))
        };
        assert_eq!(render(path(&package)), render(path(&folder)), "{}", chart.name());
    }
}
