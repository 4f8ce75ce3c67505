//! What is told when the configuration allows more connections than the process may have descriptors.

use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};

use super::pod::{Folder, eventually};

#[test]
fn a_limit_that_is_too_low_is_told_at_the_start_and_after_a_reload() {
    let folder = Folder::new();
    let configuration = |connections: u32| {
        format!(
            "listeners: [{{name: ldap, address: '127.0.0.1:0'}}]\nadmin: {{address: '127.0.0.1:0'}}\n\
             upstreams: [{{name: dc1, host: 127.0.0.1, tls: {{mode: Disabled}}}}]\nlimits: {{maxConnections: {connections}}}\n"
        )
    };
    folder.write("bindproxy.yaml", configuration(2_000));
    // Soft and hard: the process cannot raise it.
    let mut command = Command::new("bash");
    command.args(["-c", "ulimit -n 1024; exec \"$0\" run --config bindproxy.yaml --log-format json"]);
    command.arg(env!("CARGO_BIN_EXE_bindproxy")).current_dir(folder.path("")).stderr(Stdio::piped());
    let mut process = command.spawn().unwrap();
    let mut log = BufReader::new(process.stderr.take().unwrap());
    let mut line_with = |text: &str| {
        let mut line = String::new();
        while !line.contains(text) {
            line.clear();
            assert_ne!(log.read_line(&mut line).unwrap(), 0, "never: {text}");
        }
        line
    };
    let told = line_with("the limit of open files is below");
    assert!(told.contains("\"allowed\":1024") && told.contains("\"needed\":2128"), "{told}");
    line_with("bindproxy is ready");
    folder.write("bindproxy.yaml", configuration(3_000));
    let told = line_with("the limit of open files is below");
    assert!(told.contains("\"needed\":3128"), "{told}");
    kill_process(Pid::from_child(&process), Signal::TERM).unwrap();
    assert_eq!(eventually("it ends", || process.try_wait().unwrap()).code(), Some(0));
}
