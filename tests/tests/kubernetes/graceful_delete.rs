//! Scenario 4: `kubectl delete pod` under load.

use std::time::Duration;

use bindproxy::directory::{Behaviour, Entry, Match, Options, Policy};

use bindproxy_tests::kubernetes::clients::{Clients, Outcome};
use bindproxy_tests::kubernetes::{figures, upstream, with_namespace};
use bindproxy_tests::ldap::{Connection, Frame};
use bindproxy_tests::wait::Stopwatch;

const PEOPLE: usize = 24;
/// How long the directory takes over a bind: as good as always, one is in flight at each connection.
const DELAY: Duration = Duration::from_millis(600);
/// The kubelet kills after this.
const GRACE: Duration = Duration::from_secs(45);
/// The name of Notice of Disconnection (RFC 4511, section 4.4.1).
const NOTICE: &[u8] = b"1.3.6.1.4.1.1466.20036";

fn person(number: usize) -> String {
    format!("uid=person-{number},ou=people,dc=example,dc=org")
}

fn is_notice(frame: &Frame) -> bool {
    frame.message_id() == 0
        && frame.op() == 0x78
        && frame.code() == 52
        && frame.octets.windows(NOTICE.len()).any(|part| part == NOTICE)
}

/// Every bind that the directory answered reached its client; who is idle is told; and the pod ends in time by itself.
#[test]
fn nothing_in_flight_is_lost() {
    with_namespace("graceful-delete", |namespace| {
        let mut options = Options { policy: Policy { max_failures: None, ..Policy::default() }, ..Options::default() };
        options.entries.extend((0..PEOPLE).map(|n| Entry::person(&format!("person-{n}"), "A Person", "right")));
        let directory = upstream::scripted_with(options);
        let spec = format!(
            "replicas: 3\nupstreams: [{}]\ndrain: {{preStopSeconds: 2, terminationGracePeriodSeconds: {}}}",
            upstream::clear("dc1", directory.addr()),
            GRACE.as_secs()
        );
        let proxies = namespace.bind_proxy("corp", &spec);
        proxies.ready();
        let victim = proxies.pod(1);
        let last_words = victim.follow_log();
        let mut idle: Vec<Connection> = (0..10).map(|_| victim.endpoint().connect()).collect();
        let mut bound: Vec<Connection> = (0..5).map(|_| victim.endpoint().connect()).collect();
        for (number, connection) in bound.iter_mut().enumerate() {
            assert_eq!(connection.bind(&person(number), "right"), 0);
        }
        let before = directory.total_binds();

        directory.script(|script| {
            script.when(Match::bind(), Behaviour::Delay(DELAY));
        });
        let mut clients = Clients::at(proxies.addresses(), &person(0), "right").count(PEOPLE).retrying();
        for number in 1..PEOPLE {
            clients = clients.also(&person(number), "right");
        }
        let load = clients.start();
        load.until(2 * PEOPLE);

        let watch = Stopwatch::start();
        victim.delete();
        for connection in idle.iter_mut().chain(&mut bound) {
            let frames = connection.frames_to_end();
            assert!(frames.len() == 1 && is_notice(&frames[0]), "{frames:?}");
        }
        figures::record_seconds("graceful delete: until idle connections are told", watch.elapsed());
        victim.until_gone(GRACE - Duration::from_secs(1));
        figures::record_seconds("graceful delete: from delete to gone", watch.elapsed());
        let words = last_words.join().expect("kubectl logs");
        assert!(words.contains("\"clean\":true"), "the pod's last words: {words}");

        let made = load.log().len();
        load.until(made + 2 * PEOPLE);
        let log = load.stop();
        println!("{log}");
        // Neither 49 nor 52 is among the answers, and whoever was turned away was told or refused before the bind was taken.
        log.expect_only(0);
        let turned_away = log.tries_before();
        assert!(!turned_away.is_empty(), "nobody was connected to the pod that went: {log}");
        for outcome in turned_away.keys() {
            assert!(matches!(outcome, Outcome::Notice(52) | Outcome::Refused | Outcome::Ended), "{outcome} in {log}");
        }
        let answered = u64::try_from(log.len()).expect("a small number");
        assert_eq!(directory.total_binds() - before, answered, "binds that the directory answered, and {log}");
        proxies.ready();
        assert_ne!(proxies.pod(1).uid(), victim.uid());
    });
}
