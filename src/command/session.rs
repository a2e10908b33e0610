//! Names of connections and sessions. A session is a subscriber; nearly every connection has exactly one of its own.

use super::ShardId;

/// A connection of one shard: its arena index, and how often that place was used before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ConnId {
    /// Its place in the arena.
    pub index: u32,
    /// How often the place was used before; it tells a stale id from a live one.
    pub generation: u32,
}

/// The place of a session: that of its connection, or, for a detached session, one in the pool of detached sessions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SessionIndex(u32);

impl SessionIndex {
    /// Set in the bits of a detached session.
    pub const DETACHED: u32 = 1 << 30;

    /// The session of the connection at a place of the arena.
    #[must_use]
    pub const fn own(conn: u32) -> Self {
        Self(conn)
    }

    /// A detached session, by its place in the pool of detached sessions.
    #[must_use]
    pub const fn detached(place: usize) -> Self {
        Self(place as u32 | Self::DETACHED)
    }

    /// The session of such bits.
    #[must_use]
    pub const fn from_bits(bits: u32) -> Self {
        Self(bits)
    }

    /// As a number of 31 bits.
    #[must_use]
    pub const fn bits(self) -> u32 {
        self.0
    }

    /// The connection's place in the arena, if the session belongs to a connection.
    #[must_use]
    pub const fn conn(self) -> Option<u32> {
        if self.0 & Self::DETACHED == 0 { Some(self.0) } else { None }
    }

    /// The place in the arena, or in the pool of detached sessions.
    #[must_use]
    pub const fn place(self) -> usize {
        (self.0 & !Self::DETACHED) as usize
    }
}

/// A session of one shard.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SessionId {
    /// Its place.
    pub index: SessionIndex,
    /// How often the place was used before. The session of a connection has the generation of that connection.
    pub generation: u32,
}

impl SessionId {
    /// The connection that the session belongs to.
    #[must_use]
    pub const fn conn(self) -> Option<ConnId> {
        match self.index.conn() {
            Some(index) => Some(ConnId { index, generation: self.generation }),
            None => None,
        }
    }
}

impl From<ConnId> for SessionId {
    fn from(conn: ConnId) -> Self {
        Self { index: SessionIndex::own(conn.index), generation: conn.generation }
    }
}

/// A detached session by the name that its client chose for it: a keyed hash of service and name, so that no client can
/// aim at another's. It decides which shard holds the session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SessionKey(pub u64);

impl SessionKey {
    /// The shard that holds the session.
    #[must_use]
    pub fn home(self, shards: usize) -> ShardId {
        ShardId((self.0 % shards as u64) as u8)
    }
}

/// A part of the addresses that clients come from: what all share is shared out by it. A keyed hash of an address, so that
/// no client can aim at another's; a few others have the same.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Owner(pub u16);
