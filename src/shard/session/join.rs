//! Subscribing and leaving.
//!
//! A subscription is made at the topic's home shard, and what the home says (where the topic stands, what the reader
//! gets first) and what follows travel the same lane, so that nothing is lost or doubled between them. While an
//! operation is under way its connection is held: what it is to get is kept as publications, behind the answer.

use std::collections::VecDeque;

use slab::Slab;

use super::catch_up::CatchUp;
use super::join_pattern::Page;
use super::subscription::{Place, TargetId, TargetKind};
use super::tickets::Ticket;
use crate::close::CloseReason;
use crate::command::{
    ConnId, ErrorCode, JoinAnswer, Joined, OperationId, Origin, Outbound, Pattern, Policy, Position, Publication,
    Refusal, ShardId, Subscribe, Target, TopicName,
};
use crate::hub::{PatternId, SnapshotPage, SubscriberKey};
use crate::limits::{CATCH_UP_LEN_MAX, JOINS_AT_ONCE_MAX, PENDING_OPERATIONS_MAX, PRICE_JOIN, PRICE_KEPT};
use crate::mailbox::Request;
use crate::shard::Shard;
use crate::shard::delivery::encoded::Encoding;
use crate::shard::link::arena::Conns;
use crate::shard::link::conn::{Flag, Session, Slot};

/// What a connection has under way.
#[derive(Debug, Default)]
pub(in crate::shard) struct Pending {
    pub operations: Slab<Operation>,
    /// What it gets once the operations are done.
    pub catch_up: CatchUp,
    /// Last values of patterns that are still to be asked for.
    pub pages: Vec<Page>,
    /// The ticket of those that are asked for, one at a time, and their pattern.
    pub page_asked: Option<(u32, Pattern)>,
}

#[derive(Debug)]
pub(in crate::shard) struct Operation {
    id: Option<OperationId>,
    joined: Vec<Joined>,
    /// Targets that are still to be answered.
    waits: usize,
    /// Targets that the connection did not follow before.
    made: Vec<Target>,
    /// Whether the reader is told how many others there are.
    presence: bool,
    refusal: Option<Refusal>,
    rest: Rest,
}

/// Targets of an operation that no home was asked for yet, in order. They go with their connection.
#[derive(Debug)]
struct Rest {
    targets: VecDeque<Target>,
    /// Where the reader was, by topic.
    since: Vec<(TopicName, Position)>,
    last: bool,
    policy: Option<Policy>,
    /// The place of the first target within the operation.
    index: u32,
    /// Those that were asked for and are not answered.
    asked: usize,
}

impl Rest {
    fn new(subscribe: &mut Subscribe) -> Self {
        let mut since = std::mem::take(&mut subscribe.since);
        since.sort_by(|(one, _), (other, _)| one.cmp(other));
        let (last, policy) = (subscribe.last, subscribe.policy);
        Self { targets: std::mem::take(&mut subscribe.targets).into(), since, last, policy, index: 0, asked: 0 }
    }

    fn since(&self, target: &Target) -> Option<Position> {
        let at = self.since.partition_point(|(topic, _)| topic.as_str() < target.as_str());
        self.since.get(at).filter(|(topic, _)| topic.as_str() == target.as_str()).map(|(_, position)| *position)
    }
}

impl Shard {
    pub(in crate::shard) fn subscribe(&mut self, id: ConnId, mut subscribe: Subscribe) {
        let limits = &self.settings.limits;
        let is_new = |target: &&Target| self.find_subscription(id, target).is_none();
        let made: Vec<Target> = subscribe.targets.iter().filter(is_new).cloned().collect();
        if self.conns[id.index].target_count as usize + made.len() > limits.topics_per_connection_max as usize {
            let refusal = Refusal::new(ErrorCode::TooManyTopics, "the connection is at its limit of topics");
            return self.refuse(id, subscribe.id.as_ref(), refusal);
        }
        let pending = ensure_pending(&mut self.conns, &mut self.pendings, id);
        if pending.operations.len() >= PENDING_OPERATIONS_MAX {
            let refusal = Refusal::new(ErrorCode::RateLimited, "too many subscriptions are under way");
            return self.refuse(id, subscribe.id.as_ref(), refusal);
        }
        let joined =
            subscribe.targets.iter().map(|target| Joined { target: target.clone(), position: None, recovered: None });
        let joined = joined.collect::<Vec<_>>();
        let operation = pending.operations.insert(Operation {
            id: subscribe.id.take(),
            waits: joined.len(),
            joined,
            made,
            presence: subscribe.presence,
            refusal: None,
            rest: Rest::new(&mut subscribe),
        });
        self.step_subscribe(id, operation as u32);
    }

