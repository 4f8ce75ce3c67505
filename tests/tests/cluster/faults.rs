//! Pods that vanish or hang in the middle of something.

use std::net::SocketAddr;
use std::sync::Barrier;
use std::thread;
use std::time::Duration;

use bindproxy::directory::{Behaviour, Directory, Entry, Match, Options, RunningDirectory};
use bindproxy_tests::lab::Lab;
use bindproxy_tests::lab::device::login;
use bindproxy_tests::lab::plan::Plan;
use bindproxy_tests::wait::{self, Stopwatch};
use rustix::process::Signal;

use crate::stage::SOON;

/// The longest that a bind may take when its owner hangs or is gone: the lease deadline of 100 ms,
/// the time until a vanished holder is noticed, and room for a busy machine.
const BOUNDED: Duration = Duration::from_secs(5);

/// A scripted directory that pods can reach, with so many users `u0`, `u1`, ...
fn directory(users: usize) -> RunningDirectory {
    let entries = (0..users).map(|number| Entry::person(&format!("u{number}"), "A user", "right")).collect();
    let options = Options { listen: SocketAddr::from(([0, 0, 0, 0], 0)), entries, ..Options::default() };
    Directory::start_on_thread(options).expect("start the scripted directory")
}

fn dn(number: usize) -> String {
    format!("uid=u{number},ou=people,dc=example,dc=org")
}

/// The pod that asks the directory is killed before the answer; whoever waits elsewhere is answered.
#[test]
fn a_pod_is_killed_in_the_middle_of_a_bind() {
    let directory = directory(12);
    let plan = Plan::new(3, directory.addr()).section("upstreamPolicy", "requestTimeoutSeconds: 10");
    let mut lab = Lab::start(&plan);
    // Whether the pod that asks is also the owner depends on the name, so several are tried.
    for round in 0..4 {
        let name = dn(round);
        directory.script(|script| {
            script.clear();
            script.times(1, Match::bind().named(&name), Behaviour::Delay(Duration::from_millis(1_500)));
        });
        let mut first = lab.pod(0).endpoint().connect();
        first.send(&bindproxy_tests::request::message(1, &bindproxy_tests::request::bind(&name, "stale")));
        wait::until_true("the directory to be asked", SOON, || directory.binds(&name) >= 1);
        let barrier = Barrier::new(3);
        thread::scope(|scope| {
            let waiting: Vec<_> = [1, 2]
                .map(|number| {
                    let (lab, barrier, name) = (&lab, &barrier, &name);
                    let pod = lab.pod(number);
                    scope.spawn(move || {
                        let mut connection = pod.endpoint().connect();
                        barrier.wait();
                        let watch = Stopwatch::start();
                        (connection.bind(name, "stale"), watch.elapsed())
                    })
                })
                .into_iter()
                .collect();
            barrier.wait();
            thread::sleep(Duration::from_millis(150));
            // Not through the pod itself, which others hold a reference to: by its process ID.
            rustix::process::kill_process(pid(lab.pod(0).process().id()), Signal::KILL).expect("kill the pod");
            for waiter in waiting {
                let (code, took) = waiter.join().expect("a waiter's thread");
                assert_eq!(code, 49, "the answer is the directory's");
                assert!(took < BOUNDED, "a waiter was answered after {took:?}");
                println!("round {round}: a waiter was answered {code} after {took:?}");
            }
        });
        let asked = directory.binds(&name);
        assert!(asked <= 3, "{asked} attempts: the one that died, and at most one of each survivor");
        lab.pod_mut(0).kill();
        lab.pod_mut(0).start();
        lab.wait_until_whole(SOON);
        // What the survivors learned, the new one knows.
        assert_eq!(login(lab.pod(0), &name, "stale").0, 49);
        assert_eq!(directory.binds(&name), asked);
    }
}

