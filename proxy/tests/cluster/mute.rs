//! A member that takes in nothing for a while: nobody waits for it, and what it missed is repaired.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bindproxy::bind::{Decision, Outcome, Source, Verdict};
use bindproxy::clock::Tick;
use bindproxy::cluster::message::{Hello, Message, NodeId, OLDEST_PROTOCOL, PROTOCOL, Standing};
use bindproxy::cluster::start::key_ids;
use bindproxy::cluster::wire;
use bindproxy::codec::{build, frame};
use bindproxy::config;
use bindproxy::core::{Shared, Waiter};
use bindproxy::effects;
use bindproxy::tls::peer_server_name;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, ReadHalf, WriteHalf};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::mpsc;
use tokio_rustls::server::TlsStream;
use tokio_rustls::{TlsAcceptor, TlsConnector};

use super::world::{ALICE, Authority, CLUSTER, Papers, Wanted, directory, eventually, free_addresses, start};

/// With the answers that they carry, more than a connection's queue and the kernel's buffers hold.
const FACTS: usize = 4_000;
/// So many different answers that no two facts of one message share one.
const ANSWERS: usize = 200;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_that_does_not_read_costs_nobody_anything_and_is_compared_with_later() {
    let directory = directory().await;
    let authority = Authority::new();
    let socket = listener();
    let addresses = [free_addresses(1)[0], socket.local_addr().unwrap()];
    let wanted = |name, address| Wanted {
        name,
        cluster: CLUSTER,
        coordination: "Lease",
        address,
        others: &addresses,
        upstream: directory.addr(),
    };
    let papers = Papers::new(&authority, CLUSTER);
    let honest = start(&wanted("corp-0", addresses[0]), Papers::new(&authority, CLUSTER));
    let shared = honest.server.shared.clone();
    let path = super::world::write(&wanted("mute", addresses[1]), &papers);
    let tls = config::load(&path).unwrap().material.cluster.unwrap();
    let (stream, _) = socket.accept().await.unwrap();
    let stream = TlsAcceptor::from(tls.server).accept(stream).await.unwrap();
    let (mut reading, mut writing) = tokio::io::split(stream);
    let mut unread = Vec::new();
    assert!(matches!(hear(&mut reading, &mut unread).await, Message::Hello(_)));
    say(&mut writing, &Message::Hello(hello(&shared))).await;
    eventually("the honest one serves", || honest.is_open()).await;
    let (answers, mut answered) = mpsc::unbounded_channel();
    // Signs of life, so that silence is not what ends the connection.
    let speaking = tokio::spawn(async move {
        for number in 0.. {
            say(&mut writing, &Message::Ping { now: Tick(1), number }).await;
            if let Ok(answer) = tokio::time::timeout(Duration::from_millis(500), answered.recv()).await {
                say(&mut writing, &answer.unwrap()).await;
            }
        }
    });
    tokio::task::block_in_place(|| (0..FACTS).for_each(|number| learn(&shared, number)));
    eventually("the queue overflows", || honest.metric("bindproxy_cluster_dropped_total") > 0.0).await;
    assert_eq!(honest.bind(ALICE, "stale").await, 49, "clients notice nothing");
    assert_eq!(honest.metric("bindproxy_cluster_links{direction=\"out\"}"), 1.0, "it is still a member");
    // It reads again: what fitted comes, and then the question whether that is all.
    let told = tokio::time::timeout(Duration::from_secs(20), async {
        let mut told = 0;
        loop {
            match hear(&mut reading, &mut unread).await {
                Message::Facts { sent: _, facts } => told += facts.len(),
                // The one from the beginning of the connection, when there was nothing to compare.
                Message::Compare { sync, .. } if told == 0 => answers.send(Message::Same { sync }).unwrap(),
                Message::Compare { .. } => return told,
                _ => {}
            }
        }
    });
    let told = told.await.expect("a comparison within twenty seconds");
    assert!((1..FACTS).contains(&told), "{told} of {FACTS}");
    speaking.abort();
    drop(reading);
    honest.stop();
    directory.stop().await;
}

