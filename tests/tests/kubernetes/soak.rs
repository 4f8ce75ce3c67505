//! Scenario 25: minutes of load while pods die at random, in every way that a pod can end. Half an hour in full.

use std::time::Duration;

use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use rustix::process::Signal;

use bindproxy_tests::kubernetes::clients::{LDAP_PORT, Outcome, login};
use bindproxy_tests::kubernetes::extent::lasting;
use bindproxy_tests::kubernetes::pods::Usage;
use bindproxy_tests::kubernetes::secrecy::Search;
use bindproxy_tests::kubernetes::{Clients, Upstream, alone_with_namespace, figures, with_namespace};
use bindproxy_tests::wait::{self, Stopwatch};

/// Until a pod that was ended is replaced and knows what the others know.
const HEALED: Duration = Duration::from_secs(90);
/// Until connections of clients that went are counted out.
const CLOSED: Duration = Duration::from_secs(30);
/// What the pod that lives on may have grown by, whatever came and went around it.
const GROWTH: u64 = 12 << 20;
/// Descriptors that it may hold more than at first: pooled connections to the directory, not one for each client or peer.
const DESCRIPTORS: usize = 20;
/// Words that are in no log, metric, event or status. Nothing else has them by chance.
const STALE: &str = "stale-Xylograph-7351";
const RIGHT: &str = "right-Quagmire-9924";
const PHONE: &str = "soak-Phonolite";
const PERSON: &str = "soak-Perihelion";
const LOUD: &str = "secrecy-Meerschaum";

/// Pod 0 lives through it all, and neither its memory nor its connections grow; the others end at random. One stale
/// password counts once (I1), a right one is never refused (I2), nobody sees 49 for an upstream's fault or anything but an
/// answer (I3), and nothing shows a password or a name (I4).
#[test]
fn pods_that_die_at_random_change_nothing_for_clients() {
    alone_with_namespace("soak", |namespace| {
        let own = namespace.cluster().own_or_skip("killing processes in the soak").is_some();
        let directory = Upstream::shared();
        let slapd = &directory.slapd;
        let proxies = namespace.bind_proxy(
            "corp",
            &format!(
                "replicas: 3\ncache: {{ttlSeconds: 7200}}\nlogging: {{level: debug}}\nupstreams: [{}]",
                directory.clear("dc1")
            ),
        );
        proxies.ready();
        let phone = slapd.add_user(PHONE, "another");
        let person = slapd.add_user(PERSON, RIGHT);
        let service = vec![proxies.service(389)];
        proxies.teach(&phone, STALE);
        let storm = Clients::at(service.clone(), &phone, STALE).count(15).connecting_anew().patient().start();
        let kept = Clients::at(service.clone(), &phone, STALE).count(15).patient().start();
        let logins = Clients::at(service, &person, RIGHT).count(5).connecting_anew().patient().start();
        storm.until(300);
        kept.until(100);
        let survivor = proxies.pod(0);
        let usage = || own.then(|| survivor.usage());
        let first = usage();

        // Another one in each run; said, so that a failure can be looked at again.
        let seed = u64::from(std::process::id());
        println!("seed {seed}");
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let mut search = Search::of(&[STALE, RIGHT, PHONE, PERSON]);
        let (watch, lasts) = (Stopwatch::start(), lasting(Duration::from_secs(50), Duration::from_secs(1800)));
        let (mut ended, mut halfway) = (0_u32, None);
        while watch.elapsed() < lasts {
            let victim = proxies.pod(random.random_range(1..3));
            search.log_of(&victim);
            let (how, restarts) = (random.random_range(0..if own { 4 } else { 2 }), victim.restarts());
            match how {
                0 => victim.delete(),
                1 => victim.delete_at_once(),
                2 => victim.signal(Signal::KILL),
                _ => victim.signal(Signal::TERM),
            }
            ended += 1;
            proxies.until(&format!("pod {} after end {how}", victim.ordinal()), HEALED, || {
                let now = proxies.pods().into_iter().find(|pod| pod.ordinal() == victim.ordinal())?;
                let another = now.uid() != victim.uid() || now.restarts() > restarts;
                (another && now.ready() && now.metric("bindproxy_cache_entries", &[]) >= 1.0).then_some(())
            });
            // Back-off between restarts of one container doubles from ten seconds; a pod of another uid has none.
            if victim.again().is_some_and(|same| same.restarts() >= 2) {
                victim.delete();
                proxies.until("a fresh pod", HEALED, || {
                    let now = proxies.pods().into_iter().find(|pod| pod.ordinal() == victim.ordinal())?;
                    (now.uid() != victim.uid() && now.ready()).then_some(())
                });
            }
            if halfway.is_none() && watch.elapsed() > lasts / 2 {
                halfway = usage();
            }
        }
        proxies.ready();
        search.everything(namespace, &proxies.pods());
        let last = usage();
        let (storm, kept, logins) = (storm.stop(), kept.stop(), logins.stop());
        println!(
            "{ended} ends in {:?}; stale: {storm}\nstale, kept connections: {kept}\nright: {logins}",
            watch.elapsed()
        );
        figures::record("soak: pods ended at random", f64::from(ended), "");
        figures::record("soak: binds", (storm.len() + kept.len() + logins.len()) as f64, "");
        assert!(ended >= 3, "too few pods ended for a soak");

        storm.expect_only(49);
        kept.expect_only(49);
        logins.expect_only(0);
        assert_eq!(slapd.failures(&phone), 1, "slapd's own counter");
        assert_eq!(slapd.binds(&phone), 1, "binds in slapd's log");

        wait::until_true("no connection of a client is left", CLOSED, || {
            proxies.pods().iter().all(|pod| pod.metric("bindproxy_connections_active", &[]) == 0.0)
        });
        assert_eq!(proxies.metric("bindproxy_panics_total", &[]), 0.0);
        let survived = survivor.again().expect("pod 0 lives on");
        assert_eq!(survived.restarts(), 0);
        if let (Some(first), Some(halfway), Some(last)) = (first, halfway, last) {
            flat(first, halfway, last, own.then(|| survivor.usage()));
        }
        secret(&search);
    });
}

