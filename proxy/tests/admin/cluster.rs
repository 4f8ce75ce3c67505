//! The API of one member, over HTTP, with others in memory: three that answer, one of which is of a later version, and
//! one that does not.

use std::net::IpAddr;
use std::path::Path;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use arc_swap::ArcSwap;
use bindproxy::admin::client::{ClientOptions, Verb};
use bindproxy::admin::cluster::{Awaited, ClusterReport, Gathered, MemberReport, MemberStanding, MemberState, Peers};
use bindproxy::api::{Api, answer_member};
use bindproxy::bind::{Decision, Guard, HashKey, Offenders, Outcome, ShortHash, Source, Verdict};
use bindproxy::cli::{Outcome as ExitOutcome, Output};
use bindproxy::clock::Clock;
use bindproxy::cluster::clock::ClusterClock;
use bindproxy::codec::{build, frame};
use bindproxy::core::Shared;
use bindproxy::listener::admission::Admission;
use bindproxy::metrics::Metrics;
use bindproxy::settings::{self, Settings};
use bindproxy::status::Status;
use bindproxy::upstream::resolve::Resolver;
use parking_lot::Mutex;
use serde_json::{Value, json};

use super::{Server, run};

const ALICE: &str = "cn=Alice Secretname,dc=example";
const CONFIGURATION: &str =
    "listeners: [{name: ldap, address: '127.0.0.1:0'}]\nupstreams: [{name: a, host: 127.0.0.1}]";

/// One member's process, without its sockets.
struct Member {
    shared: Arc<Shared>,
    settings: Arc<ArcSwap<Settings>>,
}

impl Member {
    fn new(hash_key: u8) -> Self {
        let loaded = bindproxy::config::load_text(CONFIGURATION, Path::new(".")).expect("a configuration");
        let metrics = Metrics::new(&["ldap".to_owned()], &["a".to_owned()]);
        let settings = Arc::new(ArcSwap::from(Settings::build(&loaded, &metrics, None).expect("settings")));
        let clock = Clock::start();
        let shared = Shared {
            clock,
            cluster_clock: ClusterClock::alone(clock),
            cluster: OnceLock::new(),
            guard: Guard::new(100, settings::policy(&loaded, &HashKey::from_bytes([hash_key; 32]))),
            metrics: Arc::new(metrics),
            status: Arc::new(Status::new(clock.now())),
            resolver: Resolver::default(),
            admission: Admission::default(),
            offenders: vec![Mutex::new(Offenders::new(100)), Mutex::new(Offenders::new(100))],
            cores: OnceLock::new(),
        };
        Self { shared: Arc::new(shared), settings }
    }

    /// The directory refuses this password; then it is presented so often again.
    fn refused(&self, name: &str, password: &str, again: u64) {
        let now = self.shared.clock.now();
        let guard = &self.shared.guard;
        let credential = guard.credential(name.as_bytes(), password.as_bytes());
        let source = Source::from(IpAddr::from([10, 0, 0, 7]));
        let decide = || guard.decide(&credential, source, now, || unreachable!("nobody else asks"));
        let Decision::Lead(lease) = decide() else { panic!("nobody has asked the directory yet") };
        let octets = build::bind_response(1, 49, "");
        let peek = frame::peek(&octets, 1 << 20).expect("a frame").expect("a whole one");
        let verdict = Verdict::from_response(&octets, &peek).expect("a bind response");
        let _ = guard.settle(lease, Outcome::Verdict(verdict), now);
        for _ in 0..again {
            assert!(matches!(decide(), Decision::Answer(_)));
            self.shared.offenders[0].lock().record(credential.name, name.as_bytes(), source, &"ldap".into(), now);
        }
    }

    fn failures(&self) -> usize {
        self.shared.guard.stats().live
    }

    fn short(&self, name: &str) -> String {
        ShortHash(self.shared.guard.name_key(name.as_bytes()).short()).to_string()
    }
}

/// How another member answers.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Manner {
    /// As this version does.
    Same,
    /// With fields that this version does not know, wherever there can be any.
    Later,
    /// It knows no kind of query yet.
    Earlier,
    /// Not at all.
    Gone,
}

