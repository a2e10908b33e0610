//! A live connection, as small as it can be: plain data, no pointer, no kernel handle, so that it could be written down
//! and read back.

use crate::close::CloseReason;
use crate::command::ConnId;
use crate::limits::TOPICS_PER_CONNECTION_BOUND;
use crate::time::MonoTime;

use crate::shard::delivery::compression::Agreed;
use crate::shard::delivery::encoded::Encoding;
use crate::shard::session::subscription::Subscription;

/// A live connection. What it needs only while busy lives in pools, named by [`Slot`]s.
#[derive(Debug)]
pub(in crate::shard) struct Conn {
    /// How often connections were made before this one; tells a stale id apart.
    pub generation: u32,
    pub session: Session,
    /// How what it follows is said to it.
    pub encoding: Encoding,
    /// Which compressed messages it takes.
    pub agreed: Agreed,
    pub timer: Timer,
    /// Why the connection ends, once it does.
    pub end: Option<CloseReason>,
    /// Above the flags stands the listener that it came in on.
    flags: u32,
    pub target_count: u16,
    /// The last sign of life, in ticks.
    pub active_tick: u32,
    /// When `timer` runs out, in ticks; for [`Timer::Ping`] it follows from `active_tick`.
    pub deadline_tick: u32,
    /// A request under way.
    pub exchange: Slot,
    /// A frame or message under way.
    pub decoder: Slot,
    /// Bytes on their way out.
    pub outbox: Slot,
    /// Subscriptions that wait for their home shard.
    pub pending: Slot,
    /// What it would rather skip than wait for.
    pub lag: Slot,
    /// What its bytes go through before they are requests or frames: a PROXY header, TLS.
    pub edge: Slot,
    /// The first subscription stands here, so that a connection with one costs no more than its place in the topic.
    pub first: Subscription,
    /// The head of the list of further subscriptions.
    pub more: Slot,
}

// An idle connection is this and nothing else; what is below it is the reason for every pool.
const _: () = assert!(size_of::<Conn>() <= 64);
// `target_count` counts all that the configuration allows.
const _: () = assert!(TOPICS_PER_CONNECTION_BOUND <= u16::MAX as u32);

/// Where the listener stands among the flags.
const LISTENER_SHIFT: u32 = 24;

/// How a connection moves messages now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(in crate::shard) enum Session {
    Http,
    WebSocket,
    /// A response that does not end.
    Stream,
    /// The driver was told to close it; what is left is to wait for `Closed`.
    Gone,
}

/// What the one deadline of a connection means.
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
    /// A sign of life after a ping; of a stream, that something of what waits was taken.
    Pong,
    /// The end of the closing handshake, or of what is queued.
    Close,
}

/// A place in a pool, or nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::shard) struct Slot(u32);

impl Slot {
    pub const NONE: Self = Self(u32::MAX);

    pub fn new(index: usize) -> Self {
        Self(index as u32)
    }

    pub fn index(self) -> Option<usize> {
        (self != Self::NONE).then_some(self.0 as usize)
    }

    pub fn is_none(self) -> bool {
        self == Self::NONE
    }
}

/// A yes or no of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::shard) struct Flag(u32);

