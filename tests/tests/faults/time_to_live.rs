//! How long a wrong password is remembered.

use std::time::Duration;

use bindproxy_tests::process;
use bindproxy_tests::stale_device::{hammer_expecting, login};
use bindproxy_tests::wait::{self, Stopwatch};

use crate::stage::{ALICE, ALICE_PASSWORD, stage_with};

/// Steady repetition costs a logarithmic number of attempts: the life doubles each time.
#[test]
fn grows_while_the_device_keeps_trying() {
    let (directory, proxy) = stage_with(|c| c.section("cache", "ttlSeconds: 1, firstTTLSeconds: 1, maxTTLSeconds: 60"));
    let watch = Stopwatch::start();
    let mut asked_at = Vec::new();
    while watch.elapsed() < Duration::from_millis(6500) {
        let before = directory.binds(ALICE);
        assert_eq!(login(&proxy.endpoint(), ALICE, "stale"), 49);
        if directory.binds(ALICE) > before {
            asked_at.push(watch.elapsed().as_millis());
        }
        // A locked account would say the same, but its owner could not log in.
        if directory.counted(ALICE) == 2 {
            directory.unlock(ALICE);
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    println!("the directory was asked at {asked_at:?} ms");
    // At 0, 1 and 3 s; the next would be at 7 s.
    assert_eq!(asked_at.len(), 3, "{asked_at:?}");
    assert!(asked_at[1] >= 1000 && asked_at[2] - asked_at[1] >= 2000, "{asked_at:?}");
}

/// `maxTTLSeconds` is the ceiling.
#[test]
fn stops_growing_at_its_ceiling() {
    let (directory, proxy) = stage_with(|c| c.section("cache", "ttlSeconds: 1, firstTTLSeconds: 1, maxTTLSeconds: 1"));
    let watch = Stopwatch::start();
    wait::until_true("the fourth attempt", Duration::from_secs(20), || {
        assert_eq!(login(&proxy.endpoint(), ALICE, "stale"), 49);
        directory.unlock(ALICE);
        directory.binds(ALICE) == 4
    });
    assert!((2900..6000).contains(&watch.elapsed().as_millis()), "{:?}", watch.elapsed());
}

#[test]
fn a_refusal_can_be_delayed() {
    let (_directory, proxy) = stage_with(|c| c.section("cache", "answerDelayMilliseconds: 400"));
    assert_eq!(login(&proxy.endpoint(), ALICE, "stale"), 49);
    let watch = Stopwatch::start();
    hammer_expecting(49, &proxy.endpoint(), ALICE, "stale");
    // Twenty attempts over eight connections are three in a row, each delayed by 300 to 500 ms.
    assert!(watch.elapsed() >= Duration::from_millis(900), "{:?}", watch.elapsed());
    let watch = Stopwatch::start();
    assert_eq!(login(&proxy.endpoint(), ALICE, ALICE_PASSWORD), 0);
    assert!(watch.elapsed() < Duration::from_millis(300), "only local refusals wait: {:?}", watch.elapsed());
}

/// The help desk's way: who is it, why is she refused, and forget it.
#[test]
fn ends_by_command() {
    let (directory, proxy) = stage_with(|c| c);
    hammer_expecting(49, &proxy.endpoint(), ALICE, "stale");
    let command = |arguments: &[&str]| {
        let mut command = std::process::Command::new(bindproxy_tests::proxy::binary());
        process::run(command.args(arguments).args(["--admin", &proxy.admin_url()]))
    };
    assert!(command(&["offenders"]).contains("127.0.0.1"), "{}", command(&["offenders"]));
    let explained: serde_json::Value = serde_json::from_str(&command(&["explain", ALICE, "-o", "json"])).expect("JSON");
    assert_eq!(explained["entries"].as_array().map(Vec::len), Some(1), "{explained}");
    assert!(command(&["status"]).contains("directory"), "{}", command(&["status"]));

    let before = directory.binds(ALICE);
    assert_eq!(login(&proxy.endpoint(), ALICE, "stale"), 49);
    assert_eq!(directory.binds(ALICE), before);
    command(&["flush", &ALICE.to_uppercase()]);
    assert_eq!(login(&proxy.endpoint(), ALICE, "stale"), 49);
    assert_eq!(directory.binds(ALICE), before + 1, "asked again after the flush");
}
