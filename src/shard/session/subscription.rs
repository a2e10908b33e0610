//! One subscription as a value, in 8 bytes.

use crate::hub::{PatternId, TopicId};

/// The target of a subscription: a topic or a pattern of this shard's hub, in 4 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(in crate::shard) struct TargetId(u32);

/// A target in its two kinds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::shard) enum TargetKind {
    Topic(TopicId),
    Pattern(PatternId),
}

impl TargetId {
    pub fn topic(id: TopicId) -> Self {
        Self(id.0)
    }

    pub fn pattern(id: PatternId) -> Self {
        Self(id.0 | PATTERN)
    }

    pub fn to_bits(self) -> u32 {
        self.0
    }

    pub fn kind(self) -> TargetKind {
        if self.0 & PATTERN == 0 {
            TargetKind::Topic(TopicId(self.0))
        } else {
            TargetKind::Pattern(PatternId(self.0 & !PATTERN))
        }
    }
}

/// One subscription: its target, and its place in the target's list of readers or the ticket that it waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::shard) struct Subscription {
    pub target: TargetId,
    place: u32,
}

/// Where a subscription stands with its target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::shard) enum Place {
    /// In the list of readers.
    Attached(u32),
    /// Not yet: the home shard has not answered.
    Waiting { ticket: u32 },
}

impl Subscription {
    pub const NONE: Self = Self { target: TargetId(u32::MAX), place: 0 };

    pub fn new(target: TargetId, place: Place) -> Self {
        Self { target, place: encode(place) }
    }

    pub fn is_none(self) -> bool {
        self == Self::NONE
    }

    pub fn place(self) -> Place {
        decode(self.place)
    }

    pub fn set_place(&mut self, place: Place) {
        self.place = encode(place);
    }
}

fn encode(place: Place) -> u32 {
    match place {
        Place::Attached(place) => place,
        Place::Waiting { ticket } => ticket | WAITING,
    }
}

fn decode(place: u32) -> Place {
    if place & WAITING == 0 { Place::Attached(place) } else { Place::Waiting { ticket: place & !WAITING } }
}

const PATTERN: u32 = 1 << 31;
const WAITING: u32 = 1 << 31;
