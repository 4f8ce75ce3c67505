//! `/statusz` of a real proxy, before directories that fail in every way.

use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use bindproxy::admin::pod_status::{PodCertificate, UpstreamReason};
use bindproxy::directory::script::ScriptedResult;
use bindproxy::directory::{Behaviour, Directory, Match, OnAccept, Options, RunningDirectory};

use super::pod::{Authority, Folder, Pair, eventually, free_address, get, start, status};

fn directory(tls: Option<&Pair>) -> RunningDirectory {
    let ldaps = SocketAddr::from(([127, 0, 0, 1], 0));
    let options = Options { listen_ldaps: tls.map(|_| ldaps), tls: tls.map(Pair::server_config), ..Options::default() };
    Directory::start_on_thread(options).unwrap()
}

/// A port whose queue is full: what comes is dropped, as by a firewall.
struct BlackHole {
    address: SocketAddr,
    _socket: socket2::Socket,
    _waiting: Vec<TcpStream>,
}

impl BlackHole {
    fn new() -> Self {
        let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
        socket.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
        socket.listen(0).unwrap();
        let address = socket.local_addr().unwrap().as_socket().unwrap();
        let mut waiting = Vec::new();
        while let Ok(stream) = TcpStream::connect_timeout(&address, Duration::from_millis(300)) {
            waiting.push(stream);
            assert!(waiting.len() < 64, "the queue never fills");
        }
        Self { address, _socket: socket, _waiting: waiting }
    }
}

#[test]
fn each_directory_has_the_reason_why_it_is_not_used() {
    let (authority, stranger) = (Authority::new(), Authority::new());
    let folder = Folder::new();
    folder.write("ca.crt", authority.pem());
    let (good, foreign, mute, busy) =
        (directory(Some(&authority.server())), directory(Some(&stranger.server())), directory(None), directory(None));
    mute.script(|script| script.on_accept = OnAccept::Say(b"SSH-2.0-OpenSSH_9.2\r\n".to_vec()));
    busy.script(|script| {
        let refusal = ScriptedResult::code(52).with_diagnostic("closed by uid=alice,dc=example");
        script.when(Match::search(), Behaviour::Result(refusal));
    });
    let hole = BlackHole::new();
    let tls = "tls: {mode: LDAPS, caFile: ca.crt}";
    let plain = "tls: {mode: Disabled}";
    let upstreams = [
        ("good", format!("host: localhost, port: {}, {tls}", good.ldaps_addr().unwrap().port())),
        ("unknown", format!("host: nobody.invalid, {tls}")),
        ("nobody", format!("host: 127.0.0.1, port: {}, {plain}", free_address().port())),
        ("hole", format!("host: 127.0.0.1, port: {}, {plain}", hole.address.port())),
        ("foreign", format!("host: localhost, port: {}, {tls}", foreign.ldaps_addr().unwrap().port())),
        ("no-tls", format!("host: 127.0.0.1, port: {}, tls: {{mode: StartTLS, caFile: ca.crt}}", mute.addr().port())),
        ("mute", format!("host: 127.0.0.1, port: {}, {plain}", mute.addr().port())),
        ("busy", format!("host: 127.0.0.1, port: {}, {plain}", busy.addr().port())),
    ];
    let upstreams: String = upstreams.iter().map(|(name, fields)| format!("- {{name: {name}, {fields}}}\n")).collect();
    let configuration = folder.write(
        "bindproxy.yaml",
        format!(
            "listeners: [{{name: ldap, address: '127.0.0.1:0'}}]\nadmin: {{address: '127.0.0.1:0'}}\nupstreams:\n{upstreams}\
             upstreamPolicy: {{connectTimeoutSeconds: 1, healthCheck: {{intervalSeconds: 1, failureThreshold: 1, successThreshold: 1}}}}\n"
        ),
    );
    let server = start(&configuration);
    let admin = server.admin_address();
    let expected = [
        ("good", UpstreamReason::Healthy),
        ("unknown", UpstreamReason::DNSFailed),
        ("nobody", UpstreamReason::ConnectFailed),
        ("hole", UpstreamReason::ConnectTimeout),
        ("foreign", UpstreamReason::TLSVerifyFailed),
        ("no-tls", UpstreamReason::Unavailable),
        ("mute", UpstreamReason::Unavailable),
        ("busy", UpstreamReason::Unavailable),
    ];
    let told = || -> Vec<(String, UpstreamReason)> {
        status(admin).upstreams.into_iter().map(|upstream| (upstream.name, upstream.reason)).collect()
    };
    let expected = expected.map(|(name, reason)| (name.to_owned(), reason));
    eventually("every reason is known", || {
        let told = told();
        (!told[1..].iter().any(|(_, reason)| *reason == UpstreamReason::Healthy)).then_some(())
    });
    assert_eq!(told(), expected, "{:#?}", status(admin).upstreams);
    for upstream in status(admin).upstreams {
        assert_eq!(upstream.up, upstream.reason == UpstreamReason::Healthy, "{}", upstream.name);
        assert_eq!(upstream.message.is_some(), !upstream.up, "{upstream:?}");
    }
    assert!(!get(admin, "/statusz").unwrap().1.contains("alice"));
    busy.script(|script| script.clear());
    eventually("it is used again", || (told()[7].1 == UpstreamReason::Healthy).then_some(()));
    assert!(server.drain(Duration::from_secs(1)));
}