/// The other members. Keeps every frame.
struct Others {
    members: Vec<(&'static str, Manner, Member)>,
    frames: Mutex<Vec<Vec<u8>>>,
    barriers: Mutex<usize>,
}

impl Peers for Others {
    fn own_name(&self) -> Option<String> {
        Some("corp-0".to_owned())
    }

    fn gather(&self, query: Option<Vec<u8>>, limit: Duration) -> Awaited<'_, Gathered> {
        assert!(limit < Duration::from_secs(15), "the HTTP request ends then");
        Box::pin(async move {
            // What is not there yet when the handler begins to wait.
            tokio::task::yield_now().await;
            *self.barriers.lock() += usize::from(query.is_none());
            let mut gathered = Gathered::default();
            for (name, manner, member) in &self.members {
                let answer = |query: &Vec<u8>| match manner {
                    Manner::Earlier => br#"{"error":"unknown query"}"#.to_vec(),
                    Manner::Later => with_more(&answer_member(&member.shared, &with_more(query))),
                    Manner::Same | Manner::Gone => answer_member(&member.shared, query),
                };
                if *manner == Manner::Gone {
                    gathered.missing.push((*name).to_owned());
                    continue;
                }
                let reply = query.as_ref().map(answer);
                self.frames.lock().extend(query.iter().chain(&reply).cloned());
                gathered.answers.push(((*name).to_owned(), reply));
            }
            gathered
        })
    }

    fn report(&self) -> Option<ClusterReport> {
        let members = self.members.iter().map(|(name, manner, member)| MemberReport {
            name: (*name).to_owned(),
            state: if *manner == Manner::Gone { MemberState::Suspect } else { MemberState::Alive },
            standing: MemberStanding::Joined,
            entries: member.failures() as u64,
        });
        let members = members.collect();
        Some(ClusterReport { name: "mail/corp".to_owned(), node: "corp-0".to_owned(), joined: true, members })
    }
}

/// JSON with a field more in every object.
fn with_more(octets: &[u8]) -> Vec<u8> {
    fn add(value: &mut Value) {
        match value {
            Value::Object(fields) => {
                fields.values_mut().for_each(add);
                fields.insert("fromALaterVersion".to_owned(), json!({"deep": [1, {"null": null}]}));
            }
            Value::Array(items) => items.iter_mut().for_each(add),
            _ => {}
        }
    }
    let mut value: Value = serde_json::from_slice(octets).expect("JSON");
    add(&mut value);
    value.to_string().into_bytes()
}

struct Cluster {
    own: Member,
    others: Arc<Others>,
    server: Server,
}

