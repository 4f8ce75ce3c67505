//! Who may talk to a member of the cluster, and how it is told that it may not.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "helpers of tests fail the test")]

use std::io;
use std::sync::Arc;
use std::time::Duration;

use bindproxy::tls::{
    Identity, PEER_PROTOCOL, PeerError, PeerTls, authorities, certificates, check_peer_identity, peer_server_name,
    peer_tls, private_key, provider,
};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose, SanType,
};
use rustls::pki_types::UnixTime;
use rustls::{
    ClientConfig, ClientConnection, HandshakeKind, ProtocolVersion, RootCertStore, ServerConfig, ServerConnection,
};

const CLUSTER: &str = "mail/corp";

/// An authority of members' certificates.
struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    fn new(name: &str) -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, name);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    fn sign(&self, change: impl FnOnce(&mut CertificateParams)) -> Identity {
        let mut params = CertificateParams::default();
        params.subject_alt_names = vec![uri("bindproxy://mail/corp")];
        change(&mut params);
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.0).unwrap();
        let chain = certificates(certificate.pem().as_bytes()).unwrap();
        Identity::new(chain, private_key(key.serialize_pem().as_bytes()).unwrap()).unwrap()
    }

    fn member(&self) -> Identity {
        self.sign(|_| {})
    }

    fn named(&self, uris: &[&str]) -> Identity {
        self.sign(|params| params.subject_alt_names = uris.iter().map(|name| uri(name)).collect())
    }
}

fn uri(text: &str) -> SanType {
    SanType::URI(text.try_into().unwrap())
}

fn roots(authorities_of_it: &[&Authority]) -> Arc<RootCertStore> {
    let pem: String = authorities_of_it.iter().map(|authority| authority.0.pem()).collect();
    authorities(certificates(pem.as_bytes()).unwrap()).unwrap()
}

fn tls(identity: Identity, believed: &[&Authority]) -> PeerTls {
    peer_tls(identity, roots(believed), CLUSTER).unwrap()
}

/// The two ends of a connection, or what each says of it.
struct Met {
    client: ClientConnection,
    server: ServerConnection,
    dialling: Result<(), PeerError>,
    accepting: Result<(), PeerError>,
    /// Whether the dialling side's handshake was over before it heard of the refusal.
    dialling_was_done: bool,
}

/// What a side reads, until nothing more comes or something is wrong. Errors are told as a TLS stream tells them.
macro_rules! pump {
    ($from:ident, $to:ident, $outcome:ident) => {{
        let mut sent = Vec::new();
        while $from.wants_write() {
            $from.write_tls(&mut sent).unwrap();
        }
        let mut rest = &sent[..];
        while !rest.is_empty() && $outcome.is_ok() {
            $to.read_tls(&mut rest).unwrap();
            if let Err(error) = $to.process_new_packets() {
                $outcome = Err(PeerError::of(&io::Error::new(io::ErrorKind::InvalidData, error)));
            }
        }
        !sent.is_empty()
    }};
}

fn meet(client: &Arc<ClientConfig>, server: &Arc<ServerConfig>) -> Met {
    let mut client = ClientConnection::new(Arc::clone(client), peer_server_name()).unwrap();
    let mut server = ServerConnection::new(Arc::clone(server)).unwrap();
    let (mut dialling, mut accepting) = (Ok(()), Ok(()));
    let mut dialling_was_done = false;
    loop {
        let forth = pump!(client, server, accepting);
        dialling_was_done |= !client.is_handshaking();
        let back = pump!(server, client, dialling);
        if !forth && !back {
            return Met { client, server, dialling, accepting, dialling_was_done };
        }
    }
}

/// Dials `server` as `client`: what the dialling and the accepting side say.
fn say(client: &PeerTls, server: &PeerTls) -> (Result<(), PeerError>, Result<(), PeerError>) {
    let met = meet(&client.client, &server.server);
    (met.dialling, met.accepting)
}

fn refused(text: &str) -> Result<(), PeerError> {
    Err(PeerError::RefusedByPeer(text.to_owned()))
}

