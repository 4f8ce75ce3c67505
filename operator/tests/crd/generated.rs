//! Files that are made of the types are committed, and as new as the types.

use std::fs;
use std::path::Path;

use bindproxy_operator::crd;

fn current(file: &str, expected: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(file);
    let committed = fs::read_to_string(path).unwrap_or_default();
    assert!(
        committed == expected,
        "{file} is older than the types in operator/src/crd: run `make generate` and commit it"
    );
}

#[test]
fn both_charts_carry_the_definition() {
    let text = crd::crd_text().unwrap();
    current("charts/bindproxy-crds/manifests/bindproxies.yaml", &text);
    current("charts/bindproxy-operator/manifests/bindproxies.yaml", &text);
}

#[test]
fn the_reference_tells_every_field() {
    let page = crd::reference_text().unwrap();
    current("docs/reference.md", &page);
    for told in [
        "## spec.upstreams[].tls\n",
        "| `ttlSeconds` | integer, 1 to ",
        "| **`upstreams`** |",
        "cluster.port is immutable",
    ] {
        assert!(page.contains(told), "{told:?} is missing");
    }
}
