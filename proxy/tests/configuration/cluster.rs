//! The block of the other proxies: what is refused, and what comes out of its files.

use bindproxy::config::{Coordination, HostPort, Loaded, Peers};
use rcgen::{DnType, ExtendedKeyUsagePurpose};

use crate::folder::Folder;

const REST: &str = "listeners: [{name: a, address: \"127.0.0.1:3389\"}]\nupstreams: [{name: b, host: localhost}]\n\
                    cache: {keyFile: hash.key}\n";

/// A good block but for the fields that a case replaces; one without a value is left out.
fn block(changes: &[(&str, &str)]) -> String {
    let mut fields = vec![
        ("name", "mail/corp"),
        ("address", "\"10.0.0.7:7946\""),
        ("discovery", "{dns: corp-peers.mail.svc}"),
        ("certificateFile", "member.crt"),
        ("keyFile", "member.key"),
        ("caFile", "ca.crt"),
    ];
    for (name, value) in changes {
        fields.retain(|(known, _)| known != name);
        if !value.is_empty() {
            fields.push((name, value));
        }
    }
    let fields: Vec<String> = fields.iter().map(|(name, value)| format!("{name}: {value}")).collect();
    format!("cluster: {{{}}}\n", fields.join(", "))
}

fn text(changes: &[(&str, &str)]) -> String {
    format!("{REST}{}", block(changes))
}

fn loaded(changes: &[(&str, &str)]) -> Loaded {
    Folder::furnished().load(&text(changes)).unwrap()
}

#[track_caller]
fn expect(changes: &[(&str, &str)], expected: &[&str]) {
    expect_in(&Folder::furnished(), &text(changes), expected);
}

#[track_caller]
fn expect_in(folder: &Folder, text: &str, expected: &[&str]) {
    assert_eq!(folder.problems(text), expected, "\n{}\n---\n{text}\n", folder.problems(text).join("\n"));
}

#[test]
fn a_good_block_and_its_defaults() {
    let loaded = loaded(&[]);
    assert_eq!(loaded.warnings, []);
    assert!(loaded.material.cluster.is_some());
    let roles: Vec<&str> = loaded.material.certificates.iter().map(|one| one.role.as_str()).collect();
    assert_eq!(roles, ["cluster", "cluster-ca"]);
    let cluster = loaded.config.cluster.unwrap();
    assert_eq!(cluster.coordination, Coordination::Lease);
    assert_eq!(cluster.peers(), Some(Peers::Dns { name: "corp-peers.mail.svc".into(), port: 7946 }));
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap();
    assert_eq!(cluster.effective_node_name(), host.trim_end());
    for name in ["member.crt", "member.key", "ca.crt"] {
        assert!(loaded.material.files.iter().any(|file| file.ends_with(name)), "{name} is not watched");
    }
    assert!(cluster.ca_file.is_absolute());
}

#[test]
fn without_the_block_there_is_no_cluster() {
    let loaded = Folder::furnished().load(REST).unwrap();
    assert!(loaded.config.cluster.is_none() && loaded.material.cluster.is_none());
}

#[test]
fn every_way_to_find_the_others() {
    let peers = |discovery: &str| loaded(&[("discovery", discovery)]).config.cluster.unwrap().peers();
    assert_eq!(peers("{dns: \"peers.example:5\"}"), Some(Peers::Dns { name: "peers.example".into(), port: 5 }));
    let name = "_peers._tcp.peers.example";
    assert_eq!(peers(&format!("{{srv: {name}}}")), Some(Peers::Srv { name: name.into() }));
    // The node itself may be listed.
    let listed = peers("{static: [\"10.0.0.7:7946\", \"[2001:db8::8]:1\", \"corp-2:7946\"]}");
    let listed_as = |host: &str, port| HostPort { host: host.into(), port };
    assert_eq!(
        listed,
        Some(Peers::Static(vec![listed_as("10.0.0.7", 7946), listed_as("2001:db8::8", 1), listed_as("corp-2", 7946)]))
    );
    // A test's port; the list needs none of it.
    let any_port = [("address", "\"127.0.0.1:0\""), ("discovery", "{static: [\"127.0.0.1:9\"]}")];
    assert!(loaded(&any_port).material.cluster.is_some());
}