const UNKNOWN: &str = "it does not know the authority of this member's certificate";
const OTHER: &str = "this member's certificate does not carry its cluster's URI";
const ENDED: &str = "this member's certificate has expired";

#[test]
fn members_meet_over_tls_1_3_and_never_resume() {
    let authority = Authority::new("one");
    let (one, other) = (tls(authority.member(), &[&authority]), tls(authority.member(), &[&authority]));
    for _ in 0..3 {
        let met = meet(&one.client, &other.server);
        assert_eq!((met.dialling, met.accepting), (Ok(()), Ok(())));
        assert_eq!(met.client.protocol_version(), Some(ProtocolVersion::TLSv1_3));
        assert_eq!(met.client.alpn_protocol(), Some(PEER_PROTOCOL));
        assert_eq!(met.server.alpn_protocol(), Some(PEER_PROTOCOL));
        assert_eq!(met.client.handshake_kind(), Some(HandshakeKind::Full), "nothing of the last one is used");
        assert_eq!(met.client.tls13_tickets_received(), 0);
        assert!(met.client.peer_certificates().is_some() && met.server.peer_certificates().is_some());
        assert_eq!(met.server.server_name(), None, "what is dialled stays untold");
    }
}

#[test]
fn a_recorded_connection_is_worth_nothing() {
    let authority = Authority::new("one");
    let member = tls(authority.member(), &[&authority]);
    let mut client = ClientConnection::new(Arc::clone(&member.client), peer_server_name()).unwrap();
    let mut server = ServerConnection::new(Arc::clone(&member.server)).unwrap();
    assert!(client.early_data().is_none());
    let mut recorded = Vec::new();
    let mut accepting = Ok(());
    let mut dialling = Ok(());
    loop {
        let mut sent = Vec::new();
        while client.wants_write() {
            client.write_tls(&mut sent).unwrap();
        }
        recorded.extend_from_slice(&sent);
        let mut rest = &sent[..];
        while !rest.is_empty() {
            server.read_tls(&mut rest).unwrap();
            server.process_new_packets().unwrap();
        }
        if !pump!(server, client, dialling) && sent.is_empty() {
            break;
        }
    }
    assert_eq!(dialling, Ok(()));
    assert!(!server.is_handshaking());
    let mut again = ServerConnection::new(Arc::clone(&member.server)).unwrap();
    let mut rest = &recorded[..];
    while !rest.is_empty() && accepting.is_ok() {
        again.read_tls(&mut rest).unwrap();
        accepting = again.process_new_packets().map(drop);
    }
    assert!(accepting.is_err() && again.is_handshaking(), "{accepting:?}");
}

#[test]
fn another_authority_is_refused_by_either_side() {
    let (ours, theirs) = (Authority::new("one"), Authority::new("two"));
    let member = tls(ours.member(), &[&ours]);
    let stranger = tls(theirs.member(), &[&ours]);
    assert_eq!(say(&member, &stranger), (Err(PeerError::UnknownAuthority), refused(UNKNOWN)));
    assert_eq!(say(&stranger, &member), (refused(UNKNOWN), Err(PeerError::UnknownAuthority)));
    // An authority that merely has the same name.
    let forged = tls(Authority::new("one").member(), &[&ours]);
    assert_eq!(say(&member, &forged).0, Err(PeerError::UnknownAuthority));
    assert_eq!(say(&forged, &member).1, Err(PeerError::UnknownAuthority));
}

#[test]
fn the_dialling_side_hears_of_a_refusal_after_its_handshake() {
    let (ours, theirs) = (Authority::new("one"), Authority::new("two"));
    let met = meet(&tls(theirs.member(), &[&ours]).client, &tls(ours.member(), &[&ours]).server);
    assert!(met.dialling_was_done);
    assert_eq!(met.dialling, refused(UNKNOWN));
}

