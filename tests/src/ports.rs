//! Free ports and loopback addresses.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::atomic::{AtomicU32, Ordering};

/// Below the kernel's range for outgoing connections (32768 and up), so that no connection of a
/// test can take a port between the moment it was found free and the moment its server binds it.
const FIRST: u32 = 12_000;
const SPAN: u32 = 20_000;

/// A TCP port on 127.0.0.1 that is free, and that no other call in this process returned.
#[must_use]
pub fn free() -> u16 {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    // Test binaries that run at the same time start their walk at different places.
    let base = std::process::id().wrapping_mul(977);
    for _ in 0..SPAN {
        let step = NEXT.fetch_add(1, Ordering::Relaxed);
        let port = FIRST + base.wrapping_add(step) % SPAN;
        let port = u16::try_from(port).expect("12000 + 20000 fits");
        if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return port;
        }
    }
    panic!("no free port between {FIRST} and {}", FIRST + SPAN);
}

/// The address 127.0.0.1 with a [`free`] port.
#[must_use]
pub fn free_address() -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, free()))
}

/// An address in 127.0.0.0/8 on which all of `ports` are free, for a server whose ports are fixed.
#[must_use]
pub fn free_loopback(ports: &[u16]) -> Ipv4Addr {
    let seed = std::process::id();
    for step in 0..60_000_u32 {
        let [_, _, high, low] = (seed.wrapping_mul(31).wrapping_add(step)).to_be_bytes();
        if !(1..=254).contains(&low) {
            continue;
        }
        let address = Ipv4Addr::new(127, 77, high, low);
        if ports.iter().all(|&port| TcpListener::bind((address, port)).is_ok()) {
            return address;
        }
    }
    panic!("no loopback address has the ports {ports:?} free (binding ports below 1024 needs root)");
}