    /// Goes on with the operations of a connection whose targets were not all asked for.
    pub(in crate::shard) fn resume_subscribe(&mut self, id: ConnId) {
        let Some(pending) = pending_mut(&self.conns, &mut self.pendings, id) else { return };
        let has_rest = |(_, operation): &(usize, &Operation)| !operation.rest.targets.is_empty();
        if let Some(operation) = pending.operations.iter().find(has_rest).map(|(operation, _)| operation as u32) {
            self.step_subscribe(id, operation);
        }
    }

    /// Asks the homes of an operation's next targets, as many as may be under way and as the turn has a share for. What
    /// else the connection says waits behind the last of them.
    fn step_subscribe(&mut self, id: ConnId, operation: u32) {
        let mut is_first = true;
        while let Some(pending) = pending_mut(&self.conns, &mut self.pendings, id)
            && let Some(open) = pending.operations.get_mut(operation as usize)
            && !open.rest.targets.is_empty()
        {
            if open.rest.asked >= JOINS_AT_ONCE_MAX {
                return self.hold_turn(id);
            }
            if !is_first && !self.budget.fits(PRICE_JOIN) {
                return self.put_off(id);
            }
            is_first = false;
            let rest = &mut open.rest;
            let Some(target) = rest.targets.pop_front() else { return };
            let (since, index, last, policy) = (rest.since(&target), rest.index, rest.last, rest.policy);
            rest.index += 1;
            rest.asked += 1;
            self.ask_home(id, target, since, policy, (operation, index, last));
        }
    }

    fn ask_home(
        &mut self,
        id: ConnId,
        target: Target,
        since: Option<Position>,
        policy: Option<Policy>,
        (operation, index, last): (u32, u32, bool),
    ) {
        let is_new = self.find_subscription(id, &target).is_none();
        let ticket = self.issue(Ticket::Join { conn: id, operation, index, target: target.clone(), last, waits: 1 });
        let wanted = target.clone();
        match target {
            Target::Topic(topic) if is_new => self.join_topic(id, topic, since, last, ticket),
            Target::Topic(topic) => self.ask_state(topic, ticket),
            Target::Pattern(pattern) if is_new => self.join_pattern(id, &pattern, ticket),
            Target::Pattern(_) => self.on_pattern_page(self.settings.shard, ticket, SnapshotPage::default()),
        }
        if is_new || policy.is_some() {
            self.note_policy(id, &wanted, policy.unwrap_or_default());
        }
    }

    fn join_topic(&mut self, id: ConnId, topic: TopicName, since: Option<Position>, last: bool, ticket: u32) {
        let topic_id = self.hub.ensure(&topic);
        self.hub.hold(topic_id, 1);
        let (target, place) = (TargetId::topic(topic_id), Place::Waiting { ticket });
        if self.brings_a_stream(id.index, &topic) {
            let moved = self.subscriptions.add_first(&mut self.conns, id.index, target, place);
            self.attach_again(moved);
        } else {
            self.subscriptions.add(&mut self.conns, id.index, target, place);
        }
        let home = self.hub.home_of(topic.as_str());
        let polls = self.is_poll(id);
        if home == self.settings.shard {
            let answer = self.hub.join(self.now, &topic, home, since, last);
            self.charge_join(&answer);
            if polls {
                self.hub.note_poll(self.now, topic.as_str());
            }
            self.on_joined(ticket, answer);
        } else {
            self.outgoing.requests.push((home, Request::Join { topic, since, last, polls, ticket }));
        }
    }

    /// Charges what a subscription cost its home, and will cost its reader.
    pub(in crate::shard) fn charge_join(&mut self, result: &Result<JoinAnswer, Refusal>) {
        let count = result.as_ref().map_or(0, |answer| answer.publications.len());
        self.budget.charge(PRICE_JOIN + count as u64 * PRICE_KEPT);
    }

    pub(in crate::shard) fn ask_others(&mut self, request: impl Fn() -> Request) {
        for shard in self.other_shards() {
            self.outgoing.requests.push((shard, request()));
        }
    }

    /// Every shard but this one.
    pub(in crate::shard) fn other_shards(&self) -> impl Iterator<Item = ShardId> + use<> {
        let me = self.settings.shard;
        (0..self.settings.shards as u8).map(ShardId).filter(move |shard| *shard != me)
    }

