//! `bindproxy probe`, through a proxy and to nobody.

use std::net::TcpListener;
use std::time::{Duration, Instant};

use bindproxy::directory::{Directory, Options};

use super::pod::{Authority, Folder, free_address, program, start};

/// The exit status, and the one line that was printed where it belongs.
fn probe(folder: &Folder, arguments: &[&str]) -> (Option<i32>, String) {
    let output = program().current_dir(folder.path("")).arg("probe").args(arguments).output().unwrap();
    let (said, unsaid) =
        if output.status.success() { (output.stdout, output.stderr) } else { (output.stderr, output.stdout) };
    let line = String::from_utf8(said).unwrap();
    assert_eq!((line.lines().count(), unsaid), (1, Vec::new()), "{line}");
    (output.status.code(), line)
}

#[test]
fn it_reads_the_root_of_the_directory_behind_a_proxy() {
    let authority = Authority::new();
    let folder = Folder::new();
    let pair = authority.server();
    folder.write("ca.crt", authority.pem());
    folder.write("other.crt", Authority::new().pem());
    folder.write("tls.crt", pair.certificate);
    folder.write("tls.key", pair.key);
    let directory = Directory::start_on_thread(Options::default()).unwrap();
    let path = folder.write(
        "bindproxy.yaml",
        format!(
            "listeners: [{{name: ldap, address: '127.0.0.1:0', tls: StartTLS}}, {{name: ldaps, address: '127.0.0.1:0', tls: LDAPS}}]\n\
             admin: {{address: '127.0.0.1:0'}}\nserverTLS: {{certificateFile: tls.crt, keyFile: tls.key}}\n\
             upstreams: [{{name: dc1, host: 127.0.0.1, port: {}, tls: {{mode: Disabled}}}}]\n",
            directory.addr().port()
        ),
    );
    let server = start(&path);
    let [ldap, ldaps] = [0, 1].map(|index| format!("localhost:{}", server.addresses()[index].1.port()));
    let read = |place: &str| (Some(0), format!("{place}: the rootDSE was read\n"));
    assert_eq!(probe(&folder, &["--ldap", &ldap]), read(&ldap));
    assert_eq!(probe(&folder, &["--ldap", &ldap, "--starttls", "--ca", "ca.crt"]), read(&ldap));
    assert_eq!(probe(&folder, &["--ldap", &ldaps, "--tls", "--ca", "ca.crt"]), read(&ldaps));

    for (arguments, cause) in [
        (vec!["--ldap", &ldaps, "--tls", "--ca", "other.crt"], "TLS: invalid peer certificate"),
        (vec!["--ldap", &ldap, "--tls", "--ca", "ca.crt", "--timeout-seconds", "1"], "TLS: "),
        (vec!["--ldap", &ldaps, "--tls", "--ca", "none.crt"], "--ca none.crt: No such file"),
        (vec!["--ldap", &ldaps, "--tls", "--ca", "tls.key"], "--ca tls.key: it holds no certificate"),
        (vec!["--ldap", "a b"], "--ldap: a b is no host name"),
    ] {
        let (status, line) = probe(&folder, &arguments);
        assert!(status == Some(1) && line.contains(cause), "{arguments:?}: {status:?} {line}");
    }

    // The proxy is there, and nobody behind it.
    drop(directory);
    let (status, line) = probe(&folder, &["--ldap", &ldap]);
    assert_eq!(status, Some(1), "{line}");
    assert!(line.ends_with("the rootDSE read was answered with result 52\n"), "{line}");
    assert!(server.drain(Duration::from_secs(2)));
}

#[test]
fn nobody_there_is_told_in_time() {
    let folder = Folder::new();
    let nobody = free_address().to_string();
    let (status, line) = probe(&folder, &["--ldap", &nobody]);
    assert_eq!(status, Some(1));
    assert!(line.starts_with(&format!("bindproxy: {nobody}: cannot connect to {nobody}: ")), "{line}");
    // Connections are completed by the kernel, and nobody reads them.
    let mute = TcpListener::bind("127.0.0.1:0").unwrap();
    let since = Instant::now();
    let (status, line) = probe(&folder, &["--ldap", &mute.local_addr().unwrap().to_string(), "--timeout-seconds", "1"]);
    assert!(status == Some(1) && line.contains("no answer within 1 s"), "{line}");
    assert!(since.elapsed() < Duration::from_secs(4), "{:?}", since.elapsed());
}
