//! Accepting, and the sockets that no connection has adopted yet.

use std::io;
use std::net::TcpStream;

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
    /// While the process is short of descriptors or memory, the time until which nothing is accepted.
    rests_until: Option<MonoTime>,
}

#[derive(Debug)]
struct Source {
    listener: mio::net::TcpListener,
    /// The kernel may have more connections for us: it says so once, so this stays until it has none.
    is_ready: bool,
}

impl Acceptor {
    pub(super) fn new(listeners: Vec<Listener>, registry: &Registry) -> io::Result<Self> {
        let mut sources = Vec::with_capacity(listeners.len());
        for (index, listener) in listeners.into_iter().enumerate() {
            let mut listener = mio::net::TcpListener::from_std(listener.into_std());
            registry.register(&mut listener, listener_token(index), Interest::READABLE)?;
            sources.push(Source { listener, is_ready: false });
        }
        Ok(Self { sources, accepted: Slab::new(), rests_until: None })
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

    /// Accepts from every listener that has something, up to [`ACCEPT_PER_WAIT_MAX`] each.
    pub(super) fn accept(&mut self, now: MonoTime, sink: &mut impl FnMut(Completion<'_>)) {
        if self.rests_until.is_some_and(|until| now < until) {
            return;
        }
        self.rests_until = None;
        for source in self.sources.iter_mut().filter(|source| source.is_ready) {
            for _ in 0..ACCEPT_PER_WAIT_MAX {
                match source.listener.accept() {
                    Ok((stream, peer)) => {
                        let key = self.accepted.insert(TcpStream::from(stream));
                        let socket = Socket(u32::try_from(key).expect("there are fewer descriptors than that"));
                        sink(Completion::Accepted { socket, peer });
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

    /// Closes the listeners.
    pub(super) fn stop(&mut self) {
        self.sources.clear();
        self.rests_until = None;
    }
}

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