/// A pod hangs with its sockets open. It owns a third of all names.
#[test]
fn the_owner_of_names_hangs() {
    const NAMES: usize = 30;
    let directory = directory(3 * NAMES);
    let mut lab = Lab::start(&Plan::new(3, directory.addr()));
    let try_all = |lab: &Lab, names: std::ops::Range<usize>| {
        let mut slow = 0;
        let mut slowest = Duration::ZERO;
        for number in names {
            let (code, took) = login(lab.pod(number % 2), &dn(number), "stale");
            assert_eq!(code, 49);
            slowest = slowest.max(took);
            slow += usize::from(took > Duration::from_millis(80));
        }
        (slow, slowest)
    };
    lab.pod_mut(2).freeze();
    let (slow, slowest) = try_all(&lab, 0..NAMES);
    println!("{slow} of {NAMES} binds waited for the pod that hangs; the slowest took {slowest:?}");
    assert!(slowest < Duration::from_secs(1), "a bind waited {slowest:?} for an owner that hangs");
    // It is given up after a while, and nobody waits for it any more.
    for pod in lab.running() {
        wait::until_true("the pod that hangs to be suspect", Duration::from_secs(15), || pod.peers("alive") == 1.0);
    }
    let (slow, slowest) = try_all(&lab, NAMES..2 * NAMES);
    println!("later {slow} of {NAMES}; the slowest took {slowest:?}");
    assert!(slow <= NAMES / 10, "{slow} of {NAMES} binds still wait for a pod that was given up");
    for number in 0..2 * NAMES {
        assert_eq!(directory.failures(&dn(number)), 1, "{}", dn(number));
    }

    lab.pod_mut(2).thaw();
    let watch = Stopwatch::start();
    lab.wait_until_whole(SOON);
    lab.wait_until_equal(2.0 * NAMES as f64, SOON);
    watch.report("the pod that hung is back");
    for number in 0..2 * NAMES {
        assert_eq!(login(lab.pod(2), &dn(number), "stale").0, 49);
        assert_eq!(login(lab.pod(2), &dn(number), "right").0, 0);
        assert_eq!(directory.binds(&dn(number)), 2, "one failure and one login of {}", dn(number));
    }
    let (_, slowest) = try_all(&lab, 2 * NAMES..3 * NAMES);
    assert!(slowest < Duration::from_secs(1), "{slowest:?}");
}

/// With `coordination: Strict` nobody asks the directory without the owner's leave: 51 (busy) instead.
#[test]
fn nobody_goes_on_without_the_owner_when_that_is_forbidden() {
    const NAMES: usize = 30;
    let directory = directory(NAMES);
    let mut lab = Lab::start(&Plan::new(3, directory.addr()).coordination("Strict"));
    lab.pod_mut(2).freeze();
    let mut busy = 0;
    for number in 0..NAMES {
        let (code, took) = login(lab.pod(number % 2), &dn(number), "stale");
        assert!(took < Duration::from_secs(4), "{took:?} for {code}");
        let asked = directory.binds(&dn(number));
        match code {
            49 => assert_eq!(asked, 1),
            51 => {
                assert_eq!(asked, 0, "told to be busy, and asked all the same");
                busy += 1;
            }
            other => panic!("{other}"),
        }
    }
    println!("{busy} of {NAMES} binds were answered busy while the owner of a third of all names hung");
    for pod in lab.running() {
        wait::until_true("the pod that hangs to be suspect", Duration::from_secs(15), || pod.peers("alive") == 1.0);
    }
    for number in 0..NAMES {
        assert_eq!(login(lab.pod(number % 2), &dn(number), "stale").0, 49);
        assert_eq!(directory.binds(&dn(number)), 1, "{}", dn(number));
    }
    lab.pod_mut(2).thaw();
    lab.wait_until_whole(SOON);
}

/// A pod that dies comes back as somebody new, with all that the others know, before it serves.
#[test]
fn a_pod_that_comes_back_knows_everything() {
    let directory = directory(40);
    let mut lab = Lab::start(&Plan::new(2, directory.addr()));
    for number in 0..40 {
        assert_eq!(login(lab.pod(number % 2), &dn(number), "stale").0, 49);
    }
    lab.wait_until_equal(40.0, SOON);
    lab.pod_mut(1).kill();
    let watch = Stopwatch::start();
    lab.pod_mut(1).start();
    watch.report("a pod came back");
    for number in 0..40 {
        assert_eq!(login(lab.pod(1), &dn(number), "stale").0, 49);
        assert_eq!(directory.binds(&dn(number)), 1, "{}", dn(number));
    }
    lab.wait_until_whole(SOON);
}

fn pid(id: u32) -> rustix::process::Pid {
    i32::try_from(id).ok().and_then(rustix::process::Pid::from_raw).expect("a process ID")
}