#[test]
fn exactly_one_way_to_find_the_others() {
    let none = "cluster.discovery: nothing says how the other members are found; write one of `dns:` with a name, `srv:` with a name of SRV records, or `static:` with a list";
    let several = "cluster.discovery: there is more than one way to find the other members; keep one of `dns`, `srv` and `static`";
    expect(&[("discovery", "{}")], &[none]);
    expect(&[("discovery", "{static: }")], &[none]);
    expect(&[("discovery", "{dns: a.example, static: [\"b:1\"]}")], &[several]);
    expect(&[("discovery", "{dns: a.example, srv: _a._tcp.b, static: []}")], &[several]);
    expect(
        &[("discovery", "{kubernetes: yes}")],
        &["cluster.discovery.kubernetes: no such field; remove it, or write one of `dns`, `srv`, `static`"],
    );
}

#[test]
fn names_that_nobody_could_be_found_by() {
    expect(
        &[("discovery", "{dns: \"10.0.0.8:7946\"}")],
        &["cluster.discovery.dns: \"10.0.0.8:7946\" is an address, not a name; list addresses in `static:`"],
    );
    expect(
        &[("discovery", "{dns: \"a b\"}")],
        &[
            "cluster.discovery.dns: \"a b\" is no host name; write a name as in `peers.example`, with a port behind it if that of cluster.address is not meant",
        ],
    );
    expect(
        &[("address", "\"127.0.0.1:0\"")],
        &[
            "cluster.discovery.dns: there is no port to find the other members at; write it behind the name, as in `peers.example:7946`, or write the port in cluster.address",
        ],
    );
    for srv in ["peers.example", "_peers.example", "_peers._tcp", "_peers._tcp.", "_peers._tcp..a", "_peers._tcp.a b"] {
        let expected = format!(
            "cluster.discovery.srv: \"{srv}\" is no name of SRV records; write service, protocol and name, as in `_peers._tcp.corp-peers.mail.svc.cluster.local`"
        );
        expect(&[("discovery", &format!("{{srv: \"{srv}\"}}"))], &[&expected]);
    }
}

#[test]
fn a_list_with_mistakes() {
    expect(
        &[("discovery", "{static: [\"a:1\", a, \"b:0\", \"A:1\", \"http://b:1\", \"c:2\"]}")],
        &[
            "cluster.discovery.static[1]: \"a\" has no port; write a name or an IP address with a port, as in `\"proxy2.example:7946\"` or `\"[2001:db8::8]:7946\"`",
            "cluster.discovery.static[2]: \"b:0\" has the port 0; write a name or an IP address with a port, as in `\"proxy2.example:7946\"` or `\"[2001:db8::8]:7946\"`",
            "cluster.discovery.static[3]: \"A:1\" is listed already; remove one of them",
            "cluster.discovery.static[4]: \"http://b:1\" is no host name or IP address with a port; write a name or an IP address with a port, as in `\"proxy2.example:7946\"` or `\"[2001:db8::8]:7946\"`",
        ],
    );
    let empty = loaded(&[("discovery", "{static: []}")]);
    let warnings: Vec<String> = empty.warnings.iter().map(ToString::to_string).collect();
    assert_eq!(
        warnings,
        ["cluster.discovery.static: the list is empty, so nobody is ever found; list the members, each as `HOST:PORT`"]
    );
}

#[test]
fn names_of_clusters_and_members() {
    let longest = "n".repeat(200);
    let folder = Folder::furnished();
    folder.member("long", &format!("bindproxy://{longest}"));
    let long = [("name", longest.as_str()), ("certificateFile", "long.crt"), ("keyFile", "long.key")];
    expect_in(&folder, &text(&long), &[]);
    for name in [&*"n".repeat(201), "", "a b", "é"] {
        let text = text(&[("name", &format!("\"{name}\""))]);
        let problems = folder.problems(&text);
        assert!(
            problems[0].starts_with("cluster.name: ") && problems[0].contains("cannot be the name of a cluster"),
            "{problems:?}"
        );
    }
    expect(
        &[("nodeName", "\"a\\tb\"")],
        &[
            "cluster.nodeName: \"a\\tb\" cannot be the name of a member; write 1 to 255 octets without control characters, or remove it to use the host name",
        ],
    );
    assert_eq!(loaded(&[("nodeName", "corp-0")]).config.cluster.unwrap().effective_node_name(), "corp-0");
}

#[test]
fn an_address_that_is_taken() {
    expect(
        &[("address", "\"127.0.0.1:3389\"")],
        &["cluster.address: 127.0.0.1:3389 is also the address of listener a; write another port, as in 7946"],
    );
    expect(
        &[("address", "\"0.0.0.0:9390\"")],
        &["cluster.address: 0.0.0.0:9390 is also the address of admin; write another port, as in 7946"],
    );
}

#[test]
fn members_share_one_key() {
    let without = text(&[]).replace("cache: {keyFile: hash.key}\n", "");
    expect_in(
        &Folder::furnished(),
        &without,
        &[
            "cache.keyFile: every member would make a key of its own, and could not use what the others know; make one key with `head -c 32 /dev/urandom | base64`, and give its file to every member",
        ],
    );
}

