//! The five minutes of README.md on Kubernetes, command by command, with the directory that it starts.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::process::Command;
use std::time::Duration;

use bindproxy_tests::kubernetes::cluster::{RELEASE, SYSTEM, program, repository};
use bindproxy_tests::kubernetes::{Namespace, alone_with_namespace, cluster, figures};
use bindproxy_tests::process::{self, Process};
use bindproxy_tests::scratch::Scratch;
use bindproxy_tests::wait::Stopwatch;
use bindproxy_tests::{packages, ports};

/// Only names and ports are others, since a cluster of tests has more on it than the reader's: the namespace, the port
/// of the directory and those that are forwarded.
#[test]
fn the_five_minutes_on_kubernetes() {
    if !packages::installed(&["/usr/bin/ldapwhoami", "/usr/bin/curl", "/usr/sbin/slapd"]) {
        return;
    }
    alone_with_namespace("readme", |namespace| {
        let (gone, told) = cluster().helm(&["uninstall", RELEASE, "--namespace", SYSTEM, "--wait"]);
        assert!(gone, "{told}");
        let outcome = catch_unwind(AssertUnwindSafe(|| follow(namespace)));
        let (_, told) = cluster().helm(&["uninstall", "bindproxy", "--namespace", SYSTEM, "--wait"]);
        println!("{told}");
        let restored = catch_unwind(AssertUnwindSafe(|| cluster().install(&[])));
        if let Err(panic) = outcome.and(restored) {
            resume_unwind(panic);
        }
    });
}

fn follow(namespace: &Namespace) {
    let scratch = Scratch::new("readme");
    let directory = std::net::SocketAddr::from((cluster().host_address(), ports::free_address().port()));
    let mut openldap = Process::start(
        "docs/try/openldap.sh",
        Command::new(repository().join("docs/try/openldap.sh")).arg(directory.to_string()),
        &scratch.join("openldap.log"),
    );
    openldap.wait_until("listening", Duration::from_secs(30), || std::net::TcpStream::connect(directory).is_ok());

    // Without the ends of lines that only a terminal needs, and stopping at nothing: ten logins are meant to fail.
    let commands = commands(namespace, directory);
    println!("{commands}");
    for (variable, name) in [("KUBECTL", "kubectl"), ("HELM", "helm")] {
        let tool = scratch.join(name);
        // The programs of this suite, by the names that the reader types.
        std::fs::write(&tool, format!("#!/bin/sh\nexec {} \"$@\"\n", program(variable, name).display()))
            .expect("write");
        process::run(Command::new("chmod").arg("+x").arg(tool));
    }
    let path = format!("{}:{}", scratch.path().display(), std::env::var("PATH").unwrap_or_default());
    let kubeconfig = bindproxy_tests::kubernetes::cluster::kubeconfig().expect("a cluster");
    let watch = Stopwatch::start();
    let (_, told) = process::outcome(
        Command::new("bash")
            .args(["-m", "-c", &commands])
            .current_dir(repository())
            .env("PATH", path)
            .env("KUBECONFIG", kubeconfig),
    );
    println!("{told}");
    figures::record_seconds("README: the five minutes on Kubernetes", watch.elapsed());

    let has = |text: &str| assert!(told.contains(text), "{text:?} is not in\n{told}");
    has("STATUS: deployed");
    has("bindproxy.bindproxy.io/corp condition met");
    let row = told.lines().find(|line| line.starts_with("corp ") && line.contains("Ready")).unwrap_or_default();
    assert_eq!(
        row.split_whitespace().take(6).collect::<Vec<_>>(),
        ["corp", "True", "Ready", "3", "3", "1/1"],
        "{told}"
    );
    assert_eq!(told.matches("Invalid credentials (49)").count(), 10, "{told}");
    has("dn:uid=alice,ou=people,dc=example,dc=org");
    // As README.md shows it.
    has("bindproxy_binds_total{decision=\"cache_rejected\",result=\"invalid_credentials\"} 9");
    has("bindproxy_binds_total{decision=\"upstream\",result=\"invalid_credentials\"} 1");
    has("bindproxy_binds_total{decision=\"upstream\",result=\"success\"} 1");
    has("bindproxy_lockout_attempts_prevented_total 9");
    for pod in ["corp-0", "corp-1", "corp-2"] {
        has(pod);
    }
    let seen = openldap.log();
    assert_eq!(
        seen.matches("uid=alice").count(),
        2,
        "one stale login and one right one in the directory's terminal:\n{seen}"
    );
}

/// What stands between the first heading about Kubernetes and the next, but for the part about a machine without a cluster.
fn commands(namespace: &Namespace, directory: std::net::SocketAddr) -> String {
    let text = std::fs::read_to_string(repository().join("README.md")).expect("README.md");
    let section = text.split("\n## ").find(|section| section.starts_with("On Kubernetes")).expect("a section");
    let blocks = section.split("```sh\n").skip(1).filter_map(|rest| rest.split("```").next());
    let commands: String = blocks.filter(|block| !block.contains("cluster-up")).collect();
    let name = namespace.name();
    let (ldap, admin) = (ports::free_address().port(), ports::free_address().port());
    let changes = [
        ("kubectl create namespace mail\n", String::new()),
        ("-n mail ", format!("-n {name} ")),
        ("namespace: mail}", format!("namespace: {name}}}")),
        ("host: 10.9.0.254, port: 10389", format!("host: {}, port: {}", directory.ip(), directory.port())),
        ("3389:3389 9390:9390", format!("{ldap}:3389 {admin}:9390")),
        ("127.0.0.1:3389", format!("127.0.0.1:{ldap}")),
        ("127.0.0.1:9390", format!("127.0.0.1:{admin}")),
        // The definition is there, from the release that was uninstalled (docs/install.md).
        ("--create-namespace --wait", "--create-namespace --wait --take-ownership --force-conflicts".to_owned()),
    ];
    changes.iter().fold(commands, |commands, (from, to)| {
        assert!(commands.contains(from), "README.md has no {from:?} any more:\n{commands}");
        commands.replace(from, to)
    })
}
