//! What comes out of the files: handshakes between the two sides as configured.

use std::sync::Arc;

use bindproxy::config::{CertificateExpiry, Loaded};
use bindproxy::tls::{ServerNameError, server_name};
use rustls::{ClientConfig, ClientConnection, HandshakeKind, ProtocolVersion, ServerConfig, ServerConnection};

use crate::folder::{FULL, Folder};

/// Listener and upstream of one proxy that dials itself: both ends of a handshake.
fn text(server: &str, client: &str) -> String {
    format!(
        "listeners: [{{name: a, address: \"127.0.0.1:3636\", tls: LDAPS}}]\n\
         serverTLS: {{certificateFile: server.crt, keyFile: server.key{server}}}\n\
         upstreams: [{{name: b, host: localhost, tls: {{mode: LDAPS, caFile: ca.crt{client}}}}}]\n"
    )
}

fn ends(loaded: &Loaded) -> (Arc<ClientConfig>, Arc<ServerConfig>) {
    (Arc::clone(&loaded.material.upstream_tls["b"]), loaded.material.server_tls.clone().unwrap())
}

/// Shakes hands in memory; the error is whichever side's first.
fn shake(
    loaded: &Loaded,
    client: Arc<ClientConfig>,
    server: Arc<ServerConfig>,
) -> Result<(ClientConnection, ServerConnection), rustls::Error> {
    let name = server_name(&loaded.config.upstreams[0]).unwrap();
    let mut client = ClientConnection::new(client, name).unwrap();
    let mut server = ServerConnection::new(server).unwrap();
    loop {
        let mut wire = Vec::new();
        while client.wants_write() {
            client.write_tls(&mut wire).unwrap();
        }
        let mut sent = &wire[..];
        let progress = !sent.is_empty();
        while !sent.is_empty() {
            server.read_tls(&mut sent).unwrap();
            server.process_new_packets()?;
        }
        let mut wire = Vec::new();
        while server.wants_write() {
            server.write_tls(&mut wire).unwrap();
        }
        let mut sent = &wire[..];
        let progress = progress || !sent.is_empty();
        while !sent.is_empty() {
            client.read_tls(&mut sent).unwrap();
            client.process_new_packets()?;
        }
        if !progress {
            assert!(!client.is_handshaking() && !server.is_handshaking(), "a handshake that stands still");
            return Ok((client, server));
        }
    }
}

#[test]
fn both_sides_meet_over_tls_1_3_and_resume() {
    let loaded = Folder::furnished().load(&text("", "")).unwrap();
    let (client, server) = ends(&loaded);
    let (first, _) = shake(&loaded, Arc::clone(&client), Arc::clone(&server)).unwrap();
    assert_eq!(first.protocol_version(), Some(ProtocolVersion::TLSv1_3));
    assert_eq!(first.handshake_kind(), Some(HandshakeKind::Full));
    assert_eq!(first.alpn_protocol(), None);
    let (second, server_side) = shake(&loaded, client, server).unwrap();
    assert_eq!(second.handshake_kind(), Some(HandshakeKind::Resumed));
    assert_eq!(server_side.handshake_kind(), Some(HandshakeKind::Resumed));
}

fn only_tls_1_2(folder: &Folder) -> Arc<ServerConfig> {
    let pem = |name: &str| std::fs::read(folder.path().join(name)).unwrap();
    let server = ServerConfig::builder_with_provider(bindproxy::tls::provider())
        .with_protocol_versions(&[&rustls::version::TLS12])
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(
            bindproxy::tls::certificates(&pem("server.crt")).unwrap(),
            bindproxy::tls::private_key(&pem("server.key")).unwrap(),
        )
        .unwrap();
    Arc::new(server)
}

#[test]
fn the_minimum_version_holds() {
    let folder = Folder::furnished();
    let loaded = folder.load(&text("", "")).unwrap();
    let (client, _) = shake(&loaded, ends(&loaded).0, only_tls_1_2(&folder)).unwrap();
    assert_eq!(client.protocol_version(), Some(ProtocolVersion::TLSv1_2));
    let loaded = folder.load(&text("", ", minVersion: TLSv1.3")).unwrap();
    assert!(shake(&loaded, ends(&loaded).0, only_tls_1_2(&folder)).is_err());
}

#[test]
fn another_authority_or_name_is_refused() {
    let folder = Folder::furnished();
    let loaded = folder.load(&text("", ", serverName: other.example")).unwrap();
    let (client, server) = ends(&loaded);
    assert!(matches!(shake(&loaded, client, server).unwrap_err(), rustls::Error::InvalidCertificate(_)));

    let stranger = Folder::furnished().load(&text("", "")).unwrap();
    let loaded = folder.load(&text("", "")).unwrap();
    let refused = shake(&loaded, ends(&loaded).0, ends(&stranger).1).unwrap_err();
    assert!(matches!(refused, rustls::Error::InvalidCertificate(_)), "{refused}");
}