#[test]
fn certificates_that_other_members_would_refuse() {
    let folder = Folder::furnished();
    folder.member("other", "bindproxy://mail/corp2");
    folder.certificate_with("servers", |params| {
        params.subject_alt_names = vec![rcgen::SanType::URI("bindproxy://mail/corp".try_into().unwrap())];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.distinguished_name.push(DnType::OrganizationName, "one side only");
    });
    let stranger = Folder::furnished();
    folder.write("stranger.crt", std::fs::read(stranger.path().join("member.crt")).unwrap());
    folder.write("stranger.key", std::fs::read(stranger.path().join("member.key")).unwrap());
    let refused = |name: &str, expected: &str| {
        let files = [("certificateFile", &*format!("{name}.crt")), ("keyFile", &*format!("{name}.key"))];
        expect_in(&folder, &text(&files), &[expected]);
    };
    let wrong_uri = "cluster.certificateFile: other members would refuse it: its certificate does not carry the URI of this cluster; make one with the subject alternative name `URI:bindproxy://mail/corp`";
    refused("other", wrong_uri);
    refused("server", wrong_uri);
    refused(
        "stranger",
        "cluster.certificateFile: other members would refuse it: its certificate is not signed by an authority of cluster.caFile; write the file of the authority that signed it as caFile",
    );
    refused(
        "servers",
        "cluster.certificateFile: other members would refuse it: its certificate may not be used for TLS servers and clients both; make one with both serverAuth and clientAuth as extended key usage, or without any",
    );
    expect_in(
        &folder,
        &text(&[("keyFile", "server.key")]),
        &[
            "cluster.keyFile: the private key does not belong to the certificate; name the key that the certificate was made for; after a renewal both files change",
        ],
    );
    // Both generations of the authority, during a rotation.
    let bundle = [folder.path(), stranger.path()].map(|path| std::fs::read(path.join("ca.crt")).unwrap()).concat();
    folder.write("both.crt", bundle);
    for name in ["member", "stranger"] {
        let files = [
            ("certificateFile", &*format!("{name}.crt")),
            ("keyFile", &*format!("{name}.key")),
            ("caFile", "both.crt"),
        ];
        expect_in(&folder, &text(&files), &[]);
    }
}

#[test]
fn a_certificate_that_has_ended_is_announced_and_the_rest_of_it_checked() {
    let folder = Folder::furnished();
    let expired = |name: &str, uri: &str| {
        folder.certificate_with(name, |params| {
            params.subject_alt_names = vec![rcgen::SanType::URI(uri.try_into().unwrap())];
            params.not_after = rcgen::date_time_ymd(2001, 1, 1);
        });
        text(&[("certificateFile", &format!("{name}.crt")), ("keyFile", &format!("{name}.key"))])
    };
    let loaded = folder.load(&expired("expired", "bindproxy://mail/corp")).unwrap();
    let warnings: Vec<String> = loaded.warnings.iter().map(ToString::to_string).collect();
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    assert!(warnings[0].starts_with("cluster.certificateFile: the certificate of CN="), "{warnings:?}");
    assert!(warnings[0].contains("expired at Jan  1 00:00:00 2001"), "{warnings:?}");
    assert!(loaded.material.cluster.is_some());
    let problems = folder.problems(&expired("both", "bindproxy://other"));
    assert_eq!(problems.len(), 1, "{problems:?}");
    assert!(problems[0].contains("does not carry the URI"), "{problems:?}");
}

#[test]
fn files_that_are_missing_and_fields_that_are() {
    let missing = "; write the path of a file that exists and can be read; a relative path starts at the configuration file's folder";
    expect(&[("caFile", "nope.crt")], &[&format!("cluster.caFile: there is no file DIR/nope.crt{missing}")]);
    let fields = Folder::furnished().problems(&format!("{REST}cluster: {{}}\n"));
    let paths: Vec<&str> = fields.iter().filter_map(|problem| problem.split(": ").next()).collect();
    for field in ["name", "address", "discovery", "certificateFile", "keyFile", "caFile"] {
        assert!(paths.contains(&&*format!("cluster.{field}")), "{field}: {fields:?}");
    }
    assert_eq!(paths.len(), 6, "{fields:?}");
    expect(
        &[("coordination", "lease")],
        &["cluster.coordination: \"lease\" is not known here; write `Lease`; capital letters count"],
    );
    expect(
        &[("address", "7946")],
        &["cluster.address: the number 7946 stands where a text belongs; put the value in quotes"],
    );
}
