//! The table of adopted sockets: a [`ConnId`] to a direct descriptor and what is known of it, 16 bytes in all.

use super::super::NetError;
use super::super::sockets::{self, Table};
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

/// The known state of a socket.
pub(super) type Flags = sockets::Flags<u32>;

impl sockets::Flags<u32> {
    pub(super) const READY: Self = Self(sockets::READY as u32);
    pub(super) const LISTED: Self = Self(sockets::LISTED as u32);
    pub(super) const ENDING: Self = Self(sockets::ENDING as u32);
    pub(super) const FAILED: Self = Self(sockets::FAILED as u32);
    pub(super) const RECEIVE_CLOSED: Self = Self(sockets::RECEIVE_CLOSED as u32);
    pub(super) const PAUSED: Self = Self(sockets::PAUSED as u32);
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

    // Operations in flight in the kernel.
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

    /// Whether the kernel still has something to say about the socket.
    pub(super) const fn has_in_flight(self) -> bool {
        self.0 & Self::IN_FLIGHT != 0
    }
}

impl Slot {
    /// Counts a wait of a period in which it was readable; how many there were in this one.
    pub(super) fn count_wait(&mut self, period: u8) -> u8 {
        self.waits = if self.period == period { self.waits.saturating_add(1) } else { 1 };
        self.period = period;
        self.waits
    }
}

impl sockets::Slot for Slot {
    type Bits = u32;

    const FREE: Self =
        Self { file: NO_FILE, generation: 0, flags: sockets::Flags(0), failure: None, period: 0, waits: 0 };

    fn is_taken(&self) -> bool {
        self.flags.has(Flags::TAKEN)
    }

    fn generation(&self) -> u32 {
        self.generation
    }

    fn is_closing(&self) -> bool {
        self.flags.has(Flags::CLOSING)
    }

    fn state(&mut self) -> (&mut Flags, &mut Option<NetError>) {
        (&mut self.flags, &mut self.failure)
    }
}

/// The adopted sockets of one shard, by arena index.
pub(super) type Sockets = Table<Slot>;

impl Table<Slot> {
    pub(super) fn new(capacity: u32) -> Self {
        assert!(capacity <= INDEX_MAX, "an index leaves room for the kind of an entry");
        Self::with_capacity(capacity)
    }

    /// Puts a socket into the place that `conn` names.
    pub(super) fn insert(&mut self, conn: ConnId, file: u32) -> &mut Slot {
        self.fill(conn, Slot { file, generation: conn.generation, flags: Flags::TAKEN, ..sockets::Slot::FREE })
    }

    /// Frees the place of `conn`.
    pub(super) fn remove(&mut self, conn: ConnId) {
        self.take(conn);
    }
}

/// In [`Slot::file`]: there is none yet.
pub(super) const NO_FILE: u32 = u32::MAX;
/// Indexes are below this, so that an entry's mark holds an index, a generation and a kind.
pub(super) const INDEX_MAX: u32 = 1 << 28;

const _: () = assert!(size_of::<Slot>() <= 16);
