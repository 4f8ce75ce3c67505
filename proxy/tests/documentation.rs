//! What the documents say about the code is looked up in the code.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking, in its helpers too")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use bindproxy::config;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace").to_owned()
}

fn document(name: &str) -> String {
    fs::read_to_string(root().join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// What stands between backticks.
fn quoted(text: &str) -> impl Iterator<Item = &str> {
    text.lines().flat_map(|line| line.split('`').skip(1).step_by(2))
}

#[test]
fn every_file_that_the_architecture_names_exists() {
    let text = document("ARCHITECTURE.md");
    let named: BTreeSet<&str> = quoted(&text).filter(|word| word.ends_with(".rs") || word.ends_with('/')).collect();
    assert!(named.len() > 30, "the life of a bind alone has more files than {}", named.len());
    // The life of a bind is told from the one folder, that of a BindProxy from the other.
    let exists =
        |name: &str| ["proxy/src", "operator/src", ""].iter().any(|base| root().join(base).join(name).exists());
    let missing: Vec<_> = named.into_iter().filter(|name| !exists(name)).collect();
    assert!(missing.is_empty(), "{missing:?}");
}

#[test]
fn every_metric_that_a_document_names_exists() {
    let metrics = document("docs/metrics.md");
    for name in ["README.md", "docs/operations.md", "docs/bench.md"] {
        let text = document(name);
        let words = text.split(|c: char| !(c.is_ascii_lowercase() || c == '_'));
        for word in words.filter(|word| word.starts_with("bindproxy_")) {
            // `bindproxy_(binds_total|...)` of a grep is cut off at the bracket.
            assert!(word == "bindproxy_" || metrics.contains(&format!("`{word}`")), "{name}: {word}");
        }
    }
}

#[test]
fn the_configuration_of_the_five_minutes_is_good() {
    let text = document("README.md");
    let (_, rest) = text.split_once("<<'YAML'\n").expect("the configuration in the README");
    let (yaml, _) = rest.split_once("YAML\n").expect("its end");
    let loaded = config::load_text(yaml, Path::new(".")).expect("a good configuration");
    assert_eq!(loaded.config.upstreams[0].effective_port(), 10389, "the port of docs/try/openldap.sh");
    assert!(document("docs/try/openldap.sh").contains("ldap://127.0.0.1:10389"));
}

#[test]
fn every_file_that_a_document_links_to_exists() {
    for name in [
        "README.md",
        "ARCHITECTURE.md",
        "CONTRIBUTING.md",
        "docs/operations.md",
        "docs/bench.md",
        "docs/install.md",
        "docs/operations-kubernetes.md",
        "docs/sidecar.md",
        "docs/threat-model.md",
        "docs/troubleshooting.md",
    ] {
        let text = document(name);
        let folder = root().join(name).parent().expect("a folder").to_owned();
        for target in text.split("](").skip(1).filter_map(|rest| rest.split_once(')')).map(|(target, _)| target) {
            let (file, anchor) = target.split_once('#').unwrap_or((target, ""));
            if target.starts_with("http") {
                continue;
            }
            let path = if file.is_empty() { root().join(name) } else { folder.join(file) };
            assert!(path.exists(), "{name}: {target}");
            if !anchor.is_empty() {
                let linked = fs::read_to_string(&path).expect("a document");
                let headings =
                    linked.lines().filter(|line| line.starts_with('#')).map(|line| line.trim_start_matches('#'));
                let anchors: Vec<String> = headings.map(|heading| anchor_of(heading.trim())).collect();
                assert!(anchors.iter().any(|known| known == anchor), "{name}: {target} is none of {anchors:?}");
            }
        }
    }
}

/// As GitHub makes it of a heading: letters, digits, `-` and `_` stay, spaces become `-`, the rest goes.
fn anchor_of(heading: &str) -> String {
    let kept = heading.to_lowercase().replace(' ', "-");
    kept.chars().filter(|c| c.is_alphanumeric() || matches!(c, '-' | '_')).collect()
}
