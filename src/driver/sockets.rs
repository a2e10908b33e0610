//! The table of adopted sockets, and the list of those to read from: what the drivers over a real kernel share. Each has
//! its own place of a socket, in 16 bytes, and more flags than these.

use std::collections::VecDeque;
use std::ops::{BitAnd, BitOr, Not};

use super::NetError;
use crate::command::ConnId;

/// One place of the table. Everything that a connection costs in a driver while it is idle.
pub(in crate::driver) trait Slot {
    type Bits: Bits;

    /// A place without a socket.
    const FREE: Self;

    fn is_taken(&self) -> bool;

    fn generation(&self) -> u32;

    /// Whether the shard is done with the connection, and the kernel not yet.
    fn is_closing(&self) -> bool;

    /// The known state of the socket, and the reason of its failure. The kernel reports a failure only once, to
    /// whichever call comes first.
    fn state(&mut self) -> (&mut Flags<Self::Bits>, &mut Option<NetError>);
}

/// How many flags a driver has room for.
pub(in crate::driver) trait Bits:
    Copy + From<u8> + PartialEq + BitAnd<Output = Self> + BitOr<Output = Self> + Not<Output = Self>
{
}

impl Bits for u16 {}
impl Bits for u32 {}

/// The known state of a socket, as a set of bits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::driver) struct Flags<B>(pub(in crate::driver) B);

/// The kernel may have bytes, or an end, that were not read yet.
pub(in crate::driver) const READY: u8 = 1;
/// It stands in the list of connections to read from.
pub(in crate::driver) const LISTED: u8 = 1 << 1;
/// An end of the stream is behind the bytes, so that a short read is not the last.
pub(in crate::driver) const ENDING: u8 = 1 << 2;
/// The kernel or a send told of an error.
pub(in crate::driver) const FAILED: u8 = 1 << 3;
/// `ReceiveClosed` was delivered.
pub(in crate::driver) const RECEIVE_CLOSED: u8 = 1 << 4;
/// The shard wants no bytes for now.
pub(in crate::driver) const PAUSED: u8 = 1 << 5;

impl<B: Bits> Flags<B> {
    pub fn has(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    pub fn set(&mut self, other: Self) {
        self.0 = self.0 | other.0;
    }

    pub fn clear(&mut self, other: Self) {
        self.0 = self.0 & !other.0;
    }

    /// Takes a flag away; `true` if it was there.
    pub fn take(&mut self, other: Self) -> bool {
        let had = self.has(other);
        self.clear(other);
        had
    }

    /// Whether it goes on the list of connections to read from, where it is from now on: there is something to look
    /// for, bytes or an end, or while receiving is paused only a failure.
    fn list(&mut self) -> bool {
        let has = |flag: u8| self.has(Self(flag.into()));
        let is_wanted = !has(PAUSED) || has(FAILED);
        let is_done = has(LISTED) || has(RECEIVE_CLOSED);
        let lists = has(READY) && is_wanted && !is_done;
        if lists {
            self.set(Self(LISTED.into()));
        }
        lists
    }
}

/// The adopted sockets of one shard, by arena index.
#[derive(Debug)]
pub(in crate::driver) struct Table<S> {
    /// Grows within a capacity that is reserved from the start; pages that no connection touched cost nothing.
    slots: Vec<S>,
    capacity: u32,
    len: u32,
    /// Connections to read from, each once; may name some that are gone.
    ready: Vec<ConnId>,
}

impl<S: Slot> Table<S> {
    pub fn with_capacity(capacity: u32) -> Self {
        Self { slots: Vec::with_capacity(capacity as usize), capacity, len: 0, ready: Vec::new() }
    }

    /// Fills the place that `conn` names.
    ///
    /// # Panics
    /// If the place is past the capacity, or in use: the arena gives out neither.
    pub fn fill(&mut self, conn: ConnId, slot: S) -> &mut S {
        assert!(conn.index < self.capacity, "the arena has as many places as the driver");
        let index = conn.index as usize;
        if self.slots.len() <= index {
            self.slots.resize_with(index + 1, || S::FREE);
        }
        let place = &mut self.slots[index];
        assert!(!place.is_taken(), "an id is adopted again only after its Closed");
        *place = slot;
        self.len += 1;
        place
    }

    /// The place of `conn`, if the driver holds that connection, be it closing.
    pub fn find(&mut self, conn: ConnId) -> Option<&mut S> {
        let slot = self.slots.get_mut(conn.index as usize)?;
        (slot.is_taken() && slot.generation() == conn.generation).then_some(slot)
    }

    /// The place of `conn`, unless it was closed.
    pub fn find_open(&mut self, conn: ConnId) -> Option<&mut S> {
        self.find(conn).filter(|slot| !slot.is_closing())
    }

    /// Frees the place of `conn`, if the driver holds that connection; returns what stood there.
    pub fn take(&mut self, conn: ConnId) -> Option<S> {
        let slot = std::mem::replace(self.find(conn)?, S::FREE);
        self.len -= 1;
        Some(slot)
    }

    /// Takes note of a failure, and sees to it that the receiving side tells of it.
    pub fn fail(&mut self, conn: ConnId, error: NetError) {
        let Some(slot) = self.find(conn) else { return };
        let (flags, failure) = slot.state();
        failure.get_or_insert(error);
        flags.set(Flags((FAILED | ENDING | READY).into()));
        self.list_if_ready(conn);
    }

    /// Puts `conn` on the list of connections to read from, if there is anything to look for.
    pub fn list_if_ready(&mut self, conn: ConnId) {
        if self.find_open(conn).is_some_and(|slot| slot.state().0.list()) {
            self.ready.push(conn);
        }
    }

    /// Moves the list of connections to read from behind those that are left in `turn`.
    pub fn take_ready(&mut self, turn: &mut VecDeque<ConnId>) {
        turn.extend(self.ready.drain(..));
    }

    /// Whether there are connections to read from.
    pub fn has_ready(&self) -> bool {
        !self.ready.is_empty()
    }

    /// Sockets in the table.
    pub fn len(&self) -> u32 {
        self.len
    }
}