    /// The home shard has answered a subscription to a topic.
    pub(in crate::shard) fn on_joined(&mut self, ticket: u32, result: Result<JoinAnswer, Refusal>) {
        let Ticket::Join { conn: id, operation, index, target, .. } = self.tickets.remove(ticket as usize) else {
            unreachable!("the ticket of a join comes back with its answer");
        };
        if self.conns.get(id).is_none() {
            return;
        }
        // A connection that has left meanwhile has told the home so; only one that still waits is attached, and gets
        // what the home answered.
        let waiting = self.find_waiting(id, &target, ticket);
        if let Some(key) = waiting {
            self.attach_or_forget(key, &target, result.is_ok());
            if let (Ok(answer), Target::Topic(topic)) = (&result, &target)
                && !self.follows_by_pattern(id, topic)
            {
                self.note_joined(id.index, topic, answer.position.offset);
            }
        }
        let Some(pending) = pending_mut(&self.conns, &mut self.pendings, id) else { return };
        let Some(open) = pending.operations.get_mut(operation as usize) else { return };
        match result {
            Ok(answer) => {
                let joined = &mut open.joined[index as usize];
                joined.position = Some(answer.position);
                joined.recovered = answer.recovered;
                if waiting.is_some() {
                    pending.catch_up.keep(answer.publications);
                }
            }
            Err(refusal) => open.refusal = Some(refusal),
        }
        self.advance_operation(id, operation);
    }

    /// Notes a target of an operation as answered; ends the operation with its last one.
    pub(in crate::shard) fn advance_operation(&mut self, id: ConnId, operation: u32) {
        let Some(pending) = pending_mut(&self.conns, &mut self.pendings, id) else { return };
        let Some(open) = pending.operations.get_mut(operation as usize) else { return };
        open.waits -= 1;
        open.rest.asked -= 1;
        if open.waits > 0 {
            let goes_on = open.rest.asked < JOINS_AT_ONCE_MAX / 2 && !open.rest.targets.is_empty();
            if goes_on {
                self.release_turn(id);
            }
            return;
        }
        let done = pending.operations.remove(operation as usize);
        let is_http = self.conns[id.index].session == Session::Http;
        let is_json = self.conns[id.index].encoding == Encoding::Json;
        match done.refusal {
            Some(refusal) => {
                self.unsubscribe(id, &done.made);
                if is_json || is_http {
                    self.refuse(id, done.id.as_ref(), refusal);
                } else {
                    self.close(id, CloseReason::Overloaded, refusal.message);
                }
            }
            None if is_http => self.begin_follow(id, &done.joined),
            None if is_json => {
                self.reply_json(id, &Outbound::Subscribed { id: done.id.as_ref(), joined: &done.joined });
                for joined in done.joined.iter().filter(|_| done.presence) {
                    if let Target::Topic(topic) = &joined.target {
                        self.join_presence(id, topic);
                    }
                }
            }
            None => {}
        }
        self.catch_up(id);
    }

    /// Sends what the connection is to get before anything else, as much as fits; lets it go when that is all.
    pub(in crate::shard) fn catch_up(&mut self, id: ConnId) {
        let Some(pending) = pending_mut(&self.conns, &mut self.pendings, id) else { return };
        if !pending.operations.is_empty() || self.conns[id.index].session == Session::Http {
            return;
        }
        while let Some(pending) = pending_mut(&self.conns, &mut self.pendings, id)
            && self.outboxes.ensure(&mut self.conns[id.index].outbox).len() < CATCH_UP_LEN_MAX
        {
            let waits_for_more = pending.page_asked.is_some() || !pending.pages.is_empty();
            let Some((publication, is_held)) = pending.catch_up.pop(waits_for_more) else {
                if !waits_for_more {
                    self.release_pending(id);
                }
                break;
            };
            // What this turn's run brings anyway is not said twice.
            if !self.comes_by_run(id.index, &publication) && !self.comes_by_lag(id, &publication, is_held) {
                self.send_alone(id, &publication);
            }
        }
        self.ask_pages(id);
        self.mark_dirty(id);
    }

    /// Sends one publication to one reader, encoded for it alone.
    fn send_alone(&mut self, id: ConnId, publication: &Publication) {
        let conn = &self.conns[id.index];
        let me = Origin { shard: self.settings.shard, conn: id };
        if conn.is(Flag::NO_ECHO) && publication.origin == Some(me) {
            return;
        }
        let encoding = conn.encoding;
        self.metrics.deliveries += 1;
        let mut own_id = Vec::new();
        self.vectors.advance(id.index, publication, &mut own_id);
        self.reply(id, |message, out| {
            out.append(&mut own_id);
            encoding.push(publication, message, out);
        });
    }