#[test]
fn client_certificates_none_optional_required() {
    let folder = Folder::furnished();
    let stranger = Folder::furnished();
    let with = ", certificateFile: client.crt, keyFile: client.key";
    for (asked, without_passes) in [("None", true), ("Optional", true), ("Required", false)] {
        let ca = if asked == "None" { "" } else { ", clientCAFile: ca.crt" };
        let server = format!("{ca}, clientCertificate: {asked}");

        let loaded = folder.load(&text(&server, "")).unwrap();
        let (client, server_side) = ends(&loaded);
        assert_eq!(shake(&loaded, client, server_side).is_ok(), without_passes, "{asked}, none shown");

        let loaded = folder.load(&text(&server, with)).unwrap();
        let (client, server_side) = ends(&loaded);
        let (_, connection) = shake(&loaded, client, Arc::clone(&server_side)).unwrap();
        assert_eq!(connection.peer_certificates().is_some(), asked != "None", "{asked}, ours shown");

        // A certificate of a foreign authority, shown by a client that trusts ours.
        for name in ["client.crt", "client.key"] {
            let foreign = std::fs::read(stranger.path().join(name)).unwrap();
            folder.write(&format!("foreign-{name}"), foreign);
        }
        let foreign = ", certificateFile: foreign-client.crt, keyFile: foreign-client.key";
        let loaded = folder.load(&text(&server, foreign)).unwrap();
        let (client, _) = ends(&loaded);
        assert_eq!(shake(&loaded, client, server_side).is_ok(), asked == "None", "{asked}, a foreign one shown");
    }
}

#[test]
fn a_ticket_of_an_old_configuration_is_not_resumed() {
    let folder = Folder::furnished();
    let old = folder.load(&text("", "")).unwrap();
    let new = folder.load(&text("", "")).unwrap();
    let (client, server) = ends(&old);
    shake(&old, Arc::clone(&client), server).unwrap();
    let (client, _) = shake(&old, client, ends(&new).1).unwrap();
    assert_eq!(client.handshake_kind(), Some(HandshakeKind::Full));
}

#[test]
fn the_whole_contract_gives_all_material() {
    let folder = Folder::furnished();
    let Loaded { config, material, hash: _, overrides: _, fingerprint: _, warnings: _ } = folder.load(FULL).unwrap();
    assert!(material.server_tls.is_some());
    assert_eq!(material.upstream_tls.keys().collect::<Vec<_>>(), ["dc1", "dc3"]);
    assert_eq!(material.hash_key.unwrap().expose(), b"0123456789abcdef0123456789ABCDEF");
    assert_eq!(material.previous_hash_key.unwrap().expose()[..2], [7, 8]);
    assert!(material.admin_token.unwrap().matches(b"0123456789abcdef0123456789abcdef"));
    let roles: Vec<&str> = material.certificates.iter().map(|CertificateExpiry { role, .. }| role.as_str()).collect();
    assert_eq!(
        roles,
        ["server", "client-ca", "upstream-ca/dc1", "upstream-client/dc1", "upstream-ca/dc3", "cluster", "cluster-ca"]
    );
    assert!(material.cluster.is_some());
    let names: Vec<String> = material
        .files
        .iter()
        .map(|file| file.strip_prefix(folder.path()).unwrap().to_str().unwrap().to_owned())
        .collect();
    assert_eq!(
        names,
        [
            "server.crt",
            "server.key",
            "ca.crt",
            "client.crt",
            "client.key",
            "hash.key",
            "previous.key",
            "admin.token",
            "member.crt",
            "member.key"
        ]
    );
    assert_eq!(config.listeners[3].socket.as_deref(), Some(folder.path().join("run/ldapi").as_path()));
    assert_eq!(config.upstreams[3].socket.as_deref(), Some(std::path::Path::new("/run/slapd/ldapi")));
}

#[test]
fn the_name_to_verify() {
    let loaded = Folder::furnished().load(FULL).unwrap();
    let mut upstream = loaded.config.upstreams[0].clone();
    let name = |upstream: &_| server_name(upstream).map(|name| name.to_str().into_owned());
    assert_eq!(name(&upstream), Ok("localhost".into()));
    upstream.tls.server_name = None;
    assert_eq!(name(&upstream), Ok("dc1.corp.example".into()));
    upstream.host = Some("dc1.corp.example.".into());
    assert_eq!(name(&upstream), Ok("dc1.corp.example".into()));
    upstream.host = Some("2001:db8::1".into());
    assert_eq!(name(&upstream), Ok("2001:db8::1".into()));
    upstream.host = None;
    assert_eq!(name(&upstream), Err(ServerNameError::NoName));
    upstream.host = Some("no name".into());
    assert_eq!(name(&upstream), Err(ServerNameError::Invalid("no name".into())));
}
