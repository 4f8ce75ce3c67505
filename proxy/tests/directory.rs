//! The embedded directory over real sockets, with the crate's own client; and once with the
//! ldap-utils where they are installed.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking, in its helpers too")]

use std::process::Command;
use std::time::Duration;

use bindproxy::codec::{build, oid, op};
use bindproxy::demo::client::{Client, ClientError};
use bindproxy::directory::message;
use bindproxy::directory::script::ScriptedResult;
use bindproxy::directory::{
    AccountState, Announcement, Behaviour, Directory, Flavour, Match, OnAccept, Options, PasswordKind, Policy,
    RunningDirectory,
};
use rasn_ldap::{Filter, LdapMessage, LdapString, ProtocolOp, SearchRequest, SearchRequestScope};

const ALICE: &str = "uid=alice,ou=people,dc=example,dc=org";
const BOB: &str = "uid=bob,ou=people,dc=example,dc=org";
const ADMIN: &str = "cn=admin,dc=example,dc=org";

async fn start() -> RunningDirectory {
    Directory::start(Options::default()).await.unwrap()
}

async fn bind(directory: &RunningDirectory, name: &str, password: &str) -> u32 {
    Client::connect(directory.addr()).await.unwrap().bind(name, password).await.unwrap().0
}

fn search(id: u32, base: &str, scope: SearchRequestScope, limit: u32, filter: Filter, attributes: &[&str]) -> Vec<u8> {
    let never = rasn_ldap::SearchRequestDerefAliases::NeverDerefAliases;
    let attributes = attributes.iter().map(|&name| LdapString::from(name)).collect();
    let request = SearchRequest::new(base.into(), scope, never, limit, 0, false, filter, attributes);
    rasn::ber::encode(&LdapMessage::new(id, ProtocolOp::SearchRequest(request))).unwrap()
}

async fn within<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(10), future).await.expect("nothing happened for ten seconds")
}

#[tokio::test]
async fn identical_wrong_passwords_lock_and_the_owner_is_refused() {
    let directory = start().await;
    for _ in 0..20 {
        assert_eq!(bind(&directory, ALICE, "stale").await, 49);
    }
    assert_eq!((directory.failures(ALICE), directory.counted(ALICE)), (20, 3));
    assert!(directory.locked(ALICE) && !directory.locked(BOB));
    assert_eq!(bind(&directory, ALICE, "alicepw").await, 49);
    directory.unlock(ALICE);
    assert_eq!(bind(&directory, &ALICE.to_uppercase(), "alicepw").await, 0);
    assert_eq!((directory.failures(ALICE), directory.binds(ALICE), directory.counted(ALICE)), (21, 22, 0));
    let records = directory.log(|log| log.records());
    assert_eq!(records[0].password, records[19].password);
    assert_eq!((records[20].password, records[21].password), (PasswordKind::Right, PasswordKind::Right));
    assert_eq!(records[21].connection, 22);
    directory.stop().await;
}

#[tokio::test]
async fn a_lock_runs_out_with_the_directorys_clock() {
    let policy = Policy { lockout_duration: Some(Duration::from_secs(300)), ..Policy::default() };
    let directory = Directory::start(Options { policy, ..Options::default() }).await.unwrap();
    for _ in 0..3 {
        bind(&directory, ALICE, "stale").await;
    }
    assert_eq!(bind(&directory, ALICE, "alicepw").await, 49);
    directory.advance(Duration::from_secs(301));
    assert_eq!(bind(&directory, ALICE, "alicepw").await, 0);
}

#[tokio::test]
async fn binds_move_the_session_as_rfc_4511_says() {
    let directory = start().await;
    let mut client = Client::connect(directory.addr()).await.unwrap();
    assert_eq!(client.who_am_i().await.unwrap(), "");
    assert_eq!(client.bind(ALICE, "alicepw").await.unwrap().0, 0);
    assert_eq!(client.who_am_i().await.unwrap(), format!("dn:{ALICE}"));
    assert_eq!(client.bind(BOB, "wrong").await.unwrap(), (49, String::new()));
    assert_eq!(client.who_am_i().await.unwrap(), "", "a failed bind leaves the session anonymous");
    assert_eq!(client.bind("", "").await.unwrap().0, 0);
    assert_eq!(client.bind(ALICE, "").await.unwrap().0, 53);
    assert_eq!(client.bind("alice", "alicepw").await.unwrap(), (34, "invalid DN".to_owned()));
    assert_eq!(client.bind("uid=nobody,dc=example,dc=org", "x").await.unwrap().0, 49);
    let unknown = client.extended(b"1.2.3.4", None).await.unwrap();
    assert_eq!(unknown.result().unwrap().0, 2);
    client.unbind().await.unwrap();
}

