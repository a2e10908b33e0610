//! The room of the kernel: sockets, readiness, clocks. Nothing outside this room knows a file descriptor, an errno or
//! `Instant::now`.
//!
//! Every [`Driver`] works by completions: the shard submits [`Op`]s and gets [`Completion`]s back. `epoll` is the
//! default, `uring` is io_uring by choice, `sim` is a seeded fake kernel with a virtual clock for tests, and `null`
//! accepts everything at once for benches. The room also has a shard's listeners and clocks (`listen`, `listen_unix`,
//! `clock`), files (`file`), and the blocking side of the command line (`dial`, `hang_up`). This room must never know
//! the meaning of the bytes.
//!
//! # Promises
//! Each is a case in `tests/driver_contract.rs`, which runs against every driver.
//! 1. Received bytes are lent for the call only, and may be changed in place.
//! 2. One [`Op::Send`] is in flight per connection; the driver owns its segments until [`Completion::Sent`], which
//!    gives back what is left. A `Sent` may be partial; it reports progress of at least one byte or an error. Order
//!    holds. After an error receiving ends too, with that cause, behind the bytes that came before it.
//! 3. [`Op::SendMany`] is tried once per connection, at once. Only a connection that did not take all of it comes
//!    back, as `Sent` with the rest (possibly all of it), in the next wait. It is only for connections with no
//!    send in flight.
//! 4. After [`Op::Close`] comes exactly one [`Completion::Closed`], then silence; the id may be adopted again after it.
//! 5. No completion inside `submit`.
//! 6. At most [`RECEIVE_PER_WAIT_MAX`](crate::limits::RECEIVE_PER_WAIT_MAX) bytes per connection per wait; what is
//!    left is delivered by the next wait without waiting for the kernel.
//! 7. After [`Op::PauseReceive`] no `Received` and no orderly `ReceiveClosed` until [`Op::ResumeReceive`]; nothing
//!    is lost. A reset is still reported, and takes the bytes with it that were not received.
//! 8. EMFILE, ENFILE, ENOBUFS and ENOMEM rest the listener for
//!    [`ACCEPT_BACKOFF_MS`](crate::limits::ACCEPT_BACKOFF_MS) and then accepting goes on; never an exit, never a spin.
//! 9. After [`Op::Finish`] the peer sees the end of the stream behind everything that was sent; receiving goes on.
//! 10. An id that the driver does not hold is ignored: an op that crosses a `Closed` does nothing.
//! 11. After the sink has returned `Break` there is no `Received` in this wait. The next wait does not wait for the kernel
//!     and begins with the connections that had no turn, in their order; one that was stopped in its turn comes behind them.
//! 12. Drivers of one process that each have descriptors of their own accept for each other: a connection at a listener of
//!     a driver that holds its share is `Accepted` by another one that does not, as at the same listener of its own. When
//!     none has room, when the other does not come to it, fills, stops or ends, it is accepted where it came. Only `uring`
//!     has such descriptors: `epoll` takes those of the process, and the simulated kernel has one bound for all.

mod allocator;
mod clock;
mod descriptors;
mod dial;
mod epoll;
mod file;
mod hang_up;
mod listen;
mod listen_unix;
mod memory;
pub mod null;
mod process;
pub mod sim;
mod sockets;
mod uring;

pub use clock::{entropy_seed, monotonic_now, wall_millis};
pub use descriptors::{descriptors_open, raise_descriptors_max};
pub use dial::{Pacer, Stream, dial};
pub use epoll::{Epoll, EpollSetup, EpollWaker};
pub use file::{AsideFile, Claim, check_readable, overwrite_end, read_portions, set_aside};
pub use hang_up::wait_for_hang_up;
pub use listen::{Listener, listen};
pub use listen_unix::{SocketFile, listen_unix};
pub use memory::{meminfo_len, memory_max};
pub use process::process_usage;
pub use uring::{Uring, UringIntake, UringSetup, UringWaker};

use std::io;
use std::net::SocketAddr;
use std::ops::ControlFlow;

use crate::buf::Segment;
use crate::command::ConnId;
use crate::time::MonoTime;

/// An accepted socket that no connection has adopted yet. It must go back in [`Op::Adopt`] or [`Op::Refuse`].
#[derive(Debug, PartialEq, Eq)]
pub struct Socket(pub(in crate::driver) u32);

/// How a connection failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum NetError {
    /// Reset by the peer, or sent to after the peer was gone.
    Reset,
    /// No route, refused, or timed out by the kernel.
    Unreachable,
    /// Anything else.
    Other,
}

