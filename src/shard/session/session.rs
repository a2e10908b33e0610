//! One subscriber: its subscriptions, and the form of its messages. Knows no socket.

use super::agreed::Agreed;
use super::encoding::EncodingId;
use super::subscription::Subscription;
use crate::command::Owner;
use crate::limits::TOPICS_PER_CONNECTION_BOUND;
use crate::shard::slot::Slot;

/// One subscriber. State that few sessions have, or only for a while, is in pools.
#[derive(Debug)]
pub(in crate::shard) struct Session {
    /// The first subscription is here, so that a session with one costs no more than its place in the topic.
    pub first: Subscription,
    /// The head of the list of further subscriptions.
    pub more: Slot,
    /// Subscriptions that wait for their home shard.
    pub pending: Slot,
    /// Messages that it may skip instead of waiting for them.
    pub lag: Slot,
    /// State that few sessions have.
    pub rest: Slot,
    pub target_count: u16,
    /// The owner in whose share it counts.
    pub owner: Owner,
    marks: u16,
    /// The encoding of its messages.
    pub encoding: EncodingId,
    /// The compression that it agreed on.
    pub agreed: Agreed,
}

// `target_count` counts all that the configuration allows.
const _: () = assert!(TOPICS_PER_CONNECTION_BOUND <= u16::MAX as u32);

/// A yes or no of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::shard) struct Mark(u16);

impl Mark {
    /// Does not get its own messages.
    pub const NO_ECHO: Self = Self(1 << 0);
    /// Has subscriptions under way: its messages are held until these are made.
    pub const HELD: Self = Self(1 << 1);
    /// Got the position of a topic in this turn: earlier publications of the turn's run are not for it.
    pub const JOINED_NOW: Self = Self(1 << 2);
    /// Has subscriptions that may skip messages instead of waiting.
    pub const HAS_POLICIES: Self = Self(1 << 3);
    /// Some of its messages wait for their time: because of a rate, or of its bandwidth.
    pub const PACED: Self = Self(1 << 4);
    /// Each of its messages begins with a prefix of its own.
    pub const PREFIXED: Self = Self(1 << 5);
    /// Any reason why a publication cannot go straight to the socket.
    pub const NOT_DIRECT: Self = Self(1 << 0 | 1 << 1 | 1 << 2 | 1 << 4 | 1 << 5);
    /// Those that do not follow from lists and pools, nor from the encoding.
    const WRITTEN: Self = Self(1 << 0);
}

impl Session {
    /// Sets the encoding of the session's messages.
    pub fn speak(&mut self, encoding: EncodingId) {
        self.encoding = encoding;
        self.set(Mark::PREFIXED, encoding.row().has_prefix);
    }

    /// The marks that are part of its image.
    pub fn written_marks(&self) -> u16 {
        self.marks & Mark::WRITTEN.0
    }

    /// Takes the marks of an image; `None` if any of them is not written.
    pub fn set_written_marks(&mut self, bits: u16) -> Option<()> {
        self.marks |= bits;
        (bits & !Mark::WRITTEN.0 == 0).then_some(())
    }

    /// Whether any of the bits is set.
    pub fn is(&self, mark: Mark) -> bool {
        self.marks & mark.0 != 0
    }

    pub fn set(&mut self, mark: Mark, on: bool) {
        if on {
            self.marks |= mark.0;
        } else {
            self.marks &= !mark.0;
        }
    }
}

impl Default for Session {
    fn default() -> Self {
        Self {
            first: Subscription::NONE,
            more: Slot::NONE,
            pending: Slot::NONE,
            lag: Slot::NONE,
            rest: Slot::NONE,
            target_count: 0,
            owner: Owner::default(),
            marks: 0,
            encoding: EncodingId::RAW,
            agreed: Agreed::NONE,
        }
    }
}
