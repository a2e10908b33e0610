//! The table of adopted sockets: a [`ConnId`] to a socket and 12 bytes of state.

use std::net::TcpStream;

use mio::Token;

use super::super::NetError;
use crate::command::ConnId;

/// One place of the table. Everything that a connection costs in this driver while it is idle.
#[derive(Debug)]
pub(super) struct Slot {
    /// `None` while the place is free.
    pub(super) stream: Option<TcpStream>,
    pub(super) generation: u32,
    /// The key of its send among those that the sender holds, or [`NOT_HELD`].
    pub(super) held: u32,
    pub(super) flags: Flags,
    /// Why the connection failed, once the kernel said so: it says so only once, to whichever call comes first.
    pub(super) failure: Option<NetError>,
}

/// What is known of a socket, as a set of bits.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Flags(u16);

impl Flags {
    /// The kernel may have bytes, or an end, that were not read yet.
    pub(super) const READY: Self = Self(1);
    /// It stands in the list of connections to read from.
    pub(super) const LISTED: Self = Self(1 << 1);
    /// An end of the stream is behind the bytes, so that a short read is not the last.
    pub(super) const ENDING: Self = Self(1 << 2);
    /// The kernel or a send told of an error.
    pub(super) const FAILED: Self = Self(1 << 3);
    /// `ReceiveClosed` was handed out.
    pub(super) const RECEIVE_CLOSED: Self = Self(1 << 4);
    /// The shard wants no bytes for now.
    pub(super) const PAUSED: Self = Self(1 << 5);
    /// A send is in flight: held until the socket is writable, or its `Sent` waits for the next wait.
    pub(super) const SENDING: Self = Self(1 << 6);
    /// A `Connect` has not ended.
    pub(super) const CONNECTING: Self = Self(1 << 7);

    pub(super) const fn has(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    pub(super) const fn set(&mut self, other: Self) {
        self.0 |= other.0;
    }

    pub(super) const fn clear(&mut self, other: Self) {
        self.0 &= !other.0;
    }
}

impl Slot {
    const FREE: Self = Self { stream: None, generation: 0, held: NOT_HELD, flags: Flags(0), failure: None };
}

/// The adopted sockets of one shard, by arena index.
#[derive(Debug)]
pub(super) struct Sockets {
    /// Grows within a capacity that is reserved from the start; pages that no connection touched cost nothing.
    slots: Vec<Slot>,
    capacity: u32,
    len: u32,
    /// Connections to read from, each once; may name some that are gone.
    ready: Vec<ConnId>,
}

impl Sockets {
    pub(super) fn new(capacity: u32) -> Self {
        assert!(capacity <= INDEX_MAX, "an index leaves room for the tokens of listeners and the waker");
        Self { slots: Vec::with_capacity(capacity as usize), capacity, len: 0, ready: Vec::new() }
    }

    /// Puts a socket into the place that `conn` names.
    ///
    /// # Panics
    /// If the place is past the capacity, or in use: the arena hands out neither.
    pub(super) fn insert(&mut self, conn: ConnId, stream: TcpStream) -> &mut Slot {
        assert!(conn.index < self.capacity, "the arena has as many places as the driver");
        let index = conn.index as usize;
        if self.slots.len() <= index {
            self.slots.resize_with(index + 1, || Slot::FREE);
        }
        let slot = &mut self.slots[index];
        assert!(slot.stream.is_none(), "an id is adopted again only after its Closed");
        *slot = Slot { stream: Some(stream), generation: conn.generation, ..Slot::FREE };
        self.len += 1;
        slot
    }

    /// The place of `conn`, if the driver holds that connection.
    pub(super) fn find(&mut self, conn: ConnId) -> Option<&mut Slot> {
        let slot = self.slots.get_mut(conn.index as usize)?;
        (slot.stream.is_some() && slot.generation == conn.generation).then_some(slot)
    }

