//! Two members that were apart.

use std::io;
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use anyhow::{Result, ensure};
use parking_lot::Mutex;

use super::cpu::MEASURING;
use super::fleet::{Fleet, attempt, live, metric, sent, until};
use super::report::{Target, figure};

const COMMON: u64 = 150_000;
const APART: u64 = 25_000;

/// 50,000 entries differ of 200,000.
pub(crate) fn after_a_partition() -> Result<()> {
    let mut fleet = Fleet::prepare(2, 1_000_000)?;
    let gates = [Gate::before(fleet.address(0))?, Gate::before(fleet.address(1))?];
    let (own, other) = (fleet.address(0), gates[1].address);
    fleet.launch(0, &[own, other])?;
    let (own, other) = (fleet.address(1), gates[0].address);
    fleet.launch(1, &[own, other])?;
    fleet.wait_until_whole()?;
    let servers = [fleet.member(0)?, fleet.member(1)?];
    for number in 0..COMMON {
        ensure!(fleet.fail(servers[0], &attempt(number), true)?, "the entry was there before");
        if number % 100 == 0 {
            thread::sleep(Duration::from_millis(2));
        }
    }
    let all_held = |count: u64| move |server: &&bindproxy::server::Server| live(server) as u64 == count;
    until("what both know", Duration::from_millis(5), || servers.iter().all(all_held(COMMON)))?;

    gates.iter().for_each(Gate::cut);
    let alone = "bindproxy_cluster_peers{state=\"alive\"}";
    until("the members to lose each other", Duration::from_millis(5), || {
        servers.iter().all(|server| metric(server, alone) == 0.0)
    })?;
    for number in 0..2 * APART {
        let server = servers[number as usize % 2];
        ensure!(fleet.fail(server, &attempt(1 << 40 | number), true)?, "the entry was there before");
    }
    // What went out before is not the heal's.
    thread::sleep(Duration::from_millis(500));
    let before: f64 = servers.iter().map(|server| sent(server)).sum();
    gates.iter().for_each(Gate::open);
    let linked = until("the members to meet again", Duration::from_millis(1), || {
        servers.iter().all(|server| metric(server, alone) == 1.0)
    })?;
    let equal = until("the members to hold the same", Duration::from_millis(1), || {
        servers.iter().all(all_held(COMMON + 2 * APART))
    })?;
    let seconds = (linked + equal).as_secs_f64();
    let octets: f64 = servers.iter().map(|server| sent(server)).sum::<f64>() - before;
    let seen = format!("{:.2} s of it until they had met again", linked.as_secs_f64());
    figure("heal with 50,000 of 200,000 entries differing, s", Target::AtMost(10.0), seconds, &seen);
    let each = octets / (2 * APART) as f64;
    let seen = format!("{:.1} MB in both directions", octets / 1e6);
    figure("octets per entry that differed", Target::Shown, each, &seen);
    fleet.end();
    Ok(())
}

/// A way to a member that can be cut.
struct Gate {
    address: SocketAddr,
    closed: Arc<AtomicBool>,
    passing: Arc<Mutex<Vec<TcpStream>>>,
}

impl Gate {
    fn before(member: SocketAddr) -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let address = listener.local_addr()?;
        let closed = Arc::new(AtomicBool::new(false));
        let passing = Arc::new(Mutex::new(Vec::new()));
        let (shut, all) = (closed.clone(), passing.clone());
        // It ends with the program: nobody measures after this.
        thread::Builder::new().name(format!("{MEASURING}-gate")).spawn(move || {
            for near in listener.incoming().flatten() {
                if shut.load(Ordering::Relaxed) {
                    continue;
                }
                let _refused = pass(near, member, &all);
            }
        })?;
        Ok(Self { address, closed, passing })
    }

    fn cut(&self) {
        self.closed.store(true, Ordering::Relaxed);
        for stream in self.passing.lock().drain(..) {
            let _gone_already = stream.shutdown(Shutdown::Both);
        }
    }

    fn open(&self) {
        self.closed.store(false, Ordering::Relaxed);
    }
}

fn pass(near: TcpStream, member: SocketAddr, all: &Mutex<Vec<TcpStream>>) -> io::Result<()> {
    let far = TcpStream::connect(member)?;
    near.set_nodelay(true)?;
    far.set_nodelay(true)?;
    all.lock().extend([near.try_clone()?, far.try_clone()?]);
    for (mut from, mut to) in [(near.try_clone()?, far.try_clone()?), (far, near)] {
        thread::Builder::new().name(format!("{MEASURING}-gate")).spawn(move || {
            let _cut = io::copy(&mut from, &mut to);
            let _gone_already = to.shutdown(Shutdown::Both);
        })?;
    }
    Ok(())
}
