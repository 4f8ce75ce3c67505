use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bindproxy::admin::cluster::MemberState;
use bindproxy::admin::pod_status::UpstreamReason;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use super::*;

const STATUS: &str = r#"{
    "version": "0.9.0", "configHash": "0011223344556677", "configError": null, "ready": true, "draining": false,
    "upstreams": [{"name": "dc1", "up": false, "reason": "QuotaExceeded", "message": "later", "since": 5}],
    "cluster": {"node": "corp-0", "joined": true, "members": [{"name": "corp-1", "state": "asleep"}]},
    "certificates": [], "weather": {"sunny": true}
}"#;

/// A server that reads a request and then sends `answer` as it is; it counts its connections.
async fn server(on: &str, answer: Vec<u8>, stays: bool) -> (SocketAddr, Arc<AtomicUsize>) {
    let listener = TcpListener::bind(on).await.unwrap();
    let address = listener.local_addr().unwrap();
    let asked = Arc::new(AtomicUsize::new(0));
    let count = asked.clone();
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            count.fetch_add(1, Ordering::SeqCst);
            let answer = answer.clone();
            tokio::spawn(async move {
                let mut request = Vec::new();
                while !request.ends_with(b"\r\n\r\n") {
                    if stream.read_buf(&mut request).await.unwrap_or(0) == 0 {
                        return;
                    }
                }
                assert!(request.starts_with(b"GET /statusz HTTP/1.1\r\n"));
                let _ = stream.write_all(&answer).await;
                if stays {
                    let _ = stream.read_buf(&mut request).await;
                }
            });
        }
    });
    (address, asked)
}

fn http(status: &str, body: &[u8]) -> Vec<u8> {
    let head = format!("HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n", body.len());
    [head.as_bytes(), body].concat()
}

async fn why_silent(answer: Vec<u8>, stays: bool) -> String {
    let (address, asked) = server("127.0.0.1:0", answer, stays).await;
    match ask(address).await {
        PodAnswer::Silent(why) => {
            assert_eq!(asked.load(Ordering::SeqCst), ATTEMPTS);
            why
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_pod_of_a_later_version_is_understood() {
    for on in ["127.0.0.1:0", "[::1]:0"] {
        let (address, asked) = server(on, http("200 OK", STATUS.as_bytes()), true).await;
        let PodAnswer::Told(status) = ask(address).await else { panic!("silent") };
        assert_eq!(status.config_hash, "0011223344556677");
        assert_eq!(status.upstreams[0].reason, UpstreamReason::Unavailable);
        assert_eq!(status.cluster.unwrap().members[0].state, MemberState::Unknown);
        assert_eq!(asked.load(Ordering::SeqCst), 1);
    }
}

#[tokio::test]
async fn an_answer_that_ends_with_the_connection_is_taken() {
    let (address, _) = server("127.0.0.1:0", [b"HTTP/1.1 200 OK\r\n\r\n", STATUS.as_bytes()].concat(), false).await;
    assert!(matches!(ask(address).await, PodAnswer::Told(_)));
}

#[tokio::test]
async fn what_is_no_answer_says_why_in_words_that_do_not_change() {
    assert_eq!(why_silent(http("404 Not Found", b"no"), true).await, "it answered with status 404");
    assert_eq!(why_silent(http("200 OK", b"<html>"), true).await, "its answer is no status of a proxy");
    assert_eq!(why_silent(http("200 OK", b"{\"version\": 1}"), true).await, "its answer is no status of a proxy");
    assert_eq!(why_silent(b"220 smtp.example ESMTP\r\n".to_vec(), false).await, "the connection broke");
    assert_eq!(why_silent(Vec::new(), false).await, "the connection broke");
    let cut = http("200 OK", STATUS.as_bytes());
    assert_eq!(why_silent(cut[..cut.len() - 9].to_vec(), false).await, "the connection broke");
}

#[tokio::test]
async fn an_answer_is_bounded() {
    let filled = |octets: usize| {
        let padding = " ".repeat(octets - STATUS.len());
        http("200 OK", format!("{STATUS}{padding}").as_bytes())
    };
    let (address, _) = server("127.0.0.1:0", filled(OCTETS), true).await;
    assert!(matches!(ask(address).await, PodAnswer::Told(_)));
    assert_eq!(why_silent(filled(OCTETS + 1), true).await, "its answer is longer than 262144 octets");
    // Without a length in the header the octets themselves are counted.
    let endless = [b"HTTP/1.1 200 OK\r\n\r\n".as_slice(), &vec![b' '; 2 * OCTETS]].concat();
    assert_eq!(why_silent(endless, true).await, "its answer is longer than 262144 octets");
}

#[tokio::test]
async fn a_pod_that_takes_its_time_is_left() {
    let began = tokio::time::Instant::now();
    let part = http("200 OK", STATUS.as_bytes())[..60].to_vec();
    let (nothing, some) = tokio::join!(why_silent(Vec::new(), true), why_silent(part, true));
    assert_eq!([nothing, some], ["no answer within 2 s"; 2]);
    let took = began.elapsed();
    assert!(took >= 2 * LIMIT && took < 3 * LIMIT + Duration::from_secs(4), "{took:?}");
}

#[tokio::test]
async fn a_pod_where_nobody_listens_is_silent() {
    let address = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let PodAnswer::Silent(why) = ask(address).await else { panic!("told") };
    assert_eq!(why, "it cannot be reached: connection refused");
}

#[tokio::test]
async fn one_question_that_is_lost_says_nothing() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        drop(listener.accept().await.unwrap());
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut request = Vec::new();
        stream.read_buf(&mut request).await.unwrap();
        stream.write_all(&http("200 OK", STATUS.as_bytes())).await.unwrap();
    });
    assert!(matches!(ask(address).await, PodAnswer::Told(_)));
}
