//! The admin API of one member, answered by all.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::world::{ALICE, Member, cluster, directory, eventually};

impl Member {
    async fn ask(&self, method: &str, path: &str, body: &str) -> Value {
        let mut stream = TcpStream::connect(self.server.admin_address()).await.unwrap();
        let length = body.len();
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Type: application/json\r\n\
             Content-Length: {length}\r\n\r\n{body}"
        );
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("HTTP/1.1 200 "), "{answer}");
        serde_json::from_str(body).unwrap()
    }

    async fn get(&self, path: &str) -> Value {
        self.ask("GET", path, "").await
    }

    async fn flush(&self, name: &str) -> Value {
        self.ask("POST", "/api/v1/flush", &json!({ "name": name }).to_string()).await
    }

    fn entries(&self) -> usize {
        self.server.shared.guard.stats().live
    }
}

#[tokio::test(flavor = "current_thread")]
async fn any_member_answers_for_all() {
    let directory = directory().await;
    let mut members = cluster(3, "Lease", &directory).await;
    eventually("all have dialled each other", || {
        members.iter().all(|member| member.metric("bindproxy_cluster_links{direction=\"out\"}") == 2.0)
    })
    .await;
    for times in [1, 2, 3] {
        for _ in 0..times {
            assert_eq!(members[times - 1].bind(ALICE, "stale").await, 49);
        }
        eventually("the entry is everywhere", || members.iter().all(|member| member.entries() == 1)).await;
    }
    assert_eq!(directory.failures(ALICE), 1);

    let status = members[0].get("/api/v1/status").await;
    assert_eq!(status["cluster"]["node"], "corp-0");
    assert_eq!(status["cluster"]["members"].as_array().map(Vec::len), Some(2));
    assert_eq!(status["cluster"]["members"][0]["state"], "alive");

    let offenders = members[1].get("/api/v1/offenders").await;
    assert_eq!(offenders["offenders"].as_array().map(Vec::len), Some(1), "{offenders}");
    let alice = &offenders["offenders"][0];
    assert_eq!((&alice["name"], &alice["suppressed"], &alice["overcount"]), (&json!(ALICE), &json!(5), &json!(0)));
    assert_eq!(alice["nodes"], json!(["corp-1", "corp-2"]));
    assert_eq!(offenders["answered"], json!(["corp-1", "corp-0", "corp-2"]));

    let explained = members[2].get(&format!("/api/v1/explain?name={}", alice["shortHash"].as_str().unwrap())).await;
    assert_eq!(explained["entries"].as_array().map(Vec::len), Some(1), "{explained}");
    assert_eq!(explained["entries"][0]["hits"], 5);
    let hits: Vec<_> = explained["nodes"].as_array().unwrap().iter().map(|node| &node["entries"][0]["hits"]).collect();
    assert_eq!(hits, [3, 0, 2], "corp-2, corp-0, corp-1");
    assert_eq!(explained["missing"], json!([]));

    let flushed = members[0].flush(ALICE).await;
    assert_eq!(flushed["acknowledged"], json!(["corp-0", "corp-1", "corp-2"]));
    assert_eq!((&flushed["unreachable"], &flushed["removed"]), (&json!([]), &json!(1)));
    // Acknowledged is done: nothing is waited for here.
    assert_eq!(members.iter().map(Member::entries).collect::<Vec<_>>(), [0, 0, 0]);

    // Members' clocks differ by less than this; an attempt that seems to have begun before the flush
    // says nothing.
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(members[1].bind(ALICE, "stale").await, 49);
    eventually("the entry is everywhere", || members.iter().all(|member| member.entries() == 1)).await;
    members.remove(2).stop();
    tokio::time::sleep(Duration::from_millis(50)).await;
    let flushed = members[0].flush(alice["shortHash"].as_str().unwrap()).await;
    assert_eq!(flushed["acknowledged"], json!(["corp-0", "corp-1"]));
    assert_eq!(flushed["unreachable"], json!([]), "it said goodbye");
    assert_eq!(members[1].entries(), 0);
    for member in members {
        member.stop();
    }
    directory.stop().await;
}
