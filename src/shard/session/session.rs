//! One subscriber: what it follows and how it is told. Knows no socket.

use super::agreed::Agreed;
use super::encoding::EncodingId;
use super::subscription::Subscription;
use crate::command::Owner;
use crate::limits::TOPICS_PER_CONNECTION_BOUND;
use crate::shard::slot::Slot;

/// One subscriber. What few of them have, or only for a while, lives in pools.
#[derive(Debug)]
pub(in crate::shard) struct Session {
    /// The first subscription stands here, so that a session with one costs no more than its place in the topic.
    pub first: Subscription,
    /// The head of the list of further subscriptions.
    pub more: Slot,
    /// Subscriptions that wait for their home shard.
    pub pending: Slot,
    /// What it would rather skip than wait for.
    pub lag: Slot,
    /// What few sessions have.
    pub rest: Slot,
    pub target_count: u16,
    /// Whose share it takes of what all share.
    pub owner: Owner,
    marks: u16,
    /// How what it follows is said to it.
    pub encoding: EncodingId,
    /// Which compressed messages it takes.
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
    /// Has subscriptions under way: what it is to get is held until they are made.
    pub const HELD: Self = Self(1 << 1);
    /// Was told in this turn where a topic stands: what the turn's run says up to there is not for it.
    pub const JOINED_NOW: Self = Self(1 << 2);
    /// Has subscriptions that would rather skip than wait.
    pub const HAS_POLICIES: Self = Self(1 << 3);
    /// Some of what it gets waits for the time to pass: a rate, or its bandwidth.
    pub const PACED: Self = Self(1 << 4);
    /// Each of its messages begins with bytes of its own.
    pub const PREFIXED: Self = Self(1 << 5);
    /// Any reason why a publication cannot go straight to the socket.
    pub const NOT_DIRECT: Self = Self(1 << 0 | 1 << 1 | 1 << 2 | 1 << 4 | 1 << 5);
}

impl Session {
    /// From now on the session is told things in this encoding.
    pub fn speak(&mut self, encoding: EncodingId) {
        self.encoding = encoding;
        self.set(Mark::PREFIXED, encoding.row().has_prefix);
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
