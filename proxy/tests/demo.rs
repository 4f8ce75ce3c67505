//! The story of `bindproxy demo` with stand-ins for the proxy: one that remembers failures, and one
//! that only forwards, which the story must not pass off as a success.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking, in its helpers too")]

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;

use bindproxy::codec::bind_request::{self, Authentication};
use bindproxy::codec::{build, op};
use bindproxy::config::Config;
use bindproxy::demo::client::Client;
use bindproxy::demo::{DemoError, Options, StartedProxy, run};
use tokio::net::TcpListener;
use tokio::sync::Mutex;
use tokio::task::JoinSet;

/// Failed binds by name and password.
type Remembered = Arc<Mutex<HashMap<(Vec<u8>, Vec<u8>), u32>>>;

async fn relay(tcp: tokio::net::TcpStream, upstream: SocketAddr, cache: Option<Remembered>) {
    let mut client = Client::over(tcp);
    let mut server = Client::connect(upstream).await.unwrap();
    while let Ok(request) = client.receive().await {
        if request.peek.op == op::UNBIND_REQUEST {
            return;
        }
        let key = match bind_request::parse(&request.frame, &request.peek).map(|bind| (bind.name, bind.authentication))
        {
            Ok((name, Authentication::Simple(password))) => Some((name.to_vec(), password.to_vec())),
            _ => None,
        };
        // Held over the round trip: a single flight of all names at once.
        let mut remembered = match &cache {
            Some(cache) => Some(cache.lock().await),
            None => None,
        };
        let known = key.as_ref().and_then(|key| remembered.as_ref()?.get(key).copied());
        if let Some(code) = known {
            client.send(&build::bind_response(request.peek.message_id, code, "")).await.unwrap();
            continue;
        }
        server.send(&request.frame).await.unwrap();
        let answer = server.receive().await.unwrap();
        if let (Some(key), Some(remembered), Some((code @ 49, _))) = (key, remembered.as_mut(), answer.result()) {
            remembered.insert(key, code);
        }
        drop(remembered);
        client.send(&answer.frame).await.unwrap();
    }
}

async fn stand_in(configuration: String, remembers: bool) -> anyhow::Result<StartedProxy> {
    let config: Config = serde_saphyr::from_str(&configuration)?;
    let upstream = &config.upstreams[0];
    let upstream: SocketAddr = format!("{}:{}", upstream.host.as_ref().unwrap(), upstream.effective_port()).parse()?;
    let listener = TcpListener::bind(config.listeners[0].address.unwrap()).await?;
    let cache = remembers.then(Remembered::default);
    let mut tasks = JoinSet::new();
    let listen = listener.local_addr()?;
    tasks.spawn(async move {
        let mut clients = JoinSet::new();
        while let Ok((tcp, _)) = listener.accept().await {
            clients.spawn(relay(tcp, upstream, cache.clone()));
        }
    });
    Ok(StartedProxy { listen, admin: config.admin.address, keep: Box::new(tasks) })
}

fn options() -> Options {
    let any = "127.0.0.1:0".parse().unwrap();
    Options { listen: any, admin: any, once: true }
}

#[tokio::test]
async fn the_story_ends_with_what_the_directory_counted() {
    let mut out = Vec::new();
    run(options(), &mut out, false, |configuration| stand_in(configuration, true)).await.unwrap();
    let text = String::from_utf8(out).unwrap();
    println!("{text}");
    assert_eq!(text.lines().last(), Some("directory counted: direct 20, through bindproxy 1"));
    assert!(text.contains("locked") && text.contains("welcome, dn:uid=alice,ou=people,dc=example,dc=org"));
    assert!(text.lines().all(|line| line.chars().count() <= 100), "no line needs a wide terminal");
    assert!(!text.contains('\x1b'), "no colours where nobody looks");
}

#[tokio::test]
async fn a_proxy_that_only_forwards_is_told_so() {
    let mut out = Vec::new();
    let outcome = run(options(), &mut out, true, |configuration| stand_in(configuration, false)).await;
    assert!(matches!(outcome, Err(DemoError::Promise(_))), "{outcome:?}");
    let text = String::from_utf8(out).unwrap();
    assert!(text.ends_with("directory counted: direct 20, through bindproxy 20\n"), "{text}");
}

#[tokio::test]
async fn ports_in_use_are_named_before_anything_starts() {
    let taken = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let listen = taken.local_addr().unwrap();
    let mut out = Vec::new();
    let outcome = run(Options { listen, ..options() }, &mut out, false, |_| async { unreachable!() }).await;
    let message = outcome.unwrap_err().to_string();
    assert!(message.contains("--listen") && message.contains(&listen.to_string()), "{message}");
    assert!(out.is_empty());
}