#[tokio::test]
async fn controls_are_obeyed() {
    let policy = Policy { tell_locked: true, ..Policy::default() };
    let directory = Directory::start(Options { policy, ..Options::default() }).await.unwrap();
    let mut client = Client::connect(directory.addr()).await.unwrap();
    let send = |control: Vec<u8>, password: &[u8]| {
        let plain = build::simple_bind(1, ALICE, password);
        let peek = bindproxy::codec::frame::peek(&plain, 10_000).unwrap().unwrap();
        message::message(1, &plain[peek.op_offset..], &[control])
    };
    client.send(&send(message::control(b"1.2.3", true, None), b"wrong")).await.unwrap();
    assert_eq!(client.receive().await.unwrap().result().unwrap().0, 12);
    assert_eq!(directory.counted(ALICE), 0, "a refused extension does not count");
    let ask = message::control(oid::PASSWORD_POLICY, false, None);
    for expected in [&[0x30, 0][..], &[0x30, 0], &[0x30, 0], &[0x30, 3, 0x81, 1, 1]] {
        client.send(&send(ask.clone(), b"wrong")).await.unwrap();
        let answer = client.receive().await.unwrap();
        assert_eq!(answer.result().unwrap().0, 49);
        assert_eq!(answer.controls().find(oid::PASSWORD_POLICY).unwrap().value, Some(expected));
    }
}

#[tokio::test]
async fn each_flavour_words_a_lock_in_its_own_way() {
    let cases = [
        (Flavour::OpenLdap, 49, ""),
        (Flavour::DirectoryServer389, 19, "Exceed password retry limit"),
        (Flavour::ActiveDirectory, 49, "data 775,"),
    ];
    for (flavour, code, text) in cases {
        let directory = Directory::start(Options { flavour, ..Options::default() }).await.unwrap();
        for _ in 0..3 {
            assert_eq!(bind(&directory, ALICE, "stale").await, 49);
        }
        let mut client = Client::connect(directory.addr()).await.unwrap();
        let (locked, diagnostic) = client.bind(ALICE, "alicepw").await.unwrap();
        assert_eq!(locked, code, "{flavour:?}");
        assert!(diagnostic.contains(text), "{flavour:?}: {diagnostic}");
    }
}

#[tokio::test]
async fn expired_and_must_change_accounts_follow_slapd() {
    let directory = start().await;
    directory.set_state(ALICE, AccountState::Expired);
    directory.set_state(BOB, AccountState::MustChange);
    assert_eq!(bind(&directory, ALICE, "alicepw").await, 49);
    let mut client = Client::connect(directory.addr()).await.unwrap();
    assert_eq!(client.bind(BOB, "bobpw").await.unwrap().0, 0);
    let refused = client.search(&build::base_search(9, "dc=example,dc=org", &[], 0)).await.unwrap();
    assert_eq!(refused[0].result().unwrap().0, 50);
    let change = [&[0x30, 5, 0x82, 3][..], b"new"].concat();
    let answer = client.extended(oid::PASSWORD_MODIFY, Some(&change)).await.unwrap();
    assert_eq!(answer.result().unwrap().0, 0);
    assert_eq!(client.search(&build::base_search(9, "dc=example,dc=org", &[], 0)).await.unwrap().len(), 2);
    assert_eq!((bind(&directory, BOB, "bobpw").await, bind(&directory, BOB, "new").await), (49, 0));
    let kinds: Vec<_> = directory.log(|log| log.records()).iter().map(|record| record.password).collect();
    assert_eq!(kinds[2], PasswordKind::Former(0));
}

