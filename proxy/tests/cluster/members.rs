//! Members that know each other.

use std::time::{Duration, Instant};

use super::world::{ALICE, BOB, cluster, directory, eventually};

#[tokio::test(flavor = "current_thread")]
async fn a_failed_bind_at_one_is_answered_by_all() {
    let directory = directory().await;
    let members = cluster(3, "Lease", &directory).await;
    assert_eq!(members[0].bind(ALICE, "stale").await, 49);
    let entries = |index: usize| members[index].server.shared.guard.stats().live;
    let since = Instant::now();
    eventually("the entry is everywhere", || entries(1) == 1 && entries(2) == 1).await;
    assert!(since.elapsed() < Duration::from_millis(500), "{:?}", since.elapsed());
    for member in &members {
        assert_eq!(member.bind(ALICE, "stale").await, 49);
    }
    assert_eq!(directory.failures(ALICE), 1);
    assert_eq!(members[1].metric("bindproxy_cache_insertions_total{origin=\"cluster\"}"), 1.0);
    assert_eq!(members[1].metric("bindproxy_cache_insertions_total{origin=\"local\"}"), 0.0);
    // The right password is asked for, and the mistaken one is asked for again after it.
    assert_eq!(members[2].bind(ALICE, "alicepw").await, 0);
    for member in members {
        member.stop();
    }
    directory.stop().await;
}
