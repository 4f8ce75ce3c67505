//! Promise I5: every operation passes octet for octet.

use std::fmt::Write as _;
use std::sync::OnceLock;

use parking_lot::{Mutex, MutexGuard};

use bindproxy_tests::conversation::{Scene, compare, pipelined};
use bindproxy_tests::ldap::{Connection, Frame};
use bindproxy_tests::proxy::Configuration;
use bindproxy_tests::request::{self, Change, MANAGE_DSA_IT, PAGED_RESULTS, PASSWORD_POLICY, Scope};
use bindproxy_tests::slapd::{ADMIN, ADMIN_PASSWORD, PEOPLE, SUFFIX, Settings, Slapd};

const MANY: &str = "ou=many,dc=example,dc=org";
const SCRATCH: &str = "ou=scratch,dc=example,dc=org";
const MANY_ENTRIES: usize = 10_000;
const HUGE_OCTETS: usize = 700 << 10;
const SYNC: &str = "1.3.6.1.4.1.4203.1.9.1.1";

/// A directory of its own, and the right to be the only one who changes it: what one test writes
/// must not come between the two halves of another's comparison.
fn slapd() -> Option<(&'static Slapd, MutexGuard<'static, ()>)> {
    static SLAPD: OnceLock<Option<Slapd>> = OnceLock::new();
    static ALONE: Mutex<()> = Mutex::new(());
    let start = || {
        let mut entries = format!("dn: {MANY}\nobjectClass: organizationalUnit\nou: many\n\n");
        for number in 0..MANY_ENTRIES {
            write!(
                entries,
                "dn: cn=device {number},{MANY}\nobjectClass: device\ncn: device {number}\n\
                 serialNumber: {number:0100}\n\n"
            )
            .expect("write to a string");
        }
        write!(
            entries,
            "dn: ou=elsewhere,{SUFFIX}\nobjectClass: referral\nobjectClass: extensibleObject\nou: elsewhere\n\
             ref: ldap://elsewhere.example.org/ou=elsewhere,{SUFFIX}\n"
        )
        .expect("write to a string");
        Slapd::start(&Settings { entries, provides_sync: true, ..Settings::default() })
    };
    let alone = ALONE.lock();
    SLAPD.get_or_init(start).as_ref().map(|slapd| (slapd, alone))
}

fn as_admin(connection: &mut Connection) {
    assert_eq!(connection.bind(ADMIN, ADMIN_PASSWORD), 0);
}

fn everything() -> Vec<u8> {
    request::present("objectClass")
}

/// One bind with these controls on a fresh connection.
fn refusal_scene<'a>(name: &'a str, operation: Vec<u8>, controls: Vec<Vec<u8>>) -> Scene<'a> {
    (name, Box::new(move |connection| vec![connection.ask_with(&operation, &controls)]))
}

/// One bind with these controls on a fresh connection, and who one is then.
fn bind_scene<'a>(name: &'a str, operation: Vec<u8>, controls: Vec<Vec<u8>>) -> Scene<'a> {
    (
        name,
        Box::new(move |connection| {
            let mut frames = vec![connection.ask_with(&operation, &controls)];
            frames.push(connection.ask(&request::extended(request::WHO_AM_I, None)));
            frames
        }),
    )
}

/// One operation of the administrator.
fn scene<'a>(name: &'a str, operation: Vec<u8>, controls: Vec<Vec<u8>>) -> Scene<'a> {
    (
        name,
        Box::new(move |connection| {
            as_admin(connection);
            connection.call_with(&operation, &controls)
        }),
    )
}

