//! The admin address over real connections: every path, who may ask, limits, and the commands.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking, in its helpers too")]
#![allow(clippy::disallowed_methods, reason = "limits are measured in real time, over real connections")]

use std::future::ready;
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use arc_swap::ArcSwapOption;
use bindproxy::admin::api::{
    AdminApi, BindCounts, CacheReport, ExplainedEntry, Explanation, FlushReport, FlushRequest, ListenerReport,
    Offender, Offenders, StatusReport, UnknownShortHash, UpstreamReport,
};
use bindproxy::admin::client::{ClientOptions, Verb, run_verb};
use bindproxy::admin::cluster::Awaited;
use bindproxy::admin::pod_status::{PodCertificate, PodStatus, UpstreamHealth, UpstreamReason};
use bindproxy::admin::{AdminState, SharedToken, listen, serve};
use bindproxy::cli::{Outcome, Output};
use bindproxy::clock::{Clock, Tick};
use bindproxy::config::AdminToken;
use bindproxy::metrics::{BindDecision, BindResult, Metrics};
use bindproxy::status::{Heartbeat, Status};
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::sync::oneshot;

mod cluster;

/// Stands for the bind guard: knows one offender and one name.
struct Guard {
    metrics: Arc<Metrics>,
    flushed: Mutex<Vec<FlushRequest>>,
    unreachable: Mutex<Vec<String>>,
}

const NAME: &str = "cn=Ålice, Dept=R&D+x%/?#,dc=example";

impl AdminApi for Guard {
    fn status(&self) -> StatusReport {
        StatusReport {
            version: "0.1.0".to_owned(),
            config_hash: "abc123".to_owned(),
            uptime_seconds: 192,
            ready: true,
            draining: false,
            cache: CacheReport { entries: 5, capacity: 1000, names: 2 },
            listeners: vec![ListenerReport { name: "ldap".into(), address: "127.0.0.1:3389".into(), active: 3 }],
            upstreams: vec![UpstreamReport {
                name: "dc1".into(),
                address: "dc1.example:636".into(),
                up: false,
                idle: 1,
                busy: 2,
                last_error: Some("connection refused".into()),
            }],
            binds: BindCounts::of(&self.metrics),
            cluster: None,
        }
    }

    fn pod_status(&self) -> PodStatus {
        PodStatus {
            version: "0.1.0".to_owned(),
            config_hash: "abc123".to_owned(),
            config_error: None,
            ready: true,
            draining: false,
            upstreams: vec![UpstreamHealth {
                name: "dc1".to_owned(),
                up: false,
                reason: UpstreamReason::DNSFailed,
                message: Some("cannot resolve dc1.example".to_owned()),
            }],
            cluster: None,
            certificates: vec![PodCertificate {
                role: "server".to_owned(),
                not_after: "2027-01-01T00:00:00Z".to_owned(),
            }],
        }
    }

    fn offenders(&self, limit: usize) -> Awaited<'_, Offenders> {
        let offender = |number: usize| Offender {
            name: "~1a2b3c4d".to_owned(),
            short_hash: "~1a2b3c4d".to_owned(),
            source: format!("10.0.0.{number}"),
            listener: "ldap".to_owned(),
            suppressed: 1000 - number as u64,
            overcount: 0,
            first_seen_seconds_ago: 7500,
            last_seen_seconds_ago: 4,
            nodes: vec!["corp-0".to_owned()],
        };
        let offenders = (0..limit.min(50)).map(offender).collect();
        Box::pin(ready(Offenders { offenders, ..Offenders::default() }))
    }

    fn explain(&self, name: String) -> Awaited<'_, Result<Explanation, UnknownShortHash>> {
        let entry = ExplainedEntry {
            age_seconds: 60,
            remaining_seconds: 840,
            failures: 1,
            hits: 7,
            result_code: 49,
            diagnostic: String::new(),
            would_answer: true,
        };
        let known = (name == NAME || name == "~1a2b3c4d").then(|| Explanation {
            name,
            short_hash: "~1a2b3c4d".to_owned(),
            known_good: true,
            in_flight: false,
            entries: vec![entry],
            next: "a password that is not among these is asked upstream".to_owned(),
            truncated: false,
            nodes: Vec::new(),
            answered: vec!["corp-0".to_owned()],
            missing: Vec::new(),
        });
        Box::pin(ready(known.ok_or_else(UnknownShortHash::default)))
    }

    fn flush(&self, request: FlushRequest) -> Awaited<'_, FlushReport> {
        self.flushed.lock().push(request);
        let unreachable = self.unreachable.lock().clone();
        let acknowledged = vec!["corp-0".to_owned()];
        Box::pin(ready(FlushReport { acknowledged, unreachable, removed: 5, lasting: true }))
    }

    fn before_scrape(&self) {
        self.metrics.cache().entries.set(5);
    }
}

