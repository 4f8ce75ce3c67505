//! A name server that says what the test wants, over UDP and TCP.

use std::collections::HashMap;
use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, TcpListener, TcpStream, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use parking_lot::Mutex;

const A: u16 = 1;
const AAAA: u16 = 28;
const SRV: u16 = 33;
const NXDOMAIN: u8 = 3;

/// How long an answer may be kept: shorter than any interval at which members look again.
const TTL_SECONDS: u32 = 1;
/// An answer over UDP is no longer than this; a longer one is asked for again over TCP.
const UDP_LIMIT: usize = 1232;
/// How soon the threads see that they are to end.
const PAUSE: Duration = Duration::from_millis(50);

/// What a name stands for.
#[derive(Clone, Debug, Default)]
struct Records {
    addresses: Vec<IpAddr>,
    services: Vec<(u16, String)>,
}

#[derive(Debug, Default)]
struct Zone {
    names: Mutex<HashMap<String, Records>>,
    questions: AtomicU64,
    ended: AtomicBool,
}

/// A running name server; ends when dropped.
#[derive(Debug)]
pub struct Names {
    zone: Arc<Zone>,
    threads: Vec<JoinHandle<()>>,
}

impl Names {
    /// Answers on port 53 of `address`; every name is unknown at first.
    #[must_use]
    pub fn start(address: Ipv4Addr) -> Self {
        let zone = Arc::new(Zone::default());
        let datagrams = UdpSocket::bind((address, 53)).expect("bind the UDP port for names");
        datagrams.set_read_timeout(Some(PAUSE)).expect("set a read timeout");
        let listener = TcpListener::bind((address, 53)).expect("bind the TCP port for names");
        listener.set_nonblocking(true).expect("make a listener that does not block");
        let threads = vec![
            std::thread::spawn({
                let zone = Arc::clone(&zone);
                move || answer_datagrams(&zone, &datagrams)
            }),
            std::thread::spawn({
                let zone = Arc::clone(&zone);
                move || answer_connections(&zone, &listener)
            }),
        ];
        Self { zone, threads }
    }

    /// `name` has exactly these addresses from now on.
    pub fn set_addresses(&self, name: &str, addresses: Vec<IpAddr>) {
        self.zone.names.lock().entry(name.to_owned()).or_default().addresses = addresses;
    }

    /// `name` has exactly these services (port and host) from now on.
    pub fn set_services(&self, name: &str, services: Vec<(u16, String)>) {
        self.zone.names.lock().entry(name.to_owned()).or_default().services = services;
    }

    /// `name` does not exist.
    pub fn remove(&self, name: &str) {
        self.zone.names.lock().remove(name);
    }

    /// How many questions came.
    #[must_use]
    pub fn questions(&self) -> u64 {
        self.zone.questions.load(Ordering::Relaxed)
    }
}

impl Drop for Names {
    fn drop(&mut self) {
        self.zone.ended.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            let _panicked = thread.join();
        }
    }
}

fn answer_datagrams(zone: &Zone, socket: &UdpSocket) {
    let mut buffer = [0; 4096];
    while !zone.ended.load(Ordering::Relaxed) {
        let Ok((length, from)) = socket.recv_from(&mut buffer) else { continue };
        if let Some(answer) = zone.answer(&buffer[..length], UDP_LIMIT) {
            let _gone = socket.send_to(&answer, from);
        }
    }
}

fn answer_connections(zone: &Zone, listener: &TcpListener) {
    while !zone.ended.load(Ordering::Relaxed) {
        let Ok((stream, _)) = listener.accept() else {
            std::thread::sleep(PAUSE);
            continue;
        };
        let _cut_off = zone.serve(stream);
    }
}

impl Zone {
    fn serve(&self, mut stream: TcpStream) -> std::io::Result<()> {
        stream.set_nonblocking(false)?;
        stream.set_read_timeout(Some(Duration::from_secs(2)))?;
        let mut length = [0; 2];
        stream.read_exact(&mut length)?;
        let mut question = vec![0; usize::from(u16::from_be_bytes(length))];
        stream.read_exact(&mut question)?;
        if let Some(answer) = self.answer(&question, usize::from(u16::MAX)) {
            let length = u16::try_from(answer.len()).map_err(std::io::Error::other)?;
            stream.write_all(&[&length.to_be_bytes()[..], &answer].concat())?;
        }
        Ok(())
    }

    /// The whole answer to a question of one name (RFC 1035), truncated to its head when it is longer
    /// than `limit`; `None` for what is no question.
    fn answer(&self, message: &[u8], limit: usize) -> Option<Vec<u8>> {
        let mut name = Vec::new();
        let mut at = 12;
        loop {
            let length = usize::from(*message.get(at)?);
            at += 1;
            if length == 0 {
                break;
            }
            name.push(String::from_utf8_lossy(message.get(at..at + length)?).to_lowercase());
            at += length;
        }
        let kind = u16::from_be_bytes([*message.get(at)?, *message.get(at + 1)?]);
        let question = message.get(12..at + 4)?;
        self.questions.fetch_add(1, Ordering::Relaxed);
        let records = self.names.lock().get(&name.join(".")).cloned();
        let code = if records.is_some() { 0 } else { NXDOMAIN };
        let answers = records.map_or_else(Vec::new, |records| records.of_kind(kind));
        let length = 12 + question.len() + answers.iter().map(|data| 12 + data.len()).sum::<usize>();
        let truncated = length > limit;
        let count = if truncated { 0 } else { u16::try_from(answers.len()).ok()? };
        // QR, AA and, as asked, RD; TC; RA.
        let flags = [0x84 | message[2] & 1 | u8::from(truncated) << 1, 0x80 | code];
        let mut answer = [&message[..2], &flags, &[0, 1], &count.to_be_bytes(), &[0; 4], question].concat();
        if !truncated {
            for data in answers {
                answer.extend([0xC0, 12]);
                answer.extend(kind.to_be_bytes());
                answer.extend([0, 1]);
                answer.extend(TTL_SECONDS.to_be_bytes());
                answer.extend(u16::try_from(data.len()).ok()?.to_be_bytes());
                answer.extend(data);
            }
        }
        Some(answer)
    }
}

impl Records {
    fn of_kind(&self, kind: u16) -> Vec<Vec<u8>> {
        let addresses = self.addresses.iter().filter_map(|address| match address {
            IpAddr::V4(address) if kind == A => Some(address.octets().to_vec()),
            IpAddr::V6(address) if kind == AAAA => Some(address.octets().to_vec()),
            IpAddr::V4(_) | IpAddr::V6(_) => None,
        });
        let services = self.services.iter().filter(|_| kind == SRV).map(|(port, host)| {
            let mut data = [[0, 0], [0, 1], port.to_be_bytes()].concat();
            for label in host.split('.') {
                data.push(label.len() as u8);
                data.extend(label.bytes());
            }
            data.push(0);
            data
        });
        addresses.chain(services).collect()
    }
}