    /// Whether a pattern that the connection follows covers a topic.
    fn follows_by_pattern(&self, id: ConnId, topic: &TopicName) -> bool {
        let patterns = self.hub.matching_name(topic.as_str());
        let key = |&pattern: &PatternId| self.subscriptions.find(&self.conns, id.index, TargetId::pattern(pattern));
        patterns.iter().filter_map(key).any(|key| self.is_attached(key))
    }

    /// Whether the connection follows a topic, by name or by pattern; what it has only asked for does not count.
    fn follows(&self, id: ConnId, topic: &TopicName) -> bool {
        let by_name = self.find_subscription(id, &Target::Topic(topic.clone()));
        by_name.is_some_and(|key| self.is_attached(key)) || self.follows_by_pattern(id, topic)
    }

    fn is_attached(&self, key: SubscriberKey) -> bool {
        matches!(self.subscriptions.place(&self.conns, key), Place::Attached(_))
    }

    pub(in crate::shard) fn find_waiting(&self, id: ConnId, target: &Target, ticket: u32) -> Option<SubscriberKey> {
        self.conns.get(id)?;
        let key = self.find_subscription(id, target)?;
        (self.subscriptions.place(&self.conns, key) == Place::Waiting { ticket }).then_some(key)
    }

    pub(in crate::shard) fn unsubscribe(&mut self, id: ConnId, targets: &[Target]) {
        let mut left = Vec::new();
        for target in targets {
            if let Some(key) = self.find_subscription(id, target) {
                self.leave(key);
                left.push(target);
            }
        }
        // What is kept for the connection is only what it still follows.
        let (pending, lag) = (self.conns[id.index].pending.index(), self.conns[id.index].lag.index());
        let mut catch_up = pending.map(|slot| std::mem::take(&mut self.pendings[slot].catch_up)).unwrap_or_default();
        let mut skipping = lag.map(|slot| std::mem::take(&mut self.lags[slot])).unwrap_or_default();
        let mut has_pattern = false;
        for target in left {
            match target {
                Target::Topic(topic) if !self.follows_by_pattern(id, topic) => {
                    catch_up.forget_topic(topic);
                    skipping.forget_topic(topic);
                }
                Target::Topic(_) => {}
                Target::Pattern(pattern) => {
                    has_pattern = true;
                    self.forget_pages(id, pattern);
                }
            }
        }
        if has_pattern {
            catch_up.retain(|topic| self.follows(id, topic));
            skipping.retain(|topic| self.follows(id, topic));
        }
        if let Some(slot) = pending {
            self.pendings[slot].catch_up = catch_up;
        }
        if let Some(slot) = lag {
            self.lags[slot] = skipping;
            self.mark_dirty(id);
        }
        if has_pattern {
            // It may have waited for last values that are not wanted any more.
            self.catch_up(id);
        }
    }

    /// What is held for a connection whose subscriptions are made, which is then held no longer; `None` while any is
    /// under way.
    pub(in crate::shard) fn take_catch_up(&mut self, id: ConnId) -> Option<CatchUp> {
        let pending = pending_mut(&self.conns, &mut self.pendings, id)?;
        if !pending.operations.is_empty() || !self.conns[id.index].is(Flag::HAS_POLICIES) {
            return None;
        }
        let catch_up = std::mem::take(&mut pending.catch_up);
        self.release_pending(id);
        Some(catch_up)
    }

    fn release_pending(&mut self, id: ConnId) {
        let conn = &mut self.conns[id.index];
        if let Some(slot) = std::mem::replace(&mut conn.pending, Slot::NONE).index() {
            self.pendings.remove(slot);
            conn.set(Flag::HELD, false);
            self.release_turn(id);
        }
    }

    /// Ends every subscription of a connection, made or under way.
    pub(in crate::shard) fn leave_all(&mut self, id: ConnId) {
        while let Some(key) = self.subscriptions.any(&self.conns[id.index], id.index) {
            self.leave(key);
        }
        self.release_pending(id);
        if let Some(slot) = std::mem::replace(&mut self.conns[id.index].lag, Slot::NONE).index() {
            self.lags.remove(slot);
        }
        self.vectors.forget(id.index);
        self.alarms.clear(id.index);
        self.bandwidths.remove(&id.index);
    }