#[test]
fn it_tells_which_configuration_serves_until_which_certificate_ends() {
    let authority = Authority::new();
    let folder = Folder::new();
    folder.write("ca.crt", authority.pem());
    for (name, pair) in [("server", authority.server()), ("member", authority.member())] {
        folder.write(&format!("{name}.crt"), pair.certificate);
        folder.write(&format!("{name}.key"), pair.key);
    }
    folder.write("hash.key", (1..=32).collect::<Vec<u8>>());
    let good = format!(
        "cache: {{keyFile: hash.key}}\nlisteners: [{{name: ldap, address: '127.0.0.1:0', tls: StartTLS}}]\nadmin: {{address: '127.0.0.1:0'}}\n\
         serverTLS: {{certificateFile: server.crt, keyFile: server.key}}\n\
         upstreams: [{{name: dc1, host: 127.0.0.1, port: {port}, tls: {{mode: Disabled}}}}]\n\
         cluster: {{name: mail/corp, address: '127.0.0.1:0', nodeName: corp-0, discovery: {{static: ['{nobody}']}},\n\
         certificateFile: member.crt, keyFile: member.key, caFile: ca.crt}}\n",
        port = free_address().port(),
        nobody = free_address(),
    );
    let path = folder.write("bindproxy.yaml", &good);
    let server = start(&path);
    let admin = server.admin_address();
    let before = status(admin);
    assert_eq!((before.ready, before.draining, before.config_error), (false, false, None));
    let cluster = before.cluster.unwrap();
    assert_eq!((cluster.node.as_str(), cluster.joined, cluster.members.len()), ("corp-0", false, 0));
    let end = |role: &str| PodCertificate { role: role.to_owned(), not_after: "2099-01-01T00:00:00Z".to_owned() };
    for role in ["server", "cluster"] {
        assert!(before.certificates.contains(&end(role)), "{role}: {:?}", before.certificates);
    }
    eventually("the join is over", || status(admin).cluster.unwrap().joined.then_some(()));
    eventually("the listeners are open", || status(admin).ready.then_some(()));

    folder.write("bindproxy.yaml", good.replace("mode: Disabled", "mode: Perhaps"));
    server.reloader.reload();
    let refused = status(admin);
    assert_eq!(refused.config_hash, before.config_hash);
    let told = refused.config_error.unwrap();
    assert!(told.starts_with("upstreams[0].tls.mode:"), "{told}");
    assert!(server.drain(Duration::from_secs(5)));
}
