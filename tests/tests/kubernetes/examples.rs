//! The examples for Kubernetes are taken by a real API server, without a warning.

use std::fs;

use bindproxy_tests::kubernetes::cluster::repository;
use bindproxy_tests::kubernetes::with_namespace;

#[test]
fn every_example_is_taken() {
    with_namespace("examples", |namespace| {
        let folder = repository().join("deploy/examples/kubernetes");
        let mut files: Vec<_> = fs::read_dir(&folder)
            .unwrap_or_else(|error| panic!("{}: {error}", folder.display()))
            .map(|entry| entry.expect("an entry of the folder").path())
            .filter(|path| path.extension().is_some_and(|extension| extension == "yaml"))
            .collect();
        files.sort();
        assert!(!files.is_empty(), "no example in {}", folder.display());
        for file in files {
            let text = fs::read_to_string(&file).expect("read an example");
            let answer = namespace.kubectl(&["apply", "--dry-run=server", "-f", file.to_str().expect("UTF-8")]);
            assert!(answer.errors.is_empty(), "{}: {}", file.display(), answer.errors);
            let wanted = text.lines().filter(|line| *line == "kind: BindProxy").count();
            let taken = answer.output.lines().filter(|line| line.starts_with("bindproxy.bindproxy.io/")).count();
            assert_eq!(taken, wanted, "BindProxies of {} in {}", file.display(), answer.output);
        }
    });
}