struct Server {
    address: SocketAddr,
    guard: Arc<Guard>,
    status: Arc<Status>,
    heartbeat: Heartbeat,
    clock: Clock,
    token: SharedToken,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    fn start() -> Self {
        Self::serving(None)
    }

    /// With another API than the stand-in.
    fn serving(other: Option<Arc<dyn AdminApi>>) -> Self {
        let clock = Clock::start();
        let metrics = Arc::new(Metrics::new(&["ldap".to_owned()], &["dc1".to_owned()]));
        let status = Arc::new(Status::new(clock.now()));
        let heartbeat = status.heartbeat("core-0", clock.now());
        let guard =
            Arc::new(Guard { metrics: metrics.clone(), flushed: Mutex::default(), unreachable: Mutex::default() });
        let token = SharedToken::new(ArcSwapOption::empty());
        let api = other.unwrap_or_else(|| guard.clone());
        let state = AdminState { status: status.clone(), metrics, api, token: token.clone(), clock };
        let (stop, stopped) = oneshot::channel::<()>();
        let (tell, told) = std::sync::mpsc::channel();
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            runtime.block_on(async {
                let listener = tokio::net::TcpListener::from_std(
                    listen(SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0))).expect("a port"),
                )
                .expect("a reactor");
                tell.send(listener.local_addr().expect("an address").port()).expect("told");
                serve(listener, state, stopped).await;
            });
        });
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, told.recv().expect("started")));
        Self { address, guard, status, heartbeat, clock, token, stop: Some(stop), thread: Some(thread) }
    }

    fn set_token(&self, token: &str) {
        self.token.store(Some(Arc::new(AdminToken::from_file_contents(token.as_bytes()).expect("a token"))));
    }

    fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address).expect("connected");
        stream.set_read_timeout(Some(Duration::from_secs(20))).expect("a timeout");
        stream
    }

    fn raw(&self, request: &[u8]) -> Answer {
        let mut stream = self.connect();
        stream.write_all(request).expect("sent");
        Answer::read(&mut stream)
    }

    fn ask(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Answer {
        let headers: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        let length = body.len();
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{headers}Content-Length: {length}\r\n\r\n{body}"
        );
        self.raw(request.as_bytes())
    }

    fn get(&self, path: &str) -> Answer {
        self.ask("GET", path, &[], "")
    }

    fn flush(&self, body: &str) -> Answer {
        self.ask("POST", "/api/v1/flush", &[("Content-Type", "application/json")], body)
    }

    fn options(&self) -> ClientOptions {
        ClientOptions { admin: format!("http://{}", self.address), token_file: None, output: Output::Text }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            thread.join().expect("the server ended without a panic");
        }
    }
}

struct Answer {
    status: u16,
    head: String,
    body: String,
}

impl Answer {
    fn read(stream: &mut TcpStream) -> Self {
        let mut octets = Vec::new();
        stream.read_to_end(&mut octets).expect("an answer and its end");
        let text = String::from_utf8(octets).expect("UTF-8");
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
        let status = head.split(' ').nth(1).and_then(|code| code.parse().ok()).unwrap_or(0);
        Self { status, head: head.to_ascii_lowercase(), body: body.to_owned() }
    }

    fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|fault| panic!("{fault}: {:?}", self.body))
    }

    fn error(&self) -> String {
        self.json()["error"].as_str().expect("an error").to_owned()
    }
}

