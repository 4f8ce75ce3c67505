//! Scenario 11: one of two directories is down, in each way in which a directory can be.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use bindproxy::codec::op;
use bindproxy::directory::script::ScriptedResult;
use bindproxy::directory::{Behaviour, Match, OnAccept, Options, Policy, RunningDirectory, Script};
use socket2::SockRef;

use bindproxy_tests::certificates::Authority;
use bindproxy_tests::kubernetes::clients::{Outcome, login};
use bindproxy_tests::kubernetes::{Proxies, Upstream, cluster, figures, upstream, with_namespace};
use bindproxy_tests::scratch::Scratch;
use bindproxy_tests::slapd::Settings;
use bindproxy_tests::wait::Stopwatch;

const ALICE: &str = "uid=alice,ou=people,dc=example,dc=org";
const CONNECT: u64 = 1;
const CHECKS: u64 = 2;
/// What the first login may wait for: `connectTimeout * failureThreshold`, with another second for a busy machine.
const FAILOVER: Duration = Duration::from_secs(CONNECT * CHECKS + 1);
const NOTICED: Duration = Duration::from_secs(40);

fn policy() -> String {
    format!(
        "upstreamPolicy: {{connectTimeoutSeconds: {CONNECT}, requestTimeoutSeconds: 2, healthCheck: {{intervalSeconds: 1, \
         failureThreshold: {CHECKS}, successThreshold: 1}}}}"
    )
}

/// A directory that never locks, so that what is counted is what was asked.
fn counting() -> RunningDirectory {
    let policy = Policy { max_failures: None, ..Policy::default() };
    upstream::scripted_with(Options { policy, ..Options::default() })
}

/// dc1 before dc2: the second is asked only while the first is down.
fn listed(items: [String; 2]) -> String {
    let [first, second] = items.map(|item| item.trim_start_matches('{').to_owned());
    format!("upstreams: [{{priority: 0, {first}, {{priority: 1, {second}]")
}

/// The status names the directory that is down, and the other is enough to be Ready.
fn told(proxies: &Proxies<'_>, reasons: &[&str]) {
    proxies.condition("UpstreamsHealthy", "False");
    proxies.until(&format!("dc1 to be down for {reasons:?}"), NOTICED, || {
        let status = proxies.status();
        let dc1 = status.upstreams.iter().find(|upstream| upstream.name == "dc1")?;
        let reason = format!("{:?}", dc1.reason);
        (dc1.healthy_pods == 0 && reasons.iter().any(|word| reason.contains(word))).then_some(())
    });
    assert_eq!(proxies.status().upstream_summary.as_deref(), Some("1/2"));
    proxies.condition("Ready", "True");
}

fn healthy(proxies: &Proxies<'_>) {
    proxies.reason("UpstreamsHealthy", "True", "Healthy");
}

/// The scripted ways, one after the other: refused, silent, slow, answering 52.
#[test]
fn refused_silent_slow_or_unavailable() {
    with_namespace("one-down", |namespace| {
        let (first, second) = (counting(), counting());
        let upstreams = listed([upstream::clear("dc1", first.addr()), upstream::clear("dc2", second.addr())]);
        let proxies = namespace.bind_proxy("corp", &format!("replicas: 2\n{upstreams}\n{}", policy()));
        proxies.ready();
        healthy(&proxies);
        let service = proxies.service(389);

        // Both are up: what one says is not asked of the other.
        assert_eq!(login(service, ALICE, "wrong at dc1"), Outcome::Code(49));
        assert_eq!(login(service, ALICE, "wrong at dc1"), Outcome::Code(49));
        assert_eq!((first.failures(ALICE), second.binds(ALICE)), (1, 0), "a 49 of dc1 is final");

        let unavailable = || Behaviour::Result(ScriptedResult::code(52));
        let slow = || Behaviour::Delay(Duration::from_secs(30));
        type Change = Box<dyn Fn(&mut Script)>;
        let ways: [(&str, Change, &[&str]); 3] = [
            ("silent", Box::new(|script: &mut Script| script.on_accept = OnAccept::Hang), &["Unavailable", "Timeout"]),
            (
                "slow",
                Box::new(move |script: &mut Script| {
                    script.when(Match::any(), slow());
                }),
                &["Unavailable", "Timeout"],
            ),
            (
                "answering-52",
                Box::new(move |script: &mut Script| {
                    script.when(Match::bind(), unavailable());
                    script.when(Match::operation(op::SEARCH_REQUEST), unavailable());
                }),
                &["Unavailable"],
            ),
        ];
        refused(&proxies, service, &first, &second);
        for (way, change, reasons) in ways {
            let counts = Counts::of(&first, &second);
            first.script(|script| {
                script.clear();
                change(script);
            });
            let watch = Stopwatch::start();
            let stale = format!("stale while {way}");
            // What was written to dc1 ends with 52; nobody asks dc2 the same on behalf of that client.
            let mut unavailable = 0;
            proxies.until(&format!("a login while dc1 is {way}"), NOTICED, || {
                let outcome = login(service, ALICE, "alicepw");
                assert!(matches!(outcome, Outcome::Code(0 | 52)), "{way}: {outcome}");
                unavailable += u64::from(outcome == Outcome::Code(52));
                (outcome == Outcome::Code(0)).then_some(())
            });
            figures::record_seconds(&format!("dc1 {way}: until a login at dc2"), watch.elapsed());
            println!("{way}: {unavailable} logins were answered 52 before");
            told(&proxies, reasons);
            for _ in 0..20 {
                assert_eq!(login(service, ALICE, "alicepw"), Outcome::Code(0), "{way}");
            }
            assert_eq!(login(service, ALICE, &stale), Outcome::Code(49));
            assert_eq!(login(service, ALICE, &stale), Outcome::Code(49));
            let made = Counts::of(&first, &second);
            assert_eq!(made.wrong - counts.wrong, 1, "{way}: one stale password at one directory, once");
            assert_eq!(made.second - counts.second, 21 + 1, "{way}: what dc2 was asked");
            assert!(made.first - counts.first <= unavailable, "{way}: what dc1 was asked");
            first.script(Script::clear);
            healthy(&proxies);
        }
    });
}

