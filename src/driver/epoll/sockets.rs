//! The table of adopted sockets: a [`ConnId`] to a socket and 12 bytes of state.

use std::net::TcpStream;

use mio::Token;

use super::super::NetError;
use super::super::sockets::{self, Table};
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

/// The state of a socket.
pub(super) type Flags = sockets::Flags<u16>;

impl sockets::Flags<u16> {
    pub(super) const READY: Self = Self(sockets::READY as u16);
    pub(super) const LISTED: Self = Self(sockets::LISTED as u16);
    pub(super) const ENDING: Self = Self(sockets::ENDING as u16);
    pub(super) const FAILED: Self = Self(sockets::FAILED as u16);
    pub(super) const RECEIVE_CLOSED: Self = Self(sockets::RECEIVE_CLOSED as u16);
    pub(super) const PAUSED: Self = Self(sockets::PAUSED as u16);
    /// A send is in flight: held until the socket is writable, or its `Sent` waits for the next wait.
    pub(super) const SENDING: Self = Self(1 << 6);
    /// A `Connect` has not ended.
    pub(super) const CONNECTING: Self = Self(1 << 7);
}

impl sockets::Slot for Slot {
    type Bits = u16;

    const FREE: Self = Self { stream: None, generation: 0, held: NOT_HELD, flags: sockets::Flags(0), failure: None };

    fn is_taken(&self) -> bool {
        self.stream.is_some()
    }

    fn generation(&self) -> u32 {
        self.generation
    }

    /// A close is over at once.
    fn is_closing(&self) -> bool {
        false
    }

    fn state(&mut self) -> (&mut Flags, &mut Option<NetError>) {
        (&mut self.flags, &mut self.failure)
    }
}

/// The adopted sockets of one shard, by arena index.
pub(super) type Sockets = Table<Slot>;

impl Table<Slot> {
    pub(super) fn new(capacity: u32) -> Self {
        assert!(capacity <= INDEX_MAX, "an index leaves room for the tokens of listeners and the waker");
        Self::with_capacity(capacity)
    }

    /// Puts a socket into the place that `conn` names.
    pub(super) fn insert(&mut self, conn: ConnId, stream: TcpStream) -> &mut Slot {
        self.fill(conn, Slot { stream: Some(stream), generation: conn.generation, ..sockets::Slot::FREE })
    }

    /// Empties the place of `conn`, if the driver holds that connection, and returns its socket and held send.
    pub(super) fn remove(&mut self, conn: ConnId) -> Option<(TcpStream, u32)> {
        let Slot { stream, held, .. } = self.take(conn)?;
        Some((stream?, held))
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