#[test]
fn health_follows_the_life_of_the_process() {
    let server = Server::start();
    let codes = || ["/livez", "/readyz", "/startupz"].map(|path| server.get(path).status);
    assert_eq!(codes(), [200, 503, 503], "before the listeners are open");
    server.status.set_listening();
    assert_eq!(codes(), [200, 200, 200]);
    server.status.set_draining();
    assert_eq!(codes(), [200, 503, 200], "draining");
    assert!(server.get("/readyz").body.contains("draining"));
    server.heartbeat.beat(Tick(server.clock.now().0 - 10_500));
    let livez = server.get("/livez");
    assert_eq!((livez.status, livez.body.contains("core-0")), (503, true));
    server.heartbeat.beat(server.clock.now());
    assert_eq!(server.get("/livez").status, 200);
}

#[test]
fn metrics_are_prometheus_text_and_fresh() {
    let server = Server::start();
    server.guard.metrics.bind(BindDecision::CacheRejected, BindResult::InvalidCredentials);
    let answer = server.get("/metrics");
    assert_eq!(answer.status, 200);
    assert!(answer.head.contains("content-type: text/plain; version=0.0.4; charset=utf-8"), "{}", answer.head);
    assert!(answer.head.contains("cache-control: no-store"), "{}", answer.head);
    for line in [
        "bindproxy_binds_total{decision=\"cache_rejected\",result=\"invalid_credentials\"} 1\n",
        "bindproxy_cache_entries 5\n",
        "# TYPE bindproxy_request_duration_seconds histogram\n",
    ] {
        assert!(answer.body.contains(line), "{line}");
    }
}

#[test]
fn configz_tells_the_hash_and_the_last_refusal() {
    let server = Server::start();
    server.status.set_config("abc123", 1_795_269_538);
    let expected = json!({"hash": "abc123", "loadedAt": "2026-11-21T13:58:58Z", "error": null});
    assert_eq!(server.get("/configz").json(), expected);
    server.status.set_config_error("cache.ttlSeconds: too long");
    assert_eq!(server.get("/configz").json()["error"], "cache.ttlSeconds: too long");
}

#[test]
fn statusz_has_the_names_that_an_operator_reads() {
    let server = Server::start();
    let expected = json!({
        "version": "0.1.0", "configHash": "abc123", "configError": null, "ready": true, "draining": false,
        "upstreams": [{"name": "dc1", "up": false, "reason": "DNSFailed", "message": "cannot resolve dc1.example"}],
        "cluster": null,
        "certificates": [{"role": "server", "notAfter": "2027-01-01T00:00:00Z"}],
    });
    let answer = server.get("/statusz");
    assert_eq!(answer.json(), expected);
    let mut of_a_later_version = answer.json();
    of_a_later_version["upstreams"][0]["latencySeconds"] = json!(0.1);
    of_a_later_version["zone"] = json!("a");
    let read: PodStatus = serde_json::from_value(of_a_later_version).expect("more fields are no error");
    assert_eq!(read, server.guard.pod_status());
}

