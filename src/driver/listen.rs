//! Listening sockets: one for each shard, all on one port, so that the kernel spreads connections over the shards.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixListener;
use std::time::Duration;

use socket2::{Domain, Protocol, Socket, Type};

use crate::limits::NOTSENT_LOWAT;

/// One shard's listening socket on one address, or on a file.
#[derive(Debug)]
pub struct Listener {
    /// A Unix-domain socket too: the acceptor asks [`Listener::is_unix`].
    socket: TcpListener,
    is_unix: bool,
}

impl Listener {
    /// The address it listens on, with the port that the kernel chose if 0 was asked for.
    ///
    /// # Errors
    /// The error of the kernel; on a file there is none.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    pub(in crate::driver) fn unix(socket: UnixListener) -> Self {
        Self { socket: OwnedFd::from(socket).into(), is_unix: true }
    }

    pub(in crate::driver) fn is_unix(&self) -> bool {
        self.is_unix
    }

    pub(in crate::driver) fn into_std(self) -> TcpListener {
        self.socket
    }
}

/// Opens a listener for each of `shards` shards on `addr`. Port 0 lets the kernel choose one port for all of them.
///
/// They share the port by `SO_REUSEPORT`, which would also let a second gateway of the same user in, unnoticed, and
/// take half of the connections. So the port is first bound without it: that fails while another socket listens there,
/// but not because of connections of an earlier run that still linger. Two gateways that start in the same instant may
/// both get through.
///
/// A peer whose kernel takes nothing of what it is sent for `silence_max` is given up by ours, so that one that vanished
/// without a word is found as soon as there is something to say to it; otherwise that takes a quarter of an hour.
///
/// # Errors
/// The error of the kernel, [`io::ErrorKind::AddrInUse`] for a port that somebody listens on.
///
/// # Panics
/// If `shards` is 0.
pub fn listen(addr: SocketAddr, shards: usize, silence_max: Duration) -> io::Result<Vec<Listener>> {
    assert!(shards > 0, "a gateway has a shard");
    if addr.port() != 0 {
        socket_for(addr)?.bind(&addr.into())?;
    }
    let first = open(addr, silence_max)?;
    let addr = first.local_addr()?;
    let mut listeners = vec![first];
    for _ in 1..shards {
        listeners.push(open(addr, silence_max)?);
    }
    Ok(listeners)
}

fn open(addr: SocketAddr, silence_max: Duration) -> io::Result<Listener> {
    let socket = socket_for(addr)?;
    socket.set_reuse_port(true)?;
    socket.set_nonblocking(true)?;
    // Accepted sockets inherit these three, which saves as many calls for each connection.
    socket.set_tcp_nodelay(true)?;
    socket.set_tcp_notsent_lowat(NOTSENT_LOWAT)?;
    socket.set_tcp_user_timeout(Some(silence_max))?;
    socket.bind(&addr.into())?;
    socket.listen(BACKLOG)?;
    Ok(Listener { socket: socket.into(), is_unix: false })
}

/// A socket, closed on exec, that may be bound while connections of an earlier listener linger.
fn socket_for(addr: SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(addr), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    if addr.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    Ok(socket)
}

/// Connections that the kernel completes before we accept them; it cuts this down to `net.core.somaxconn`.
const BACKLOG: i32 = 4096;

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::net::{Ipv4Addr, Ipv6Addr, TcpStream};

    use socket2::SockRef;

    use super::*;

    const ANY_PORT: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

    const SILENCE_MAX: Duration = Duration::from_secs(40);

    #[test]
    fn every_shard_listens_on_the_one_port_that_the_kernel_chose() {
        let listeners = listen(ANY_PORT, 3, SILENCE_MAX).expect("loopback has a free port");
        let addrs: Vec<_> = listeners.iter().map(|listener| listener.local_addr().expect("it is bound")).collect();
        assert_eq!(addrs.len(), 3);
        assert_ne!(addrs[0].port(), 0);
        assert!(addrs.iter().all(|addr| *addr == addrs[0]), "{addrs:?}");
    }

    #[test]
    fn accepted_sockets_inherit_their_options() {
        let listener = listen(ANY_PORT, 1, SILENCE_MAX).expect("loopback has a free port").remove(0);
        let _peer = TcpStream::connect(listener.local_addr().expect("it is bound")).expect("the backlog takes it");
        let (accepted, _) = listener.into_std().accept().expect("a connection waits");
        let socket = SockRef::from(&accepted);
        assert!(socket.tcp_nodelay().expect("TCP has the option"));
        assert_eq!(socket.tcp_notsent_lowat().expect("TCP has the option"), NOTSENT_LOWAT);
        assert_eq!(socket.tcp_user_timeout().expect("TCP has the option"), Some(SILENCE_MAX));
    }

    #[test]
    fn a_port_that_somebody_listens_on_is_refused() {
        let ours = listen(ANY_PORT, 2, SILENCE_MAX).expect("loopback has a free port");
        let refused =
            listen(ours[0].local_addr().expect("it is bound"), 2, SILENCE_MAX).expect_err("another gateway is there");
        assert_eq!(refused.kind(), io::ErrorKind::AddrInUse);

        let foreign = TcpListener::bind(ANY_PORT).expect("loopback has a free port");
        let refused =
            listen(foreign.local_addr().expect("it is bound"), 1, SILENCE_MAX).expect_err("another program is there");
        assert_eq!(refused.kind(), io::ErrorKind::AddrInUse);
    }

    #[test]
    fn a_restart_is_not_refused_because_of_lingering_connections() {
        let listener = listen(ANY_PORT, 1, SILENCE_MAX).expect("loopback has a free port").remove(0);
        let addr = listener.local_addr().expect("it is bound");
        let mut peer = TcpStream::connect(addr).expect("the backlog takes it");
        let listener = listener.into_std();
        drop(listener.accept().expect("a connection waits"));
        assert_eq!(peer.read(&mut [0]).expect("the end of the stream comes in order"), 0);
        drop((peer, listener));
        listen(addr, 1, SILENCE_MAX).expect("only a connection in TIME_WAIT is left");
    }

    #[test]
    fn an_ipv6_listener_leaves_the_ipv4_port_alone() {
        let Ok(listeners) = listen((Ipv6Addr::UNSPECIFIED, 0).into(), 1, SILENCE_MAX) else {
            println!("this host has no IPv6");
            return;
        };
        let port = listeners[0].local_addr().expect("it is bound").port();
        let socket = SockRef::from(&listeners[0].socket);
        assert!(socket.only_v6().expect("IPv6 has the option"), "port {port}");
    }
}
