//! Members that share one file and are told apart by their command lines.

use std::net::SocketAddr;
use std::process::Output;
use std::time::{Duration, Instant};

use bindproxy::config::{self, Overrides, Peers};
use bindproxy::server::Server;

use super::pod::{Authority, Folder, eventually, free_address, program, status};

/// A folder with what a member's configuration names, and the configuration.
fn furnished(cluster_address: &str, discovery: &str) -> (Folder, String) {
    let folder = Folder::new();
    let authority = Authority::new();
    let pair = authority.member();
    folder.write("ca.crt", authority.pem());
    folder.write("member.crt", pair.certificate);
    folder.write("member.key", pair.key);
    folder.write("hash.key", (1..=32).collect::<Vec<u8>>());
    let text = format!(
        "listeners: [{{name: ldap, address: '127.0.0.1:0'}}]\nadmin: {{address: '127.0.0.1:0'}}\n\
         cache: {{keyFile: hash.key}}\nupstreams: [{{name: dc1, host: 127.0.0.1, tls: {{mode: Disabled}}}}]\n\
         cluster: {{name: mail/corp, address: '{cluster_address}', nodeName: of-the-file, discovery: {discovery},\n\
         certificateFile: member.crt, keyFile: member.key, caFile: ca.crt}}\n"
    );
    folder.write("bindproxy.yaml", &text);
    (folder, text)
}

fn check(folder: &Folder, arguments: &[&str], variables: &[(&str, &str)]) -> Output {
    let mut command = program();
    command.current_dir(folder.path("")).args(["check", "--config", "bindproxy.yaml"]).args(arguments);
    command.envs(variables.iter().copied()).output().unwrap()
}

#[test]
fn they_replace_the_files_values_and_leave_its_hash() {
    let (folder, _) = furnished("0.0.0.0:7946", "{static: ['10.0.0.7:7946']}");
    let path = folder.path("bindproxy.yaml");
    let overrides =
        Overrides { node_name: Some("corp-1".to_owned()), peers_dns: Some("corp-peers.mail.svc".to_owned()) };
    let (shared, own) = (config::load(&path).unwrap(), config::load_with(&path, &overrides).unwrap());
    assert_eq!(shared.hash, own.hash);
    let cluster = own.config.cluster.unwrap();
    assert_eq!(cluster.effective_node_name(), "corp-1");
    assert_eq!(cluster.peers(), Some(Peers::Dns { name: "corp-peers.mail.svc".to_owned(), port: 7946 }));
    assert_eq!(shared.config.cluster.unwrap().effective_node_name(), "of-the-file");

    let plain = check(&folder, &[], &[]);
    let variables = [("BINDPROXY_NODE_NAME", "corp-1"), ("BINDPROXY_PEERS_DNS", "corp-peers.mail.svc:7946")];
    let by_variables = check(&folder, &[], &variables);
    let by_flags = check(&folder, &["--node-name", "corp-2", "--peers-dns", "peers.example."], &[]);
    assert_eq!(plain.status.code(), Some(0));
    assert_eq!((&plain.stdout, &plain.stdout), (&by_variables.stdout, &by_flags.stdout));
}

#[test]
fn a_bad_value_is_refused_by_the_name_of_its_variable() {
    let (folder, _) = furnished("0.0.0.0:7946", "{dns: peers.example}");
    let long = "n".repeat(256);
    for (variable, value, cause) in [
        ("BINDPROXY_NODE_NAME", "", "\"\" cannot be the name of a member"),
        ("BINDPROXY_NODE_NAME", "a\nb", "cannot be the name of a member"),
        ("BINDPROXY_NODE_NAME", long.as_str(), "cannot be the name of a member"),
        ("BINDPROXY_PEERS_DNS", "10.0.0.7:7946", "\"10.0.0.7:7946\" is an address, not a name"),
        ("BINDPROXY_PEERS_DNS", "", "\"\" is no host name"),
        ("BINDPROXY_PEERS_DNS", "a b", "\"a b\" is no host name"),
        ("BINDPROXY_PEERS_DNS", "peers.example:0", "there is no port"),
    ] {
        let output = check(&folder, &[], &[(variable, value)]);
        let told = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{variable}={value}");
        assert!(told.starts_with(&format!("{variable}: ")) && told.contains(cause), "{value}: {told}");
        assert!(told.ends_with("bindproxy.yaml: 1 problem\n"), "{told}");
    }
}

/// Starts a member that finds others by `dns`, which leads back to itself.
fn member(folder: &Folder, dns: &str) -> Server {
    let overrides = Overrides { node_name: Some("corp-0".to_owned()), peers_dns: Some(dns.to_owned()) };
    let path = folder.path("bindproxy.yaml");
    let loaded = config::load_with(&path, &overrides).unwrap_or_else(|problems| panic!("{problems}"));
    Server::start(&loaded, &path, 1, None).unwrap()
}

#[test]
fn a_member_at_all_addresses_knows_itself_among_those_of_a_name_and_stays_who_it_is() {
    let port = free_address().port();
    let (folder, text) = furnished(&format!("[::]:{port}"), "{static: ['192.0.2.1:7946']}");
    let since = Instant::now();
    // Both addresses of this name are its own.
    let server = member(&folder, "localhost");
    let admin = server.admin_address();
    eventually("it has joined", || status(admin).ready.then_some(()));
    assert!(since.elapsed() < Duration::from_secs(8), "it waited for itself: {:?}", since.elapsed());
    let before = status(admin);
    assert_eq!(before.cluster.as_ref().unwrap().node, "corp-0");
    assert!(before.cluster.unwrap().members.is_empty());

    // What the command line says hides the file's changes of the same fields.
    let changed =
        text.replace("of-the-file", "other").replace("192.0.2.1", "192.0.2.2") + "drain: {timeoutSeconds: 7}\n";
    folder.write("bindproxy.yaml", changed);
    server.reloader.reload();
    let after = status(admin);
    assert_eq!((after.config_error, after.cluster.unwrap().node.as_str()), (None, "corp-0"));
    assert_ne!(before.config_hash, after.config_hash);
    assert_eq!(server.reloader.drain_timeout(), Duration::from_secs(7));
    assert!(server.drain(Duration::from_secs(5)));
}

#[test]
fn two_members_at_all_ipv4_addresses_meet() {
    let ports = [free_address().port(), free_address().port()];
    let (folder, text) = furnished("0.0.0.0:0", "{dns: nobody.invalid}");
    let both = ports.map(|port| SocketAddr::from(([127, 0, 0, 1], port)));
    let servers = [0, 1].map(|number| {
        let own = text
            .replace("0.0.0.0:0", &format!("0.0.0.0:{}", ports[number]))
            .replace("{dns: nobody.invalid}", &format!("{{static: ['{}', '{}']}}", both[0], both[1]));
        let path = folder.write(&format!("{number}.yaml"), own);
        let overrides = Overrides { node_name: Some(format!("corp-{number}")), peers_dns: None };
        let loaded = config::load_with(&path, &overrides).unwrap_or_else(|problems| panic!("{problems}"));
        Server::start(&loaded, &path, 1, None).unwrap()
    });
    for server in &servers {
        eventually("both are there", || {
            let told = status(server.admin_address());
            let cluster = told.cluster.unwrap();
            (told.ready && cluster.joined && cluster.members.len() == 1).then_some(())
        });
    }
    for server in servers {
        assert!(server.drain(Duration::from_secs(5)));
    }
}
