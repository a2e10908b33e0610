//! One connection of the simulated network, seen from both of its ends.

use std::collections::VecDeque;
use std::net::SocketAddr;

use fastrand::Rng;

use super::super::NetError;
use super::faults::Faults;
use crate::buf::Segment;
use crate::command::ConnId;

/// A connection. It stays in the net's list for the whole run, so that a peer can be asked how it ended.
#[derive(Debug)]
pub(super) struct Link {
    /// Which shard's listener it came in on, or which shard opened it.
    pub(super) shard: usize,
    pub(super) peer_addr: SocketAddr,
    /// Which of the shard's listeners that was.
    pub(super) listener: u8,
    pub(super) server: ServerEnd,
    /// From the peer to the server.
    pub(super) inbound: Pipe,
    /// From the server to the peer.
    pub(super) outbound: Pipe,
    /// A reset came to the server's end; its reads and sends fail.
    pub(super) is_reset_for_server: bool,
    /// A reset came to the peer's end.
    pub(super) is_reset_for_peer: bool,
    /// The peer closed its socket: what is sent to it from now on is answered by a reset.
    pub(super) is_peer_gone: bool,
    /// Whether the peer reads when it is asked to.
    pub(super) is_peer_reading: bool,
    /// The server wants no bytes for now.
    pub(super) is_paused: bool,
    /// `ReceiveClosed` was delivered.
    pub(super) is_receive_closed: bool,
    /// A send is in flight, or its `Sent` is queued.
    pub(super) is_sending: bool,
    /// A send that found no room.
    pub(super) held: Option<Vec<Segment>>,
}

/// The state of the server's end of a connection, for its driver.
///
/// ```text
/// Backlog ──Accepted──▶ Accepted ──Adopt──▶ Held ──Close──▶ Gone
///    │                     └──────Refuse───────────────────▶ │
///    └───────────────────StopAccepting──────────────────────▶│
/// Connecting ──Connected──▶ Held                             │
///    └────────────────────────Close─────────────────────────▶┘
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ServerEnd {
    /// Waits to be accepted.
    Backlog,
    /// Waits to be adopted.
    Accepted,
    /// Opened by the shard, which has not heard of it yet.
    Connecting(ConnId),
    /// Belongs to a connection.
    Held(ConnId),
    /// Closed.
    Gone,
}

/// One direction: bytes on their way, in a bounded buffer.
#[derive(Debug)]
pub(super) struct Pipe {
    pub(super) bytes: VecDeque<u8>,
    pub(super) len_max: usize,
    /// The end of the stream stands behind the bytes.
    pub(super) is_finished: bool,
}

impl Pipe {
    fn new(len_max: usize) -> Self {
        Self { bytes: VecDeque::new(), len_max, is_finished: false }
    }

    pub(super) fn room(&self) -> usize {
        self.len_max - self.bytes.len()
    }

    pub(super) fn take(&mut self, count: usize) -> Vec<u8> {
        self.bytes.drain(..count).collect()
    }
}

impl Link {
    pub(super) fn new(shard: usize, peer_addr: SocketAddr, server: ServerEnd, faults: &Faults) -> Self {
        Self {
            shard,
            peer_addr,
            listener: 0,
            server,
            inbound: Pipe::new(faults.inbound_len_max),
            outbound: Pipe::new(faults.outbound_len_max),
            is_reset_for_server: false,
            is_reset_for_peer: false,
            is_peer_gone: false,
            is_peer_reading: true,
            is_paused: false,
            is_receive_closed: false,
            is_sending: false,
            held: None,
        }
    }

    /// Marks a send as in flight, and holds the shard to the rules for that.
    pub(super) fn begin_send(&mut self) {
        assert!(!self.is_sending, "one send is in flight per connection");
        assert!(matches!(self.server, ServerEnd::Held(_)), "a connection sends after its Connected");
        self.is_sending = true;
    }

    /// The server's kernel takes bytes to send: how many, or 0 if it has no room.
    pub(super) fn transmit(&mut self, segments: &[Segment], faults: &Faults, rng: &mut Rng) -> Result<u32, NetError> {
        if self.is_reset_for_server || self.outbound.is_finished {
            return Err(NetError::Reset);
        }
        if chance(rng, faults.reset) {
            self.reset_by_network(rng);
            return Err(NetError::Reset);
        }
        let len: usize = segments.iter().map(|segment| segment.len()).sum();
        if self.is_peer_gone {
            self.is_reset_for_server = true;
            return Ok(len as u32);
        }
        let mut count = len.min(self.outbound.room());
        if chance(rng, faults.would_block) {
            count = 0;
        } else if count > 0 && chance(rng, faults.short_write) {
            count = rng.usize(1..=count);
        }
        let mut left = count;
        for segment in segments {
            let part = &segment[..segment.len().min(left)];
            self.outbound.bytes.extend(part);
            left -= part.len();
        }
        Ok(count as u32)
    }

    /// The server closes its end.
    pub(super) fn close_server(&mut self, abort: bool, rng: &mut Rng) {
        // Closing over unread bytes resets, as Linux does: the peer must not believe that they were read.
        if abort || !self.inbound.bytes.is_empty() {
            lose_tail(&mut self.outbound, rng);
            self.is_reset_for_peer = true;
        }
        self.outbound.is_finished = true;
        self.inbound.bytes.clear();
        self.held = None;
        self.is_sending = false;
        self.server = ServerEnd::Gone;
    }

    /// The peer writes: how many bytes its kernel took.
    pub(super) fn write_as_peer(&mut self, bytes: &[u8], faults: &Faults, rng: &mut Rng) -> usize {
        if self.is_reset_for_peer || self.is_peer_gone || self.inbound.is_finished {
            return 0;
        }
        if self.server == ServerEnd::Gone {
            self.is_reset_for_peer = true;
            lose_tail(&mut self.outbound, rng);
            return bytes.len();
        }
        let mut count = bytes.len().min(self.inbound.room());
        if chance(rng, faults.half_close) {
            count = rng.usize(0..=count);
            self.inbound.is_finished = true;
        }
        self.inbound.bytes.extend(&bytes[..count]);
        if chance(rng, faults.reset) {
            self.reset_by_network(rng);
        }
        count
    }

    /// The peer resets the connection. Nothing that is on its way to it arrives; what it wrote still does.
    pub(super) fn reset_by_peer(&mut self) {
        self.is_peer_gone = true;
        self.is_reset_for_peer = true;
        self.outbound.bytes.clear();
        if self.server != ServerEnd::Gone {
            self.is_reset_for_server = true;
        }
    }

    /// Both ends see a reset, and a part of what is on its way is lost.
    fn reset_by_network(&mut self, rng: &mut Rng) {
        lose_tail(&mut self.inbound, rng);
        lose_tail(&mut self.outbound, rng);
        self.is_reset_for_server = true;
        self.is_reset_for_peer = true;
    }
}

fn lose_tail(pipe: &mut Pipe, rng: &mut Rng) {
    let kept = rng.usize(0..=pipe.bytes.len());
    pipe.bytes.truncate(kept);
}

/// Whether something happens that does so `in_a_thousand` times.
pub(super) fn chance(rng: &mut Rng, in_a_thousand: u16) -> bool {
    in_a_thousand > 0 && rng.u16(0..1000) < in_a_thousand
}