#[tokio::test]
async fn searches_select_entries_and_attributes() {
    let directory = start().await;
    let mut client = Client::connect(directory.addr()).await.unwrap();
    let base = "ou=People, dc=example, dc=org";
    let people =
        || Filter::EqualityMatch(rasn_ldap::AttributeValueAssertion::new("objectClass".into(), b"person"[..].into()));
    let (one, sub) = (SearchRequestScope::SingleLevel, SearchRequestScope::WholeSubtree);
    let found = client.search(&search(1, base, one, 0, people(), &["uid"])).await.unwrap();
    assert_eq!(found.len(), 4);
    let ProtocolOp::SearchResEntry(entry) = rasn::ber::decode::<LdapMessage>(&found[0].frame).unwrap().protocol_op
    else {
        panic!("no entry")
    };
    assert_eq!(entry.object_name.as_str(), ALICE);
    assert_eq!(entry.attributes.len(), 1);
    let limited = client.search(&search(2, base, one, 2, people(), &[])).await.unwrap();
    assert_eq!((limited.len(), limited[2].result().unwrap().0), (3, 4));
    let all = client.search(&search(3, "dc=example,dc=org", sub, 0, Filter::Present("objectClass".into()), &[])).await;
    assert_eq!(all.unwrap().len(), 9);
    let nothing = client.search(&search(4, "ou=no,ou=people,dc=example,dc=org", one, 0, people(), &[])).await.unwrap();
    assert_eq!(nothing[0].result().unwrap().0, 32);
    let root = client.search(&build::base_search(5, "", &["supportedControl"], 0)).await.unwrap();
    assert!(root[0].frame.windows(oid::PASSWORD_POLICY.len()).any(|window| window == oid::PASSWORD_POLICY));
    // Nobody but its owner reads a password.
    let own = search(6, ALICE, SearchRequestScope::BaseObject, 0, Filter::Present("userPassword".into()), &[]);
    assert_eq!(client.search(&own).await.unwrap().len(), 1);
    client.bind(ALICE, "alicepw").await.unwrap();
    assert_eq!(client.search(&own).await.unwrap().len(), 2);
}

#[tokio::test]
async fn an_administrator_unlocks_and_resets() {
    let directory = start().await;
    for _ in 0..3 {
        bind(&directory, ALICE, "stale").await;
    }
    let modify = |id, attribute: &str, operation, values: Vec<&[u8]>| {
        let values = values.into_iter().map(|value| value.to_vec().into()).collect();
        let change = rasn_ldap::ModifyRequestChanges {
            operation,
            modification: rasn_ldap::PartialAttribute::new(attribute.into(), rasn::types::SetOf::from_vec(values)),
        };
        let request = rasn_ldap::ModifyRequest { object: ALICE.into(), changes: vec![change] };
        rasn::ber::encode(&LdapMessage::new(id, ProtocolOp::ModifyRequest(request))).unwrap()
    };
    let mut client = Client::connect(directory.addr()).await.unwrap();
    let unlock = modify(7, "pwdAccountLockedTime", rasn_ldap::ChangeOperation::Delete, vec![]);
    client.send(&unlock).await.unwrap();
    assert_eq!(client.receive().await.unwrap().result().unwrap().0, 8, "not for the anonymous");
    client.bind(ADMIN, "admin").await.unwrap();
    client.send(&unlock).await.unwrap();
    assert_eq!(client.receive().await.unwrap().result().unwrap().0, 0);
    assert!(!directory.locked(ALICE));
    client.send(&modify(8, "userPassword", rasn_ldap::ChangeOperation::Replace, vec![b"fresh"])).await.unwrap();
    assert_eq!(client.receive().await.unwrap().result().unwrap().0, 0);
    assert_eq!((bind(&directory, ALICE, "alicepw").await, bind(&directory, ALICE, "fresh").await), (49, 0));
}

#[tokio::test]
async fn sasl_is_answered_but_not_counted() {
    let directory = start().await;
    let mut client = Client::connect(directory.addr()).await.unwrap();
    let sasl = |mechanism: &str, credentials: &[u8]| {
        let credentials = rasn_ldap::SaslCredentials::new(mechanism.into(), Some(credentials.to_vec().into()));
        let choice = rasn_ldap::AuthenticationChoice::Sasl(credentials);
        let request = ProtocolOp::BindRequest(rasn_ldap::BindRequest::new(3, "".into(), choice));
        rasn::ber::encode(&LdapMessage::new(1, request)).unwrap()
    };
    for (mechanism, credentials, code) in [
        ("PLAIN", &b"\0alice\0wrong"[..], 49),
        ("PLAIN", b"\0alice\0alicepw", 0),
        ("X-TWO-STEP", b"", 14),
        ("X-TWO-STEP", b"", 0),
        ("GSSAPI", b"", 7),
        ("X-SEALED", b"", 0),
    ] {
        client.send(&sasl(mechanism, credentials)).await.unwrap();
        assert_eq!(client.receive().await.unwrap().result().unwrap().0, code, "{mechanism}");
    }
    client.send(&[0x30, 5, 2, 1, 9, 0x42, 0]).await.unwrap();
    assert_eq!(client.receive().await.unwrap().frame, [0x30, 5, 2, 1, 9, 0x42, 0], "sealed octets are echoed");
    assert_eq!(directory.counted(ALICE), 0);
}

