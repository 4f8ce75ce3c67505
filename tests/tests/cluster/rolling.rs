//! All pods are replaced, one after the other, while stale devices hammer.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use bindproxy_tests::lab::Lab;
use bindproxy_tests::ldap::{Connection, Endpoint};
use bindproxy_tests::request;
use bindproxy_tests::wait::Stopwatch;

use crate::stage::{SOON, plan, slapd};

const DEVICES: usize = 20;
/// A device's pause between two attempts.
const PACE: Duration = Duration::from_millis(40);

/// What became of one attempt.
enum Attempt {
    Answered(u32),
    /// Notice of Disconnection came instead: the bind was not accepted.
    Noticed,
    /// The connection ended without a word.
    Dropped(String),
}

fn attempt(connection: &mut Connection, name: &str) -> Attempt {
    let id = connection.next_id();
    if let Err(error) = connection.try_send(&request::message(id, &request::bind(name, "stale"))) {
        // What was written to a connection whose other end had closed it was never accepted.
        return match connection.try_frame() {
            Ok(Some(frame)) if frame.message_id() == 0 => Attempt::Noticed,
            _ => Attempt::Dropped(format!("write: {error}")),
        };
    }
    match connection.try_frame() {
        Ok(Some(frame)) if frame.message_id() == 0 => Attempt::Noticed,
        Ok(Some(frame)) => Attempt::Answered(frame.code()),
        Ok(None) => Attempt::Dropped("the connection was closed".to_owned()),
        Err(error) => Attempt::Dropped(error.to_string()),
    }
}

#[test]
fn the_directory_counts_one_failure_of_each_device_over_the_whole_roll() {
    let mut lab = Lab::start(&plan(3).section("drain", "timeoutSeconds: 5"));
    let names: Vec<String> = (0..DEVICES).map(|n| slapd().add_user(&format!("rolled-{n}"), "right")).collect();
    let endpoints: Vec<Endpoint> = lab.pods().iter().map(|pod| pod.endpoint()).collect();
    let over = AtomicBool::new(false);
    let (answered, noticed) = (AtomicUsize::new(0), AtomicUsize::new(0));
    thread::scope(|scope| {
        let devices: Vec<_> = names
            .iter()
            .enumerate()
            .map(|(device, name)| {
                let (endpoints, over, answered, noticed) = (&endpoints, &over, &answered, &noticed);
                scope.spawn(move || {
                    let mut dropped = Vec::new();
                    let mut next = device;
                    'connections: while !over.load(Ordering::Relaxed) {
                        next += 1;
                        // As a load balancer does, somebody who refuses is left out.
                        let Ok(mut connection) = endpoints[next % endpoints.len()].try_connect() else { continue };
                        // A few attempts on each connection, so that all pods see all devices.
                        for _ in 0..8 {
                            match attempt(&mut connection, name) {
                                Attempt::Answered(49) => answered.fetch_add(1, Ordering::Relaxed),
                                Attempt::Answered(code) => panic!("{name} was answered {code}"),
                                Attempt::Noticed => {
                                    noticed.fetch_add(1, Ordering::Relaxed);
                                    continue 'connections;
                                }
                                Attempt::Dropped(how) => {
                                    dropped.push(how);
                                    continue 'connections;
                                }
                            };
                            thread::sleep(PACE);
                        }
                    }
                    dropped
                })
            })
            .collect();
        thread::sleep(Duration::from_millis(500));
        let watch = Stopwatch::start();
        for number in 0..3 {
            let status = lab.pod_mut(number).stop();
            assert_eq!(status.code(), Some(0), "pod-{number} ends its drain in order");
            lab.pod_mut(number).start();
        }
        watch.report("three pods were replaced");
        thread::sleep(Duration::from_millis(500));
        over.store(true, Ordering::Relaxed);
        let dropped: Vec<String> = devices.into_iter().flat_map(|d| d.join().expect("a device's thread")).collect();
        println!(
            "{} answered, {} turned away with a notice, {} without a word: {dropped:?}",
            answered.load(Ordering::Relaxed),
            noticed.load(Ordering::Relaxed),
            dropped.len()
        );
        assert!(dropped.is_empty(), "binds that were accepted and not answered: {dropped:?}");
    });
    for name in &names {
        assert_eq!((slapd().failures(name), slapd().binds(name)), (1, 1), "{name}");
    }
    lab.wait_until_whole(SOON);
    lab.wait_until_equal(DEVICES as f64, SOON);
}