    fn leave(&mut self, key: SubscriberKey) {
        let conn = self.subscriptions.conn(key);
        let target = self.subscriptions.target(&self.conns, key);
        if let TargetKind::Topic(topic_id) = target.kind() {
            self.conns[conn].leave_stream(topic_id);
        }
        let (target, place) = self.subscriptions.remove(&mut self.conns, key);
        self.policies.remove(&(conn, target));
        match target.kind() {
            TargetKind::Topic(topic_id) => {
                self.leave_presence(conn, topic_id);
                if let Place::Attached(place) = place {
                    let moved = self.hub.detach(topic_id, place);
                    self.note_move(moved, place);
                }
                let is_last = self.hub.hold(topic_id, -1) == 0;
                if is_last {
                    self.compressor.forget(topic_id);
                }
                let topic = self.hub.name(topic_id);
                let home = self.hub.home_of(topic.as_str());
                if home == self.settings.shard {
                    self.hub.leave(topic.as_str(), home, is_last);
                } else {
                    self.hub.release(topic_id);
                    self.outgoing.requests.push((home, Request::Leave { topic, is_last }));
                }
            }
            TargetKind::Pattern(pattern_id) => {
                if let Place::Attached(place) = place {
                    let moved = self.hub.detach_pattern(pattern_id, place);
                    self.note_move(moved, place);
                }
                let pattern = self.hub.pattern(pattern_id).clone();
                let readers = self.hub.hold_pattern(pattern_id, -1);
                self.tell_interest(&pattern, readers, None);
            }
        }
    }

    fn attach_or_forget(&mut self, key: SubscriberKey, target: &Target, is_joined: bool) {
        let Target::Topic(topic) = target else { return };
        let Some(topic_id) = self.hub.find(topic.as_str()) else { return };
        if is_joined {
            let place = self.hub.attach(topic_id, key);
            self.subscriptions.set_place(&mut self.conns, key, Place::Attached(place));
        } else {
            let conn = self.subscriptions.conn(key);
            let (target, _) = self.subscriptions.remove(&mut self.conns, key);
            self.policies.remove(&(conn, target));
            self.hub.hold(topic_id, -1);
            self.hub.release(topic_id);
        }
    }

    /// Puts a reader under its new key into the list of its target, if it is in it.
    fn attach_again(&mut self, key: SubscriberKey) {
        let Place::Attached(place) = self.subscriptions.place(&self.conns, key) else { return };
        let (moved, new_place) = match self.subscriptions.target(&self.conns, key).kind() {
            TargetKind::Topic(id) => (self.hub.detach(id, place), self.hub.attach(id, key)),
            TargetKind::Pattern(id) => (self.hub.detach_pattern(id, place), self.hub.attach_pattern(id, key)),
        };
        self.note_move(moved, place);
        self.subscriptions.set_place(&mut self.conns, key, Place::Attached(new_place));
    }

    fn note_move(&mut self, moved: Option<SubscriberKey>, place: u32) {
        if let Some(moved) = moved {
            self.subscriptions.set_place(&mut self.conns, moved, Place::Attached(place));
        }
    }

    pub(in crate::shard) fn find_subscription(&self, id: ConnId, target: &Target) -> Option<SubscriberKey> {
        let target = match target {
            Target::Topic(topic) => TargetId::topic(self.hub.find(topic.as_str())?),
            Target::Pattern(pattern) => TargetId::pattern(self.hub.find_pattern(pattern)?),
        };
        self.subscriptions.find(&self.conns, id.index, target)
    }

    /// The one topic of a raw connection.
    pub(in crate::shard) fn raw_topic(&self, id: ConnId) -> Option<TopicName> {
        let key = self.subscriptions.any(&self.conns[id.index], id.index)?;
        match self.subscriptions.target(&self.conns, key).kind() {
            TargetKind::Topic(topic_id) => Some(self.hub.name(topic_id)),
            TargetKind::Pattern(_) => None,
        }
    }
}

fn ensure_pending<'a>(conns: &mut Conns, pendings: &'a mut Slab<Pending>, id: ConnId) -> &'a mut Pending {
    let conn = &mut conns[id.index];
    let slot = conn.pending.index().unwrap_or_else(|| {
        let slot = pendings.insert(Pending::default());
        conn.pending = Slot::new(slot);
        conn.set(Flag::HELD, true);
        slot
    });
    &mut pendings[slot]
}

pub(in crate::shard) fn pending_mut<'a>(
    conns: &Conns,
    pendings: &'a mut Slab<Pending>,
    id: ConnId,
) -> Option<&'a mut Pending> {
    pendings.get_mut(conns.get(id)?.pending.index()?)
}
