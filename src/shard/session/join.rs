//! Subscribing and leaving.
//!
//! A subscription is made at the topic's home shard. The answer of the home (the position of the topic, the first
//! messages) and later publications travel on the same lane, so that none is lost or doubled between them. While an
//! operation is under way its connection is held: its publications are kept, and follow the answer.

use super::catch_up::CatchUp;
use super::gate::Act;
use super::pending::{Operation, Page, PageOf, Unasked, ensure_pending, pending_mut};
use super::rest::{self, Rest};
use super::session::Mark;
use super::subscription::{Place, TargetId, TargetKind};
use super::tickets::Ticket;
use crate::close::CloseReason;
use crate::command::{
    ErrorCode, JoinAnswer, Joined, Mode, Origin, Outbound, Policy, Position, Publication, Refusal, SessionId,
    SessionIndex, Subscribe, Target, TopicName,
};
use crate::hub::{LastValues, PatternId, SubscriberKey};
use crate::limits::{
    CATCH_UP_ENTRY_COST, CATCH_UP_LEN_MAX, JOINS_AT_ONCE_MAX, PENDING_OPERATIONS_MAX, PRICE_JOIN, PRICE_KEPT,
};
use crate::mailbox::Request;
use crate::shard::Shard;
use crate::shard::link::conn::Carrier;
use crate::shard::slot::Slot;
use crate::transport::Framing;

