//! Sockets as a load client needs them.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use mio::net::TcpStream;
use nix::sys::socket::{setsockopt, sockopt};
use socket2::{Domain, Protocol, SockAddr, Socket, Type};

/// Begins to connect from `source`, or from where the kernel chooses.
///
/// A source address is bound without a port, so that the kernel picks one when it knows the other end: ports then run
/// out for each pair of addresses, not for each source. Closing sends RST and leaves nothing behind, so that the next
/// round finds its ports free.
///
/// # Errors
/// The kernel's error.
pub(super) fn connect(target: SocketAddr, source: Option<IpAddr>) -> io::Result<TcpStream> {
    let socket = Socket::new(Domain::for_address(target), Type::STREAM.nonblocking(), Some(Protocol::TCP))?;
    socket.set_tcp_nodelay(true)?;
    socket.set_linger(Some(Duration::ZERO))?;
    if let Some(source) = source.filter(|source| source.is_ipv4() == target.is_ipv4()) {
        setsockopt(&socket, sockopt::IpBindAddressNoPort, &true)?;
        socket.bind(&SockAddr::from(SocketAddr::new(source, 0)))?;
    }
    match socket.connect(&SockAddr::from(target)) {
        Ok(()) => {}
        Err(error) if error.raw_os_error() == Some(nix::errno::Errno::EINPROGRESS as i32) => {}
        Err(error) => return Err(error),
    }
    Ok(TcpStream::from_std(socket.into()))
}

/// The name of a kernel's failure in a report.
pub(super) fn kind_of(error: &io::Error) -> &'static str {
    use nix::errno::Errno;
    match error.raw_os_error().map(Errno::from_raw) {
        Some(Errno::ECONNREFUSED) => "connect_refused",
        Some(Errno::ECONNRESET | Errno::EPIPE) => "reset",
        Some(Errno::ETIMEDOUT) => "connect_timeout",
        Some(Errno::EADDRNOTAVAIL | Errno::EADDRINUSE) => "no_local_port",
        Some(Errno::EMFILE | Errno::ENFILE) => "no_descriptors",
        Some(Errno::ENOBUFS | Errno::ENOMEM) => "no_memory",
        Some(Errno::ENETUNREACH | Errno::EHOSTUNREACH) => "unreachable",
        _ => "network",
    }
}