#[test]
fn the_api_answers_in_camel_case() {
    let server = Server::start();
    let status = server.get("/api/v1/status").json();
    assert_eq!(status["configHash"], "abc123");
    assert_eq!(status["upstreams"][0]["lastError"], "connection refused");
    assert_eq!(status["binds"]["lockoutAttemptsPrevented"], 0);
    let offenders = server.get("/api/v1/offenders?limit=3").json();
    assert_eq!(offenders["offenders"].as_array().map(Vec::len), Some(3));
    assert_eq!(offenders["offenders"][0]["lastSeenSecondsAgo"], 4);
    assert_eq!(server.get("/api/v1/offenders").json()["offenders"].as_array().map(Vec::len), Some(20));
    let explained = server.get("/api/v1/explain?name=~1a2b3c4d").json();
    assert_eq!(explained["entries"][0]["remainingSeconds"], 840);
    let flushed = server.flush(r#"{"name": "cn=x"}"#).json();
    assert_eq!(flushed, json!({"acknowledged": ["corp-0"], "unreachable": [], "removed": 5, "lasting": true}));
    assert!(status.get("cluster").is_none());
    assert_eq!(server.flush(r#"{"all": true}"#).status, 200);
    assert_eq!(*server.guard.flushed.lock(), [FlushRequest::Name("cn=x".to_owned()), FlushRequest::All]);
}

#[test]
fn bad_requests_are_told_which_field_is_wrong_and_change_nothing() {
    let server = Server::start();
    let plain = [("Content-Type", "text/plain")];
    let cases = [
        (server.get("/api/v1/offenders?limit=0"), 400, "limit:"),
        (server.get("/api/v1/offenders?limit=many"), 400, "limit:"),
        (server.get("/api/v1/offenders?limit=99999999999999999999"), 400, "limit:"),
        (server.get("/api/v1/offenders?lmit=5"), 400, "`limit`"),
        (server.get("/api/v1/explain"), 400, "name:"),
        (server.get("/api/v1/explain?name="), 400, "name:"),
        (server.get("/api/v1/explain?name=%ff"), 400, "name:"),
        (server.get("/api/v1/explain?name=~00000000"), 404, "short hash"),
        (server.flush("{\"name\": 5}"), 400, "name:"),
        (server.flush("{\"all\": false}"), 400, "all:"),
        (server.flush("{}"), 400, "name, all:"),
        (server.flush("nonsense"), 400, "body: not JSON"),
        (server.flush(""), 400, "body: not JSON"),
        (server.flush(&format!("{{\"name\": \"{}\"}}", "x".repeat(20_000))), 413, "body: longer than"),
        (server.ask("POST", "/api/v1/flush", &plain, "{\"all\": true}"), 415, "Content-Type:"),
        (server.ask("POST", "/api/v1/flush", &[], "{\"all\": true}"), 415, "Content-Type:"),
        (server.get("/api/v1/flush"), 405, "POST"),
        (server.ask("DELETE", "/api/v1/status", &[], ""), 405, "GET"),
        (server.ask("POST", "/metrics", &[], "{}"), 405, "GET"),
    ];
    for (number, (answer, status, told)) in cases.iter().enumerate() {
        assert_eq!(answer.status, *status, "case {number}: {}", answer.body);
        assert!(answer.error().contains(told), "case {number}: {}", answer.body);
    }
    assert_eq!(*server.guard.flushed.lock(), []);
}

#[test]
fn an_unknown_path_is_answered_with_those_that_there_are() {
    let server = Server::start();
    for path in ["/", "/api", "/api/v1/", "/api/v2/status", "/metrics/x", "/..%2fetc%2fpasswd"] {
        let answer = server.get(path);
        assert_eq!(answer.status, 404, "{path}");
        let paths = answer.json()["paths"].as_array().cloned().expect("paths");
        assert!(paths.contains(&json!("GET /metrics")) && paths.contains(&json!("POST /api/v1/flush")), "{paths:?}");
    }
}

const GUARDED: [&str; 3] = ["/api/v1/status", "/api/v1/offenders", "/api/v1/explain?name=~1a2b3c4d"];

#[test]
fn with_a_token_the_api_asks_for_it_and_the_rest_stays_open() {
    let server = Server::start();
    server.set_token("open-sesame-1");
    for path in GUARDED {
        let missing = server.get(path);
        assert_eq!(missing.status, 401, "{path}");
        assert!(missing.head.contains("www-authenticate: bearer"), "{}", missing.head);
        assert!(missing.error().contains("--token-file"), "{}", missing.body);
        let wrong = server.ask("GET", path, &[("Authorization", "Bearer open-sesame-2")], "");
        assert_eq!(wrong.status, 401, "{path}");
        assert!(wrong.error().contains("admin.tokenFile"), "{}", wrong.body);
        let right = server.ask("GET", path, &[("Authorization", "Bearer open-sesame-1")], "");
        assert_eq!(right.status, 200, "{path}: {}", right.body);
    }
    assert_eq!(server.flush(r#"{"all": true}"#).status, 401);
    assert_eq!(*server.guard.flushed.lock(), []);
    for path in ["/livez", "/metrics", "/configz", "/statusz"] {
        assert_eq!(server.get(path).status, 200, "{path}");
    }
    server.set_token("new-token");
    let asked = |token: &str| server.ask("GET", GUARDED[0], &[("Authorization", token)], "").status;
    assert_eq!((asked("Bearer open-sesame-1"), asked("Bearer new-token")), (401, 200), "after a reload");
}

#[test]
fn without_a_token_only_loopback_and_local_names_may_ask() {
    let mut server = Server::start();
    let foreign = "GET /api/v1/status HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n";
    let answer = server.raw(foreign.as_bytes());
    assert_eq!(answer.status, 403);
    assert!(answer.error().contains("admin.tokenFile"), "{}", answer.body);
    // Another address of this host, where it has one, stands for another host.
    if let Some(own) = own_address() {
        server.address.set_ip(own);
        let answer = server.get("/api/v1/status");
        assert_eq!(answer.status, 403);
        assert!(answer.error().contains("only on loopback"), "{}", answer.body);
        assert_eq!(server.get("/metrics").status, 200);
        assert_eq!(server.get("/statusz").status, 200);
        server.set_token("t");
        assert_eq!(server.ask("GET", "/api/v1/status", &[("Authorization", "Bearer t")], "").status, 200);
    }
}

/// The address that this host would use towards others; no packet is sent.
fn own_address() -> Option<std::net::IpAddr> {
    let socket = std::net::UdpSocket::bind("0.0.0.0:0").ok()?;
    socket.connect("192.0.2.1:9").ok()?;
    socket.local_addr().ok().map(|address| address.ip()).filter(|address| !address.is_loopback())
}

#[test]
fn clients_that_hold_connections_keep_no_health_check_out() {
    let server = Server::start();
    let mut silent: Vec<TcpStream> = (0..64).map(|_| server.connect()).collect();
    for stream in &mut silent {
        stream.write_all(b"GET /livez HT").expect("half a request");
    }
    let asked = Instant::now();
    for _ in 0..10 {
        assert_eq!(server.get("/livez").status, 200);
    }
    // Nobody else has pushed it out this early: the oldest made room, the newest is still there.
    let mut rest = Vec::new();
    let ended = silent[0].read_to_end(&mut rest);
    assert!(ended.is_err() || rest.is_empty(), "{rest:?}");
    assert!(asked.elapsed() < Duration::from_secs(5), "{:?}", asked.elapsed());
    silent[63].write_all(b"TP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").expect("the other half");
    assert_eq!(Answer::read(&mut silent[63]).status, 200);
}

#[test]
fn a_head_that_does_not_end_is_cut_off() {
    let server = Server::start();
    let started = Instant::now();
    let mut slow = server.connect();
    slow.write_all(b"GET /livez HTTP/1.1\r\nHost: x\r\n").expect("half a request");
    let mut idle = server.connect();
    let mut kept = server.connect();
    kept.write_all(b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n").expect("a whole request, and no more");
    let mut rest = Vec::new();
    for stream in [&mut slow, &mut idle, &mut kept] {
        let _ = stream.read_to_end(&mut rest);
    }
    let taken = started.elapsed();
    assert!(taken > Duration::from_secs(8) && taken < Duration::from_secs(14), "{taken:?}");
}

#[test]
fn a_body_that_does_not_arrive_is_cut_off() {
    let server = Server::start();
    let started = Instant::now();
    let mut slow = server.connect();
    let head = "POST /api/v1/flush HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 13\r\n\r\n";
    slow.write_all(head.as_bytes()).expect("a head");
    slow.write_all(b"{\"all").expect("a part of the body");
    let answer = Answer::read(&mut slow);
    assert_eq!(answer.status, 408, "{}", answer.body);
    let taken = started.elapsed();
    assert!(taken > Duration::from_secs(13) && taken < Duration::from_secs(19), "{taken:?}");
    assert_eq!(*server.guard.flushed.lock(), []);
}

#[test]
fn a_head_that_is_too_long_is_refused() {
    let server = Server::start();
    let mut stream = server.connect();
    let long = format!("GET /livez?{} HTTP/1.1\r\nHost: x\r\n\r\n", "x".repeat(200_000));
    // The server may close while the rest is still on its way.
    let _ = stream.write_all(long.as_bytes());
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    let text = String::from_utf8_lossy(&answer);
    assert!(text.is_empty() || text.contains(" 431 ") || text.contains(" 414 "), "{text}");
    assert_eq!(server.get("/livez").status, 200);
}

#[test]
fn shutdown_ends_idle_connections_and_closes_the_port() {
    let mut server = Server::start();
    let _idle = server.connect();
    let mut kept = server.connect();
    kept.write_all(b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n").expect("sent");
    let mut first = [0; 12];
    kept.read_exact(&mut first).expect("an answer");
    let asked = Instant::now();
    drop(server.stop.take());
    server.thread.take().expect("running").join().expect("ended");
    assert!(asked.elapsed() < Duration::from_secs(7), "{:?}", asked.elapsed());
    assert!(TcpStream::connect(server.address).is_err());
}

#[tokio::test]
async fn a_busy_port_is_told_with_its_field() {
    let taken = listen(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).expect("a port");
    let address = taken.local_addr().expect("an address");
    let told = listen(address).expect_err("busy").to_string();
    assert!(told.starts_with("admin.address: ") && told.contains(&address.to_string()), "{told}");
    assert!(told.contains("write another one"), "{told}");
}

/// Promise I4: whatever is asked, with whatever secret in the wrong place, no answer holds one.
#[test]
fn no_answer_holds_a_secret() {
    let server = Server::start();
    server.set_token("tok-s3cret");
    let secrets = ["tok-s3cret", "pass-s3cret"];
    let mut answers = Vec::new();
    let right = ("Authorization", "Bearer tok-s3cret");
    let kind = ("Content-Type", "application/json");
    let open = ["/", "/livez", "/readyz", "/startupz", "/metrics", "/configz", "/pass-s3cret", "/metrics?pass-s3cret"];
    let misplaced = [
        "/api/v1/status?token=pass-s3cret",
        "/api/v1/offenders?limit=pass-s3cret",
        "/api/v1/offenders?pass-s3cret=1",
        "/api/v1/explain?password=pass-s3cret",
        "/api/v1/explain?pass-s3cret",
        "/api/v1/explain?name=pass-s3cret",
    ];
    for path in open.iter().chain(&GUARDED).chain(&misplaced) {
        for authorization in [right, ("Authorization", "Bearer pass-s3cret"), ("Authorization", "Basic pass-s3cret")] {
            answers.push(server.ask("GET", path, &[authorization], ""));
            answers.push(server.ask("POST", path, &[authorization, kind], "{\"name\": \"pass-s3cret\"}"));
        }
    }
    for body in
        ["pass-s3cret", "{\"pass-s3cret\": 1}", "{\"name\": {\"pass-s3cret\": 1}}", "{\"all\": \"pass-s3cret\"}"]
    {
        answers.push(server.ask("POST", "/api/v1/flush", &[right, kind], body));
    }
    assert!(answers.iter().any(|answer| answer.status == 200) && answers.iter().any(|answer| answer.status == 400));
    for answer in answers {
        for secret in secrets {
            let held = answer.head.contains(secret) || answer.body.contains(secret);
            assert!(!held, "{} {}", answer.head, answer.body);
        }
    }
}

fn run(verb: Verb, options: &ClientOptions) -> Result<(Outcome, String), String> {
    let mut out = Vec::new();
    let outcome = run_verb(&verb, options, &mut out).map_err(|fault| format!("{fault:#}"))?;
    Ok((outcome, String::from_utf8(out).expect("UTF-8")))
}

#[test]
fn the_commands_show_what_the_api_says() {
    let server = Server::start();
    let options = server.options();
    let (outcome, status) = run(Verb::Status, &options).expect("answered");
    assert_eq!(outcome, Outcome::Done);
    assert!(status.contains("ready, up 3m12s") && status.contains("5 of 1000 entries (0.5 %), 2 names"), "{status}");
    assert!(status.contains("dc1       dc1.example:636  no     1     2  connection refused\n"), "{status}");
    let (_, offenders) = run(Verb::Offenders { limit: 2 }, &options).expect("answered");
    assert_eq!(offenders.lines().count(), 3, "{offenders}");
    assert!(offenders.lines().nth(1).is_some_and(|line| line.contains("2h05m")), "{offenders}");
    let (_, explained) = run(Verb::Explain { name: NAME.to_owned() }, &options).expect("the name survives the way");
    assert!(explained.contains(NAME) && explained.contains("~1a2b3c4d"), "{explained}");
    let (outcome, flushed) = run(Verb::Flush { name: NAME.to_owned() }, &options).expect("answered");
    assert_eq!(outcome, Outcome::Done);
    assert!(flushed.contains("5 entries") && flushed.contains("corp-0"), "{flushed}");
    run(Verb::FlushAll, &options).expect("answered");
    assert_eq!(*server.guard.flushed.lock(), [FlushRequest::Name(NAME.to_owned()), FlushRequest::All]);

    let as_json = ClientOptions { output: Output::Json, ..options };
    let (_, shown) = run(Verb::Status, &as_json).expect("answered");
    let value: Value = serde_json::from_str(&shown).expect("JSON");
    assert_eq!(value, server.get("/api/v1/status").json());
}

#[test]
fn a_flush_that_did_not_reach_everybody_is_a_fault() {
    let server = Server::start();
    server.guard.unreachable.lock().push("corp-2".to_owned());
    let (outcome, shown) = run(Verb::FlushAll, &server.options()).expect("answered");
    assert_eq!(outcome, Outcome::Fault);
    assert!(shown.contains("unreachable   corp-2"), "{shown}");
    assert!(shown.contains("Not flushed yet: corp-2."), "{shown}");
}

#[test]
fn the_commands_say_what_to_do_when_they_fail() {
    let server = Server::start();
    server.set_token("open-sesame");
    let folder = tempfile::tempdir().expect("a folder");
    let with_token = |contents: &str| {
        let file = folder.path().join("token");
        std::fs::write(&file, contents).expect("written");
        ClientOptions { token_file: Some(file), ..server.options() }
    };
    let told = run(Verb::Status, &server.options()).expect_err("refused");
    assert!(told.contains("--token-file"), "{told}");
    let told = run(Verb::Status, &with_token("wrong-s3cret")).expect_err("refused");
    assert!(told.contains("admin.tokenFile") && !told.contains("s3cret"), "{told}");
    let told = run(Verb::Status, &with_token("two s3cret words")).expect_err("refused");
    assert!(told.contains("--token-file") && !told.contains("s3cret"), "{told}");
    run(Verb::Status, &with_token("open-sesame\n")).expect("admitted");
    let told = run(Verb::Explain { name: "~00000000".to_owned() }, &with_token("open-sesame")).expect_err("unknown");
    assert!(told.contains("short hash"), "{told}");

    let nobody = SocketAddr::from((Ipv4Addr::LOCALHOST, 1));
    let options = ClientOptions { admin: nobody.to_string(), ..server.options() };
    let told = run(Verb::Status, &options).expect_err("refused");
    assert!(
        told.contains("127.0.0.1:1") && told.contains("--admin") && told.contains("is bindproxy running"),
        "{told}"
    );

    let missing = ClientOptions { token_file: Some("/nonexistent/token".into()), ..server.options() };
    let told = run(Verb::Status, &missing).expect_err("no file");
    assert!(told.contains("/nonexistent/token"), "{told}");
}

#[test]
fn the_commands_recognise_what_is_no_bindproxy() {
    let answers = [
        "HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\n\r\nno",
        "220 mail.example ESMTP\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}",
    ];
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let admin = listener.local_addr().expect("an address").to_string();
    let thread = std::thread::spawn(move || {
        for answer in answers {
            let (mut stream, _) = listener.accept().expect("a client");
            let mut head = [0; 1024];
            let _ = stream.read(&mut head);
            let _ = stream.write_all(answer.as_bytes());
        }
    });
    let options = ClientOptions { admin, token_file: None, output: Output::Text };
    let told = [(); 3].map(|()| run(Verb::Status, &options).expect_err("no bindproxy"));
    assert!(told[0].contains("is no bindproxy"), "{}", told[0]);
    assert!(told[1].contains("did not answer as a bindproxy does"), "{}", told[1]);
    assert!(told[2].contains("something else than this release expects"), "{}", told[2]);
    thread.join().expect("ended");
}
