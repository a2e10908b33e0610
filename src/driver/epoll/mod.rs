//! The default driver: epoll, through mio, edge-triggered.
//!
//! Every socket is registered for reading once and for all; a second registration call is paid only by a
//! connection whose send found no room, and once more when there was room again. What the kernel has to say
//! about a socket is kept in 16 bytes a connection (`sockets`); bytes to receive go through one buffer a shard
//! (`receive`); segments are held only while a socket takes none (`send`).
//!
//! This room must never know what the bytes mean, nor what a connection is for. No `unsafe`: mio, socket2 and std
//! cover every call. Tests: `tests/driver_contract.rs`.

mod accept;
mod receive;
mod send;
mod sockets;

use std::cell::Cell;
use std::io;
use std::net::{SocketAddr, TcpStream};
use std::ops::ControlFlow;
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::time::Duration;

use mio::event::Event;
use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Registry};
use socket2::SockRef;

use self::accept::Acceptor;
pub(in crate::driver) use self::accept::is_of_one_connection;
use self::receive::Receiver;
use self::send::Sender;
use self::sockets::{Flags, NOT_HELD, Sockets, WAKER, conn_of, listener_of, token_of};
use super::clock::{Clock, wall_millis};
use super::listen::Listener;
use super::{Completion, Driver, NetError, Op, Wake};
use crate::buf::Segment;
use crate::command::ConnId;
use crate::driver::allocator::release_memory;
use crate::limits::NOTSENT_LOWAT;
use crate::time::MonoTime;

/// A [`Driver`] over epoll.
#[derive(Debug)]
pub struct Epoll {
    poll: Poll,
    events: Events,
    waker: EpollWaker,
    clock: Clock,
    sockets: Sockets,
    acceptor: Acceptor,
    receiver: Receiver,
    sender: Sender,
    /// Completions that `submit` caused; the next wait returns them.
    queued: Vec<Queued>,
}

/// The kernel objects of an [`Epoll`], opened where a failure can still be told and sent to the thread that
/// will run it: the driver itself holds segments, which never leave their thread.
#[derive(Debug)]
pub struct EpollSetup {
    poll: Poll,
    waker: EpollWaker,
    acceptor: Acceptor,
    connections_capacity: u32,
}

impl EpollSetup {
    /// For a driver that accepts from `listeners` and holds up to `connections_capacity` connections, whose indexes
    /// are below that.
    ///
    /// # Errors
    /// The kernel's error for a new epoll instance, an eventfd, and the listeners' registration.
    pub fn new(listeners: Vec<Listener>, connections_capacity: u32) -> io::Result<Self> {
        let poll = Poll::new()?;
        let waker = EpollWaker(Arc::new(mio::Waker::new(poll.registry(), WAKER)?));
        let acceptor = Acceptor::new(listeners, poll.registry())?;
        Ok(Self { poll, waker, acceptor, connections_capacity })
    }

    /// Bounds the connections accepted in one wait at one listener; the others stay with the kernel until the next.
    pub fn set_accepts_per_wait(&mut self, count: usize) {
        self.acceptor.set_accepts_per_wait(count);
    }

    /// A handle that wakes the driver.
    #[must_use]
    pub fn waker(&self) -> EpollWaker {
        self.waker.clone()
    }

    /// The driver, on the thread that runs it.
    #[must_use]
    pub fn into_driver(self) -> Epoll {
        Epoll {
            poll: self.poll,
            events: Events::with_capacity(EVENTS_PER_WAIT_MAX),
            waker: self.waker,
            clock: Clock::new(),
            sockets: Sockets::new(self.connections_capacity),
            acceptor: self.acceptor,
            receiver: Receiver::new(),
            sender: Sender::default(),
            queued: Vec::new(),
        }
    }
}

impl Epoll {
    /// Sets a driver up on the thread that runs it; see [`EpollSetup::new`].
    ///
    /// # Errors
    /// As for [`EpollSetup::new`].
    pub fn new(listeners: Vec<Listener>, connections_capacity: u32) -> io::Result<Self> {
        EpollSetup::new(listeners, connections_capacity).map(EpollSetup::into_driver)
    }

    /// Connections that the driver holds.
    #[must_use]
    pub fn connections(&self) -> u32 {
        self.sockets.len()
    }

