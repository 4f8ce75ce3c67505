//! Sockets for every address of the machine, whichever protocols it has.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};

use socket2::{Domain, Socket, Type};

/// Makes a TCP socket that can be bound to the address it comes with, which may be bound again at once after a
/// restart. `[::]` means every address, as people expect it to: IPv4 ones too, and only those where the kernel was
/// started without IPv6, so that one configuration is right everywhere.
///
/// # Errors
/// What the system says.
pub fn tcp_socket(address: SocketAddr) -> io::Result<(Socket, SocketAddr)> {
    let (socket, address) = match Socket::new(Domain::for_address(address), Type::STREAM, None) {
        Ok(socket) => (socket, address),
        Err(error) => {
            let address = without_ipv6(address, &error).ok_or(error)?;
            (Socket::new(Domain::IPV4, Type::STREAM, None)?, address)
        }
    };
    socket.set_reuse_address(true)?;
    if address.is_ipv6() {
        socket.set_only_v6(false)?;
    }
    Ok((socket, address))
}

/// What stands in for `address` where making its socket failed so.
fn without_ipv6(address: SocketAddr, error: &io::Error) -> Option<SocketAddr> {
    let no_such_protocol = error.raw_os_error() == Some(rustix::io::Errno::AFNOSUPPORT.raw_os_error());
    (no_such_protocol && address.is_ipv6() && address.ip().is_unspecified())
        .then(|| SocketAddr::from((Ipv4Addr::UNSPECIFIED, address.port())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_ipv6_every_address_is_every_ipv4_address() {
        let unsupported = io::Error::from(rustix::io::Errno::AFNOSUPPORT);
        let instead = |address: &str| without_ipv6(address.parse().unwrap(), &unsupported);
        assert_eq!(instead("[::]:3389"), Some("0.0.0.0:3389".parse().unwrap()));
        assert_eq!(instead("[::1]:3389"), None, "that one address is meant");
        assert_eq!(instead("0.0.0.0:3389"), None);
        let too_many = io::Error::from(rustix::io::Errno::MFILE);
        assert_eq!(without_ipv6("[::]:3389".parse().unwrap(), &too_many), None);
    }

    #[test]
    fn every_address_is_of_both_protocols() {
        let (socket, address) = tcp_socket("[::]:0".parse().unwrap()).unwrap();
        socket.bind(&address.into()).unwrap();
        socket.listen(1).unwrap();
        let port = socket.local_addr().unwrap().as_socket().unwrap().port();
        std::net::TcpStream::connect(("127.0.0.1", port)).unwrap();
    }
}