#[test]
fn binds() {
    let Some((slapd, _alone)) = slapd() else { return };
    let proxy = Configuration::in_front_of(&slapd.endpoint()).start();
    let dn = slapd.add_user("binds", "right");
    let must_change = slapd.add_user("binds-must-change", "right");
    slapd.modify(&must_change, &[(Change::Replace, "pwdReset", &[b"TRUE"])]);
    let expired = slapd.add_user("binds-expired", "right");
    slapd.modify(&expired, &[(Change::Replace, "pwdChangedTime", &[b"20200101000000Z"])]);
    let policy = || vec![request::control(PASSWORD_POLICY, false, None)];
    let scenes = [
        bind_scene("right", request::bind(&dn, "right"), vec![]),
        bind_scene("right, policy asked for", request::bind(&dn, "right"), policy()),
        bind_scene("wrong", request::bind(&slapd.add_user("binds-wrong", "right"), "wrong"), vec![]),
        bind_scene("wrong again", request::bind(&Slapd::dn("binds-wrong"), "wrong"), vec![]),
        bind_scene("wrong, policy asked for", request::bind(&slapd.add_user("binds-pp", "right"), "wrong"), policy()),
        bind_scene("wrong again, policy asked for", request::bind(&Slapd::dn("binds-pp"), "wrong"), policy()),
        bind_scene("must change", request::bind(&must_change, "right"), vec![]),
        bind_scene("must change, policy asked for", request::bind(&must_change, "right"), policy()),
        refusal_scene("expired", request::bind(&expired, "right"), vec![]),
        refusal_scene("expired, policy asked for", request::bind(&expired, "right"), policy()),
        bind_scene("anonymous", request::bind("", ""), vec![]),
        bind_scene("anonymous, policy asked for", request::bind("", ""), policy()),
        bind_scene("no password", request::bind(&dn, ""), vec![]),
        bind_scene("no name", request::bind("", "secret"), vec![]),
        bind_scene("no DN", request::bind("alice", "secret"), vec![]),
        bind_scene("unknown user", request::bind("uid=nobody,ou=people,dc=example,dc=org", "x"), vec![]),
        bind_scene("outside of the suffix", request::bind("cn=x,dc=nowhere", "x"), vec![]),
        bind_scene("version 2", request::bind_version(2, &dn, "right"), vec![]),
        bind_scene("version 4", request::bind_version(4, &dn, "right"), vec![]),
        bind_scene(
            "unknown control",
            request::bind(&dn, "right"),
            vec![request::control("1.2.3.4", false, Some(b"value"))],
        ),
        bind_scene(
            "unknown critical control",
            request::bind(&dn, "right"),
            vec![request::control("1.2.3.4", true, None)],
        ),
        bind_scene(
            "critical policy control",
            request::bind(&dn, "right"),
            vec![request::control(PASSWORD_POLICY, true, None)],
        ),
        bind_scene("SASL PLAIN", request::bind_sasl("PLAIN", Some(b"\0binds\0right")), vec![]),
        bind_scene("SASL PLAIN, wrong", request::bind_sasl("PLAIN", Some(b"\0binds\0wrong")), vec![]),
        bind_scene("SASL, no such mechanism", request::bind_sasl("NONSENSE", None), vec![]),
        bind_scene("a long password", request::bind(&slapd.add_user("binds-long", "right"), [b'x'; 60_000]), vec![]),
    ];
    compare(&slapd.endpoint(), &proxy.endpoint(), &scenes);
}

#[test]
fn searches() {
    let Some((slapd, _alone)) = slapd() else { return };
    let proxy = Configuration::in_front_of(&slapd.endpoint()).start();
    slapd.add_user("found", "right");
    let some = ["objectClass", "cn", "serialNumber"];
    let scenes: Vec<Scene<'_>> = vec![
        scene("rootDSE", request::search("", Scope::Base, &everything(), &["+", "*"], 0), vec![]),
        scene("schema", request::search("cn=Subschema", Scope::Base, &everything(), &["attributeTypes"], 0), vec![]),
        scene("one entry", request::search(PEOPLE, Scope::One, &request::equals("uid", "found"), &[], 0), vec![]),
        scene("nothing", request::search(PEOPLE, Scope::One, &request::equals("uid", "nobody"), &[], 0), vec![]),
        scene("no such base", request::search("ou=none,dc=example,dc=org", Scope::Base, &everything(), &[], 0), vec![]),
        scene("10,000 entries", request::search(MANY, Scope::One, &everything(), &some, 0), vec![]),
        scene("size limit", request::search(MANY, Scope::One, &everything(), &["cn"], 10), vec![]),
        scene("with a reference", request::search(SUFFIX, Scope::One, &everything(), &["ou"], 0), vec![]),
        scene(
            "the referral itself",
            request::search(SUFFIX, Scope::One, &everything(), &["ou", "ref"], 0),
            vec![request::control(MANAGE_DSA_IT, true, None)],
        ),
        scene(
            "referral as result",
            request::search("ou=x,ou=elsewhere,dc=example,dc=org", Scope::Base, &everything(), &[], 0),
            vec![],
        ),
        scene(
            "syncrepl, refresh only",
            request::search(PEOPLE, Scope::One, &everything(), &["cn"], 0),
            vec![request::control(SYNC, true, Some(&[0x30, 3, 10, 1, 1]))],
        ),
        scene(
            "unknown attribute in filter",
            request::search(PEOPLE, Scope::One, &request::present("nonsense"), &[], 0),
            vec![],
        ),
        ("pages of 1,000", Box::new(pages)),
        (
            "200 searches in one write",
            Box::new(|connection| {
                // slapd closes anonymous connections with more than 100 requests pending.
                as_admin(connection);
                let operations: Vec<Vec<u8>> = (0..200)
                    .map(|number| {
                        let dn = format!("cn=device {},{MANY}", number * 37);
                        request::search(&dn, Scope::Base, &everything(), &["cn", "serialNumber"], 0)
                    })
                    .collect();
                pipelined(connection, &operations)
            }),
        ),
        (
            "searches and more in one write",
            Box::new(|connection| {
                let operations = [
                    request::search(MANY, Scope::One, &everything(), &["cn"], 500),
                    request::compare(&format!("cn=device 7,{MANY}"), "cn", "device 7"),
                    request::extended(request::WHO_AM_I, None),
                    request::search("", Scope::Base, &everything(), &["namingContexts"], 0),
                    request::search("ou=none,dc=example,dc=org", Scope::Subtree, &everything(), &[], 0),
                ];
                pipelined(connection, &operations)
            }),
        ),
    ];
    compare(&slapd.endpoint(), &proxy.endpoint(), &scenes);
    compare(&slapd.endpoint(), &proxy.ldaps(), &scenes[5..6]);
    compare(&slapd.endpoint(), &proxy.unix(), &scenes[5..6]);
}