impl Cluster {
    /// `corp-0` is asked.
    fn new(others: &[(&'static str, Manner)]) -> Self {
        let own = Member::new(1);
        let members = others.iter().map(|(name, manner)| (*name, *manner, Member::new(1))).collect();
        let others = Arc::new(Others { members, frames: Mutex::default(), barriers: Mutex::default() });
        let api = Api::new(own.shared.clone(), own.settings.clone(), Vec::new(), others.clone());
        let server = Server::serving(Some(Arc::new(api)));
        Self { own, others, server }
    }

    /// One member more that answers, one of a later version, and one that is gone.
    fn usual() -> Self {
        Self::new(&[("corp-3", Manner::Later), ("corp-1", Manner::Same), ("corp-2", Manner::Gone)])
    }

    fn member(&self, name: &str) -> &Member {
        let found = self.others.members.iter().find(|(known, _, _)| *known == name);
        &found.expect("a member").2
    }

    fn get(&self, path: &str) -> Value {
        let answer = self.server.get(path);
        assert_eq!(answer.status, 200, "{path}: {}", answer.body);
        answer.json()
    }

    fn flush(&self, name: &str) -> Value {
        self.server.flush(&json!({ "name": name }).to_string()).json()
    }
}

const ENCODED_ALICE: &str = "cn%3DAlice%20Secretname%2Cdc%3Dexample";

#[test]
fn a_flush_is_acknowledged_by_name_and_says_who_was_unreachable() {
    let cluster = Cluster::usual();
    cluster.own.refused(ALICE, "one", 1);
    cluster.own.refused(ALICE, "two", 1);
    let flushed = cluster.flush(ALICE);
    let expected = json!({
        "acknowledged": ["corp-0", "corp-1", "corp-3"], "unreachable": ["corp-2"], "removed": 2, "lasting": true,
    });
    assert_eq!(flushed, expected);
    assert_eq!(cluster.own.failures(), 0);
    cluster.own.refused("cn=bob", "one", 1);
    let all = cluster.server.flush(r#"{"all": true}"#).json();
    assert_eq!((&all["removed"], &all["unreachable"]), (&json!(1), &json!(["corp-2"])));
    assert_eq!(*cluster.others.barriers.lock(), 2);
    assert_eq!(*cluster.others.frames.lock(), Vec::<Vec<u8>>::new(), "facts do the rest");
}

#[test]
fn a_short_hash_is_flushed_wherever_it_is_known() {
    let cluster = Cluster::usual();
    let short = cluster.own.short(ALICE);
    cluster.own.refused(ALICE, "one", 1);
    assert_eq!(cluster.flush(&short)["removed"], 1);
    assert_eq!(*cluster.others.barriers.lock(), 1, "known here: a fact, as by name");

    cluster.member("corp-1").refused(ALICE, "one", 1);
    cluster.member("corp-1").refused(ALICE, "two", 1);
    cluster.member("corp-3").refused(ALICE, "two", 1);
    cluster.member("corp-3").refused("cn=bob", "two", 1);
    let flushed = cluster.flush(&short);
    let expected = json!({
        "acknowledged": ["corp-0", "corp-1", "corp-3"], "unreachable": ["corp-2"], "removed": 2, "lasting": true,
    });
    assert_eq!(flushed, expected);
    assert_eq!((cluster.member("corp-1").failures(), cluster.member("corp-3").failures()), (0, 1));

    let nobody = cluster.flush(&short);
    assert_eq!((&nobody["removed"], &nobody["lasting"]), (&json!(0), &json!(false)));
    let (outcome, told) = run(Verb::Flush { name: short }, &cluster.server.options()).expect("answered");
    assert_eq!(outcome, ExitOutcome::Fault);
    assert!(told.contains("Not flushed: corp-2. Nobody who answered knows"), "{told}");
}

#[test]
fn an_explanation_is_merged_and_shows_what_differs() {
    let cluster = Cluster::usual();
    cluster.own.refused(ALICE, "one", 3);
    cluster.member("corp-1").refused(ALICE, "one", 5);
    cluster.member("corp-1").refused(ALICE, "two", 0);
    cluster.member("corp-3").refused("CN=alice secretname, DC=Example", "one", 4);
    let explained = cluster.get(&format!("/api/v1/explain?name={ENCODED_ALICE}"));
    assert_eq!(explained["name"], ALICE);
    assert_eq!(explained["shortHash"], cluster.own.short(ALICE));
    let hits = |value: &Value| -> Vec<u64> {
        value.as_array().expect("entries").iter().map(|entry| entry["hits"].as_u64().expect("hits")).collect()
    };
    assert_eq!(hits(&explained["entries"]), [12, 0]);
    assert_eq!(
        explained["next"],
        "the 2 wrong passwords above are answered from memory; any other is asked of the directory"
    );
    let nodes = explained["nodes"].as_array().expect("nodes");
    let shown: Vec<_> = nodes.iter().map(|node| (node["node"].as_str(), hits(&node["entries"]))).collect();
    assert_eq!(shown[0], (Some("corp-0"), vec![3]));
    assert_eq!((shown[1].0, shown[1].1.iter().sum::<u64>()), (Some("corp-1"), 5));
    assert_eq!(shown[2], (Some("corp-3"), vec![4]));
    assert_eq!(explained["answered"], json!(["corp-0", "corp-1", "corp-3"]));
    assert_eq!(explained["missing"], json!(["corp-2"]));

    let (_, text) = run(Verb::Explain { name: ALICE.to_owned() }, &cluster.server.options()).expect("answered");
    assert!(text.contains("MEMBER  KNOWN GOOD  IN FLIGHT  #"), "{text}");
    assert!(text.ends_with("\nDid not answer: corp-2.\n"), "{text}");
}

#[test]
fn a_short_hash_is_explained_by_who_knows_it() {
    let cluster = Cluster::usual();
    let short = cluster.own.short(ALICE);
    let path = format!("/api/v1/explain?name={short}");
    let unknown = cluster.server.get(&path);
    assert_eq!(unknown.status, 404);
    assert!(unknown.error().contains("corp-2 did not answer"), "{}", unknown.body);
    let nothing = cluster.get(&format!("/api/v1/explain?name={ENCODED_ALICE}"));
    assert!(nothing["next"].as_str().is_some_and(|next| next.starts_with("nothing is known")), "{nothing}");
    assert_eq!(nothing["nodes"].as_array().map(Vec::len), Some(3));

    cluster.member("corp-3").refused(ALICE, "one", 4);
    let explained = cluster.get(&path);
    assert_eq!((&explained["shortHash"], &explained["entries"][0]["hits"]), (&json!(short), &json!(4)));
    cluster.own.refused(ALICE, "one", 2);
    assert_eq!(cluster.get(&path)["entries"][0]["hits"], 6, "known here and there");
}

#[test]
fn offenders_add_up_over_members_with_their_names() {
    let cluster = Cluster::usual();
    cluster.own.refused(ALICE, "one", 3);
    cluster.own.refused("cn=bob", "one", 4);
    cluster.member("corp-1").refused(ALICE, "one", 5);
    cluster.member("corp-3").refused("cn=carol", "one", 6);
    let report = cluster.get("/api/v1/offenders?limit=3");
    let shown: Vec<_> = report["offenders"]
        .as_array()
        .expect("offenders")
        .iter()
        .map(|offender| json!([offender["name"], offender["source"], offender["suppressed"], offender["nodes"]]))
        .collect();
    let expected = [
        json!([ALICE, "10.0.0.7", 8, ["corp-0", "corp-1"]]),
        json!(["cn=carol", "10.0.0.7", 6, ["corp-3"]]),
        json!(["cn=bob", "10.0.0.7", 4, ["corp-0"]]),
    ];
    assert_eq!(shown, expected);
    assert_eq!(report["offenders"][0]["shortHash"], cluster.own.short(ALICE));
    assert_eq!(report["offenders"][0]["overcount"], 0);
    assert_eq!((&report["missing"], &report["truncated"]), (&json!(["corp-2"]), &json!(false)));
    assert_eq!(cluster.get("/api/v1/offenders?limit=2")["truncated"], true);

    let (outcome, text) = run(Verb::Offenders { limit: 20 }, &cluster.server.options()).expect("answered");
    assert_eq!(outcome, ExitOutcome::Done);
    assert!(text.contains("corp-0, corp-1\n") && text.ends_with("\nDid not answer: corp-2.\n"), "{text}");
}

#[test]
fn who_does_not_understand_the_question_did_not_answer() {
    let cluster = Cluster::new(&[("corp-1", Manner::Earlier), ("corp-2", Manner::Same)]);
    cluster.own.refused(ALICE, "one", 3);
    for path in ["/api/v1/offenders".to_owned(), format!("/api/v1/explain?name={ENCODED_ALICE}")] {
        let report = cluster.get(&path);
        assert_eq!(report["answered"], json!(["corp-0", "corp-2"]), "{path}");
        assert_eq!(report["missing"], json!(["corp-1"]), "{path}");
    }
    assert_eq!(cluster.flush("~00000000")["unreachable"], json!(["corp-1"]));
    assert_eq!(cluster.flush(ALICE)["unreachable"], json!([]), "a barrier asks nothing new");
}

#[test]
fn who_was_started_anew_answers_for_the_run_that_vanished() {
    let cluster = Cluster::new(&[("corp-1", Manner::Gone), ("corp-1", Manner::Same), ("corp-2", Manner::Gone)]);
    let flushed = cluster.flush(ALICE);
    assert_eq!(flushed["acknowledged"], json!(["corp-0", "corp-1"]));
    assert_eq!(flushed["unreachable"], json!(["corp-2"]));
}

#[test]
fn status_shows_the_members() {
    let cluster = Cluster::usual();
    cluster.member("corp-1").refused(ALICE, "one", 0);
    let report = cluster.get("/api/v1/status");
    let expected = json!({"name": "mail/corp", "node": "corp-0", "joined": true, "members": [
        {"name": "corp-3", "state": "alive", "standing": "joined", "entries": 0},
        {"name": "corp-1", "state": "alive", "standing": "joined", "entries": 1},
        {"name": "corp-2", "state": "suspect", "standing": "joined", "entries": 0},
    ]});
    assert_eq!(report["cluster"], expected);
    let (_, text) = run(Verb::Status, &cluster.server.options()).expect("answered");
    let shown = "cluster      mail/corp\nthis member  corp-0, joined\n\
                 MEMBER  STATE    STANDING  ENTRIES\n\
                 corp-3  alive    joined          0\n\
                 corp-1  alive    joined          1\n\
                 corp-2  suspect  joined          0\n";
    assert!(text.ends_with(shown), "{text}");
    let as_json = ClientOptions { output: Output::Json, ..cluster.server.options() };
    let (_, text) = run(Verb::Status, &as_json).expect("answered");
    assert_eq!(serde_json::from_str::<Value>(&text).expect("JSON")["cluster"], expected);
}

#[test]
fn statusz_shows_the_members_and_nothing_of_what_they_know() {
    let cluster = Cluster::usual();
    cluster.own.refused(ALICE, "one", 3);
    let report = cluster.get("/statusz");
    let expected = json!({"node": "corp-0", "joined": true, "members": [
        {"name": "corp-3", "state": "alive"},
        {"name": "corp-1", "state": "alive"},
        {"name": "corp-2", "state": "suspect"},
    ]});
    assert_eq!(report["cluster"], expected);
    assert_eq!(report["upstreams"], json!([{"name": "a", "up": true, "reason": "Healthy", "message": null}]));
    let text = report.to_string();
    for secret in ["Secretname", "10.0.0.7", "~"] {
        assert!(!text.contains(secret), "{text}");
    }
}

/// Promise I4, for what members say to each other on behalf of the API.
#[test]
fn no_frame_between_members_holds_a_name_or_a_password() {
    let cluster = Cluster::new(&[("corp-1", Manner::Same), ("corp-2", Manner::Same)]);
    for (member, password) in [("corp-1", "Passw0rd-s3cret"), ("corp-2", "0ther-s3cret")] {
        cluster.member(member).refused(ALICE, password, 5);
    }
    let short = cluster.own.short(ALICE);
    for path in [format!("/api/v1/explain?name={ENCODED_ALICE}"), format!("/api/v1/explain?name={short}")] {
        assert_eq!(cluster.get(&path)["entries"].as_array().map(Vec::len), Some(2));
    }
    assert_eq!(cluster.get("/api/v1/offenders")["offenders"][0]["name"], ALICE, "the report itself has the name");
    cluster.flush(ALICE);
    cluster.flush(&short);
    let frames = cluster.others.frames.lock();
    assert!(frames.len() >= 16, "{}", frames.len());
    for frame in frames.iter() {
        let text = String::from_utf8_lossy(frame).to_lowercase();
        for secret in ["alice", "secretname", "example", "s3cret", "passw0rd", "cn="] {
            assert!(!text.contains(secret), "{secret}: {text}");
        }
    }
}

#[test]
fn what_is_no_query_is_answered_and_changes_nothing() {
    let member = Member::new(1);
    member.refused(ALICE, "one", 1);
    let asked = |query: &str| serde_json::from_slice::<Value>(&answer_member(&member.shared, query.as_bytes()));
    assert_eq!(asked(r#"{"kind":"audit"}"#).expect("JSON"), json!({"error": "unknown query"}));
    let long = format!(r#"{{"kind":"flushShort","short":"{}"}}"#, "~".repeat(100_000));
    let deep = "[".repeat(100_000);
    for query in ["", "\0", "{}", r#"{"kind":"flushShort","short":"cn=a"}"#, r#"{"kind":[]}"#, &long, &deep] {
        assert_eq!(asked(query).expect("JSON"), json!({"error": "malformed query"}), "{query:.40}");
    }
    let many = json!({"kind": "explain", "keys": vec!["00000000000000000000000000000000"; 400]}).to_string();
    assert_eq!(asked(&many).expect("JSON")["entries"], json!([]));
    let huge = json!({"kind": "offenders", "limit": u32::MAX}).to_string();
    assert_eq!(asked(&huge).expect("JSON")["pairs"].as_array().map(Vec::len), Some(1));
    assert_eq!(member.failures(), 1);
}