fn flat(first: Usage, halfway: Usage, last: Usage, idle: Option<Usage>) {
    println!("the survivor: {first:?} at first, {halfway:?} halfway, {last:?} at last, {idle:?} without clients");
    figures::record("soak: resident memory of the survivor at last", last.resident as f64 / f64::from(1 << 20), "MiB");
    assert!(last.resident < first.resident + GROWTH, "memory grows: {first:?}, {halfway:?}, {last:?}");
    let idle = idle.map_or(usize::MAX, |idle| idle.descriptors);
    assert!(
        idle <= first.descriptors + DESCRIPTORS,
        "{} descriptors at first, {idle} without clients",
        first.descriptors
    );
}

fn secret(search: &Search) {
    println!("{} octets were looked through", search.octets());
    assert!(search.octets() > 100_000, "three debug logs of minutes");
    for word in [STALE, RIGHT, PHONE, PERSON] {
        assert_eq!(search.places_of(word), Vec::<&str>::new(), "shown: {word}");
    }
}

/// What tells that the search finds what is there: a name is in the log of pods that are told not to hide names, and only
/// there; a password is nowhere even then.
#[test]
fn names_are_shown_only_where_somebody_asked_for_them() {
    with_namespace("secrecy", |namespace| {
        let directory = Upstream::shared();
        let upstream = directory.clear("dc1");
        let spec = |redact: bool| {
            format!("replicas: 1\nlogging: {{level: debug, redactDNs: {redact}}}\nupstreams: [{upstream}]")
        };
        let (quiet, loud) = (namespace.bind_proxy("quiet", &spec(true)), namespace.bind_proxy("loud", &spec(false)));
        let name = directory.slapd.add_user(LOUD, RIGHT);
        let mut pods = Vec::new();
        for proxies in [&quiet, &loud] {
            proxies.ready();
            let pod = proxies.pod(0);
            for (password, code) in [(STALE, 49), (STALE, 49), (RIGHT, 0)] {
                let outcome = login(pod.address(LDAP_PORT), &name, password);
                assert_eq!(outcome, Outcome::Code(code), "{}", proxies.name());
            }
            pods.push(pod);
        }
        let mut search = Search::of(&[STALE, RIGHT, LOUD]);
        search.everything(namespace, &pods);
        assert_eq!(search.places_of(STALE), Vec::<&str>::new());
        assert_eq!(search.places_of(RIGHT), Vec::<&str>::new());
        let places = search.places_of(LOUD);
        assert!(!places.is_empty(), "the search finds nothing");
        assert!(places.iter().all(|place| place.starts_with("log of loud-0")), "{places:?}");
    });
}
