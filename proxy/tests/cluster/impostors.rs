//! Processes that want to be members and are none.

use std::net::SocketAddr;
use std::time::Duration;

use bindproxy::directory::RunningDirectory;

use super::world::{ALICE, Authority, CLUSTER, Member, Papers, Wanted, directory, eventually, free_addresses, start};

/// A member, and one that dials it and is dialled by it.
struct Pair {
    directory: RunningDirectory,
    authority: Authority,
    addresses: Vec<SocketAddr>,
}

impl Pair {
    async fn new() -> Self {
        Self { directory: directory().await, authority: Authority::new(), addresses: free_addresses(2) }
    }

    fn start(&self, index: usize, cluster: &str, papers: Papers) -> Member {
        let wanted = Wanted {
            name: ["corp-0", "corp-1"][index],
            cluster,
            coordination: "Lease",
            address: self.addresses[index],
            others: &self.addresses,
            upstream: self.directory.addr(),
        };
        start(&wanted, papers)
    }

    fn honest(&self) -> Member {
        self.start(0, CLUSTER, Papers::new(&self.authority, CLUSTER))
    }

    /// Nothing of what one learns gets to the other, and the refusals are counted.
    async fn strangers(self, honest: Member, impostor: Member, reason: &str) {
        let series = format!("bindproxy_cluster_rejected_total{{reason=\"{reason}\"}}");
        eventually("the impostor is refused", || honest.metric(&series) >= 1.0).await;
        // Whoever is refused is no member to wait for.
        eventually("both serve", || honest.is_open() && impostor.is_open()).await;
        assert_eq!(honest.bind(ALICE, "stale").await, 49);
        tokio::time::sleep(Duration::from_millis(300)).await;
        assert_eq!(impostor.server.shared.guard.stats().live, 0);
        for member in [&honest, &impostor] {
            assert_eq!(member.metric("bindproxy_cluster_peers{state=\"alive\"}"), 0.0);
            assert_eq!(member.metric("bindproxy_cluster_messages_total{direction=\"in\",kind=\"facts\"}"), 0.0);
        }
        honest.stop();
        impostor.stop();
        self.directory.stop().await;
    }
}

#[tokio::test]
async fn another_authority() {
    let pair = Pair::new().await;
    let honest = pair.honest();
    let impostor = pair.start(1, CLUSTER, Papers::new(&Authority::new(), CLUSTER));
    pair.strangers(honest, impostor, "auth").await;
}

#[tokio::test]
async fn the_same_authority_but_another_identity() {
    let pair = Pair::new().await;
    let honest = pair.honest();
    let impostor = pair.start(1, "mail/other", Papers::new(&pair.authority, "mail/other"));
    pair.strangers(honest, impostor, "identity").await;
}

#[tokio::test]
async fn everything_right_but_another_hashing_key() {
    let pair = Pair::new().await;
    let honest = pair.honest();
    let papers = Papers::new(&pair.authority, CLUSTER);
    let key: Vec<u8> = (101..=132).collect();
    std::fs::write(papers.path("hash.key"), key).unwrap();
    let impostor = pair.start(1, CLUSTER, papers);
    eventually("both serve", || honest.is_open() && impostor.is_open()).await;
    assert_eq!(honest.bind(ALICE, "stale").await, 49);
    assert_eq!(impostor.bind(ALICE, "stale").await, 49);
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(pair.directory.failures(ALICE), 2, "neither knows what the other learned");
    assert_eq!(honest.metric("bindproxy_cache_insertions_total{origin=\"cluster\"}"), 0.0);
    honest.stop();
    impostor.stop();
    pair.directory.stop().await;
}

#[tokio::test]
async fn octets_that_are_no_tls() {
    use std::io::{Read as _, Write as _};
    let pair = Pair::new().await;
    let honest = pair.honest();
    let mut garbage = std::net::TcpStream::connect(pair.addresses[0]).unwrap();
    garbage.write_all(b"GET / HTTP/1.1\r\n\r\n").unwrap();
    garbage.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    let mut answer = Vec::new();
    // A TLS alert, or nothing; then the end.
    let _ = garbage.read_to_end(&mut answer);
    assert!(answer.len() < 16, "{answer:?}");
    let refused = "bindproxy_cluster_rejected_total{reason=\"auth\"}";
    eventually("it is counted", || honest.metric(refused) == 1.0).await;
    honest.stop();
    pair.directory.stop().await;
}
