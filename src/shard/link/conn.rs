//! A live connection, as small as possible: plain data, without a pointer or a kernel handle, so that it could be
//! written down and read back.

use crate::close::CloseReason;
use crate::command::ConnId;
use crate::shard::session::session::Session;
use crate::shard::slot::Slot;
use crate::time::MonoTime;

/// A live connection: its link, and the session of the link. Everything that they need only while busy is in pools,
/// named by [`Slot`]s.
#[derive(Debug)]
pub(in crate::shard) struct Conn {
    pub link: Link,
    pub session: Session,
}

// An idle connection takes this and no more. Everything else that a connection needs is in pools, while it is busy.
const _: () = assert!(size_of::<Conn>() <= 64 && size_of::<Link>() <= 36 && size_of::<Session>() <= 32);

/// One socket and its protocol. Knows no topic.
#[derive(Debug)]
pub(in crate::shard) struct Link {
    /// The number of connections at this index before this one; it reveals a stale id.
    pub generation: u32,
    /// The time of the last bytes from the peer, in ticks.
    pub active_tick: u32,
    /// The time at which `timer` runs out, in ticks; for [`Timer::Ping`] it follows from `active_tick`.
    pub deadline_tick: u32,
    /// Incomplete input: a request, a frame or a message, depending on `carrier`.
    pub parser: Slot,
    /// Bytes to send.
    pub outbox: Slot,
    /// The layers between the socket and HTTP or WebSocket: a PROXY header, TLS.
    pub edge: Slot,
    pub carrier: Carrier,
    pub standing: Standing,
    /// The listener of the connection.
    pub listener: u8,
    pub timer: Timer,
    /// The reason for the end of the connection, once it has one.
    pub end: Option<CloseReason>,
    flags: u16,
}

/// The protocol of a connection now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(in crate::shard) enum Carrier {
    Http1,
    WebSocket,
    /// A response that does not end.
    Stream,
    /// The driver was told to close it; only `Closed` is missing.
    Gone,
}

impl Carrier {
    pub const ALL: [Self; 4] = [Self::Http1, Self::WebSocket, Self::Stream, Self::Gone];
}

/// Whether a connection counts as admitted, and whether it is past a limit. Past a limit it gets only refusals and
/// health checks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(in crate::shard) enum Standing {
    Counted,
    /// Counted before the address of its client was known, and that address is past its limit.
    CountedPastAddressLimit,
    /// Past `connections_max`.
    PastLimit,
    /// Past `connections_per_ip_max`.
    PastAddressLimit,
}

impl Standing {
    pub const ALL: [Self; 4] = [Self::Counted, Self::CountedPastAddressLimit, Self::PastLimit, Self::PastAddressLimit];

    pub fn is_counted(self) -> bool {
        matches!(self, Self::Counted | Self::CountedPastAddressLimit)
    }

    pub fn is_past_address_limit(self) -> bool {
        matches!(self, Self::CountedPastAddressLimit | Self::PastAddressLimit)
    }

    pub fn is_past_limit(self) -> bool {
        self != Self::Counted
    }
}

/// The meaning of a connection's one deadline.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(in crate::shard) enum Timer {
    /// A request head, or an opening handshake.
    Head,
    /// A request body.
    Body,
    /// The next request on a keep-alive connection.
    Idle,
    /// The reader of a response.
    Answer,
    /// Something to answer a poll with.
    Poll,
    /// The next ping, or heartbeat.
    Ping,
    /// Bytes from the peer after a ping; of a stream, progress of a send.
    Pong,
    /// The end of the closing handshake, or of the queued bytes.
    Close,
}

impl Timer {
    pub const ALL: [Self; 8] =
        [Self::Head, Self::Body, Self::Idle, Self::Answer, Self::Poll, Self::Ping, Self::Pong, Self::Close];
}

/// A yes or no of a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::shard) struct Flag(u16);