#[test]
fn another_cluster_of_the_same_authority_is_refused_by_either_side() {
    let authority = Authority::new("one");
    let member = tls(authority.member(), &[&authority]);
    for uris in [
        &[][..],
        &["bindproxy://mail/corp2"],
        &["bindproxy://mail/cor"],
        &["bindproxy://MAIL/corp"],
        &["bindproxy://mail/corp/"],
        &["BINDPROXY://mail/corp"],
        &["https://mail/corp", "mail/corp"],
    ] {
        let other = tls(authority.named(uris), &[&authority]);
        assert_eq!(say(&member, &other), (Err(PeerError::OtherIdentity), refused(OTHER)), "{uris:?}");
        assert_eq!(say(&other, &member), (refused(OTHER), Err(PeerError::OtherIdentity)), "{uris:?}");
    }
    let elsewhere_too = authority.named(&["spiffe://corp/proxy", "bindproxy://mail/corp"]);
    assert_eq!(say(&member, &tls(elsewhere_too, &[&authority])), (Ok(()), Ok(())));
    let by_host_name = authority.sign(|params| {
        params.subject_alt_names = vec![SanType::DnsName("corp".try_into().unwrap())];
        params.distinguished_name.push(DnType::CommonName, "bindproxy://mail/corp");
    });
    assert_eq!(say(&member, &tls(by_host_name, &[&authority])).0, Err(PeerError::OtherIdentity));
}

#[test]
fn a_certificate_that_has_ended_or_not_begun() {
    let authority = Authority::new("one");
    let member = tls(authority.member(), &[&authority]);
    let expired = authority.sign(|params| params.not_after = rcgen::date_time_ymd(2001, 1, 1));
    let expired = tls(expired, &[&authority]);
    assert_eq!(say(&member, &expired), (Err(PeerError::Expired), refused(ENDED)));
    assert_eq!(say(&expired, &member), (refused(ENDED), Err(PeerError::Expired)));
    let early = tls(authority.sign(|params| params.not_before = rcgen::date_time_ymd(2090, 1, 1)), &[&authority]);
    assert_eq!(say(&member, &early).0, Err(PeerError::NotYetValid));
}

#[test]
fn two_generations_of_the_authority_during_a_rotation() {
    let (old, new) = (Authority::new("one"), Authority::new("one"));
    let both = [&old, &new];
    let (of_old, of_new) = (tls(old.member(), &both), tls(new.member(), &both));
    assert_eq!(say(&of_old, &of_new), (Ok(()), Ok(())));
    assert_eq!(say(&of_new, &of_old), (Ok(()), Ok(())));
    // Whoever has not got the new generation yet refuses its certificates: authorities first, then certificates.
    let late = tls(old.member(), &[&old]);
    assert_eq!(say(&late, &of_new).0, Err(PeerError::UnknownAuthority));
    assert_eq!(say(&late, &of_old), (Ok(()), Ok(())));
    // And at the end of it the old generation is worth nothing.
    let done = tls(new.member(), &[&new]);
    assert_eq!(say(&of_old, &done).1, Err(PeerError::UnknownAuthority));
}

#[test]
fn a_chain_with_an_authority_in_between() {
    let root = Authority::new("root");
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.distinguished_name.push(DnType::CommonName, "between");
    let between = CertifiedIssuer::signed_by(params, KeyPair::generate().unwrap(), &root.0).unwrap();
    let mut params = CertificateParams::default();
    params.subject_alt_names = vec![uri("bindproxy://mail/corp")];
    let key = KeyPair::generate().unwrap();
    let leaf = params.signed_by(&key, &between).unwrap();
    let identity = |pem: &str| {
        let chain = certificates(pem.as_bytes()).unwrap();
        Identity::new(chain, private_key(key.serialize_pem().as_bytes()).unwrap()).unwrap()
    };
    let member = tls(root.member(), &[&root]);
    let whole = tls(identity(&(leaf.pem() + &between.pem())), &[&root]);
    assert_eq!(say(&member, &whole), (Ok(()), Ok(())));
    assert_eq!(say(&whole, &member), (Ok(()), Ok(())));
    let cut = tls(identity(&leaf.pem()), &[&root]);
    assert_eq!(say(&member, &cut).0, Err(PeerError::UnknownAuthority));
}