/// Operations of the shard on the kernel.
#[derive(Debug)]
pub enum Op {
    /// Give an accepted socket its id and start receiving.
    Adopt {
        /// The id, unused until now.
        conn: ConnId,
        /// From `Accepted`.
        socket: Socket,
    },
    /// Close an accepted socket at once.
    Refuse {
        /// From `Accepted`.
        socket: Socket,
        /// Sent before, as far as the kernel takes it at once.
        words: &'static [u8],
    },
    /// Open a connection; answered by `Connected`, and if that is `Ok` it receives like an adopted one.
    Connect {
        /// The id, unused until now.
        conn: ConnId,
        /// The address.
        peer: SocketAddr,
    },
    /// Send bytes, in order, as one kernel call where the kernel allows it.
    Send {
        /// The receiver.
        conn: ConnId,
        /// Not empty, none of them empty, at most `SEGMENTS_PER_SEND_MAX`.
        segments: Vec<Segment>,
    },
    /// Send the same bytes to many connections.
    SendMany {
        /// The bytes that they get.
        segment: Segment,
        /// The connections that get it; no send is in flight for any of them.
        conns: Vec<ConnId>,
    },
    /// Lend no more bytes for now.
    PauseReceive {
        /// The connection.
        conn: ConnId,
    },
    /// Lend again.
    ResumeReceive {
        /// The connection.
        conn: ConnId,
    },
    /// End our side of the stream (`shutdown(SHUT_WR)`); no send is in flight, and none follows.
    Finish {
        /// The connection.
        conn: ConnId,
    },
    /// Close the socket. What is in flight or not yet received is dropped. Over bytes that were not received the
    /// kernel resets even in order, and the peer may lose what was sent last: where that matters, `Finish` first and
    /// close after `ReceiveClosed`.
    Close {
        /// The connection.
        conn: ConnId,
        /// Reset rather than close in order, so that the kernel drops what the peer did not take.
        abort: bool,
    },
    /// Close the listeners; `Accepted` may still come for what was already accepted.
    StopAccepting,
}

/// Completions of the kernel.
#[derive(Debug)]
pub enum Completion<'a> {
    /// A connection came in on a listener.
    Accepted {
        /// To be adopted or refused.
        socket: Socket,
        /// The other end; `0.0.0.0:0` on a listener that is a file.
        peer: SocketAddr,
        /// Which of the listeners that the driver was set up with, counted from 0.
        listener: u8,
    },
    /// A `Connect` ended.
    Connected {
        /// The connection.
        conn: ConnId,
        /// Whether it stands. After an error the id is free again.
        result: Result<(), NetError>,
    },
    /// Bytes came in.
    Received {
        /// The connection.
        conn: ConnId,
        /// Lent for this call; never empty.
        bytes: &'a mut [u8],
    },
    /// Nothing more will be received. Comes once: a reset behind an orderly end shows only in what is sent.
    ReceiveClosed {
        /// The connection.
        conn: ConnId,
        /// `None` if the peer ended its side in order.
        cause: Option<NetError>,
    },
    /// A send ended.
    Sent {
        /// The connection.
        conn: ConnId,
        /// Bytes taken by the kernel; 0 only after a `SendMany`. After an error nothing more can be sent.
        result: Result<u32, NetError>,
        /// The segments that were not taken, in order; empty if all were. The vector may be used again.
        rest: Vec<Segment>,
    },
    /// The socket is gone.
    Closed {
        /// The connection.
        conn: ConnId,
    },
    /// Another thread called [`Wake::wake`].
    Woken,
}

/// Wakes a waiting driver from another thread.
pub trait Wake: Send + Sync + 'static {
    /// Makes the current or the next `wait` return soon, with `Woken`.
    fn wake(&self);
}

/// One kernel, as one shard sees it. See the room's documentation for the promises.
pub trait Driver {
    /// Its way of being woken.
    type Waker: Wake + Clone;

    /// A handle that wakes this driver.
    fn waker(&self) -> Self::Waker;

    /// The time now.
    fn now(&self) -> MonoTime;

    /// The wall clock's time now, in milliseconds since 1970: for what people read, never for deadlines.
    fn wall_millis(&self) -> u64;

    /// Starts every operation, at the latest with the wait that follows, and leaves `ops` empty.
    ///
    /// # Errors
    /// Only what no connection is to blame for and what ends the shard.
    fn submit(&mut self, ops: &mut Vec<Op>) -> io::Result<()>;

    /// Hands every completion to `sink`, waiting for the first one at most until `until` (`None`: for ever). It may
    /// return earlier with none, as after a signal; never again and again, which would be a spin. The sink returns `Break`
    /// when the shard can take in no more bytes for now; everything else is still delivered.
    ///
    /// # Errors
    /// Only what no connection is to blame for and what ends the shard.
    fn wait(
        &mut self,
        until: Option<MonoTime>,
        sink: impl FnMut(MonoTime, Completion<'_>) -> ControlFlow<()>,
    ) -> io::Result<()>;

    /// Gives memory that is free back to the kernel, where there is one.
    fn release_memory(&mut self) {}
}

/// Drops the first `count` bytes, which were sent, from the front of `segments`.
fn drop_sent(segments: &mut Vec<Segment>, count: u32) {
    let mut left = count as usize;
    let whole = segments.iter().take_while(|segment| {
        let is_whole = segment.len() <= left;
        left -= if is_whole { segment.len() } else { 0 };
        is_whole
    });
    let whole = whole.count();
    segments.drain(..whole);
    if left > 0 {
        segments.first_mut().expect("no more is sent than there was").advance(left);
    }
}

const _: () = assert!(size_of::<Completion<'static>>() <= 48);
