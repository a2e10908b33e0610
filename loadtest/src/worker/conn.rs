//! One connection of the client, as plain as it can be: hundreds of thousands of them wait here for their messages.

use fanwire::wire::ws::Decoder;
use mio::net::TcpStream;

use super::layers::Layers;

/// The purpose of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// It receives, or sends echoes.
    Reader,
    /// It publishes, and passes over what it receives.
    Publisher,
    /// It is reset as soon as it is open.
    Churn,
}

/// The connections to open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Who {
    pub(super) kind: Kind,
    /// The number of the reader, the publisher or the handshake.
    pub(super) number: u32,
    /// The topic of a reader; which of a publisher's connections it is: those to the first server come first.
    pub(super) slot: u32,
    /// Whether what it receives counts: not if it came back in a storm.
    pub(super) is_counted: bool,
    /// How often it was refused since it was open.
    pub(super) refusals: u8,
}

/// How far a connection is. `Joining` holds the step whose answer it waits for.
/// ```text
/// Connecting ──▶ Upgrading ──▶ Joining(0) ──▶ … ──▶ Open
///      └─ a publisher over HTTP ─────────────────────▲
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    Connecting,
    Upgrading,
    Joining(u8),
    Open,
}

/// A connection. Idle, it owns nothing but its descriptor.
#[derive(Debug)]
pub(super) struct Conn {
    pub(super) stream: TcpStream,
    pub(super) who: Who,
    /// Tells it from an earlier connection in the same place.
    pub(super) serial: u32,
    pub(super) phase: Phase,
    /// It is not read from, on purpose.
    pub(super) is_stalled: bool,
    /// It had a ping in this round.
    pub(super) is_pinged: bool,
    /// The number of the last message of this round, for a reader; 0 before the first.
    pub(super) last_seq: u32,
    /// When it was meant to be dialled.
    pub(super) dialled_ns: u64,
    /// The state between two frames.
    pub(super) partial: Option<Box<Decoder>>,
    /// Bytes that wait to be sent or, while it is upgraded, an answer that is not complete.
    #[expect(clippy::box_collection, reason = "8 bytes where it waits for nothing, not 24")]
    pub(super) held: Option<Box<Vec<u8>>>,
    /// The layers between its socket and its frames, if there are any.
    pub(super) layers: Option<Box<Layers>>,
}

// With debug assertions, mio keeps notes in each stream.
#[cfg(not(debug_assertions))]
const _: () = assert!(size_of::<Conn>() <= 64);

/// Bytes that may wait to be sent on one connection. A publisher past it waits; another connection is given up.
pub(super) const HELD_LEN_MAX: usize = 1024 * 1024;