fn pages(connection: &mut Connection) -> Vec<Frame> {
    let mut frames = Vec::new();
    let mut cookie = Vec::new();
    loop {
        let page = request::control(PAGED_RESULTS, true, Some(&request::page(1000, &cookie)));
        let search = request::search(MANY, Scope::One, &everything(), &["cn"], 0);
        let answers = connection.call_with(&search, &[page]);
        let value = answers.last().and_then(|last| last.control(PAGED_RESULTS)).expect("a paged results control");
        // SEQUENCE { INTEGER size, OCTET STRING cookie }, all of them short.
        let after_size = 4 + usize::from(value[3]);
        cookie = value[after_size + 2..].to_vec();
        frames.extend(answers);
        if cookie.is_empty() {
            return frames;
        }
    }
}

#[test]
fn changes() {
    let Some((slapd, _alone)) = slapd() else { return };
    let proxy = Configuration::in_front_of(&slapd.endpoint()).start();
    let dn = format!("cn=subject,{SCRATCH}");
    let owner = slapd.add_user("changes", "right");
    let scenes: Vec<Scene<'_>> = vec![
        (
            "the life of an entry",
            Box::new(|connection| {
                as_admin(connection);
                let renamed = format!("cn=renamed,{SCRATCH}");
                let steps = [
                    request::add(&dn, &[("objectClass", &[b"device"]), ("cn", &[b"subject"])]),
                    request::add(&dn, &[("objectClass", &[b"device"]), ("cn", &[b"subject"])]),
                    request::modify(&dn, &[(Change::Add, "description", &[b"one", b"two"])]),
                    request::modify(&dn, &[(Change::Add, "description", &[b"one"])]),
                    request::modify(&dn, &[(Change::Add, "nonsense", &[b"one"])]),
                    request::compare(&dn, "description", "two"),
                    request::compare(&dn, "description", "three"),
                    request::compare(&dn, "nonsense", "three"),
                    request::search(&dn, Scope::Base, &everything(), &[], 0),
                    request::modify_dn(&dn, "cn=renamed"),
                    request::modify_dn(&dn, "cn=renamed"),
                    request::delete(&dn),
                    request::delete(&renamed),
                    request::delete(SUFFIX),
                ];
                steps.iter().flat_map(|step| connection.call(step)).collect()
            }),
        ),
        (
            "without the right to",
            Box::new(|connection| {
                [
                    request::add(&dn, &[("objectClass", &[b"device"]), ("cn", &[b"subject"])]),
                    request::modify(PEOPLE, &[(Change::Add, "description", &[b"one"])]),
                    request::delete(PEOPLE),
                ]
                .iter()
                .flat_map(|step| connection.call(step))
                .collect()
            }),
        ),
        (
            "an entry of 700 KiB",
            Box::new(|connection| {
                as_admin(connection);
                let huge: Vec<u8> = (0..HUGE_OCTETS).map(|at| (at % 251) as u8).collect();
                let name = format!("cn=huge,{SCRATCH}");
                let attributes: [(&str, &[&[u8]]); 4] = [
                    ("objectClass", &[b"inetOrgPerson"]),
                    ("cn", &[b"huge"]),
                    ("sn", &[b"huge"]),
                    ("jpegPhoto", &[&huge]),
                ];
                let mut frames = connection.call(&request::add(&name, &attributes));
                frames.extend(connection.call(&request::search(&name, Scope::Base, &everything(), &[], 0)));
                frames.extend(connection.call(&request::delete(&name)));
                assert_eq!(frames.len(), 4);
                assert!(frames[1].octets.len() > HUGE_OCTETS);
                frames
            }),
        ),
        (
            "password modify",
            Box::new(|connection| {
                assert_eq!(connection.bind(&owner, "right"), 0);
                let steps = [
                    request::password_modify(None, Some("wrong"), "next"),
                    request::password_modify(None, Some("right"), "next"),
                    request::bind(&owner, "next"),
                    request::password_modify(None, Some("next"), "right"),
                    request::bind(&owner, "right"),
                    request::password_modify(Some(ADMIN), None, "mine"),
                ];
                steps.iter().map(|step| connection.ask(step)).collect()
            }),
        ),
        (
            "extended operations",
            Box::new(|connection| {
                let steps = [
                    request::extended(request::WHO_AM_I, None),
                    request::extended(request::WHO_AM_I, Some(b"unexpected")),
                    request::extended("1.2.3.4.5.6", None),
                    request::extended("not an oid", Some(b"x")),
                    request::extended(request::PASSWORD_MODIFY, Some(b"no BER")),
                ];
                steps.iter().map(|step| connection.ask(step)).collect()
            }),
        ),
    ];
    compare(&slapd.endpoint(), &proxy.endpoint(), &scenes);
}

