//! A client that asks for much and reads nothing must not grow the proxy.

use std::time::Duration;

use bindproxy::directory::{Behaviour, Match};
use bindproxy_tests::request::{self, Scope};
use bindproxy_tests::wait::Stopwatch;

use crate::stage::{PEOPLE, stage};

const ENTRIES: u64 = 30_000;
const OCTETS: usize = 2_000;
/// Far below the 60 MB that the answer has, far above what buffers take.
const GROWTH_LIMIT: u64 = 12 << 20;

#[test]
fn leaves_the_answer_with_the_directory() {
    let (directory, proxy) = stage();
    directory.script(|script| {
        script.when(Match::search(), Behaviour::Entries { count: ENTRIES, octets: OCTETS, every: Duration::ZERO });
    });
    let search = request::search(PEOPLE, Scope::Subtree, &request::present("objectClass"), &[], 0);
    for front in [proxy.endpoint(), proxy.ldaps(), proxy.unix()] {
        let mut client = front.connect();
        let before = proxy.process().resident_bytes();
        client.send(&request::message(1, &search));
        let first = client.frame();
        assert_eq!(first.op(), 0x64);

        let watch = Stopwatch::start();
        let mut highest = before;
        while watch.elapsed() < Duration::from_millis(1500) {
            highest = highest.max(proxy.process().resident_bytes());
            std::thread::sleep(Duration::from_millis(50));
        }
        println!("resident: {} KiB before, {} KiB with a reader that does not read", before >> 10, highest >> 10);
        assert!(highest - before < GROWTH_LIMIT, "grew by {} KiB", (highest - before) >> 10);

        let mut seen = 1;
        loop {
            let frame = client.frame();
            if frame.is_final() {
                assert_eq!(frame.code(), 0);
                break;
            }
            seen += 1;
        }
        assert_eq!(seen, ENTRIES, "and all of it arrives in the end");
        watch.report("60 MB read");
        let after = proxy.process().resident_bytes();
        assert!(after.saturating_sub(before) < GROWTH_LIMIT, "grew by {} KiB", (after - before) >> 10);
    }
}