#[test]
fn a_certificate_for_one_side_only() {
    let authority = Authority::new("one");
    let member = tls(authority.member(), &[&authority]);
    let with =
        |usages: &[ExtendedKeyUsagePurpose]| authority.sign(|params| params.extended_key_usages = usages.to_vec());
    let servers = tls(with(&[ExtendedKeyUsagePurpose::ServerAuth]), &[&authority]);
    assert_eq!(say(&member, &servers), (Ok(()), Ok(())));
    assert_eq!(say(&servers, &member).1, Err(PeerError::OtherPurpose));
    let clients = tls(with(&[ExtendedKeyUsagePurpose::ClientAuth]), &[&authority]);
    assert_eq!(say(&member, &clients).0, Err(PeerError::OtherPurpose));
    let both = tls(with(&[ExtendedKeyUsagePurpose::ClientAuth, ExtendedKeyUsagePurpose::ServerAuth]), &[&authority]);
    assert_eq!(say(&both, &member), (Ok(()), Ok(())));
    assert_eq!(say(&member, &both), (Ok(()), Ok(())));
}

#[test]
fn whoever_shows_no_certificate_is_refused() {
    let authority = Authority::new("one");
    let member = tls(authority.member(), &[&authority]);
    let nameless = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_root_certificates(roots(&[&authority]))
        .with_no_client_auth();
    // It verifies by host name, which no member has; so the member's side is looked at alone.
    let mut named = member.client.as_ref().clone();
    named.client_auth_cert_resolver = Arc::clone(&nameless.client_auth_cert_resolver);
    let met = meet(&Arc::new(named), &member.server);
    assert_eq!(met.accepting, Err(PeerError::NoCertificate));
    assert_eq!(met.dialling, refused("this member shows no certificate"));
}

#[test]
fn tls_1_2_is_refused_by_either_side() {
    let authority = Authority::new("one");
    let member = tls(authority.member(), &[&authority]);
    let old_client = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS12])
        .unwrap()
        .with_root_certificates(roots(&[&authority]))
        .with_no_client_auth();
    let met = meet(&Arc::new(old_client), &member.server);
    assert!(matches!(met.accepting, Err(PeerError::Handshake(_))), "{:?}", met.accepting);
    let key = KeyPair::generate().unwrap();
    let leaf = CertificateParams::default().signed_by(&key, &authority.0).unwrap();
    let old_server = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS12])
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![leaf.der().clone()], private_key(key.serialize_pem().as_bytes()).unwrap())
        .unwrap();
    let met = meet(&member.client, &Arc::new(old_server));
    assert!(met.dialling.is_err() && met.client.is_handshaking(), "{:?}", met.dialling);
}

#[test]
fn a_member_can_tell_what_others_would_say_of_it() {
    let (ours, theirs) = (Authority::new("one"), Authority::new("two"));
    let at = |seconds| UnixTime::since_unix_epoch(Duration::from_secs(seconds));
    // 2026 and 1973; the certificates of rcgen begin in 1975 and end in 4096.
    let (now, before) = (at(1_790_000_000), at(100_000_000));
    let check = |identity: &Identity, now| check_peer_identity(identity, roots(&[&ours]), CLUSTER, now);
    assert_eq!(check(&ours.member(), now), Ok(()));
    assert_eq!(check(&theirs.member(), now), Err(PeerError::UnknownAuthority));
    assert_eq!(check(&ours.named(&["bindproxy://other"]), now), Err(PeerError::OtherIdentity));
    assert_eq!(check(&ours.member(), before), Err(PeerError::NotYetValid));
    for usage in [ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth] {
        let one_sided = ours.sign(|params| params.extended_key_usages = vec![usage]);
        assert_eq!(check(&one_sided, now), Err(PeerError::OtherPurpose));
    }
    assert_eq!(
        peer_tls(ours.member(), Arc::new(RootCertStore::empty()), CLUSTER).map(drop),
        Err(PeerError::Setup("no root trust anchors were provided".to_owned()))
    );
}

#[test]
fn a_connection_that_breaks_is_no_refusal() {
    let error = io::Error::from(io::ErrorKind::ConnectionReset);
    assert_eq!(PeerError::of(&error), PeerError::Connection("connection reset".to_owned()));
}