#[test]
fn abandon_and_unbind() {
    let Some((slapd, _alone)) = slapd() else { return };
    let proxy = Configuration::in_front_of(&slapd.endpoint()).start();
    let scenes: Vec<Scene<'_>> = vec![
        (
            "abandon",
            Box::new(|connection| {
                let id = connection.next_id();
                connection.send(&request::message(id, &request::search(MANY, Scope::One, &everything(), &[], 0)));
                let abandon = connection.next_id();
                connection.send(&request::message(abandon, &request::abandon(id)));
                let who = connection.next_id();
                connection.send(&request::message(who, &request::extended(request::WHO_AM_I, None)));
                // How much of the search came before the abandon is a matter of time.
                loop {
                    let frame = connection.frame();
                    if frame.message_id() == who {
                        return vec![frame];
                    }
                    assert_eq!(frame.message_id(), id);
                }
            }),
        ),
        (
            "abandon of nothing",
            Box::new(|connection| {
                connection.send(&request::message(5, &request::abandon(4)));
                vec![connection.ask(&request::extended(request::WHO_AM_I, None))]
            }),
        ),
        (
            "unbind",
            Box::new(|connection| {
                as_admin(connection);
                connection.send(&request::message(2, &request::unbind()));
                connection.frames_to_end()
            }),
        ),
        (
            "unbind at once",
            Box::new(|connection| {
                connection.send(&request::message(1, &request::unbind()));
                connection.frames_to_end()
            }),
        ),
        (
            "half-closed after a search",
            Box::new(|connection| {
                connection.send(&request::message(
                    1,
                    &request::search("", Scope::Base, &everything(), &["namingContexts"], 0),
                ));
                let answers = vec![connection.frame(), connection.frame()];
                connection.half_close();
                assert!(connection.frames_to_end().is_empty());
                answers
            }),
        ),
    ];
    compare(&slapd.endpoint(), &proxy.endpoint(), &scenes);
}

/// A search that lasts as long as the client wants: what changes at the directory arrives.
#[test]
fn persistent_search() {
    let Some((slapd, _alone)) = slapd() else { return };
    let proxy = Configuration::in_front_of(&slapd.endpoint()).section("limits", "idleTimeoutSeconds: 1").start();
    let mut connection = proxy.endpoint().connect();
    as_admin(&mut connection);
    let persist = request::control(SYNC, true, Some(&[0x30, 3, 10, 1, 3]));
    let id = connection.next_id();
    let search = request::search(SCRATCH, Scope::One, &everything(), &["cn"], 0);
    connection.send(&request::message_with(id, &search, &[persist]));
    let refreshed = connection.frame();
    assert_eq!((refreshed.message_id(), refreshed.op()), (id, 0x79), "the intermediate response: {refreshed:?}");
    for number in 0..3 {
        // Longer than the idle time-out: a client that waits for a directory is not idle.
        std::thread::sleep(std::time::Duration::from_millis(700));
        let name = format!("cn=event {number},{SCRATCH}");
        let add =
            request::add(&name, &[("objectClass", &[b"device"]), ("cn", &[format!("event {number}").as_bytes()])]);
        assert_eq!(slapd.admin().ask(&add).code(), 0);
        let event = connection.frame();
        assert_eq!(event.values("cn"), [format!("event {number}").as_bytes()], "{event:?}");
        assert_eq!(slapd.admin().ask(&request::delete(&name)).code(), 0);
        let gone = connection.frame();
        assert_eq!((gone.message_id(), gone.op()), (id, 0x64), "the deletion: {gone:?}");
    }
}
