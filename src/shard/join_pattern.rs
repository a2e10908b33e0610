//! Subscribing to patterns. Every shard is asked, because a topic of any home may match.
//!
//! ```text
//! join_pattern: interest to every shard -> all have noted it -> end of the turn: the reader stands in the list
//!                                                               and every shard is asked for its last values
//! ```
//! Only with the interest noted everywhere is what the reader gets without a gap. It joins behind the runs of its
//! turn, which are in the last values. Those are looked for once a turn for all who asked, because the search goes
//! through all topics.

use std::sync::Arc;

use super::Shard;
use super::join::pending_mut;
use super::subscription::{Place, TargetId};
use super::tickets::Ticket;
use crate::command::{ConnId, Pattern, Publication, ShardId, Target};
use crate::limits::SNAPSHOTS_PER_TURN_MAX;
use crate::mailbox::{Answer, Request};

/// A search for the last values of a pattern's topics.
#[derive(Debug)]
pub(super) struct Search {
    /// Who is told.
    from: ShardId,
    ticket: u32,
    pattern: Pattern,
}

impl Shard {
    pub(super) fn join_pattern(&mut self, id: ConnId, pattern: &Pattern, ticket: u32) {
        let pattern_id = match self.hub.ensure_pattern(pattern) {
            Ok(pattern_id) => pattern_id,
            Err(refusal) => return self.on_joined(ticket, Err(refusal)),
        };
        let target = TargetId::pattern(pattern_id);
        self.subscriptions.add(&mut self.conns, id.index, target, Place::Waiting { ticket });
        let readers = self.hub.hold_pattern(pattern_id, 1);
        self.set_waits(ticket, self.settings.shards);
        self.tell_interest(pattern, readers, Some(ticket));
        self.on_pattern_noted(ticket);
    }

    /// Tells every shard, this one included, how many readers of a pattern there are here now.
    pub(super) fn tell_interest(&mut self, pattern: &Pattern, readers: u32, ticket: Option<u32>) {
        self.hub.set_pattern_interest(pattern, self.settings.shard, readers);
        self.ask_others(|| Request::PatternInterest { pattern: pattern.clone(), readers, ticket });
    }

    /// A shard has noted the interest in a pattern.
    pub(super) fn on_pattern_noted(&mut self, ticket: u32) {
        if self.count_answer(ticket) {
            self.noted.push(ticket);
        }
    }

    /// Attaches the readers whose interest every shard has noted. This turn's runs are out.
    pub(super) fn attach_noted(&mut self) {
        for ticket in std::mem::take(&mut self.noted) {
            let Some(Ticket::Join { conn, target, last, .. }) = self.tickets.get(ticket as usize) else { continue };
            let (id, target, last) = (*conn, target.clone(), *last);
            let Target::Pattern(pattern) = &target else { continue };
            let waiting = self.find_waiting(id, &target, ticket);
            if let (Some(key), Some(pattern_id)) = (waiting, self.hub.find_pattern(pattern)) {
                let place = self.hub.attach_pattern(pattern_id, key);
                self.subscriptions.set_place(&mut self.conns, key, Place::Attached(place));
            }
            if last && waiting.is_some() {
                self.set_waits(ticket, self.settings.shards);
                self.ask_others(|| Request::AskPattern { pattern: pattern.clone(), ticket });
                self.search(self.settings.shard, pattern.clone(), ticket);
            } else {
                self.set_waits(ticket, 1);
                self.on_pattern_snapshot(ticket, Vec::new());
            }
        }
    }

    /// Notes that a shard wants the last values of a pattern's topics.
    pub(super) fn search(&mut self, from: ShardId, pattern: Pattern, ticket: u32) {
        self.searches.push_back(Search { from, ticket, pattern });
    }

    /// Looks for last values, for as many as one turn serves.
    pub(super) fn take_snapshots(&mut self) {
        let count = self.searches.len().min(SNAPSHOTS_PER_TURN_MAX);
        if count == 0 {
            return;
        }
        let searches: Vec<Search> = self.searches.drain(..count).collect();
        let found = self.hub.snapshots(searches.iter().map(|search| &search.pattern));
        for (Search { from, ticket, .. }, publications) in searches.into_iter().zip(found) {
            if from == self.settings.shard {
                self.on_pattern_snapshot(ticket, publications);
            } else {
                self.outgoing.answers.push((from, Answer::PatternSnapshot { ticket, publications }));
            }
        }
    }

    /// A shard has sent its last values of a pattern's topics.
    pub(super) fn on_pattern_snapshot(&mut self, ticket: u32, publications: Vec<Arc<Publication>>) {
        let Some(Ticket::Join { conn: id, operation, .. }) = self.tickets.get(ticket as usize) else {
            unreachable!("the ticket of a join comes back with its answer");
        };
        let (id, operation) = (*id, *operation);
        if let Some(pending) = pending_mut(&self.conns, &mut self.pendings, id) {
            pending.catch_up.keep(publications);
        }
        if self.count_answer(ticket) {
            self.tickets.remove(ticket as usize);
            self.advance_operation(id, operation);
        }
    }

    fn set_waits(&mut self, ticket: u32, count: usize) {
        if let Some(Ticket::Join { waits, .. }) = self.tickets.get_mut(ticket as usize) {
            *waits = count;
        }
    }

    /// Counts one answer to a pattern's ticket; `true` with the last one.
    fn count_answer(&mut self, ticket: u32) -> bool {
        let Some(Ticket::Join { waits, .. }) = self.tickets.get_mut(ticket as usize) else {
            unreachable!("the ticket of a join comes back with its answer");
        };
        *waits -= 1;
        *waits == 0
    }
}