struct Counts {
    first: u64,
    second: u64,
    wrong: usize,
}

impl Counts {
    fn of(first: &RunningDirectory, second: &RunningDirectory) -> Self {
        Self {
            first: first.binds(ALICE),
            second: second.binds(ALICE),
            wrong: refused_as_wrong(first) + refused_as_wrong(second),
        }
    }
}

/// What a lockout policy would have counted.
fn refused_as_wrong(directory: &RunningDirectory) -> usize {
    directory.log(|log| log.records().iter().filter(|bind| bind.code == Some(49)).count())
}

/// Nothing was written to a directory that refuses: the very first login is good.
fn refused(proxies: &Proxies<'_>, service: SocketAddr, first: &RunningDirectory, second: &RunningDirectory) {
    let counts = Counts::of(first, second);
    cluster().ask(first.refuse_connections());
    cluster().ask(first.drop_connections());
    let watch = Stopwatch::start();
    assert_eq!(login(service, ALICE, "alicepw"), Outcome::Code(0), "refused");
    figures::record_seconds("dc1 refused: until a login at dc2", watch.elapsed());
    assert!(watch.elapsed() < FAILOVER, "{:?}", watch.elapsed());
    assert_eq!(login(service, ALICE, "stale while refused"), Outcome::Code(49));
    told(proxies, &["ConnectFailed"]);
    let made = Counts::of(first, second);
    assert_eq!((made.first - counts.first, made.second - counts.second), (0, 2));
    assert_eq!(made.wrong - counts.wrong, 1);
    cluster().ask(first.accept_connections()).expect("listen again");
    healthy(proxies);
}

/// Packets to it vanish: no answer to a connection, not even a refusal. A listener does that whose queue is full.
struct Blackhole {
    listener: TcpListener,
    _queued: Vec<TcpStream>,
}

impl Blackhole {
    fn start() -> Self {
        let listener = TcpListener::bind((cluster().host_address(), 0)).expect("listen");
        rustix::net::listen(&listener, 0).expect("a queue for one");
        let address = listener.local_addr().expect("its address").into();
        let queued = (0..3)
            .map(|_| {
                let socket =
                    socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).expect("a socket");
                socket.set_nonblocking(true).expect("a socket that does not wait");
                // It is queued, or already waits for ever as the proxies will.
                let _under_way = SockRef::from(&socket).connect(&address);
                TcpStream::from(socket)
            })
            .collect();
        Self { listener, _queued: queued }
    }

    fn address(&self) -> SocketAddr {
        self.listener.local_addr().expect("its address")
    }
}

/// A directory behind a hole in the network, and one whose certificate is not the right one: found out before a bind is
/// written, so that clients notice nothing.
#[test]
fn blackholed_or_with_a_bad_certificate() {
    with_namespace("one-out-of-reach", |namespace| {
        let good = counting();
        let dc2 = || upstream::clear("dc2", good.addr());
        let hole = Blackhole::start();
        let spec = format!("replicas: 1\n{}\n{}", listed([upstream::clear("dc1", hole.address()), dc2()]), policy());
        let blackholed = namespace.bind_proxy("blackholed", &spec);

        let imposter = Upstream::start(Settings::default());
        let alice = imposter.slapd.add_user("alice", "alicepw");
        assert_eq!(alice, ALICE);
        let scratch = Scratch::new("another-authority");
        let authority = std::fs::read_to_string(Authority::new(scratch.path()).ca_file).expect("its certificate");
        namespace.config_map("ca", &[("ca.crt", &authority)]);
        let spec = format!("replicas: 1\n{}\n{}", listed([imposter.ldaps("dc1", "ca"), dc2()]), policy());
        let untrusted = namespace.bind_proxy("untrusted", &spec);

        for (proxies, reasons) in [(&blackholed, ["ConnectTimeout"]), (&untrusted, ["TLSVerifyFailed"])] {
            proxies.ready();
            let before = (good.binds(ALICE), good.failures(ALICE));
            let (service, stale) = (proxies.service(389), format!("stale at {}", proxies.name()));
            for _ in 0..20 {
                let watch = Stopwatch::start();
                assert_eq!(login(service, ALICE, "alicepw"), Outcome::Code(0), "{}", proxies.name());
                assert!(watch.elapsed() < FAILOVER, "{}: {:?}", proxies.name(), watch.elapsed());
            }
            assert_eq!(login(service, ALICE, &stale), Outcome::Code(49));
            assert_eq!(login(service, ALICE, &stale), Outcome::Code(49));
            told(proxies, &reasons);
            assert_eq!(good.failures(ALICE) - before.1, 1, "{}", proxies.name());
            assert_eq!(good.binds(ALICE) - before.0, 21, "{}", proxies.name());
        }
        assert_eq!(imposter.slapd.binds(ALICE), 0, "no password was shown to whoever has a wrong certificate");
    });
}
