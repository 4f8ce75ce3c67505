//! Members that know each other.

use std::time::{Duration, Instant};

use bindproxy::demo::client::Client;
use bindproxy::directory::{Behaviour, Match};
use tokio::task::JoinSet;

use super::world::{
    ALICE, Authority, BOB, CLUSTER, Papers, Wanted, cluster, directory, eventually, free_addresses, start,
};

const LEASES: &str = "bindproxy_cluster_leases_total";

fn leases(members: &[super::world::Member], result: &str) -> f64 {
    members.iter().map(|member| member.metric(&format!("{LEASES}{{result=\"{result}\"}}"))).sum()
}

#[tokio::test]
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
    assert_eq!(members[2].bind(ALICE, "alicepw").await, 0, "the right password is never refused");
    members.into_iter().for_each(super::world::Member::stop);
    directory.stop().await;
}

#[tokio::test]
async fn a_storm_of_one_wrong_password_over_all_members_is_asked_about_once() {
    let directory = directory().await;
    let members = cluster(3, "Lease", &directory).await;
    // So slow that all of them are on their way at the same time.
    directory.script(|script| {
        script.when(Match::bind(), Behaviour::Delay(Duration::from_millis(300)));
    });
    for (round, name) in [ALICE, BOB].into_iter().enumerate() {
        let mut storm = JoinSet::new();
        for attempt in 0..24 {
            let address = members[attempt % 3].ldap();
            storm.spawn(async move { Client::connect(address).await.unwrap().bind(name, "stale").await.unwrap().0 });
        }
        assert!(storm.join_all().await.into_iter().all(|code| code == 49));
        assert_eq!(directory.failures(name), 1, "round {round}");
    }
    assert_eq!(leases(&members, "unleased"), 0.0);
    // At least two of three members had to ask the owner, twice.
    assert!(leases(&members, "granted") + leases(&members, "verdict") >= 4.0);
    members.into_iter().for_each(super::world::Member::stop);
    directory.stop().await;
}

#[tokio::test]
async fn identical_binds_with_the_right_password_all_succeed() {
    let directory = directory().await;
    let members = cluster(3, "Strict", &directory).await;
    directory.script(|script| {
        script.when(Match::bind(), Behaviour::Delay(Duration::from_millis(100)));
    });
    let mut logins = JoinSet::new();
    for attempt in 0..12 {
        let address = members[attempt % 3].ldap();
        logins.spawn(async move { Client::connect(address).await.unwrap().bind(ALICE, "alicepw").await.unwrap().0 });
    }
    assert!(logins.join_all().await.into_iter().all(|code| code == 0));
    assert_eq!(directory.binds(ALICE), 12, "each session binds for itself");
    members.into_iter().for_each(super::world::Member::stop);
    directory.stop().await;
}

#[tokio::test]
async fn members_that_ask_nobody_still_share_what_they_learn() {
    let directory = directory().await;
    let members = cluster(2, "Local", &directory).await;
    assert_eq!(members[0].bind(ALICE, "stale").await, 49);
    eventually("the entry is there", || members[1].server.shared.guard.stats().live == 1).await;
    assert_eq!(members[1].bind(ALICE, "stale").await, 49);
    assert_eq!(directory.failures(ALICE), 1);
    assert_eq!(leases(&members, "granted"), 0.0);
    members.into_iter().for_each(super::world::Member::stop);
    directory.stop().await;
}

