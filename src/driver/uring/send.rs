//! Sending: entries that take what there is room for at once; what finds none is held until the socket is writable.

use std::collections::HashMap;
use std::io;

use super::super::{Completion, drop_sent};
use super::net_error_of;
use super::ring::{Outcome, Ring};
use super::sockets::{Flags, Sockets};
use crate::buf::Segment;
use crate::command::ConnId;

/// The sends of which the kernel took nothing yet, by arena index.
#[derive(Debug, Default)]
pub(super) struct Sender {
    held: HashMap<u32, Vec<Segment>>,
}

impl Sender {
    /// Tries a send with the next submission.
    pub(super) fn send(
        &mut self,
        sockets: &mut Sockets,
        ring: &mut Ring,
        conn: ConnId,
        segments: Vec<Segment>,
    ) -> io::Result<()> {
        let Some(slot) = sockets.find_open(conn) else { return Ok(()) };
        assert!(!slot.flags.has(Flags::SENDING), "one send is in flight per connection");
        assert!(!slot.flags.has(Flags::CONNECTING), "a connection sends after its Connected");
        slot.flags.set(Flags::SENDING);
        ring.send(conn, slot.file, segments)
    }

    /// Tries a held send again: there may be room. If the kernel could not wait for that, the send has failed.
    pub(super) fn resume(
        &mut self,
        sockets: &mut Sockets,
        ring: &mut Ring,
        (conn, outcome): (ConnId, Outcome),
        sink: &mut impl FnMut(Completion<'_>),
    ) -> io::Result<()> {
        let Some(slot) = sockets.find_open(conn) else { return Ok(()) };
        let Some(segments) = self.held.remove(&conn.index) else { return Ok(()) };
        match outcome {
            Ok(_) => ring.send(conn, slot.file, segments),
            Err(errno) => self.handle_sent(sockets, ring, (conn, Err(errno), segments, false), sink),
        }
    }

    /// Hands out what came of a send, unless the kernel took nothing of it: then it is held.
    pub(super) fn handle_sent(
        &mut self,
        sockets: &mut Sockets,
        ring: &mut Ring,
        sent: (ConnId, Outcome, Vec<Segment>, bool),
        sink: &mut impl FnMut(Completion<'_>),
    ) -> io::Result<()> {
        let (conn, outcome, mut segments, is_one_of_many) = sent;
        // A connection that was closed after its send stays silent.
        let Some(slot) = sockets.find_open(conn) else { return Ok(()) };
        let result = match outcome {
            Ok(count) => Ok(count),
            Err(libc::EAGAIN | libc::EINTR) if is_one_of_many => Ok(0),
            Err(libc::EAGAIN | libc::EINTR) => {
                self.held.insert(conn.index, segments);
                slot.flags.set(Flags::AWAITS_ROOM);
                return ring.poll_room(conn, slot.file);
            }
            Err(errno) => Err(net_error_of(errno)),
        };
        slot.flags.clear(Flags::SENDING);
        match result {
            Ok(count) => drop_sent(&mut segments, count),
            Err(error) => sockets.fail(conn, error),
        }
        sink(Completion::Sent { conn, result, rest: segments });
        Ok(())
    }

    /// Drops what is held for a connection.
    pub(super) fn forget(&mut self, conn: ConnId) {
        self.held.remove(&conn.index);
    }

    /// Sends that are held.
    pub(super) fn len(&self) -> usize {
        self.held.len()
    }
}

/// Sends the same bytes to each of `conns`, once; only those come back that did not take all of it.
pub(super) fn send_many(sockets: &mut Sockets, ring: &mut Ring, segment: &Segment, conns: &[ConnId]) -> io::Result<()> {
    let open = conns.iter().filter_map(|&conn| {
        let slot = sockets.find_open(conn)?;
        assert!(!slot.flags.has(Flags::SENDING), "one send is in flight per connection");
        Some((conn, slot.file))
    });
    ring.send_to_each(segment, open)
}
