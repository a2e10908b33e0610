//! Shards of this process, the other addresses of mail, and sets of them.

use std::ops::{BitOr, BitOrAssign};

use crate::limits::SHARDS_MAX;

/// A shard of this process, `0..SHARDS_MAX`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ShardId(pub u8);

impl ShardId {
    /// As an index.
    #[must_use]
    pub const fn index(self) -> usize {
        self.0 as usize
    }
}

/// A set of shards, one bit each.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ShardSet(u128);

const _: () = assert!(SHARDS_MAX <= u128::BITS as usize);

impl ShardSet {
    /// No shard.
    pub const EMPTY: Self = Self(0);

    /// All of so many shards, at least one.
    #[must_use]
    pub const fn all(shards: usize) -> Self {
        Self(u128::MAX >> (u128::BITS as usize - shards))
    }

    /// One shard.
    #[must_use]
    pub const fn one(shard: ShardId) -> Self {
        Self(1 << shard.0)
    }

    /// Adds a shard.
    pub fn insert(&mut self, shard: ShardId) {
        *self |= Self::one(shard);
    }

    /// Takes a shard out.
    pub fn remove(&mut self, shard: ShardId) {
        self.0 &= !Self::one(shard).0;
    }

    /// Whether a shard is in it.
    #[must_use]
    pub const fn has(self, shard: ShardId) -> bool {
        self.0 & Self::one(shard).0 != 0
    }

    /// Whether no shard is in it.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Its shards, the lowest first.
    pub fn iter(self) -> impl Iterator<Item = ShardId> {
        let mut bits = self.0;
        std::iter::from_fn(move || {
            let lowest = (bits != 0).then(|| ShardId(bits.trailing_zeros() as u8));
            bits &= bits.wrapping_sub(1);
            lowest
        })
    }
}

impl BitOr for ShardSet {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl BitOrAssign for ShardSet {
    fn bitor_assign(&mut self, other: Self) {
        self.0 |= other.0;
    }
}

impl FromIterator<ShardId> for ShardSet {
    fn from_iter<I: IntoIterator<Item = ShardId>>(shards: I) -> Self {
        shards.into_iter().fold(Self::EMPTY, |set, shard| set | Self::one(shard))
    }
}

/// An address of mail.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Peer {
    Shard(ShardId),
    /// The one thread that numbers publications for all shards, if there is one.
    Engine,
}

impl From<ShardId> for Peer {
    fn from(shard: ShardId) -> Self {
        Self::Shard(shard)
    }
}

/// A set of addresses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PeerSet {
    shards: ShardSet,
    has_engine: bool,
}

impl PeerSet {
    /// Nobody.
    pub const EMPTY: Self = Self { shards: ShardSet::EMPTY, has_engine: false };

    /// One of them.
    #[must_use]
    pub fn one(peer: Peer) -> Self {
        [peer].into_iter().collect()
    }

    /// Adds one.
    pub fn insert(&mut self, peer: Peer) {
        match peer {
            Peer::Shard(shard) => self.shards.insert(shard),
            Peer::Engine => self.has_engine = true,
        }
    }

    /// Whether nobody is in it.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.shards.is_empty() && !self.has_engine
    }

    /// All in it, the engine last.
    pub fn iter(self) -> impl Iterator<Item = Peer> {
        self.shards.iter().map(Peer::Shard).chain(self.has_engine.then_some(Peer::Engine))
    }
}

impl FromIterator<Peer> for PeerSet {
    fn from_iter<I: IntoIterator<Item = Peer>>(peers: I) -> Self {
        let mut set = Self::EMPTY;
        peers.into_iter().for_each(|peer| set.insert(peer));
        set
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_gives_back_what_was_put_into_it_in_order() {
        let set: ShardSet = [127, 0, 5, 64].map(ShardId).into_iter().collect();
        assert_eq!(set.iter().collect::<Vec<_>>(), [0, 5, 64, 127].map(ShardId));
        let mut less = set;
        less.remove(ShardId(5));
        assert!(!less.has(ShardId(5)) && less.has(ShardId(64)) && !less.is_empty());
        assert_eq!(ShardSet::EMPTY.iter().next(), None);
        assert_eq!(ShardSet::all(128).iter().count(), 128);
        assert_eq!(ShardSet::all(3).iter().collect::<Vec<_>>(), [0, 1, 2].map(ShardId));
    }
}