    /// Empties the place of `conn`, if the driver holds that connection, and returns its socket and held send.
    pub(super) fn remove(&mut self, conn: ConnId) -> Option<(TcpStream, u32)> {
        let slot = self.find(conn)?;
        let held = slot.held;
        let stream = slot.stream.take()?;
        self.len -= 1;
        Some((stream, held))
    }

    /// Takes note of a failure, and sees to it that the receiving side tells of it.
    pub(super) fn fail(&mut self, conn: ConnId, error: NetError) {
        let Some(slot) = self.find(conn) else { return };
        slot.failure.get_or_insert(error);
        for flag in [Flags::FAILED, Flags::ENDING, Flags::READY] {
            slot.flags.set(flag);
        }
        self.list_if_ready(conn);
    }

    /// Puts `conn` on the list of connections to read from, if there is anything to look for: bytes or an end,
    /// or while receiving is paused only a failure.
    pub(super) fn list_if_ready(&mut self, conn: ConnId) {
        let Some(slot) = self.find(conn) else { return };
        let flags = &mut slot.flags;
        let is_wanted = !flags.has(Flags::PAUSED) || flags.has(Flags::FAILED);
        let is_done = flags.has(Flags::LISTED) || flags.has(Flags::RECEIVE_CLOSED);
        if flags.has(Flags::READY) && is_wanted && !is_done {
            flags.set(Flags::LISTED);
            self.ready.push(conn);
        }
    }

    /// Moves the list of connections to read from into `turn`, which is empty.
    pub(super) fn take_ready(&mut self, turn: &mut Vec<ConnId>) {
        std::mem::swap(&mut self.ready, turn);
    }

    /// Whether there are connections to read from.
    pub(super) fn has_ready(&self) -> bool {
        !self.ready.is_empty()
    }

    /// Sockets in the table.
    pub(super) fn len(&self) -> u32 {
        self.len
    }
}

/// The token under which epoll knows a connection. It carries the generation, so that an event of an earlier
/// connection in the same place is told apart.
pub(super) const fn token_of(conn: ConnId) -> Token {
    Token(((conn.generation as u64) << 32 | conn.index as u64) as usize)
}

/// The connection of a token; the token is not one of [`listener_token`] or [`WAKER`].
pub(super) const fn conn_of(token: Token) -> ConnId {
    ConnId { index: token.0 as u32, generation: (token.0 as u64 >> 32) as u32 }
}

/// The token of the listener at `index`.
pub(super) fn listener_token(index: usize) -> Token {
    assert!(index < LISTENERS_MAX, "a shard has few listeners");
    Token(INDEX_MAX as usize + index)
}

/// The listener of a token, if it is one of a listener.
pub(super) fn listener_of(token: Token) -> Option<usize> {
    token.0.checked_sub(INDEX_MAX as usize).filter(|index| *index < LISTENERS_MAX)
}

/// The token of the waker.
pub(super) const WAKER: Token = Token(u32::MAX as usize);
/// In [`Slot::held`]: nothing is held.
pub(super) const NOT_HELD: u32 = u32::MAX;
/// Indexes from here on belong to listeners and the waker.
const INDEX_MAX: u32 = u32::MAX - LISTENERS_MAX as u32;
/// Addresses that one shard can listen on.
const LISTENERS_MAX: usize = 1024;

const _: () = assert!(size_of::<usize>() == 8, "a token carries an index and a generation");
const _: () = assert!(size_of::<Slot>() <= 16);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_name_one_thing_each() {
        let last = ConnId { index: INDEX_MAX - 1, generation: u32::MAX };
        for conn in [ConnId { index: 0, generation: 0 }, ConnId { index: 7, generation: 9 }, last] {
            assert_eq!(conn_of(token_of(conn)), conn);
            assert_eq!(listener_of(token_of(conn)), None);
            assert_ne!(token_of(conn), WAKER);
        }
        assert_eq!(listener_of(listener_token(0)), Some(0));
        assert_eq!(listener_of(listener_token(LISTENERS_MAX - 1)), Some(LISTENERS_MAX - 1));
        assert_eq!(listener_of(WAKER), None);
    }
}
