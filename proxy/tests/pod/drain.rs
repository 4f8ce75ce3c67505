//! The end of a pod: in which order, and in time.

use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::process::Stdio;
use std::time::{Duration, Instant};

use bindproxy::admin::cluster::MemberState;
use bindproxy::config;
use bindproxy::demo::client::Client;
use bindproxy::directory::{Behaviour, Directory, Match, Options};
use bindproxy::server::Server;
use rustix::process::{Pid, Signal, kill_process};

use super::pod::{Authority, Folder, eventually, free_address, get, program, status};

const ALICE: &str = "uid=alice,ou=people,dc=example,dc=org";
const NOTICE_OF_DISCONNECTION: &[u8] = b"1.3.6.1.4.1.1466.20036";

/// Writes what two members have in common, and a configuration of one of them.
fn write_member(folder: &Folder, name: &str, own: SocketAddr, all: &[SocketAddr], upstream: u16, more: &str) {
    if !folder.path("ca.crt").exists() {
        let authority = Authority::new();
        let pair = authority.member();
        folder.write("ca.crt", authority.pem());
        folder.write("member.crt", pair.certificate);
        folder.write("member.key", pair.key);
        folder.write("hash.key", (1..=32).collect::<Vec<u8>>());
    }
    let all: Vec<String> = all.iter().map(|address| format!("'{address}'")).collect();
    folder.write(
        &format!("{name}.yaml"),
        format!(
            "listeners: [{{name: ldap, address: '127.0.0.1:0'}}]\nadmin: {{address: '127.0.0.1:0'}}\n\
             cache: {{keyFile: hash.key}}\nupstreams: [{{name: dc1, host: 127.0.0.1, port: {upstream}, tls: {{mode: Disabled}}}}]\n\
             cluster: {{name: mail/corp, address: '{own}', nodeName: {name}, discovery: {{static: [{}]}},\n\
             certificateFile: member.crt, keyFile: member.key, caFile: ca.crt}}\n{more}",
            all.join(", ")
        ),
    );
}

#[test]
fn a_member_goes_in_order_and_its_admin_address_answers_to_the_end() {
    let directory = Directory::start_on_thread(Options::default()).unwrap();
    directory.script(|script| {
        script.when(Match::bind().named(ALICE), Behaviour::Delay(Duration::from_millis(1500)));
    });
    let folder = Folder::new();
    let addresses = [free_address(), free_address()];
    let [going, staying] = [0, 1].map(|number| {
        let name = format!("corp-{number}");
        write_member(&folder, &name, addresses[number], &addresses, directory.addr().port(), "");
        let path = folder.path(&format!("{name}.yaml"));
        Server::start(&config::load(&path).unwrap(), &path, 1, None).unwrap()
    });
    let (admin, ldap) = (going.admin_address(), going.addresses()[0].1);
    for server in [&going, &staying] {
        eventually("both are there", || {
            let told = status(server.admin_address());
            (told.ready && told.cluster.unwrap().members.len() == 1).then_some(())
        });
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let mut idle = runtime.block_on(Client::connect(ldap)).unwrap();
    let binding = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let mut client = Client::connect(ldap).await.unwrap();
            let (code, _) = client.bind(ALICE, "stale").await.unwrap();
            (code, client.receive().await.unwrap().operation().to_vec())
        })
    });
    eventually("the bind is at the directory", || (directory.binds(ALICE) == 1).then_some(()));

    let since = Instant::now();
    let drain = std::thread::spawn(move || going.drain(Duration::from_secs(20)));
    eventually("it is not ready", || (get(admin, "/readyz").unwrap().0 == 503).then_some(()));
    let notice = runtime.block_on(idle.receive()).unwrap();
    assert_eq!(notice.result().unwrap().0, 52);
    assert!(notice.operation().windows(NOTICE_OF_DISCONNECTION.len()).any(|part| part == NOTICE_OF_DISCONNECTION));
    assert!(since.elapsed() < Duration::from_secs(1), "whoever is idle need not wait: {:?}", since.elapsed());
    drop(idle);
    assert!(runtime.block_on(Client::connect(ldap)).is_err(), "nobody new is accepted");
    let told = status(admin);
    assert_eq!((told.ready, told.draining), (false, true));
    assert_eq!(get(admin, "/livez").unwrap().0, 200);
    assert!(get(admin, "/metrics").unwrap().1.contains("\nbindproxy_draining 1\n"));

    let (code, last) = binding.join().unwrap();
    assert_eq!(code, 49, "what is in flight is answered");
    assert!(last.windows(NOTICE_OF_DISCONNECTION.len()).any(|part| part == NOTICE_OF_DISCONNECTION));
    assert!(drain.join().unwrap(), "nothing was cut short");
    assert!(since.elapsed() < Duration::from_secs(10), "{:?}", since.elapsed());
    assert_eq!(get(admin, "/livez"), None);

    let told = status(staying.admin_address()).cluster.unwrap();
    assert!(told.members.iter().all(|member| member.state == MemberState::Left), "{told:?}");
    let mut client = runtime.block_on(Client::connect(staying.addresses()[0].1)).unwrap();
    assert_eq!(runtime.block_on(client.bind(ALICE, "stale")).unwrap().0, 49);
    assert_eq!(directory.binds(ALICE), 1, "what was learned last was handed over");
    drop(client);
    assert!(staying.drain(Duration::from_secs(5)));
}

