//! The program as it is called.

use std::process::{Command, Output};

use bindproxy::cli::{self, Cli};
use clap::CommandFactory as _;

use crate::folder::{FULL, Folder};

fn bindproxy(folder: &Folder) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_bindproxy"));
    command.current_dir(folder.path());
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("BINDPROXY_")) {
        command.env_remove(name);
    }
    command
}

fn texts(output: &Output) -> (Option<i32>, String, String) {
    let text = |octets: &[u8]| String::from_utf8(octets.to_vec()).unwrap();
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

#[test]
fn the_definition_is_sound() {
    Cli::command().debug_assert();
}

#[test]
fn check_prints_the_hash_and_ends_with_0() {
    let folder = Folder::furnished();
    folder.write("good.yaml", FULL);
    let hash = folder.load(FULL).unwrap().hash;
    let expected = (Some(0), format!("good.yaml: good\neffective configuration hash: {hash}\n"), String::new());
    assert_eq!(texts(&bindproxy(&folder).args(["check", "--config", "good.yaml"]).output().unwrap()), expected);
    let by_environment = bindproxy(&folder).arg("check").env("BINDPROXY_CONFIG", "good.yaml").output().unwrap();
    assert_eq!(texts(&by_environment), expected);
}

#[test]
fn check_prints_every_problem_and_ends_with_2() {
    let folder = Folder::new();
    folder.write("bad.yaml", "listeners: []\nupstreams: [{name: a, host: localhost}]\ndrain: {timeout: 3}\n");
    let (status, out, err) = texts(&bindproxy(&folder).args(["check", "--config", "bad.yaml"]).output().unwrap());
    assert_eq!((status, out.as_str()), (Some(2), ""));
    assert_eq!(
        err,
        "listeners: there is no listener; write at least one, as in `- {name: ldap, address: \"127.0.0.1:3389\"}`\n\
         drain.timeout: no such field; remove it, or write one of `timeoutSeconds`\n\
         bad.yaml: 2 problems\n"
    );
}

#[test]
fn a_missing_binary_or_foreign_file_is_explained() {
    let folder = Folder::new();
    folder.write("latin1.yaml", b"# caf\xe9\n");
    for (file, cause) in [
        ("none.yaml", "none.yaml cannot be read: No such file or directory (os error 2)"),
        (".", ". cannot be read: it is not a regular file"),
        ("latin1.yaml", "latin1.yaml is not UTF-8 from byte 5 on"),
    ] {
        let (status, _, err) = texts(&bindproxy(&folder).args(["check", "--config", file]).output().unwrap());
        assert_eq!(status, Some(2), "{file}");
        assert!(err.starts_with(cause), "{err}");
    }
}

#[test]
fn the_systems_authorities_are_asked_for_only_when_needed() {
    let folder = Folder::new();
    let upstream = "listeners: [{name: a, address: \"127.0.0.1:3389\"}]\nupstreams: [{name: b, host: dc1.example, tls: {mode: LDAPS";
    folder.write("own.yaml", format!("{upstream}, caFile: ca.crt}}}}]\n"));
    folder.write("system.yaml", format!("{upstream}}}}}]\n"));
    let check = |file: &str, roots: &str| {
        texts(&bindproxy(&folder).args(["check", "--config", file]).env("SSL_CERT_FILE", roots).output().unwrap())
    };
    assert_eq!(check("own.yaml", "nowhere.pem").0, Some(0));
    assert_eq!(check("system.yaml", "ca.crt").0, Some(0));
    let (status, _, err) = check("system.yaml", "nowhere.pem");
    assert_eq!(status, Some(2));
    assert_eq!(
        err,
        "upstreams[0].tls.caFile: the field is absent and the system has no authorities: no list of authorities was found in nowhere.pem; \
         write the path of a PEM file with the authority that signed the server's certificate\n\
         system.yaml: 1 problem\n"
    );
}

#[test]
fn completions_and_manual_name_every_command() {
    let mut page = Vec::new();
    cli::man(&mut page).unwrap();
    let page = String::from_utf8(page).unwrap();
    for shell in [clap_complete::Shell::Bash, clap_complete::Shell::Zsh, clap_complete::Shell::Fish] {
        let mut script = Vec::new();
        cli::completions(shell, &mut script);
        let script = String::from_utf8(script).unwrap();
        for command in Cli::command().get_subcommands() {
            assert!(script.contains(command.get_name()), "{shell}: {}", command.get_name());
            assert!(page.contains(command.get_name()), "man: {}", command.get_name());
        }
    }
    assert!(page.contains("BINDPROXY_CONFIG"), "environment variables are in the page");
}

#[test]
fn command_lines_that_are_and_are_not() {
    let good = [
        "run --config f --workers 2 --log-format json --log-level debug",
        "run --config f --termination-log t --node-name corp-0 --peers-dns peers.example:7946",
        "check --config f --node-name corp-0 --peers-dns peers.example",
        "demo --once --listen 127.0.0.1:0",
        "status --admin http://10.0.0.1:9390 --token-file t -o json",
        "offenders --limit 5",
        "explain uid=alice,dc=example,dc=org",
        "flush uid=alice",
        "flush --all",
        "probe --ldap corp.mail.svc:389 --starttls --ca ca.crt --timeout-seconds 2",
        "completions zsh",
        "man",
    ];
    let bad = [
        "",
        "run",
        "run --config f --workers 0",
        "flush",
        "flush name --all",
        "explain",
        "check --config f extra",
        "--log-level loud check --config f",
        "completions tcsh",
        "probe",
        "probe --ldap a --tls --starttls",
        "probe --ldap a --timeout-seconds 0",
    ];
    let parse = |line: &str| cli::parse(std::iter::once("bindproxy").chain(line.split_whitespace()));
    for line in good {
        assert!(parse(line).is_ok(), "{line}: {:?}", parse(line).err());
    }
    for line in bad {
        assert!(parse(line).is_err(), "{line}");
    }
}