#[tokio::test]
async fn a_member_that_is_stopped_is_suspected_though_its_connections_stay_open() {
    let directory = directory().await;
    let authority = Authority::new();
    let addresses = free_addresses(2);
    let wanted = |name, address| Wanted {
        name,
        cluster: CLUSTER,
        coordination: "Lease",
        address,
        others: &addresses[..1],
        upstream: directory.addr(),
    };
    let papers = Papers::new(&authority, CLUSTER);
    let honest = start(&wanted("corp-0", addresses[0]), Papers::new(&authority, CLUSTER));
    let path = super::world::write(&wanted("mute", addresses[1]), &papers);
    let tls = config::load(&path).unwrap().material.cluster.unwrap();
    let stream = TcpStream::connect(addresses[0]).await.unwrap();
    let mut stream = TlsConnector::from(tls.client).connect(peer_server_name(), stream).await.unwrap();
    let mut octets = Vec::new();
    wire::encode(&Message::Hello(hello(&honest.server.shared)), &mut octets).unwrap();
    stream.write_all(&octets).await.unwrap();
    eventually("it is a member", || honest.metric("bindproxy_cluster_links{direction=\"in\"}") == 1.0).await;
    assert_eq!(honest.metric("bindproxy_cluster_peers{state=\"alive\"}"), 0.0, "it cannot be told anything");
    eventually("its silence ends that", || honest.metric("bindproxy_cluster_links{direction=\"in\"}") == 0.0).await;
    assert_eq!(honest.metric("bindproxy_cluster_peers{state=\"suspect\"}"), 1.0);
    drop(stream);
    honest.stop();
    directory.stop().await;
}

/// Listens with so little room in the kernel that the other side notices soon that nobody reads.
fn listener() -> TcpListener {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(16 * 1024).unwrap();
    socket.bind(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
    socket.listen(16).unwrap()
}

fn hello(shared: &Shared) -> Hello {
    Hello {
        oldest: OLDEST_PROTOCOL,
        newest: PROTOCOL,
        features: 0,
        cluster: CLUSTER.to_owned(),
        node: NodeId(u64::MAX),
        name: "mute".to_owned(),
        keys: key_ids(shared),
        now: Tick(1),
        standing: Standing::Joining,
        entries: 0,
        // Nobody listens there.
        port: 9,
    }
}

/// As a session does whose bind the directory refuses.
fn learn(shared: &Arc<Shared>, number: usize) {
    let credential = shared.guard.credential(format!("uid=user{number},dc=example,dc=org").as_bytes(), b"stale");
    let now = shared.cluster_clock.now();
    let unexpected = || -> Waiter { panic!("nobody else binds") };
    let Decision::Lead(lease) = shared.guard.decide(&credential, Source::local(), now, unexpected) else {
        panic!("a new name")
    };
    // As Active Directory says it, at length.
    let diagnostic =
        format!("80090308: LdapErr: DSID-0C090439, data 52e, v{:03}{}", number % ANSWERS, " ".repeat(3_000));
    let response = build::bind_response(1, 49, &diagnostic);
    let peek = frame::peek(&response, 10_000).unwrap().unwrap();
    let verdict = Verdict::from_response(&response, &peek).unwrap();
    let settled = shared.guard.settle(lease, Outcome::Verdict(verdict), now);
    assert!(settled.released.is_empty() && settled.effects.len() == 1, "{:?}", settled.class);
    effects::perform(shared, settled.effects);
}

async fn say(stream: &mut WriteHalf<TlsStream<TcpStream>>, message: &Message) {
    let mut octets = Vec::new();
    wire::encode(message, &mut octets).unwrap();
    stream.write_all(&octets).await.unwrap();
    stream.flush().await.unwrap();
}

async fn hear(stream: &mut ReadHalf<TlsStream<TcpStream>>, unread: &mut Vec<u8>) -> Message {
    loop {
        if let Some(length) = wire::frame_length(unread).unwrap()
            && let Some(frame) = unread.get(wire::LENGTH_OCTETS..length)
        {
            let message = wire::decode(frame).unwrap();
            unread.drain(..length);
            return message;
        }
        assert!(stream.read_buf(unread).await.unwrap() > 0, "the connection was closed");
    }
}