#[tokio::test]
async fn malformed_input_ends_with_a_notice() {
    let directory = start().await;
    let mut client = Client::connect(directory.addr()).await.unwrap();
    client.send(b"GET / HTTP/1.0\r\n\r\n").await.unwrap();
    let notice = within(client.receive()).await.unwrap();
    assert_eq!((notice.peek.message_id, notice.result().unwrap().0), (0, 2));
    assert!(matches!(within(client.receive()).await, Err(ClientError::Closed)));
}

#[tokio::test]
async fn a_script_decides_who_gets_what() {
    let directory = Directory::start(Options { results_from_passwords: true, ..Options::default() }).await.unwrap();
    directory.script(|script| {
        script.when(
            Match::bind().named(BOB),
            Behaviour::Result(
                ScriptedResult::code(49)
                    .with_diagnostic("data 533")
                    .with_control(message::password_policy_response(Some(1))),
            ),
        );
        script.times(1, Match::bind().with_password("twice"), Behaviour::Twice);
        script.when(Match::bind().with_password("strange"), Behaviour::WrongIdFirst(77));
        script.when(Match::bind().with_password("long"), Behaviour::LongLengths);
    });
    let mut client = Client::connect(directory.addr()).await.unwrap();
    assert_eq!(client.bind(BOB, "bobpw").await.unwrap(), (49, "data 533".to_owned()));
    assert_eq!(directory.counted(BOB), 0);
    assert_eq!(client.bind(ALICE, "rc52").await.unwrap().0, 52);
    assert_eq!(client.bind(ALICE, "twice").await.unwrap().0, 49);
    assert_eq!(client.receive().await.unwrap().result().unwrap().0, 49);
    client.send(&build::simple_bind(40, ALICE, b"strange")).await.unwrap();
    let ids = [client.receive().await.unwrap().peek.message_id, client.receive().await.unwrap().peek.message_id];
    assert_eq!(ids, [77, 40]);
    client.send(&build::simple_bind(41, ALICE, b"long")).await.unwrap();
    assert!(client.receive().await.unwrap().frame.starts_with(&[0x30, 0x84]));
}

#[tokio::test]
async fn answers_come_late_out_of_order_or_never() {
    let directory = start().await;
    directory.script(|script| {
        script.when(Match::bind().with_password("slow"), Behaviour::Delay(Duration::from_millis(80)));
        script.when(Match::bind().with_password("held"), Behaviour::AfterNext);
        script.when(Match::bind().with_password("hang"), Behaviour::Silence { evaluated: true });
        script.when(Match::bind().with_password("lost"), Behaviour::Silence { evaluated: false });
        script.when(Match::bind().with_password("bits"), Behaviour::Trickle(Duration::from_millis(1)));
    });
    let mut client = Client::connect(directory.addr()).await.unwrap();
    let wanted = [(1, "slow"), (2, "held"), (3, "hang"), (4, "lost"), (5, "bits")];
    for (id, password) in wanted {
        client.send(&build::simple_bind(id, BOB, password.as_bytes())).await.unwrap();
    }
    let mut order = Vec::new();
    for _ in 0..3 {
        order.push(within(client.receive()).await.unwrap().peek.message_id);
    }
    assert_eq!(order, [5, 2, 1]);
    // Slow, held and hang were counted and locked the account; lost was received only.
    assert_eq!((directory.counted(BOB), directory.binds(BOB)), (3, 5));
    let nothing = tokio::time::timeout(Duration::from_millis(50), client.receive()).await;
    assert!(nothing.is_err());
}

#[tokio::test]
async fn connections_end_in_every_way() {
    let directory = start().await;
    directory.script(|script| {
        script.when(Match::bind().with_password("fin"), Behaviour::Close { evaluated: true });
        script.when(Match::bind().with_password("rst"), Behaviour::Reset { evaluated: false });
        script.when(Match::bind().with_password("notice"), Behaviour::Notice { evaluated: true, code: 52 });
        script.when(Match::bind().with_password("noise"), Behaviour::Garbage(b"\x00\xFFnoise".to_vec()));
    });
    let try_bind = async |password: &str| {
        let mut client = Client::connect(directory.addr()).await.unwrap();
        client.send(&build::simple_bind(1, BOB, password.as_bytes())).await.unwrap();
        (within(client.receive()).await, client)
    };
    assert!(matches!(try_bind("fin").await.0, Err(ClientError::Closed)));
    let Err(ClientError::Io(reset)) = try_bind("rst").await.0 else { panic!("no reset") };
    assert_eq!(reset.kind(), std::io::ErrorKind::ConnectionReset);
    let (notice, mut client) = try_bind("notice").await;
    assert_eq!(notice.unwrap().peek.message_id, 0);
    assert!(matches!(within(client.receive()).await, Err(ClientError::Closed)));
    assert!(matches!(try_bind("noise").await.0, Err(ClientError::Frame(_))));
    assert_eq!(directory.counted(BOB), 2);
}