#[tokio::test]
async fn who_comes_late_has_everything_before_it_serves_and_who_leaves_is_no_ghost() {
    let directory = directory().await;
    let authority = Authority::new();
    let addresses = free_addresses(2);
    let wanted = |index: usize| Wanted {
        name: ["corp-0", "corp-1"][index],
        cluster: CLUSTER,
        coordination: "Lease",
        address: addresses[index],
        others: &addresses,
        upstream: directory.addr(),
    };
    let first = start(&wanted(0), Papers::new(&authority, CLUSTER));
    assert!(Client::connect(first.ldap()).await.is_err(), "no client is let in before the end of the join");
    eventually("the first one has waited long enough", || first.is_open()).await;
    assert_eq!(first.metric("bindproxy_cluster_joined{complete=\"false\"}"), 1.0, "and says that it was alone");
    for number in 0..50 {
        assert_eq!(first.bind(&format!("uid=nobody{number},dc=example,dc=org"), "x").await, 49);
    }
    let late = start(&wanted(1), Papers::new(&authority, CLUSTER));
    assert!(!late.is_open(), "it has not joined yet");
    eventually("the late one is open", || late.is_open()).await;
    assert_eq!(late.server.shared.guard.stats().live, 50);
    assert_eq!(late.metric("bindproxy_cluster_joined{complete=\"true\"}"), 1.0);
    eventually("both dial each other", || first.metric("bindproxy_cluster_links{direction=\"out\"}") == 1.0).await;
    // What the first learns is handed over even if it comes in the last moment.
    assert_eq!(first.bind(ALICE, "stale").await, 49);
    first.stop();
    assert_eq!(late.server.shared.guard.stats().live, 51);
    eventually("it is known to have left", || late.metric("bindproxy_cluster_peers{state=\"left\"}") == 1.0).await;
    assert_eq!(late.metric("bindproxy_cluster_peers{state=\"suspect\"}"), 0.0);
    assert_eq!(late.bind(ALICE, "stale").await, 49);
    assert_eq!(directory.failures(ALICE), 1);
    late.stop();
    directory.stop().await;
}

#[tokio::test]
async fn everybody_can_be_asked_and_whoever_is_silent_is_named() {
    let directory = directory().await;
    let members = cluster(3, "Lease", &directory).await;
    let handle = members[0].server.shared.cluster.get().unwrap().clone();
    let gathered = handle.gather(None, Duration::from_secs(5)).await;
    let mut answered: Vec<String> = gathered.answers.into_iter().map(|(name, _)| name).collect();
    answered.sort();
    assert_eq!((answered, gathered.missing), (vec!["corp-1".to_owned(), "corp-2".to_owned()], Vec::new()));
    // A member whose process ends without a word: its thread is stopped, and the rest goes on.
    members[2].server.shared.cluster.get().unwrap().stop();
    eventually("it is suspected", || members[0].metric("bindproxy_cluster_peers{state=\"suspect\"}") == 1.0).await;
    let gathered = handle.gather(None, Duration::from_millis(300)).await;
    assert_eq!((gathered.answers.len(), gathered.missing), (1, vec!["corp-2".to_owned()]));
    members.into_iter().for_each(super::world::Member::stop);
    directory.stop().await;
}

#[tokio::test]
async fn without_any_other_member_a_strict_one_asks_itself() {
    let directory = directory().await;
    let mut members = cluster(2, "Strict", &directory).await;
    let gone = members.pop().unwrap();
    gone.server.shared.cluster.get().unwrap().stop();
    for number in 0..8 {
        let name = format!("uid=somebody{number},dc=example,dc=org");
        assert_eq!(members[0].bind(&name, "x").await, 49, "a name of the lost one finds another owner");
    }
    gone.stop();
    members.into_iter().for_each(super::world::Member::stop);
    directory.stop().await;
}

#[tokio::test]
async fn a_new_authority_is_taken_over_without_a_restart() {
    let directory = directory().await;
    let members = cluster(2, "Lease", &directory).await;
    let (old, new) = (std::fs::read_to_string(members[0].papers.path("ca.crt")).unwrap(), Authority::new());
    // Certificates of the new authority; both authorities are believed, as while one is rolled out.
    for member in &members {
        member.papers.write(&new, CLUSTER);
        let both = old.clone() + &std::fs::read_to_string(member.papers.path("ca.crt")).unwrap();
        std::fs::write(member.papers.path("ca.crt"), both).unwrap();
        member.server.reloader.reload();
        assert_eq!(member.metric("bindproxy_config_reloads_total{result=\"success\"}"), 1.0);
    }
    assert_eq!(members[0].metric("bindproxy_cluster_peers{state=\"alive\"}"), 1.0, "what is connected stays");
    // A third one that has nothing of the old authority.
    let address = free_addresses(1)[0];
    let known = members[0].server.cluster_address().unwrap();
    let wanted = Wanted {
        name: "corp-9",
        cluster: CLUSTER,
        coordination: "Lease",
        address,
        others: &[known],
        upstream: directory.addr(),
    };
    let third = start(&wanted, Papers::new(&new, CLUSTER));
    eventually("the new one has joined", || third.is_open()).await;
    assert_eq!(third.metric("bindproxy_cluster_joined{complete=\"true\"}"), 1.0);
    third.stop();
    members.into_iter().for_each(super::world::Member::stop);
    directory.stop().await;
}