    fn apply(&mut self, op: Op) {
        match op {
            Op::Adopt { conn, socket } => self.adopt(conn, socket),
            Op::Refuse { socket, words } => self.acceptor.refuse(socket, words),
            Op::Connect { conn, peer } => self.connect(conn, peer),
            Op::Send { conn, segments } => {
                self.sender.send(&mut self.sockets, self.poll.registry(), &mut self.queued, conn, segments);
            }
            Op::SendMany { segment, conns } => {
                send::send_many(&mut self.sockets, &mut self.queued, &segment, &conns);
            }
            Op::PauseReceive { conn } => {
                if let Some(slot) = self.sockets.find(conn) {
                    slot.flags.set(Flags::PAUSED);
                }
            }
            Op::ResumeReceive { conn } => {
                if let Some(slot) = self.sockets.find(conn) {
                    slot.flags.clear(Flags::PAUSED);
                    self.sockets.list_if_ready(conn);
                }
            }
            Op::Finish { conn } => {
                if let Some(stream) = self.sockets.find(conn).and_then(|slot| slot.stream.as_ref()) {
                    // It fails only on a connection that is already gone, of which the receiving side tells.
                    let _ = stream.shutdown(std::net::Shutdown::Write);
                }
            }
            Op::Close { conn, abort } => self.close(conn, abort),
            Op::StopAccepting => self.acceptor.stop(),
        }
    }

    fn adopt(&mut self, conn: ConnId, socket: super::Socket) {
        let stream = self.acceptor.take(socket);
        let registered = register(self.poll.registry(), &stream, conn, Interest::READABLE);
        self.sockets.insert(conn, stream);
        if registered.is_err() {
            // The kernel is out of memory or of watches for this user: this connection fails, the shard goes on.
            self.sockets.fail(conn, NetError::Other);
        }
    }

    fn connect(&mut self, conn: ConnId, peer: SocketAddr) {
        let opened = mio::net::TcpStream::connect(peer).and_then(|stream| {
            let stream = TcpStream::from(stream);
            let socket = SockRef::from(&stream);
            socket.set_tcp_nodelay(true)?;
            socket.set_tcp_notsent_lowat(NOTSENT_LOWAT)?;
            register(self.poll.registry(), &stream, conn, Interest::READABLE | Interest::WRITABLE)?;
            Ok(stream)
        });
        match opened {
            Ok(stream) => self.sockets.insert(conn, stream).flags.set(Flags::CONNECTING),
            Err(error) => self.queued.push(Queued::Connected { conn, result: Err(net_error(&error)) }),
        }
    }

    fn close(&mut self, conn: ConnId, abort: bool) {
        let Some((stream, held)) = self.sockets.remove(conn) else {
            // A `Connect` that failed at once is not in the table, but its id is in use until the shard hears of it.
            let failed =
                |queued: &&mut Queued| matches!(queued, Queued::Connected { conn: other, .. } if *other == conn);
            if let Some(queued) = self.queued.iter_mut().find(failed) {
                *queued = Queued::Closed { conn };
            }
            return;
        };
        if abort {
            // If it fails, the socket is closed in order.
            let _ = SockRef::from(&stream).set_linger(Some(Duration::ZERO));
        }
        // Closing the only descriptor of a socket also ends its registration.
        drop(stream);
        if held != NOT_HELD {
            self.sender.forget(held);
        }
        self.queued.push(Queued::Closed { conn });
    }

    fn timeout(&self, until: Option<MonoTime>) -> Option<Duration> {
        let has_bytes = self.sockets.has_ready() || self.receiver.has_left();
        if !self.queued.is_empty() || has_bytes || self.acceptor.has_ready() {
            return Some(Duration::ZERO);
        }
        let first = match (until, self.acceptor.rests_until()) {
            (Some(until), Some(rests_until)) => until.min(rests_until),
            (until, rests_until) => until.or(rests_until)?,
        };
        Some(self.clock.until(first))
    }

