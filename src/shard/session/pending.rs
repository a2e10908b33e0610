//! Subscriptions of a session that are under way, and the publications that it gets behind them.

use std::collections::VecDeque;

use slab::Slab;

use super::catch_up::CatchUp;
use super::session::Mark;
use crate::command::{
    Joined, OperationId, Pattern, Policy, Position, Publication, Refusal, SessionId, ShardId, Subscribe, Target,
    TopicName,
};
use crate::shard::link::arena::Conns;
use crate::shard::slot::Slot;

/// The operations of a connection that are under way.
#[derive(Debug, Default)]
pub(in crate::shard) struct Pending {
    pub operations: Slab<Operation>,
    /// The publications that it gets once the operations are done.
    pub catch_up: CatchUp,
    /// For readers with positions: the positions of topics whose last values are older.
    pub stands: Vec<(TopicName, Position)>,
    /// Publications that are still to be asked for.
    pub pages: Vec<Page>,
    /// The ticket of those that are asked for, one at a time.
    pub page_asked: Option<(u32, PageOf)>,
    /// Publications that the reader missed and that were not kept for as long as it took: of each topic those behind the
    /// first offset, up to the second.
    pub lost: Vec<(TopicName, u64, u64)>,
}

impl Pending {
    /// Where the reader is behind a last value that is older than that.
    pub fn stand_behind(&mut self, last: &Publication) -> Option<Position> {
        let at = self.stands.iter().position(|(topic, _)| *topic == last.topic)?;
        Some(self.stands.swap_remove(at).1)
    }

    /// The messages lost before the next publication; if none comes, all lost messages.
    pub fn take_lost(&mut self, waits_for_more: bool) -> Option<(TopicName, u64, u64)> {
        if self.lost.is_empty() {
            return None;
        }
        let next = self.catch_up.peek(waits_for_more);
        if next.is_none() && waits_for_more {
            return None;
        }
        let is_before = |(topic, since, _): &(TopicName, u64, u64)| {
            next.is_none_or(|next| next.topic == *topic && *since < next.position.offset)
        };
        let at = self.lost.iter().position(is_before)?;
        Some(self.lost.swap_remove(at))
    }
}

#[derive(Debug)]
pub(in crate::shard) struct Operation {
    pub id: Option<OperationId>,
    pub joined: Vec<Joined>,
    /// Targets that are still to be answered.
    pub waits: usize,
    /// Targets that the connection did not follow before.
    pub made: Vec<Target>,
    /// Whether the reader gets presence counts.
    pub presence: bool,
    pub refusal: Option<Refusal>,
    pub unasked: Unasked,
}

/// Targets of an operation that no home was asked for yet, in order. They end with their session.
#[derive(Debug)]
pub(in crate::shard) struct Unasked {
    pub targets: VecDeque<Target>,
    /// Where the reader was, by topic; sorted.
    since: Vec<(TopicName, Position)>,
    pub last: bool,
    pub policy: Option<Policy>,
    /// The place of the first target within the operation.
    pub index: u32,
    /// Those that were asked for and are not answered.
    pub asked: usize,
}

impl Unasked {
    pub fn new(subscribe: &mut Subscribe) -> Self {
        let mut since = std::mem::take(&mut subscribe.since);
        since.sort_by(|(one, _), (other, _)| one.cmp(other));
        let (last, policy) = (subscribe.last, subscribe.policy);
        Self { targets: std::mem::take(&mut subscribe.targets).into(), since, last, policy, index: 0, asked: 0 }
    }

    /// Where the reader was in a topic.
    pub fn since(&self, target: &Target) -> Option<Position> {
        let at = self.since.partition_point(|(topic, _)| topic.as_str() < target.as_str());
        self.since.get(at).filter(|(topic, _)| topic.as_str() == target.as_str()).map(|(_, position)| *position)
    }
}

/// Publications that are still to be asked for.
#[derive(Debug)]
pub(in crate::shard) enum Page {
    /// Last values of a pattern's topics.
    LastValues { shard: ShardId, pattern: Pattern, place: u32 },
    /// The missed messages of a reader in a topic: after a position, up to an offset.
    Missed { topic: TopicName, since: Position, until: u64 },
}

/// The kind of a page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::shard) enum PageOf {
    Pattern(Pattern),
    Topic(TopicName),
}

impl Page {
    pub fn is_of(&self, what: &PageOf) -> bool {
        match (self, what) {
            (Self::LastValues { pattern, .. }, PageOf::Pattern(other)) => pattern == other,
            (Self::Missed { topic, .. }, PageOf::Topic(other)) => topic == other,
            _ => false,
        }
    }
}

pub(in crate::shard) fn ensure_pending<'a>(
    conns: &mut Conns,
    pendings: &'a mut Slab<Pending>,
    id: SessionId,
) -> &'a mut Pending {
    let session = &mut conns[id.index];
    let slot = session.pending.index().unwrap_or_else(|| {
        let slot = pendings.insert(Pending::default());
        session.pending = Slot::new(slot);
        session.set(Mark::HELD, true);
        slot
    });
    &mut pendings[slot]
}

pub(in crate::shard) fn pending_mut<'a>(
    conns: &Conns,
    pendings: &'a mut Slab<Pending>,
    id: SessionId,
) -> Option<&'a mut Pending> {
    pendings.get_mut(conns.session(id)?.pending.index()?)
}