#[tokio::test]
async fn idle_connections_are_closed_or_told() {
    let directory = start().await;
    let mut early = Client::connect(directory.addr()).await.unwrap();
    early.bind(ALICE, "alicepw").await.unwrap();
    directory.announce(Announcement::Notice(52));
    assert_eq!(within(early.receive()).await.unwrap().result().unwrap().0, 52);
    let mut waiting = Client::connect(directory.addr()).await.unwrap();
    waiting.bind(ALICE, "alicepw").await.unwrap();
    directory.script(|script| script.close_idle_after = Some(Duration::from_millis(30)));
    assert!(matches!(within(waiting.receive()).await, Err(ClientError::Closed)));
    directory.script(|script| script.notice_when_idle = true);
    let mut told = Client::connect(directory.addr()).await.unwrap();
    assert_eq!(within(told.receive()).await.unwrap().peek.message_id, 0);
}

#[tokio::test]
async fn it_hangs_on_accept_and_refuses_connections_and_comes_back() {
    let directory = start().await;
    directory.script(|script| script.on_accept = OnAccept::Hang);
    let mut client = Client::connect(directory.addr()).await.unwrap();
    client.send(&build::simple_bind(1, ALICE, b"alicepw")).await.unwrap();
    assert!(tokio::time::timeout(Duration::from_millis(50), client.receive()).await.is_err());
    assert_eq!(directory.total_binds(), 0);
    directory.script(|script| script.on_accept = OnAccept::Serve);
    assert_eq!(within(client.receive()).await.unwrap().result().unwrap().0, 0);
    directory.refuse_connections().await;
    assert!(Client::connect(directory.addr()).await.is_err());
    assert_eq!(client.bind(ALICE, "alicepw").await.unwrap().0, 0, "open connections stay");
    directory.drop_connections().await;
    assert!(client.bind(ALICE, "alicepw").await.is_err());
    directory.accept_connections().await.unwrap();
    assert_eq!(bind(&directory, ALICE, "alicepw").await, 0);
    directory.script(|script| script.on_accept = OnAccept::Reset);
    let mut reset = Client::connect(directory.addr()).await.unwrap();
    assert!(reset.bind(ALICE, "alicepw").await.is_err());
}

#[tokio::test]
async fn entries_of_any_number_and_size_with_back_pressure_and_abandon() {
    let directory = start().await;
    directory.script(|script| {
        let entries = |count, octets| Behaviour::Entries { count, octets, every: Duration::ZERO };
        script.when(Match::search().named("cn=many"), entries(10_000, 10));
        script.when(Match::search().named("cn=huge"), entries(1, 3_000_000));
        script.when(Match::search().named("cn=endless"), entries(u64::MAX, 1000));
    });
    let mut client = Client::connect(directory.addr()).await.unwrap();
    assert_eq!(client.search(&build::base_search(1, "cn=many", &[], 0)).await.unwrap().len(), 10_001);
    let huge = client.search(&build::base_search(2, "cn=huge", &[], 0)).await.unwrap();
    assert!(huge[0].frame.len() > 3_000_000);
    client.send(&build::base_search(3, "cn=endless", &[], 0)).await.unwrap();
    for _ in 0..100 {
        assert_eq!(within(client.receive()).await.unwrap().peek.op, op::SEARCH_RESULT_ENTRY);
    }
    client.send(&build::abandon(4, 3)).await.unwrap();
    client.send(&build::simple_bind(5, ALICE, b"alicepw")).await.unwrap();
    within(async { while client.receive().await.unwrap().peek.message_id != 5 {} }).await;
    let silent = tokio::time::timeout(Duration::from_millis(50), async {
        while client.receive().await.unwrap().peek.message_id == 3 {}
    });
    assert!(silent.await.is_err(), "nothing but what was on its way follows an abandon");
}