    fn hand_out_queued(&mut self, sink: &mut impl FnMut(Completion<'_>)) {
        for queued in self.queued.drain(..) {
            match queued {
                Queued::Sent { conn, result, rest } => {
                    // A connection that was closed after its send stays silent.
                    let Some(slot) = self.sockets.find(conn) else { continue };
                    slot.flags.clear(Flags::SENDING);
                    sink(Completion::Sent { conn, result, rest });
                }
                Queued::Connected { conn, result } => sink(Completion::Connected { conn, result }),
                Queued::Closed { conn } => sink(Completion::Closed { conn }),
            }
        }
    }

    fn handle_events(&mut self, sink: &mut impl FnMut(Completion<'_>)) {
        let registry = self.poll.registry();
        for event in &self.events {
            if event.token() == WAKER {
                sink(Completion::Woken);
            } else if let Some(index) = listener_of(event.token()) {
                self.acceptor.set_ready(index);
            } else {
                handle_socket(&mut self.sockets, &mut self.sender, registry, event, sink);
            }
        }
    }
}

impl Driver for Epoll {
    type Waker = EpollWaker;

    fn waker(&self) -> EpollWaker {
        self.waker.clone()
    }

    fn now(&self) -> MonoTime {
        self.clock.now()
    }

    fn release_memory(&mut self) {
        release_memory();
    }

    fn wall_millis(&self) -> u64 {
        wall_millis()
    }

    fn submit(&mut self, ops: &mut Vec<Op>) -> io::Result<()> {
        for op in ops.drain(..) {
            self.apply(op);
        }
        Ok(())
    }

    fn wait(
        &mut self,
        until: Option<MonoTime>,
        mut sink: impl FnMut(MonoTime, Completion<'_>) -> ControlFlow<()>,
    ) -> io::Result<()> {
        let timeout = self.timeout(until);
        if let Err(error) = self.poll.poll(&mut self.events, timeout) {
            // After a signal the wait ends early and without events, so that the caller can look at the signal.
            if error.kind() != io::ErrorKind::Interrupted {
                return Err(error);
            }
        }
        let now = self.clock.now();
        let full = Cell::new(false);
        let mut sink = |completion: Completion<'_>| full.set(sink(now, completion).is_break() || full.get());
        self.hand_out_queued(&mut sink);
        self.handle_events(&mut sink);
        self.receiver.receive(&mut self.sockets, &full, &mut sink);
        self.acceptor.accept(now, &mut sink);
        Ok(())
    }
}

/// Wakes an [`Epoll`] driver, through an eventfd.
#[derive(Clone, Debug)]
pub struct EpollWaker(Arc<mio::Waker>);

impl Wake for EpollWaker {
    fn wake(&self) {
        // mio resets a counter that is full, so that nothing is left that could fail while the driver lives.
        let _ = self.0.wake();
    }
}

/// A completion that `submit` brought about.
#[derive(Debug)]
enum Queued {
    Sent { conn: ConnId, result: Result<u32, NetError>, rest: Vec<Segment> },
    Connected { conn: ConnId, result: Result<(), NetError> },
    Closed { conn: ConnId },
}

/// Takes in what epoll says of one socket: bytes are only noted, a held send is tried again.
fn handle_socket(
    sockets: &mut Sockets,
    sender: &mut Sender,
    registry: &Registry,
    event: &Event,
    sink: &mut impl FnMut(Completion<'_>),
) {
    let conn = conn_of(event.token());
    let Some(slot) = sockets.find(conn) else { return };
    if slot.flags.has(Flags::CONNECTING) && !finish_connect(sockets, registry, conn, sink) {
        return;
    }
    let Some(slot) = sockets.find(conn) else { return };
    let is_ending = event.is_read_closed() || event.is_error();
    if event.is_error() {
        slot.flags.set(Flags::FAILED);
    }
    if is_ending {
        slot.flags.set(Flags::ENDING);
    }
    let is_held = slot.held != NOT_HELD;
    if event.is_readable() || is_ending {
        slot.flags.set(Flags::READY);
        sockets.list_if_ready(conn);
    }
    if is_held && (event.is_writable() || event.is_write_closed() || event.is_error()) {
        sender.resume(sockets, registry, conn, sink);
    }
}

/// Looks how a `Connect` went; `true` if the connection stands.
fn finish_connect(
    sockets: &mut Sockets,
    registry: &Registry,
    conn: ConnId,
    sink: &mut impl FnMut(Completion<'_>),
) -> bool {
    let Some(slot) = sockets.find(conn) else { return false };
    let Some(stream) = &slot.stream else { return false };
    let outcome = match stream.take_error() {
        Ok(None) => match stream.peer_addr() {
            Err(error) if error.kind() == io::ErrorKind::NotConnected => return false,
            outcome => outcome.and_then(|_| reregister(registry, stream, conn, Interest::READABLE)),
        },
        Ok(Some(error)) | Err(error) => Err(error),
    };
    match outcome {
        Ok(()) => {
            slot.flags.clear(Flags::CONNECTING);
            sink(Completion::Connected { conn, result: Ok(()) });
            true
        }
        Err(error) => {
            drop(sockets.remove(conn));
            sink(Completion::Connected { conn, result: Err(net_error(&error)) });
            false
        }
    }
}

fn register(registry: &Registry, stream: &TcpStream, conn: ConnId, interest: Interest) -> io::Result<()> {
    registry.register(&mut SourceFd(&stream.as_raw_fd()), token_of(conn), interest)
}

fn reregister(registry: &Registry, stream: &TcpStream, conn: ConnId, interest: Interest) -> io::Result<()> {
    registry.reregister(&mut SourceFd(&stream.as_raw_fd()), token_of(conn), interest)
}

/// The error as the rest of the program sees it.
pub(in crate::driver) fn net_error(error: &io::Error) -> NetError {
    use io::ErrorKind::{
        AddrNotAvailable, BrokenPipe, ConnectionAborted, ConnectionRefused, ConnectionReset, HostUnreachable,
        NetworkDown, NetworkUnreachable, NotConnected, TimedOut,
    };
    match error.kind() {
        ConnectionReset | ConnectionAborted | BrokenPipe | NotConnected => NetError::Reset,
        ConnectionRefused | TimedOut | HostUnreachable | NetworkUnreachable | NetworkDown | AddrNotAvailable => {
            NetError::Unreachable
        }
        _ => NetError::Other,
    }
}

/// Events taken from the kernel in one wait; 12 bytes each.
const EVENTS_PER_WAIT_MAX: usize = 1024;
