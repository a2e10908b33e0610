//! The floor over epoll: one `recv` a message, one bare `send` a reader.

use std::collections::HashMap;
use std::io::{self, Read, Write};
use std::net::TcpListener as StdListener;
use std::time::Duration;

use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Token};

use super::mode::{ACCEPT_PAUSE_MS, Mode, REST_LEN_MAX};
use super::peers::{Peers, Said, Verdict};

/// One thread's loop. A connection is its descriptor (four bytes) and what [`Peers`] keeps; it is registered once, for
/// reading and writing, edge-triggered, and no other kernel call is made for it until it ends.
#[derive(Debug)]
pub(super) struct Epoll {
    poll: Poll,
    listener: TcpListener,
    sockets: Sockets,
    peers: Peers,
    said: Said,
    /// Descriptors ran out; no event tells when some are free again.
    accept_is_paused: bool,
}

impl Epoll {
    pub(super) fn new(listener: StdListener, mode: Mode) -> io::Result<Self> {
        let poll = Poll::new()?;
        let mut listener = TcpListener::from_std(listener);
        poll.registry().register(&mut listener, LISTENER, Interest::READABLE)?;
        let (sockets, peers) = (Sockets::default(), Peers::new(mode));
        Ok(Self { poll, listener, sockets, peers, said: Said::default(), accept_is_paused: false })
    }

    /// Runs until the process ends, or `poll` fails.
    pub(super) fn run(mut self, announce: impl FnOnce() -> io::Result<()>) -> io::Result<()> {
        announce()?;
        let mut events = Events::with_capacity(EVENTS_PER_TURN_MAX);
        let mut buffer = vec![0; RECEIVE_BUFFER_LEN];
        loop {
            let pause = self.accept_is_paused.then_some(Duration::from_millis(ACCEPT_PAUSE_MS));
            match self.poll.poll(&mut events, pause) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                outcome => outcome?,
            }
            let mut accepts = self.accept_is_paused;
            for event in &events {
                if event.token() == LISTENER {
                    accepts = true;
                    continue;
                }
                let conn = event.token().0 as u32;
                if event.is_writable() {
                    self.sockets.send_rest(conn);
                }
                if event.is_readable() || event.is_error() {
                    self.receive(conn, &mut buffer);
                }
            }
            // At the end of the turn, so that an index is not given away while events of its last owner wait.
            if accepts {
                self.accept();
            }
            if self.peers.mode() == Mode::Batch && !self.said.ends.is_empty() {
                self.sockets.send_to_all(self.peers.readers(), &self.said.frames);
                self.said.clear_frames();
            }
            while let Some(conn) = self.sockets.doomed.pop() {
                self.close(conn);
            }
            self.sockets.free.append(&mut self.sockets.freed);
        }
    }

    fn accept(&mut self) {
        self.accept_is_paused = false;
        loop {
            match self.listener.accept() {
                Ok((mut stream, _)) => {
                    let conn = self.sockets.next_index();
                    let interest = Interest::READABLE | Interest::WRITABLE;
                    if self.poll.registry().register(&mut stream, Token(conn as usize), interest).is_ok() {
                        self.sockets.insert(conn, stream);
                        self.peers.insert(conn);
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(error) if is_of_one_connection(&error) => {}
                Err(_) => {
                    self.accept_is_paused = true;
                    return;
                }
            }
        }
    }

    /// Receives until the kernel has no more.
    fn receive(&mut self, conn: u32, buffer: &mut [u8]) {
        loop {
            let Some(mut stream) = self.sockets.stream(conn) else { return };
            let len = match stream.read(buffer) {
                Ok(0) => return self.close(conn),
                Ok(len) => len,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(_) => return self.close(conn),
            };
            let verdict = self.peers.receive(conn, &mut buffer[..len], &mut self.said);
            if !self.said.answer.is_empty() {
                self.sockets.send(conn, &self.said.answer);
                self.said.answer.clear();
            }
            if self.peers.mode() == Mode::Fanout && !self.said.ends.is_empty() {
                for frame in self.said.each_frame() {
                    self.sockets.send_to_all(self.peers.readers(), frame);
                }
                self.said.clear_frames();
            }
            if verdict == Verdict::Close {
                return self.close(conn);
            }
            if len < buffer.len() {
                // Bytes that came since then raise a new edge.
                return;
            }
        }
    }

    fn close(&mut self, conn: u32) {
        if self.sockets.remove(conn) {
            self.peers.remove(conn);
        }
    }
}

#[derive(Debug, Default)]
struct Sockets {
    streams: Vec<Option<TcpStream>>,
    /// Indices to be used again.
    free: Vec<u32>,
    /// Indices whose owner ended in this turn.
    freed: Vec<u32>,
    /// Bytes that the kernel did not take yet, of connections that do not read.
    rests: HashMap<u32, Vec<u8>>,
    /// To be closed at the end of the turn: who is in the middle of a walk over the readers cannot leave it.
    doomed: Vec<u32>,
}

impl Sockets {
    fn next_index(&self) -> u32 {
        self.free.last().copied().unwrap_or(self.streams.len() as u32)
    }

    fn insert(&mut self, conn: u32, stream: TcpStream) {
        if self.free.pop().is_none() {
            self.streams.push(None);
        }
        self.streams[conn as usize] = Some(stream);
    }

    fn stream(&self, conn: u32) -> Option<&TcpStream> {
        self.streams.get(conn as usize)?.as_ref()
    }

    /// Whether it was there.
    fn remove(&mut self, conn: u32) -> bool {
        let was_there = self.streams.get_mut(conn as usize).and_then(Option::take).is_some();
        if was_there {
            self.freed.push(conn);
            self.rests.remove(&conn);
        }
        was_there
    }

    fn send_to_all(&mut self, readers: &[u32], bytes: &[u8]) {
        for &conn in readers {
            self.send(conn, bytes);
        }
    }

    fn send(&mut self, conn: u32, bytes: &[u8]) {
        let waits = !self.rests.is_empty() && self.rests.contains_key(&conn);
        let taken = if waits { 0 } else { self.try_send(conn, bytes) };
        if taken < bytes.len() {
            let rest = self.rests.entry(conn).or_default();
            if rest.len() + bytes.len() > REST_LEN_MAX + RECEIVE_BUFFER_LEN {
                self.doomed.push(conn);
            } else {
                rest.extend_from_slice(&bytes[taken..]);
            }
        }
    }

    /// Bytes that the kernel took; all of them where nothing can be sent any more, since reading tells that too.
    fn try_send(&self, conn: u32, bytes: &[u8]) -> usize {
        let Some(mut stream) = self.stream(conn) else { return bytes.len() };
        match stream.write(bytes) {
            Ok(taken) => taken,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => 0,
            Err(_) => bytes.len(),
        }
    }

    fn send_rest(&mut self, conn: u32) {
        if self.rests.is_empty() {
            return;
        }
        while let Some(mut rest) = self.rests.remove(&conn) {
            let taken = self.try_send(conn, &rest);
            rest.drain(..taken);
            if rest.is_empty() {
                return;
            }
            self.rests.insert(conn, rest);
            if taken == 0 {
                return;
            }
        }
    }
}

/// Failures of `accept` that say something about a connection that is gone, not about us.
fn is_of_one_connection(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::ConnectionAborted | io::ErrorKind::Interrupted)
}

const LISTENER: Token = Token(usize::MAX);
const EVENTS_PER_TURN_MAX: usize = 1024;
const RECEIVE_BUFFER_LEN: usize = 64 * 1024;