/// Starts the program, lets `during` look at it once `line` is in its log, sends SIGTERM, and tells the exit status
/// and how long it took to go.
fn terminated_after(folder: &Folder, line: &str, during: impl FnOnce()) -> (Option<i32>, Duration) {
    let mut command = program();
    command.current_dir(folder.path("")).args(["run", "--config", "corp-0.yaml", "--log-format", "json"]);
    let mut process = command.stderr(Stdio::piped()).spawn().unwrap();
    let mut log = BufReader::new(process.stderr.take().unwrap());
    let mut read = String::new();
    while !read.contains(line) {
        assert_ne!(log.read_line(&mut read).unwrap(), 0, "never: {line}\n{read}");
    }
    // What it goes on to say must not fill the pipe.
    let rest = std::thread::spawn(move || std::io::copy(&mut log, &mut std::io::sink()));
    during();
    let since = Instant::now();
    kill_process(Pid::from_child(&process), Signal::TERM).unwrap();
    let code = eventually("it ends", || process.try_wait().unwrap()).code();
    let took = since.elapsed();
    rest.join().unwrap().unwrap();
    (code, took)
}

#[test]
fn a_member_that_still_joins_goes_at_once() {
    let folder = Folder::new();
    // Somebody who never says a word, so that the join takes all its time.
    let mute = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let own = free_address();
    write_member(&folder, "corp-0", own, &[own, mute.local_addr().unwrap()], 389, "");
    let (code, took) = terminated_after(&folder, "joining the cluster", || {});
    assert_eq!(code, Some(0));
    assert!(took < Duration::from_secs(5), "{took:?}");
}

#[test]
fn the_whole_of_it_fits_into_the_timeout() {
    let directory = Directory::start_on_thread(Options::default()).unwrap();
    directory.script(|script| {
        script.when(Match::bind(), Behaviour::Silence { evaluated: true });
    });
    let folder = Folder::new();
    let (own, ldap) = (free_address(), free_address());
    let more = "upstreamPolicy: {requestTimeoutSeconds: 60}\ndrain: {timeoutSeconds: 4}\n";
    write_member(&folder, "corp-0", own, &[own], directory.addr().port(), more);
    let text = std::fs::read_to_string(folder.path("corp-0.yaml")).unwrap();
    folder.write("corp-0.yaml", text.replacen("127.0.0.1:0", &ldap.to_string(), 1));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let mut client = None;
    let (code, took) = terminated_after(&folder, "the listeners are open", || {
        runtime.block_on(async {
            let mut connected = Client::connect(ldap).await.unwrap();
            let id = connected.next_id();
            connected.send(&bindproxy::codec::build::simple_bind(id, ALICE, b"stale")).await.unwrap();
            client = Some(connected);
        });
        eventually("the bind is at the directory", || (directory.binds(ALICE) == 1).then_some(()));
    });
    assert_eq!(code, Some(0));
    assert!(took >= Duration::from_secs(1) && took < Duration::from_secs(4), "{took:?}");
}
