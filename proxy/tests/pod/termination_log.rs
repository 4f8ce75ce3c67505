//! What a pod's status shows of a process that could not start.

use std::fs;
use std::net::TcpListener;
use std::process::Output;

use super::pod::{Folder, program};

const BAD: &str = "listeners: []\nupstreams: [{name: a, host: localhost}]\ndrain: {timeout: 3}\n";

fn text(octets: &[u8]) -> String {
    String::from_utf8(octets.to_vec()).unwrap()
}

fn run(folder: &Folder, arguments: &[&str], variables: &[(&str, &str)]) -> Output {
    let mut command = program();
    command.current_dir(folder.path("")).args(["run", "--log-format", "json"]).args(arguments);
    command.envs(variables.iter().copied()).output().unwrap()
}

#[test]
fn every_problem_of_a_configuration_is_in_it() {
    let folder = Folder::new();
    folder.write("bad.yaml", BAD);
    // The kubelet makes the file; what an earlier run left there goes.
    folder.write("why", "x".repeat(5000));
    let output = run(&folder, &["--config", "bad.yaml", "--termination-log", "why"], &[]);
    assert_eq!(output.status.code(), Some(2));
    let told = fs::read_to_string(folder.path("why")).unwrap();
    assert!(told.starts_with("listeners: there is no listener; "), "{told}");
    assert!(told.contains("\ndrain.timeout: no such field; "), "{told}");
    assert!(told.ends_with("bad.yaml: 2 problems\n"), "{told}");
    assert!(text(&output.stderr).ends_with(&told), "{}", text(&output.stderr));
}

#[test]
fn so_is_a_fault_and_a_bad_command_line() {
    let folder = Folder::new();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let upstreams = "upstreams: [{name: a, host: 127.0.0.1, tls: {mode: Disabled}}]\nadmin: {address: '127.0.0.1:0'}\n";
    folder.write("taken.yaml", format!("listeners: [{{name: ldap, address: '{address}'}}]\n{upstreams}"));
    let variables = [("BINDPROXY_TERMINATION_LOG", "why"), ("BINDPROXY_CONFIG", "taken.yaml")];
    assert_eq!(run(&folder, &[], &variables).status.code(), Some(1));
    let told = fs::read_to_string(folder.path("why")).unwrap();
    assert!(told.starts_with("bindproxy: ") && told.contains(&address.to_string()), "{told}");

    assert_eq!(run(&folder, &["--workers", "none"], &variables).status.code(), Some(2));
    let told = fs::read_to_string(folder.path("why")).unwrap();
    assert!(told.contains("'none' for '--workers"), "{told}");

    // Another command of the same container leaves it alone.
    let mut other = program();
    other.current_dir(folder.path("")).args(["status", "--nonsense"]).envs(variables);
    assert_eq!(other.output().unwrap().status.code(), Some(2));
    assert_eq!(fs::read_to_string(folder.path("why")).unwrap(), told);
}

#[test]
fn many_problems_are_cut_after_a_line() {
    let folder = Folder::new();
    let fields: String = (0..200).map(|number| format!("field{number}: 1\n")).collect();
    folder.write("bad.yaml", fields + BAD);
    assert_eq!(run(&folder, &["--config", "bad.yaml", "--termination-log", "why"], &[]).status.code(), Some(2));
    let told = fs::read_to_string(folder.path("why")).unwrap();
    assert!((3900..=4096).contains(&told.len()) && told.ends_with('\n'), "{}: {told}", told.len());
}

#[test]
fn a_file_that_cannot_be_written_changes_nothing() {
    let folder = Folder::new();
    folder.write("bad.yaml", BAD);
    let output = run(&folder, &["--config", "bad.yaml", "--termination-log", "no/such/folder"], &[]);
    assert_eq!(output.status.code(), Some(2));
    let told = text(&output.stderr);
    assert!(told.contains("the termination log cannot be written"), "{told}");
    assert!(told.contains("bad.yaml: 2 problems\n"), "{told}");
}
