//! Devices that present one stale password to several pods at once.

use std::sync::Barrier;
use std::thread;
use std::time::Duration;

use crate::request;
use crate::stale_device::{ATTEMPTS, CONNECTIONS};
use crate::wait::Stopwatch;

use super::pod::Pod;

/// Every answer's code, and the longest that one took.
#[derive(Clone, Debug)]
pub struct Answers {
    /// Of every bind.
    pub codes: Vec<u32>,
    /// From sending to the answer.
    pub slowest: Duration,
}

impl Answers {
    /// Fails unless every answer was this one.
    pub fn expect(self, code: u32) -> Self {
        assert!(self.codes.iter().all(|&answer| answer == code), "not all answers are {code}: {:?}", self.codes);
        self
    }
}

/// [`ATTEMPTS`] binds on each of [`CONNECTIONS`] connections to each of `pods`, all from the same moment on.
#[must_use]
pub fn storm(pods: &[&Pod], name: &str, password: &str) -> Answers {
    let barrier = Barrier::new(pods.len() * CONNECTIONS);
    let answers: Vec<(u32, Duration)> = thread::scope(|scope| {
        let devices: Vec<_> = (0..pods.len() * CONNECTIONS)
            .map(|device| {
                let (barrier, pod) = (&barrier, pods[device % pods.len()]);
                scope.spawn(move || {
                    let mut connection = pod.endpoint().connect();
                    barrier.wait();
                    (0..ATTEMPTS)
                        .map(|_| {
                            let watch = Stopwatch::start();
                            (connection.ask(&request::bind(name, password)).code(), watch.elapsed())
                        })
                        .collect::<Vec<_>>()
                })
            })
            .collect();
        devices.into_iter().flat_map(|device| device.join().expect("a device's thread")).collect()
    });
    Answers {
        codes: answers.iter().map(|(code, _)| *code).collect(),
        slowest: answers.iter().map(|(_, took)| *took).max().unwrap_or_default(),
    }
}

/// One bind on a connection of its own: the code, and how long it took from sending to the answer.
#[must_use]
pub fn login(pod: &Pod, name: &str, password: &str) -> (u32, Duration) {
    let mut connection = pod.endpoint().connect();
    let watch = Stopwatch::start();
    let code = connection.bind(name, password);
    (code, watch.elapsed())
}