#[tokio::test]
async fn unix_sockets_serve_the_same_directory() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ldapi");
    let directory = Directory::start(Options { socket: Some(path.clone()), ..Options::default() }).await.unwrap();
    let mut client = Client::over(tokio::net::UnixStream::connect(&path).await.unwrap());
    assert_eq!(client.bind(ALICE, "alicepw").await.unwrap().0, 0);
    directory.stop().await;
    assert!(!path.exists());
}

#[tokio::test]
async fn ldaps_and_starttls() {
    let certified = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let key = rustls::pki_types::PrivateKeyDer::try_from(certified.signing_key.serialize_der()).unwrap();
    let certificate = certified.cert.der().clone();
    let provider = std::sync::Arc::new(rustls::crypto::ring::default_provider());
    let server = rustls::ServerConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.clone()], key)
        .unwrap();
    let mut roots = rustls::RootCertStore::empty();
    roots.add(certificate).unwrap();
    let client_config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let connector = tokio_rustls::TlsConnector::from(std::sync::Arc::new(client_config));
    let name = rustls::pki_types::ServerName::try_from("localhost").unwrap();
    let options = Options {
        tls: Some(std::sync::Arc::new(server)),
        listen_ldaps: Some("127.0.0.1:0".parse().unwrap()),
        ..Options::default()
    };
    let directory = Directory::start(options).await.unwrap();

    let tcp = tokio::net::TcpStream::connect(directory.ldaps_addr().unwrap()).await.unwrap();
    let mut ldaps = Client::over(connector.connect(name.clone(), tcp).await.unwrap());
    assert_eq!(ldaps.bind(ALICE, "alicepw").await.unwrap().0, 0);

    let mut plain = Client::connect(directory.addr()).await.unwrap();
    assert_eq!(plain.extended(oid::START_TLS, None).await.unwrap().result().unwrap().0, 0);
    let mut secured = Client::over(connector.connect(name, plain.into_stream()).await.unwrap());
    assert_eq!(secured.bind(ALICE, "alicepw").await.unwrap().0, 0);
    assert_eq!(secured.extended(oid::START_TLS, None).await.unwrap().result().unwrap().0, 1);
}

#[test]
fn it_runs_on_a_thread_of_its_own_and_ends_with_its_handle() {
    let directory = Directory::start_on_thread(Options::default()).unwrap();
    let address = directory.addr();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let mut client = Client::connect(address).await.unwrap();
        assert_eq!(client.bind(ALICE, "alicepw").await.unwrap().0, 0);
        drop(directory);
        assert!(matches!(within(client.receive()).await, Err(ClientError::Closed)));
        within(async { while Client::connect(address).await.is_ok() {} }).await;
    });
}

#[test]
fn ldap_utils_agree() {
    let directory = Directory::start_on_thread(Options::default()).unwrap();
    let url = format!("ldap://{}", directory.addr());
    let run = |program: &str, arguments: &[&str]| {
        Command::new(program).args(["-x", "-H", &url]).args(arguments).output().ok()
    };
    let Some(who) = run("ldapwhoami", &["-D", ALICE, "-w", "alicepw", "-e", "ppolicy"]) else {
        eprintln!("ldap-utils are not installed: not compared with them");
        return;
    };
    assert_eq!(String::from_utf8_lossy(&who.stdout).trim(), format!("dn:{ALICE}"));
    assert_eq!(run("ldapwhoami", &["-D", ALICE, "-w", "stale"]).unwrap().status.code(), Some(49));
    assert_eq!(directory.failures(ALICE), 1);
    let filter = "(&(objectClass=person)(|(uid=al*)(!(mail=*example.org)))(cn=alice archer))";
    let arguments = ["-LLL", "-b", "dc=example,dc=org", filter, "uid", "mail"];
    let found = String::from_utf8(run("ldapsearch", &arguments).unwrap().stdout).unwrap();
    assert_eq!(found.trim(), format!("dn: {ALICE}\nuid: alice\nmail: alice@example.org"));
    let compared = run("ldapcompare", &[ALICE, "sn:Archer"]).unwrap();
    assert_eq!(compared.status.code(), Some(6));
    let changed = run("ldappasswd", &["-D", ALICE, "-w", "alicepw", "-a", "alicepw", "-s", "new"]).unwrap();
    assert!(changed.status.success(), "{}", String::from_utf8_lossy(&changed.stderr));
    assert!(run("ldapwhoami", &["-D", ALICE, "-w", "new"]).unwrap().status.success());
}
