//! The device that keeps presenting an old password, and the checks that every directory shares.

use std::sync::Barrier;
use std::thread;

use crate::counter::Counter;
use crate::ldap::{Endpoint, Frame};
use crate::request;

/// How often the device tries.
pub const ATTEMPTS: usize = 20;
/// Over how many connections at a time.
pub const CONNECTIONS: usize = 8;

/// Binds [`ATTEMPTS`] times over [`CONNECTIONS`] connections that start in the same moment; returns
/// every answer.
#[must_use]
pub fn hammer(front: &Endpoint, name: &str, password: &str) -> Vec<Frame> {
    let barrier = Barrier::new(CONNECTIONS);
    thread::scope(|scope| {
        let devices: Vec<_> = (0..CONNECTIONS)
            .map(|device| {
                let barrier = &barrier;
                scope.spawn(move || {
                    let mut connection = front.connect();
                    barrier.wait();
                    let attempts = (device..ATTEMPTS).step_by(CONNECTIONS);
                    attempts.map(|_| connection.ask(&request::bind(name, password))).collect::<Vec<_>>()
                })
            })
            .collect();
        devices.into_iter().flat_map(|device| device.join().expect("a device's thread")).collect()
    })
}

/// [`hammer`], where every answer must have this code.
pub fn hammer_expecting(code: u32, front: &Endpoint, name: &str, password: &str) {
    let answers = hammer(front, name, password);
    assert_eq!(answers.len(), ATTEMPTS);
    for answer in answers {
        assert_eq!(answer.code(), code, "{name}: {answer:?}");
    }
}

/// One bind on a connection of its own; its result code.
#[must_use]
pub fn login(front: &Endpoint, name: &str, password: &str) -> u32 {
    front.connect().bind(name, password)
}

/// Promise I1 and I2 for one account: however often the device tries, the directory counts one
/// failure, and the owner logs in before, meanwhile and afterwards.
///
/// `name` has the password `right`; `stale` was never its password.
pub fn one_stale_password_counts_once(counter: &dyn Counter, front: &Endpoint, name: &str, right: &str, stale: &str) {
    let before = counter.binds(name);
    assert_eq!(login(front, name, right), 0, "the owner logs in before");
    assert_eq!(counter.binds(name) - before, 1);

    hammer_expecting(49, front, name, stale);
    assert_eq!(counter.failures(name), 1, "the directory's own counter after {ATTEMPTS} attempts");
    assert_eq!(counter.binds(name) - before, 2, "binds in the directory's log");

    // A success clears the directory's counter, so from here on its log tells.
    let owner = thread::scope(|scope| {
        let owner = scope.spawn(|| (0..5).map(|_| login(front, name, right)).collect::<Vec<_>>());
        hammer_expecting(49, front, name, stale);
        owner.join().expect("the owner's thread")
    });
    assert_eq!(owner, [0; 5], "the owner logs in meanwhile");
    assert_eq!(login(front, name, right), 0, "the owner logs in afterwards");
    assert_eq!(counter.failures(name), 0, "no failure after the owner's last success");
    assert_eq!(counter.binds(name) - before, 8, "one failure and seven logins in the directory's log");
    assert!(!counter.locked(name));
}

/// Binds three times with the same name and password: each time the directory is asked, and the
/// client is told `code`.
pub fn never_from_the_cache(counter: &dyn Counter, front: &Endpoint, name: &str, password: &str, code: u32) {
    for attempt in 1..=3 {
        let before = counter.binds(name);
        let answer = front.connect().ask(&request::bind(name, password));
        assert_eq!(answer.code(), code, "{name}, attempt {attempt}: {answer:?}");
        assert_eq!(counter.binds(name) - before, 1, "{name}, attempt {attempt}: binds in the directory's log");
    }
}

/// Binds three times with the same name and password: the directory is asked the first time only,
/// and the client is told the same each time. Returns the answer.
pub fn cached(counter: &dyn Counter, front: &Endpoint, name: &str, password: &str) -> Frame {
    let before = counter.binds(name);
    let first = front.connect().ask(&request::bind(name, password));
    assert_eq!(first.code(), 49, "{name}: {first:?}");
    for _ in 0..2 {
        let again = front.connect().ask(&request::bind(name, password));
        assert_eq!(again.octets, first.octets, "{name}: the replay differs");
    }
    assert_eq!(counter.binds(name) - before, 1, "{name}: binds in the directory's log");
    first
}
