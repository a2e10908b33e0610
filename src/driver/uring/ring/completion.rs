//! Completions of the ring, as events, reads and accepts.

use std::net::SocketAddr;

use io_uring::cqueue;

use super::super::buffer_ring::{BufferRing, Piece};
use super::super::mark::{CLOSE, CONNECT, FINISH, LISTEN, OPEN, PENDING, POLL, RECEIVE, REFUSE, ROOM, WAKE, unmark};
use super::{Pending, Ring};
use crate::buf::Segment;
use crate::command::ConnId;

/// The result of an entry: the kernel's number, or its errno.
pub(in crate::driver::uring) type Outcome = Result<u32, i32>;

/// Completions other than reads and accepts.
#[derive(Debug)]
pub(in crate::driver::uring) enum Event {
    /// There may be something to receive: the poll's events. No more of these come if `is_over`.
    Polled { conn: ConnId, outcome: Outcome, is_over: bool },
    /// An armed receive brought bytes, or the end of the stream, or an error.
    Received { conn: ConnId, outcome: Outcome, piece: Option<Piece>, is_over: bool },
    /// There may be room to send.
    Room { conn: ConnId, outcome: Outcome },
    /// A send ended; of one to many only if not all was taken.
    Sent { conn: ConnId, outcome: Outcome, segments: Vec<Segment>, is_one_of_many: bool },
    /// A socket was opened: its direct descriptor.
    Opened { conn: ConnId, outcome: Outcome },
    /// A connect ended.
    Connected { conn: ConnId, outcome: Outcome },
    /// Our side of the stream has ended.
    Finished { conn: ConnId },
    /// A direct descriptor is free again, and whose it was, if a connection's.
    Released { conn: Option<ConnId> },
    /// Connections may wait at a listener.
    Listened { listener: u32, outcome: Outcome, is_over: bool },
    /// The eventfd was written to.
    Woken { outcome: Outcome, is_over: bool },
}

/// A read ended: its place among those of the batch, and whether there is more to read.
#[derive(Debug)]
pub(in crate::driver::uring) struct ReadDone {
    pub(in crate::driver::uring) place: u32,
    pub(in crate::driver::uring) outcome: Outcome,
    pub(in crate::driver::uring) piece: Option<Piece>,
    pub(in crate::driver::uring) has_more: bool,
}

/// An accept ended: the direct descriptor and the other end.
#[derive(Debug)]
pub(in crate::driver::uring) struct AcceptDone {
    pub(in crate::driver::uring) outcome: Result<(u32, SocketAddr), i32>,
}

impl Ring {
    /// Whether there are events that nobody took.
    pub(in crate::driver::uring) fn has_events(&self) -> bool {
        !self.events.is_empty()
    }

    /// Takes the events, in exchange for an empty vector.
    pub(in crate::driver::uring) fn take_events(&mut self, empty: Vec<Event>) -> Vec<Event> {
        std::mem::replace(&mut self.events, empty)
    }

    /// The reads that ended.
    pub(in crate::driver::uring) fn take_reads(&mut self, empty: Vec<ReadDone>) -> Vec<ReadDone> {
        std::mem::replace(&mut self.reads, empty)
    }

    /// The accepts that ended.
    pub(in crate::driver::uring) fn take_accepts(&mut self, empty: Vec<AcceptDone>) -> Vec<AcceptDone> {
        std::mem::replace(&mut self.accepts, empty)
    }

    /// Makes events of the completions.
    pub(super) fn take(&mut self) {
        for entry in self.io.completion() {
            let (flags, is_over) = (entry.flags(), !cqueue::more(entry.flags()));
            let outcome = u32::try_from(entry.result()).map_err(|_| -entry.result());
            let (kind, conn) = unmark(entry.user_data());
            let event = match kind {
                PENDING => match self.batch.pending[conn.index as usize] {
                    Pending::Many { conn, segment } => {
                        let segments = vec![self.batch.segments[segment as usize].clone()];
                        Event::Sent { conn, outcome, segments, is_one_of_many: true }
                    }
                    Pending::Send { conn, vector } => {
                        let segments = std::mem::take(&mut self.batch.vectors[vector as usize]);
                        Event::Sent { conn, outcome, segments, is_one_of_many: false }
                    }
                    Pending::Read { place } => {
                        let piece = piece(&mut self.buffers, outcome, flags);
                        let has_more = cqueue::sock_nonempty(flags);
                        self.reads.push(ReadDone { place, outcome, piece, has_more });
                        continue;
                    }
                    Pending::Accept { address } => {
                        let address = &self.batch.addresses[address as usize];
                        self.accepts.push(AcceptDone { outcome: outcome.map(|file| (file, address.read())) });
                        continue;
                    }
                },
                POLL => Event::Polled { conn, outcome, is_over },
                RECEIVE => Event::Received { conn, outcome, piece: piece(&mut self.buffers, outcome, flags), is_over },
                ROOM => Event::Room { conn, outcome },
                CLOSE => Event::Released { conn: Some(conn) },
                REFUSE => Event::Released { conn: None },
                FINISH => Event::Finished { conn },
                OPEN => Event::Opened { conn, outcome },
                CONNECT => Event::Connected { conn, outcome },
                LISTEN => Event::Listened { listener: conn.index, outcome, is_over },
                WAKE => Event::Woken { outcome, is_over },
                _ => continue,
            };
            self.events.push(event);
        }
    }
}

/// The bytes that a receive brought.
fn piece(buffers: &mut BufferRing, outcome: Outcome, flags: u32) -> Option<Piece> {
    let buffer = cqueue::buffer_select(flags)?;
    Some(buffers.take(buffer, outcome.unwrap_or(0), cqueue::buffer_more(flags)))
}
