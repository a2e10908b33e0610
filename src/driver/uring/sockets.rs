//! The table of adopted sockets: a [`ConnId`] to a direct descriptor and what is known of it, 16 bytes in all.

use super::super::NetError;
use crate::command::ConnId;

/// One place of the table. Everything that a connection costs in this driver while it is idle.
#[derive(Debug)]
pub(super) struct Slot {
    /// The direct descriptor; [`NO_FILE`] until a `Connect` has one.
    pub(super) file: u32,
    pub(super) generation: u32,
    pub(super) flags: Flags,
    /// Why the connection failed, once the kernel said so: it says so only once, to whichever call comes first.
    pub(super) failure: Option<NetError>,
    /// The period, modulo 256, in which it was last readable, and in how many waits of it.
    pub(super) period: u8,
    pub(super) waits: u8,
}

/// What is known of a socket, as a set of bits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Flags(u32);

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
    /// A send is in flight: pushed, held until the socket is writable, or its `Sent` waits for the next wait.
    pub(super) const SENDING: Self = Self(1 << 6);
    /// The place is in use.
    const TAKEN: Self = Self(1 << 7);
    /// `Close` was asked for; its `Closed` comes when nothing is in flight.
    pub(super) const CLOSING: Self = Self(1 << 8);
    /// Bytes are kept that came in while receiving was paused.
    pub(super) const HAS_KEPT: Self = Self(1 << 9);
    /// A multishot receive brought something in this period.
    pub(super) const HEARD: Self = Self(1 << 10);
    /// Its armed receive is being cancelled.
    pub(super) const DISARMING: Self = Self(1 << 11);

    // What is in flight in the kernel.
    /// A multishot poll waits for bytes.
    pub(super) const POLLING: Self = Self(1 << 16);
    /// A multishot receive waits for bytes.
    pub(super) const ARMED: Self = Self(1 << 17);
    /// A poll waits for room to send.
    pub(super) const AWAITS_ROOM: Self = Self(1 << 18);
    /// A `Connect` has not ended.
    pub(super) const CONNECTING: Self = Self(1 << 19);
    /// The end of our side is on its way.
    pub(super) const FINISHING: Self = Self(1 << 20);
    /// The direct descriptor is being given back.
    pub(super) const RELEASING: Self = Self(1 << 21);
    const IN_FLIGHT: u32 = 0x3f << 16;

    pub(super) const fn has(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    pub(super) const fn set(&mut self, other: Self) {
        self.0 |= other.0;
    }

    pub(super) const fn clear(&mut self, other: Self) {
        self.0 &= !other.0;
    }

    /// Takes a flag away; `true` if it was there.
    pub(super) const fn take(&mut self, other: Self) -> bool {
        let had = self.has(other);
        self.clear(other);
        had
    }

    /// Whether the kernel still has something to say about the socket.
    pub(super) const fn has_in_flight(self) -> bool {
        self.0 & Self::IN_FLIGHT != 0
    }
}

impl Slot {
    const FREE: Self = Self { file: NO_FILE, generation: 0, flags: Flags(0), failure: None, period: 0, waits: 0 };

    /// Counts a wait of a period in which it was readable; how many there were in this one.
    pub(super) fn count_wait(&mut self, period: u8) -> u8 {
        self.waits = if self.period == period { self.waits.saturating_add(1) } else { 1 };
        self.period = period;
        self.waits
    }
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
        assert!(capacity <= INDEX_MAX, "an index leaves room for the kind of an entry");
        Self { slots: Vec::with_capacity(capacity as usize), capacity, len: 0, ready: Vec::new() }
    }

    /// Puts a socket into the place that `conn` names.
    ///
    /// # Panics
    /// If the place is past the capacity, or in use: the arena hands out neither.
    pub(super) fn insert(&mut self, conn: ConnId, file: u32) -> &mut Slot {
        assert!(conn.index < self.capacity, "the arena has as many places as the driver");
        let index = conn.index as usize;
        if self.slots.len() <= index {
            self.slots.resize_with(index + 1, || Slot::FREE);
        }
        let slot = &mut self.slots[index];
        assert!(!slot.flags.has(Flags::TAKEN), "an id is adopted again only after its Closed");
        *slot = Slot { file, generation: conn.generation, flags: Flags::TAKEN, ..Slot::FREE };
        self.len += 1;
        slot
    }

    /// The place of `conn`, if the driver holds that connection, be it closing.
    pub(super) fn find(&mut self, conn: ConnId) -> Option<&mut Slot> {
        let slot = self.slots.get_mut(conn.index as usize)?;
        (slot.flags.has(Flags::TAKEN) && slot.generation == conn.generation).then_some(slot)
    }

    /// The place of `conn`, unless it was closed.
    pub(super) fn find_open(&mut self, conn: ConnId) -> Option<&mut Slot> {
        self.find(conn).filter(|slot| !slot.flags.has(Flags::CLOSING))
    }

    /// Frees the place of `conn`.
    pub(super) fn remove(&mut self, conn: ConnId) {
        if let Some(slot) = self.find(conn) {
            *slot = Slot::FREE;
            self.len -= 1;
        }
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
        let Some(slot) = self.find_open(conn) else { return };
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

/// In [`Slot::file`]: there is none yet.
pub(super) const NO_FILE: u32 = u32::MAX;
/// Indexes are below this, so that an entry's mark holds an index, a generation and a kind.
pub(super) const INDEX_MAX: u32 = 1 << 28;

const _: () = assert!(size_of::<Slot>() <= 16);
