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
use bindproxy::demo::{DemoError, Options, StartedProxy, run, run_until};
use tokio::net::TcpListener;
#[allow(clippy::disallowed_types, reason = "the stand-in for the proxy asks one bind after the other on purpose")]
use tokio::sync::Mutex;
use tokio::task::JoinSet;

/// Failed binds by name and password.
#[allow(clippy::disallowed_types, reason = "as above")]
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

/// A terminal that the test reads while the demo runs.
#[derive(Clone, Default)]
struct Paper(Arc<parking_lot::Mutex<Vec<u8>>>);

impl std::io::Write for Paper {
    fn write(&mut self, octets: &[u8]) -> std::io::Result<usize> {
        self.0.lock().extend_from_slice(octets);
        Ok(octets.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Paper {
    async fn shows(&self, text: &str) -> String {
        for _ in 0..500 {
            let shown = String::from_utf8(self.0.lock().clone()).unwrap();
            if shown.contains(text) {
                return shown;
            }
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
        panic!("{text:?} was not shown: {}", String::from_utf8_lossy(&self.0.lock()));
    }
}

#[tokio::test]
async fn it_serves_on_and_shows_what_reaches_the_directory() {
    let paper = Paper::default();
    let mut out = paper.clone();
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let (started, address) = tokio::sync::oneshot::channel();
    let demo = tokio::spawn(async move {
        let stop = async {
            stopped.await.unwrap();
            Ok(())
        };
        let options = Options { once: false, ..options() };
        run_until(stop, options, &mut out, false, |configuration| async {
            let proxy = stand_in(configuration, true).await?;
            started.send(proxy.listen).unwrap();
            Ok(proxy)
        })
        .await
    });
    let mut phone = Client::connect(address.await.unwrap()).await.unwrap();
    let shown = paper.shows("What reaches the directory").await;
    assert!(shown.contains("directory counted: direct 20, through bindproxy 1\n"));
    assert!(shown.contains("ldapwhoami -x -H ldap://127.0.0.1:"));
    let alice = "uid=alice,ou=people,dc=example,dc=org";
    assert_eq!(phone.bind(alice, "winter").await.unwrap().0, 49);
    assert_eq!(phone.bind(alice, "guess").await.unwrap().0, 49);
    let shown = paper.shows("a wrong password").await;
    assert!(!shown.contains("an old password"), "the stale password went no further: {shown}");
    assert_eq!(phone.bind(alice, "spring").await.unwrap().0, 0);
    println!("{}", paper.shows("the right password").await);
    stop.send(()).unwrap();
    demo.await.unwrap().unwrap();
}
