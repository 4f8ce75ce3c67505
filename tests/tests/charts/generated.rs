//! Files that are made from others and committed.

use std::path::Path;

use crate::helm::{Chart, REFRESH, root};

/// Compares a committed file with what it should be; with `BINDPROXY_REFRESH=1` writes it.
pub(crate) fn compare(path: &Path, current: &str) {
    let shown = path.strip_prefix(root()).unwrap_or(path).display();
    let committed = std::fs::read_to_string(path).unwrap_or_default();
    if committed == current {
        return;
    }
    if std::env::var("BINDPROXY_REFRESH").is_ok_and(|value| value == "1") {
        std::fs::write(path, current).unwrap();
        println!("{shown} was written anew");
        return;
    }
    let (line, (was, is)) = (committed.lines().map(Some).chain(std::iter::repeat(None)))
        .zip(current.lines().map(Some).chain(std::iter::repeat(None)))
        .enumerate()
        .find(|(_, (was, is))| was != is || was.is_none())
        .unwrap();
    panic!(
        "{shown} is stale, first at line {}:\n  committed: {}\n  current:   {}\nRefresh it, look at it and commit it:\n  {REFRESH}",
        line + 1,
        was.unwrap_or("(end of the file)"),
        is.unwrap_or("(end of the file)"),
    );
}

#[test]
fn both_charts_carry_the_same_crd() {
    let [crds, operator] = Chart::ALL.map(|chart| {
        std::fs::read_to_string(chart.folder().join("manifests/bindproxies.yaml")).expect("manifests/bindproxies.yaml")
    });
    assert!(
        crds == operator,
        "charts/*/manifests/bindproxies.yaml differ; write what `bindproxy-operator crd` prints to both"
    );
}

#[test]
fn the_charts_have_the_version_of_the_program() {
    for chart in Chart::ALL {
        let text = std::fs::read_to_string(chart.folder().join("Chart.yaml")).unwrap();
        let meta: serde_json::Value = serde_saphyr::from_str(&text).unwrap();
        assert_eq!(meta["appVersion"], env!("CARGO_PKG_VERSION"), "appVersion of {}", chart.name());
        assert_eq!(meta["version"], env!("CARGO_PKG_VERSION"), "version of {}", chart.name());
        assert_eq!(meta["kubeVersion"], ">=1.33.0-0");
    }
}