impl Shard {
    pub(in crate::shard) fn subscribe(&mut self, id: SessionId, mut subscribe: Subscribe) {
        for target in &subscribe.targets {
            if let Err(refusal) = self.may(id, &Act::Subscribe(target)) {
                return self.refuse(id, subscribe.id.as_ref(), refusal);
            }
        }
        let limits = &self.settings.live.limits;
        let is_new = |target: &&Target| self.find_subscription(id, target).is_none();
        let made: Vec<Target> = subscribe.targets.iter().filter(is_new).cloned().collect();
        if self.links.conns[id.index].target_count as usize + made.len() > limits.topics_per_connection_max as usize {
            let refusal = Refusal::new(ErrorCode::TooManyTopics, "the connection is at its limit of topics");
            return self.refuse(id, subscribe.id.as_ref(), refusal);
        }
        if let Err(refusal) = self.has_share_of_subscriptions(id, made.len()) {
            return self.refuse(id, subscribe.id.as_ref(), refusal);
        }
        if let Some(tells_headers) = subscribe.headers {
            self.tell_headers(id, tells_headers);
        }
        let pending = ensure_pending(&mut self.links.conns, &mut self.sessions.pendings, id);
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
            unasked: Unasked::new(&mut subscribe),
        });
        self.step_subscribe(id, operation as u32);
    }

    /// Resumes an operation of a session that has targets left to request.
    pub(in crate::shard) fn resume_subscribe(&mut self, id: SessionId) {
        let Some(pending) = pending_mut(&self.links.conns, &mut self.sessions.pendings, id) else { return };
        let is_unasked = |(_, operation): &(usize, &Operation)| !operation.unasked.targets.is_empty();
        if let Some(operation) = pending.operations.iter().find(is_unasked).map(|(operation, _)| operation as u32) {
            self.step_subscribe(id, operation);
        }
    }

    /// Sends requests for the next targets of an operation to their homes, as many as may be under way and as the
    /// turn's budget allows. Later messages of the session wait for the last of them.
    fn step_subscribe(&mut self, id: SessionId, operation: u32) {
        let mut is_first = true;
        while let Some(pending) = pending_mut(&self.links.conns, &mut self.sessions.pendings, id)
            && let Some(open) = pending.operations.get_mut(operation as usize)
            && !open.unasked.targets.is_empty()
        {
            if open.unasked.asked >= JOINS_AT_ONCE_MAX {
                return self.hold_turn(id);
            }
            if !is_first && !self.turn.budget.fits(PRICE_JOIN) {
                return self.put_off_session(id);
            }
            is_first = false;
            let unasked = &mut open.unasked;
            let Some(target) = unasked.targets.pop_front() else { return };
            let (since, policy) = (unasked.since(&target), unasked.policy);
            let (index, last) = (unasked.index, unasked.last);
            unasked.index += 1;
            unasked.asked += 1;
            let ticket = Ticket::Join { session: id, operation, index, target: target.clone(), last, waits: 1 };
            self.ask_home(id, target, since, policy, last, ticket);
        }
    }

    fn ask_home(
        &mut self,
        id: SessionId,
        target: Target,
        since: Option<Position>,
        policy: Option<Policy>,
        last: bool,
        ticket: Ticket,
    ) {
        let is_new = self.find_subscription(id, &target).is_none();
        let ticket = self.issue(ticket);
        let wanted = target.clone();
        match target {
            Target::Topic(topic) if is_new => {
                let mode = policy.and_then(|policy| policy.mode);
                self.join_topic(id, topic, since, last, mode, ticket);
            }
            Target::Topic(topic) => self.ask_state(topic, ticket),
            Target::Pattern(pattern) if is_new => self.join_pattern(id, &pattern, ticket),
            Target::Pattern(_) => self.on_pattern_page(self.settings.shard, ticket, LastValues::default()),
        }
        if is_new || policy.is_some() {
            self.note_policy(id, &wanted, policy.unwrap_or_default());
        }
    }

    fn join_topic(
        &mut self,
        id: SessionId,
        topic: TopicName,
        since: Option<Position>,
        last: bool,
        mode: Option<Mode>,
        ticket: u32,
    ) {
        let topic_id = self.hub.ensure(&topic);
        self.hub.hold(topic_id, 1);
        let (target, place) = (TargetId::topic(topic_id), Place::Waiting { ticket });
        if self.brings_a_stream(id.index, &topic) {
            let moved = self.sessions.subscriptions.add_first(&mut self.links.conns, id.index, target, place);
            self.attach_again(moved);
        } else {
            self.sessions.subscriptions.add(&mut self.links.conns, id.index, target, place);
        }
        let home = self.hub.home_of(topic.as_str());
        let polls = id.conn().is_some_and(|conn| self.is_poll(conn));
        let skips = mode.unwrap_or_else(|| self.rule_of(&topic).mode) != Mode::Queue;
        self.ask(home, Request::Join { topic, since, last, polls, skips, ticket });
    }

    /// Charges the cost of a subscription for its home and for its reader.
    pub(in crate::shard) fn charge_join(&mut self, result: &Result<JoinAnswer, Refusal>) {
        let count = result.as_ref().map_or(0, |answer| answer.publications.len());
        self.turn.budget.charge(PRICE_JOIN + count as u64 * PRICE_KEPT);
    }

    /// Handles the home shard's answer to a subscription to a topic.
    pub(in crate::shard) fn on_joined(&mut self, ticket: u32, result: Result<JoinAnswer, Refusal>) {
        let Ticket::Join { session: id, operation, index, target, .. } = self.sessions.tickets.remove(ticket as usize)
        else {
            unreachable!("the ticket of a join comes back with its answer");
        };
        if self.links.conns.session(id).is_none() {
            return;
        }
        // If the connection unsubscribed meanwhile, the home knows that already. Only a subscription that still waits
        // is attached and uses the answer.
        let waiting = self.find_waiting(id, &target, ticket);
        if let Some(key) = waiting {
            self.attach_or_forget(key, &target, result.is_ok());
            if let (Ok(answer), Target::Topic(topic)) = (&result, &target)
                && !self.follows_by_pattern(id, topic)
            {
                self.note_joined(id.index, topic, answer.position.offset);
            }
        }
        let is_poll = id.conn().is_some_and(|conn| self.is_poll(conn));
        let tells_positions = self.links.conns[id.index].encoding.row().framing == Framing::Events;
        let Some(pending) = pending_mut(&self.links.conns, &mut self.sessions.pendings, id) else { return };
        let Some(open) = pending.operations.get_mut(operation as usize) else { return };
        match result {
            Ok(answer) => {
                let joined = &mut open.joined[index as usize];
                joined.position = Some(answer.position);
                joined.recovered = answer.recovered;
                if waiting.is_some() {
                    if let [last] = &*answer.publications
                        && tells_positions
                        && last.position.offset < answer.position.offset
                    {
                        pending.stands.push((last.topic.clone(), answer.position));
                    }
                    self.turn.grown += answer.publications.len() * CATCH_UP_ENTRY_COST;
                    // A poll comes back for the rest by itself.
                    if let (Some(last), Some(true)) = (answer.publications.last(), answer.recovered)
                        && last.position.offset < answer.position.offset
                        && !is_poll
                    {
                        let (topic, since) = (last.topic.clone(), last.position);
                        pending.pages.push(Page::Missed { topic, since, until: answer.position.offset });
                    }
                    pending.catch_up.keep(answer.publications, None);
                }
            }
            Err(refusal) => open.refusal = Some(refusal),
        }
        self.advance_operation(id, operation);
    }

    /// Marks a target of an operation as answered; the last one ends the operation.
    pub(in crate::shard) fn advance_operation(&mut self, id: SessionId, operation: u32) {
        let Some(pending) = pending_mut(&self.links.conns, &mut self.sessions.pendings, id) else { return };
        let Some(open) = pending.operations.get_mut(operation as usize) else { return };
        open.waits -= 1;
        open.unasked.asked -= 1;
        if open.waits > 0 {
            let goes_on = open.unasked.asked < JOINS_AT_ONCE_MAX / 2 && !open.unasked.targets.is_empty();
            if goes_on {
                self.release_turn(id);
            }
            return;
        }
        let done = pending.operations.remove(operation as usize);
        let is_http = self.is_request(id);
        let has_replies = self.links.conns[id.index].encoding.row().dialect.has_replies();
        match done.refusal {
            Some(refusal) => {
                self.unsubscribe(id, &done.made);
                if has_replies || is_http {
                    self.refuse(id, done.id.as_ref(), refusal);
                } else {
                    self.end_session(id, CloseReason::Overloaded, refusal.message);
                }
            }
            None if is_http => {
                if let Some(conn) = id.conn() {
                    self.begin_follow(conn, &done.joined);
                }
            }
            None => {
                self.say(id, &Outbound::Subscribed { id: done.id.as_ref(), joined: &done.joined });
                for joined in done.joined.iter().filter(|_| done.presence) {
                    if let Target::Topic(topic) = &joined.target {
                        self.join_presence(id, topic);
                    }
                }
            }
        }
        self.catch_up(id);
    }

    /// Sends the messages that come before everything else, as many as fit; ends the hold after the last one.
    pub(in crate::shard) fn catch_up(&mut self, id: SessionId) {
        let Some(pending) = pending_mut(&self.links.conns, &mut self.sessions.pendings, id) else { return };
        if !pending.operations.is_empty() || self.is_request(id) {
            return;
        }
        while let Some(pending) = pending_mut(&self.links.conns, &mut self.sessions.pendings, id)
            && self.links.outboxes.ensure(self.links.conns.parts_mut(id.index).1).len() < CATCH_UP_LEN_MAX
        {
            let waits_for_more = pending.page_asked.is_some() || !pending.pages.is_empty();
            if let Some((topic, since, until)) = pending.take_lost(waits_for_more) {
                let gap = Outbound::Gap { topic: topic.as_str(), skipped: until - since, offset: until + 1 };
                self.metrics.skipped += until - since;
                self.say(id, &gap);
                continue;
            }
            let popped = pending.catch_up.pop(waits_for_more);
            let stands = popped.as_ref().and_then(|(publication, _)| pending.stand_behind(publication));
            let Some((publication, is_held)) = popped else {
                if !waits_for_more {
                    self.release_pending(id);
                }
                break;
            };
            // Messages that come with this turn's run are not sent twice.
            if !self.comes_by_run(id.index, &publication) && !self.comes_by_lag(id, &publication, is_held) {
                self.send_alone(id, &publication);
            }
            if let Some(position) = stands {
                self.say_position(id, &publication.topic, position);
            }
        }
        self.ask_pages(id);
        self.mark_news(id);
    }

    /// Sends one publication to one reader, encoded for it alone.
    fn send_alone(&mut self, id: SessionId, publication: &Publication) {
        let session = &self.links.conns[id.index];
        let me = Origin { shard: self.settings.shard, session: id };
        if publication.is_hidden_from(me, session.is(Mark::NO_ECHO)) {
            return;
        }
        let encoding = session.encoding;
        self.metrics.deliveries += 1;
        self.reply_with(id, |rest, message, out| encoding.row().push_alone(rest, publication, message, out));
    }

    /// Sends a reader its position in a topic, if its messages carry positions.
    fn say_position(&mut self, id: SessionId, topic: &TopicName, position: Position) {
        let encoding = self.links.conns[id.index].encoding;
        self.reply_with(id, |rest, _, out| encoding.row().say_position(rest, topic, position, out));
    }

    /// Whether a session belongs to an HTTP request under way.
    pub(in crate::shard) fn is_request(&self, id: SessionId) -> bool {
        self.links.conns.link_of(id.index).is_some_and(|link| link.carrier == Carrier::Http1)
    }

    /// Whether a pattern of the connection matches a topic.
    fn follows_by_pattern(&self, id: SessionId, topic: &TopicName) -> bool {
        let patterns = self.hub.matching_name(topic.as_str());
        let key = |&pattern: &PatternId| {
            self.sessions.subscriptions.find(&self.links.conns, id.index, TargetId::pattern(pattern))
        };
        patterns.iter().filter_map(key).any(|key| self.is_attached(key))
    }

    /// Whether the connection is subscribed to a topic, by name or by pattern; pending subscriptions do not count.
    fn follows(&self, id: SessionId, topic: &TopicName) -> bool {
        let by_name = self.find_subscription(id, &Target::Topic(topic.clone()));
        by_name.is_some_and(|key| self.is_attached(key)) || self.follows_by_pattern(id, topic)
    }

    fn is_attached(&self, key: SubscriberKey) -> bool {
        matches!(self.sessions.subscriptions.place(&self.links.conns, key), Place::Attached(_))
    }

    pub(in crate::shard) fn find_waiting(&self, id: SessionId, target: &Target, ticket: u32) -> Option<SubscriberKey> {
        self.links.conns.session(id)?;
        let key = self.find_subscription(id, target)?;
        (self.sessions.subscriptions.place(&self.links.conns, key) == Place::Waiting { ticket }).then_some(key)
    }

    pub(in crate::shard) fn unsubscribe(&mut self, id: SessionId, targets: &[Target]) {
        let mut left = Vec::new();
        for target in targets {
            if let Some(key) = self.find_subscription(id, target) {
                self.leave(key);
                left.push(target);
            }
        }
        // Messages are kept only for topics that the connection still follows.
        let (pending, lag) = (self.links.conns[id.index].pending.index(), self.links.conns[id.index].lag.index());
        let mut catch_up =
            pending.map(|slot| std::mem::take(&mut self.sessions.pendings[slot].catch_up)).unwrap_or_default();
        let mut skipping = lag.map(|slot| std::mem::take(&mut self.sessions.lags[slot])).unwrap_or_default();
        let mut has_pattern = false;
        for target in left {
            match target {
                Target::Topic(topic) if !self.follows_by_pattern(id, topic) => {
                    catch_up.forget_topic(topic);
                    skipping.forget_topic(topic);
                    self.forget_pages(id, &PageOf::Topic(topic.clone()));
                }
                Target::Topic(_) => {}
                Target::Pattern(pattern) => {
                    has_pattern = true;
                    catch_up.forget_pattern(pattern);
                    self.forget_pages(id, &PageOf::Pattern(pattern.clone()));
                }
            }
        }
        if has_pattern {
            catch_up.retain(|topic| self.follows(id, topic));
            skipping.retain(|topic| self.follows(id, topic));
        }
        if let Some(slot) = pending {
            self.sessions.pendings[slot].catch_up = catch_up;
        }
        if let Some(slot) = lag {
            self.sessions.lags[slot] = skipping;
            self.mark_news(id);
        }
        if has_pattern {
            // The connection may have waited for last values that it no longer needs.
            self.catch_up(id);
        }
    }

    /// The messages held for a connection whose subscriptions are all made; the hold ends. `None` while one is under
    /// way.
    pub(in crate::shard) fn take_catch_up(&mut self, id: SessionId) -> Option<CatchUp> {
        let pending = pending_mut(&self.links.conns, &mut self.sessions.pendings, id)?;
        if !pending.operations.is_empty() || !self.links.conns[id.index].is(Mark::HAS_POLICIES) {
            return None;
        }
        let catch_up = std::mem::take(&mut pending.catch_up);
        self.release_pending(id);
        Some(catch_up)
    }

    fn release_pending(&mut self, id: SessionId) {
        let session = &mut self.links.conns[id.index];
        if let Some(slot) = std::mem::replace(&mut session.pending, Slot::NONE).index() {
            self.sessions.pendings.remove(slot);
            session.set(Mark::HELD, false);
            self.release_turn(id);
        }
    }

    /// Ends every subscription of a connection, made or under way.
    pub(in crate::shard) fn leave_all(&mut self, id: SessionId) {
        while let Some(key) = self.sessions.subscriptions.any(&self.links.conns[id.index], id.index) {
            self.leave(key);
        }
        self.release_pending(id);
        if let Some(slot) = std::mem::replace(&mut self.links.conns[id.index].lag, Slot::NONE).index() {
            self.sessions.lags.remove(slot);
        }
        self.sessions.alarms.clear(id.index.bits());
        let slot = &mut self.links.conns[id.index].rest;
        rest::change(&mut self.sessions.rests, slot, Rest::leave_all);
    }

    fn leave(&mut self, key: SubscriberKey) {
        let session = self.sessions.subscriptions.session(key);
        let target = self.sessions.subscriptions.target(&self.links.conns, key);
        if let TargetKind::Topic(topic_id) = target.kind() {
            self.links.conns[session].leave_stream(topic_id);
        }
        let (target, place) = self.sessions.subscriptions.remove(&mut self.links.conns, key);
        self.forget_policy(session, target);
        match target.kind() {
            TargetKind::Topic(topic_id) => {
                self.leave_presence(session, topic_id);
                if let Place::Attached(place) = place {
                    let moved = self.hub.detach(topic_id, place);
                    self.note_move(moved, place);
                }
                let is_last = self.hub.hold(topic_id, -1) == 0;
                if is_last {
                    self.delivery.compressor.forget(topic_id);
                }
                let topic = self.hub.name(topic_id);
                let home = self.hub.home_of(topic.as_str());
                self.ask(home, Request::Leave { topic, is_last });
                self.hub.release(topic_id);
            }
            TargetKind::Pattern(pattern_id) => {
                if let Place::Attached(place) = place {
                    let moved = self.hub.detach_pattern(pattern_id, place);
                    self.note_move(moved, place);
                }
                let pattern = self.hub.pattern(pattern_id).clone();
                self.sessions.pattern_tokens.take_back(self.links.conns[session].owner, pattern.token_count());
                let readers = self.hub.hold_pattern(pattern_id, -1);
                self.tell_interest(&pattern, readers, None);
            }
        }
    }

    fn forget_policy(&mut self, index: SessionIndex, target: TargetId) {
        rest::change(&mut self.sessions.rests, &mut self.links.conns[index].rest, |rest| {
            rest.policies.remove(&target);
        });
    }

    fn attach_or_forget(&mut self, key: SubscriberKey, target: &Target, is_joined: bool) {
        let Target::Topic(topic) = target else { return };
        let Some(topic_id) = self.hub.find(topic.as_str()) else { return };
        if is_joined {
            let place = self.hub.attach(topic_id, key);
            self.sessions.subscriptions.set_place(&mut self.links.conns, key, Place::Attached(place));
        } else {
            let session = self.sessions.subscriptions.session(key);
            let (target, _) = self.sessions.subscriptions.remove(&mut self.links.conns, key);
            self.forget_policy(session, target);
            self.hub.hold(topic_id, -1);
            self.hub.release(topic_id);
        }
    }

    /// Puts a reader under its new key into the list of its target, if it is in it.
    fn attach_again(&mut self, key: SubscriberKey) {
        let Place::Attached(place) = self.sessions.subscriptions.place(&self.links.conns, key) else { return };
        let (moved, new_place) = match self.sessions.subscriptions.target(&self.links.conns, key).kind() {
            TargetKind::Topic(id) => (self.hub.detach(id, place), self.hub.attach(id, key)),
            TargetKind::Pattern(id) => (self.hub.detach_pattern(id, place), self.hub.attach_pattern(id, key)),
        };
        self.note_move(moved, place);
        self.sessions.subscriptions.set_place(&mut self.links.conns, key, Place::Attached(new_place));
    }

    fn note_move(&mut self, moved: Option<SubscriberKey>, place: u32) {
        if let Some(moved) = moved {
            self.sessions.subscriptions.set_place(&mut self.links.conns, moved, Place::Attached(place));
        }
    }

    pub(in crate::shard) fn find_subscription(&self, id: SessionId, target: &Target) -> Option<SubscriberKey> {
        let target = match target {
            Target::Topic(topic) => TargetId::topic(self.hub.find(topic.as_str())?),
            Target::Pattern(pattern) => TargetId::pattern(self.hub.find_pattern(pattern)?),
        };
        self.sessions.subscriptions.find(&self.links.conns, id.index, target)
    }

    /// The topic of a session that has exactly one.
    pub(in crate::shard) fn only_topic(&self, id: SessionId) -> Option<TopicName> {
        let key = self.sessions.subscriptions.any(&self.links.conns[id.index], id.index)?;
        match self.sessions.subscriptions.target(&self.links.conns, key).kind() {
            TargetKind::Topic(topic_id) => Some(self.hub.name(topic_id)),
            TargetKind::Pattern(_) => None,
        }
    }
}