impl Flag {
    /// Stands in the list of connections to send to at the end of the turn.
    pub const DIRTY: Self = Self(1 << 5);
    /// The end has begun: no more messages are sent.
    pub const CLOSING: Self = Self(1 << 6);
    /// Its further bytes are ignored.
    pub const DEAF: Self = Self(1 << 7);
    /// The peer ended its side, by close frame or end of stream.
    pub const PEER_DONE: Self = Self(1 << 8);
    /// Our side of the stream is ended.
    pub const FINISHED: Self = Self(1 << 9);
    /// Not read from, because its request is not answered yet.
    pub const PAUSED_REQUEST: Self = Self(1 << 10);
    /// Not read from, because it does not read its answers.
    pub const PAUSED_BACKLOG: Self = Self(1 << 11);
    /// Not read from, because another shard is behind.
    pub const PAUSED_CONGESTION: Self = Self(1 << 12);
    /// Not read from, because some of its input waits for its part of a turn.
    pub const PAUSED_TURN: Self = Self(1 << 13);
    /// Any reason for not reading.
    pub const PAUSED: Self = Self(0b1111 << 10);
    /// The reasons for not reading that end when the connection is about to end.
    pub const PAUSED_WHILE_OPEN: Self = Self(1 << 10 | 1 << 11 | 1 << 12);
    /// Any reason why the end of a send needs further work.
    pub const HOLDS_ON: Self = Self(1 << 6 | 1 << 9 | 1 << 10 | 1 << 11);
    /// Any reason why a publication cannot go straight to the socket.
    pub const NOT_DIRECT: Self = Self(1 << 5 | 1 << 6);
    /// Those that do not follow from lists and pools.
    const WRITTEN: Self = Self(1 << 6 | 1 << 7 | 1 << 8 | 1 << 9);
}

impl Conn {
    pub fn new(generation: u32, now: MonoTime) -> Self {
        Self { link: Link::new(generation, now), session: Session::default() }
    }

    pub fn id(&self, index: u32) -> ConnId {
        ConnId { index, generation: self.link.generation }
    }

    /// Whether publications for its session are sent: its end has not begun. A request that subscribes counts as a
    /// reader as soon as its subscriptions are under way.
    pub fn is_reader(&self) -> bool {
        let reads = match self.link.carrier {
            Carrier::WebSocket | Carrier::Stream => true,
            Carrier::Http1 => !self.session.pending.is_none(),
            Carrier::Gone => false,
        };
        reads && !self.link.is(Flag::CLOSING)
    }
}

impl Link {
    fn new(generation: u32, now: MonoTime) -> Self {
        Self {
            generation,
            active_tick: tick(now),
            deadline_tick: 0,
            parser: Slot::NONE,
            outbox: Slot::NONE,
            edge: Slot::NONE,
            carrier: Carrier::Http1,
            standing: Standing::Counted,
            listener: 0,
            timer: Timer::Head,
            end: None,
            flags: 0,
        }
    }

    /// Whether any of the bits is set.
    pub fn is(&self, flag: Flag) -> bool {
        self.flags & flag.0 != 0
    }

    pub fn set(&mut self, flag: Flag, on: bool) {
        if on {
            self.flags |= flag.0;
        } else {
            self.flags &= !flag.0;
        }
    }

    /// The flags that are part of its image.
    pub fn written_flags(&self) -> u16 {
        self.flags & Flag::WRITTEN.0
    }

    /// Takes the flags of an image; `None` if any of them is not written.
    pub fn set_written_flags(&mut self, bits: u16) -> Option<()> {
        self.flags = bits;
        (bits & !Flag::WRITTEN.0 == 0).then_some(())
    }

    /// The index of its current request.
    pub fn exchange(&self) -> Option<usize> {
        self.parser.index().filter(|_| self.carrier == Carrier::Http1)
    }

    /// Whether it is a WebSocket whose end has not begun.
    pub fn is_open_websocket(&self) -> bool {
        self.carrier == Carrier::WebSocket && !self.is(Flag::CLOSING)
    }
}

/// A time in the form in which connections keep it.
pub(in crate::shard) fn tick(time: MonoTime) -> u32 {
    (time.as_millis() / crate::time::TICK_MS) as u32
}

pub(in crate::shard) fn tick_time(tick: u32) -> MonoTime {
    MonoTime::ZERO.plus_millis(u64::from(tick) * crate::time::TICK_MS)
}