impl Flag {
    /// Counted in the admission ledger.
    pub const ADMITTED: Self = Self(1 << 0);
    /// Past `connections_max`: only refusals and health checks.
    pub const PAST_LIMIT: Self = Self(1 << 1);
    /// Past `connections_per_ip_max`: likewise.
    pub const PAST_ADDRESS_LIMIT: Self = Self(1 << 2);
    /// Does not get its own messages.
    pub const NO_ECHO: Self = Self(1 << 3);
    /// Has subscriptions under way: what it is to get is held until they are made.
    pub const HELD: Self = Self(1 << 4);
    /// Stands in the list of connections to send to at the end of the turn.
    pub const DIRTY: Self = Self(1 << 5);
    /// The end has begun: nothing more is said to it.
    pub const CLOSING: Self = Self(1 << 6);
    /// What it still sends is not looked at.
    pub const DEAF: Self = Self(1 << 7);
    /// The peer ended its side, by close frame or end of stream.
    pub const PEER_DONE: Self = Self(1 << 8);
    /// Our side of the stream is ended.
    pub const FINISHED: Self = Self(1 << 9);
    /// Not read from, because what it said is not answered yet.
    pub const PAUSED_REQUEST: Self = Self(1 << 10);
    /// Not read from, because it does not read what it is answered.
    pub const PAUSED_BACKLOG: Self = Self(1 << 11);
    /// Not read from, because another shard is behind.
    pub const PAUSED_CONGESTION: Self = Self(1 << 12);
    /// Was told in this turn where a topic stands: what the turn's run says up to there is not for it.
    pub const JOINED_NOW: Self = Self(1 << 13);
    /// Has subscriptions that would rather skip than wait.
    pub const HAS_POLICIES: Self = Self(1 << 14);
    /// Some of what it gets waits for the time to pass: a rate, or its bandwidth.
    pub const PACED: Self = Self(1 << 15);
    /// Not read from, because something that it said is put off.
    pub const PAUSED_TURN: Self = Self(1 << 16);
    /// Any reason for not reading.
    pub const PAUSED: Self = Self(1 << 10 | 1 << 11 | 1 << 12 | 1 << 16);
    /// Those of them that are over when the connection is about to end.
    pub const PAUSED_WHILE_OPEN: Self = Self(1 << 10 | 1 << 11 | 1 << 12);
    /// Any reason for which something happens when a send is out.
    pub const HOLDS_ON: Self = Self(1 << 6 | 1 << 9 | 1 << 10 | 1 << 11);
    /// Any reason why a publication cannot go straight to the socket.
    pub const NOT_DIRECT: Self = Self(1 << 3 | 1 << 4 | 1 << 5 | 1 << 6 | 1 << 13 | 1 << 15);
}

impl Conn {
    pub fn new(generation: u32, now: MonoTime) -> Self {
        Self {
            generation,
            session: Session::Http,
            encoding: Encoding::Raw,
            agreed: Agreed::NONE,
            timer: Timer::Head,
            end: None,
            flags: 0,
            target_count: 0,
            active_tick: tick(now),
            deadline_tick: 0,
            exchange: Slot::NONE,
            decoder: Slot::NONE,
            outbox: Slot::NONE,
            pending: Slot::NONE,
            lag: Slot::NONE,
            edge: Slot::NONE,
            first: Subscription::NONE,
            more: Slot::NONE,
        }
    }

    pub fn id(&self, index: u32) -> ConnId {
        ConnId { index, generation: self.generation }
    }

    /// The listener that it came in on.
    pub fn listener(&self) -> u8 {
        (self.flags >> LISTENER_SHIFT) as u8
    }

    pub fn set_listener(&mut self, listener: u8) {
        self.flags |= u32::from(listener) << LISTENER_SHIFT;
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

    /// Whether what it follows is for it: its end has not begun. A request to follow is a reader as soon as its
    /// subscriptions are under way.
    pub fn is_reader(&self) -> bool {
        let reads = match self.session {
            Session::WebSocket | Session::Stream => true,
            Session::Http => !self.pending.is_none(),
            Session::Gone => false,
        };
        reads && !self.is(Flag::CLOSING)
    }

    /// Whether it is a WebSocket whose end has not begun.
    pub fn is_open_websocket(&self) -> bool {
        self.session == Session::WebSocket && !self.is(Flag::CLOSING)
    }
}

/// Time as connections keep it.
pub(in crate::shard) fn tick(time: MonoTime) -> u32 {
    (time.as_millis() / crate::time::TICK_MS) as u32
}

/// The time of a tick.
pub(in crate::shard) fn tick_time(tick: u32) -> MonoTime {
    MonoTime::ZERO.plus_millis(u64::from(tick) * crate::time::TICK_MS)
}
