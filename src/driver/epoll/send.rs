//! Sending: at once, from `submit`; what finds no room is held until the socket is writable.

use std::io::{self, IoSlice, Write};
use std::net::TcpStream;

use mio::{Interest, Registry};
use slab::Slab;

use super::super::{Completion, NetError, drop_sent};
use super::sockets::{Flags, NOT_HELD, Sockets};
use super::{Queued, net_error, reregister};
use crate::buf::Segment;
use crate::command::ConnId;
use crate::limits::SEGMENTS_PER_SEND_MAX;

/// The sends of which the kernel took nothing yet.
#[derive(Debug, Default)]
pub(super) struct Sender {
    held: Slab<Vec<Segment>>,
}

impl Sender {
    /// Tries a send. What comes of it is queued, unless the kernel takes nothing: then the send is held.
    pub(super) fn send(
        &mut self,
        sockets: &mut Sockets,
        registry: &Registry,
        queued: &mut Vec<Queued>,
        conn: ConnId,
        mut segments: Vec<Segment>,
    ) {
        let Some(slot) = sockets.find(conn) else { return };
        assert!(!slot.flags.has(Flags::SENDING), "one send is in flight per connection");
        assert!(!slot.flags.has(Flags::CONNECTING), "a connection sends after its Connected");
        let Some(stream) = &mut slot.stream else { return };
        slot.flags.set(Flags::SENDING);
        let mut result = write(stream, &segments);
        if result == Ok(0) {
            match reregister(registry, stream, conn, Interest::READABLE | Interest::WRITABLE) {
                Ok(()) => {
                    let key = self.held.insert(segments);
                    slot.held = u32::try_from(key).expect("at most one send is held for each connection");
                    return;
                }
                Err(error) => result = Err(net_error(&error)),
            }
        }
        finish(sockets, conn, result, &mut segments);
        queued.push(Queued::Sent { conn, result, rest: segments });
    }

    /// Tries a held send again, and delivers its `Sent` if the kernel takes something or fails.
    pub(super) fn resume(
        &mut self,
        sockets: &mut Sockets,
        registry: &Registry,
        conn: ConnId,
        sink: &mut impl FnMut(Completion<'_>),
    ) {
        let Some(slot) = sockets.find(conn) else { return };
        let Some(stream) = &mut slot.stream else { return };
        let Some(segments) = self.held.get(slot.held as usize) else { return };
        let mut result = write(stream, segments);
        if result == Ok(0) {
            return;
        }
        if let Err(error) = reregister(registry, stream, conn, Interest::READABLE) {
            result = result.and(Err(net_error(&error)));
        }
        let mut segments = self.held.remove(slot.held as usize);
        slot.held = NOT_HELD;
        slot.flags.clear(Flags::SENDING);
        finish(sockets, conn, result, &mut segments);
        sink(Completion::Sent { conn, result, rest: segments });
    }

    /// Drops the held send behind `key`.
    pub(super) fn forget(&mut self, key: u32) {
        self.held.remove(key as usize);
    }
}

/// Sends the same bytes to each of `conns`, once; queues a `Sent` for those that did not take all of it.
pub(super) fn send_many(sockets: &mut Sockets, queued: &mut Vec<Queued>, segment: &Segment, conns: &[ConnId]) {
    for &conn in conns {
        let Some(slot) = sockets.find(conn) else { continue };
        assert!(!slot.flags.has(Flags::SENDING), "one send is in flight per connection");
        let Some(stream) = &mut slot.stream else { continue };
        let result = write_one(stream, segment);
        if result == Ok(segment.len() as u32) {
            continue;
        }
        slot.flags.set(Flags::SENDING);
        let mut rest = vec![segment.clone()];
        finish(sockets, conn, result, &mut rest);
        queued.push(Queued::Sent { conn, result, rest });
    }
}

/// Leaves in `segments` what was not sent, and takes note of a failure.
fn finish(sockets: &mut Sockets, conn: ConnId, result: Result<u32, NetError>, segments: &mut Vec<Segment>) {
    match result {
        Ok(count) => drop_sent(segments, count),
        Err(error) => sockets.fail(conn, error),
    }
}

/// Bytes that the kernel took; 0 if it has no room.
fn write(stream: &mut TcpStream, segments: &[Segment]) -> Result<u32, NetError> {
    if let [segment] = segments {
        return write_one(stream, segment);
    }
    let mut slices = [IoSlice::new(&[]); SEGMENTS_PER_SEND_MAX];
    let mut count = 0;
    for (slice, segment) in slices.iter_mut().zip(segments) {
        *slice = IoSlice::new(segment);
        count += 1;
    }
    outcome(|| stream.write_vectored(&slices[..count]))
}

fn write_one(stream: &mut TcpStream, segment: &Segment) -> Result<u32, NetError> {
    outcome(|| stream.write(segment))
}

fn outcome(mut call: impl FnMut() -> io::Result<usize>) -> Result<u32, NetError> {
    loop {
        match call() {
            // Linux takes less than 2 GiB in one call.
            Ok(count) => return Ok(count as u32),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(0),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(net_error(&error)),
        }
    }
}
