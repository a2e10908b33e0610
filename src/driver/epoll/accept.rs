//! Accepting, and the sockets that no connection has adopted yet.

use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Shutdown, SocketAddr, TcpStream};
use std::os::fd::OwnedFd;

use mio::{Interest, Registry};
use slab::Slab;

use super::super::{Completion, Listener, Socket};
use super::sockets::listener_token;
use crate::limits::{ACCEPT_BACKOFF_MS, ACCEPT_PER_WAIT_MAX};
use crate::time::MonoTime;

/// The listeners of one shard.
#[derive(Debug)]
pub(super) struct Acceptor {
    sources: Vec<Source>,
    accepted: Slab<TcpStream>,
    accepts_per_wait: usize,
    /// While the process is short of descriptors or memory, the time until which nothing is accepted.
    rests_until: Option<MonoTime>,
}

#[derive(Debug)]
struct Source {
    listener: AnyListener,
    /// The kernel may have more connections for us: it says so once, so this stays until it has none.
    is_ready: bool,
}

#[derive(Debug)]
enum AnyListener {
    Tcp(mio::net::TcpListener),
    Unix(mio::net::UnixListener),
}

impl Acceptor {
    pub(super) fn new(listeners: Vec<Listener>, registry: &Registry) -> io::Result<Self> {
        let mut sources = Vec::with_capacity(listeners.len());
        for (index, listener) in listeners.into_iter().enumerate() {
            let mut listener = AnyListener::new(listener);
            match &mut listener {
                AnyListener::Tcp(listener) => registry.register(listener, listener_token(index), Interest::READABLE)?,
                AnyListener::Unix(listener) => {
                    registry.register(listener, listener_token(index), Interest::READABLE)?
                }
            }
            sources.push(Source { listener, is_ready: false });
        }
        let accepts_per_wait = ACCEPT_PER_WAIT_MAX;
        Ok(Self { sources, accepted: Slab::new(), accepts_per_wait, rests_until: None })
    }

    /// Takes note that connections wait at the listener at `index`.
    pub(super) fn set_ready(&mut self, index: usize) {
        if let Some(source) = self.sources.get_mut(index) {
            source.is_ready = true;
        }
    }

    /// Whether the next wait can accept without asking the kernel first.
    pub(super) fn has_ready(&self) -> bool {
        self.rests_until.is_none() && self.sources.iter().any(|source| source.is_ready)
    }

    /// Until when accepting rests.
    pub(super) fn rests_until(&self) -> Option<MonoTime> {
        self.rests_until
    }

    /// See [`super::EpollSetup::set_accepts_per_wait`].
    pub(super) fn set_accepts_per_wait(&mut self, count: usize) {
        self.accepts_per_wait = count;
    }

    /// Accepts from every listener that has something, up to [`ACCEPT_PER_WAIT_MAX`] each.
    pub(super) fn accept(&mut self, now: MonoTime, sink: &mut impl FnMut(Completion<'_>)) {
        if self.rests_until.is_some_and(|until| now < until) {
            return;
        }
        self.rests_until = None;
        for (index, source) in self.sources.iter_mut().enumerate().filter(|(_, source)| source.is_ready) {
            let listener = u8::try_from(index).expect("the configuration has fewer listeners");
            for _ in 0..self.accepts_per_wait {
                match source.listener.accept() {
                    Ok((stream, peer)) => {
                        let key = self.accepted.insert(stream);
                        let socket = Socket(u32::try_from(key).expect("there are fewer descriptors than that"));
                        sink(Completion::Accepted { socket, peer, listener });
                    }
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                        source.is_ready = false;
                        break;
                    }
                    Err(error) if is_of_one_connection(&error) => {}
                    Err(_) => {
                        // No descriptors (EMFILE, ENFILE) or no memory (ENOBUFS, ENOMEM); whatever else it may be,
                        // trying again at once would spin.
                        self.rests_until = Some(now.plus_millis(ACCEPT_BACKOFF_MS));
                        return;
                    }
                }
            }
        }
    }

    /// The accepted socket behind `socket`, for its adopter.
    pub(super) fn take(&mut self, socket: Socket) -> TcpStream {
        self.accepted.remove(socket.0 as usize)
    }

    /// Closes an accepted socket, behind some words.
    pub(super) fn refuse(&mut self, socket: Socket, words: &[u8]) {
        let mut stream = self.take(socket);
        if !words.is_empty() {
            // The kernel resets a connection with unread bytes, and the words may be lost with it.
            let _ = stream.read(&mut [0; REFUSED_READ_LEN]);
            let _ = stream.write(words);
            let _ = stream.shutdown(Shutdown::Write);
        }
    }

    /// Closes the listeners.
    pub(super) fn stop(&mut self) {
        self.sources.clear();
        self.rests_until = None;
    }
}

impl AnyListener {
    fn new(listener: Listener) -> Self {
        let is_unix = listener.is_unix();
        let listener = listener.into_std();
        if is_unix {
            Self::Unix(mio::net::UnixListener::from_std(OwnedFd::from(listener).into()))
        } else {
            Self::Tcp(mio::net::TcpListener::from_std(listener))
        }
    }

    /// The next connection. Every stream socket is a `TcpStream` to this driver: none of its calls differ.
    fn accept(&self) -> io::Result<(TcpStream, SocketAddr)> {
        match self {
            Self::Tcp(listener) => listener.accept().map(|(stream, peer)| (stream.into(), peer)),
            Self::Unix(listener) => {
                let (stream, _) = listener.accept()?;
                let stream = OwnedFd::from(std::os::unix::net::UnixStream::from(stream));
                Ok((stream.into(), NO_ADDRESS))
            }
        }
    }
}

/// Bytes taken of what a refused peer has said by then: most requests.
const REFUSED_READ_LEN: usize = 4096;

/// The address of a peer that came in through a socket file.
const NO_ADDRESS: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0);

/// Whether `accept` failed because of the connection that it was about, and the next may succeed. Linux passes
/// on what the network said of a connection that was not accepted yet.
pub(in crate::driver) fn is_of_one_connection(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error(),
        Some(
            libc::EINTR
                | libc::ECONNABORTED
                | libc::ECONNRESET
                | libc::EPERM
                | libc::EPROTO
                | libc::ENOPROTOOPT
                | libc::ENETDOWN
                | libc::ENETUNREACH
                | libc::EHOSTDOWN
                | libc::EHOSTUNREACH
                | libc::ENONET
                | libc::EOPNOTSUPP
                | libc::ETIMEDOUT
        )
    )
}
