//! Publications on their way to their home shard, and what comes back.

use std::sync::Arc;

use super::tickets::Ticket;
use crate::close::CloseReason;
use crate::command::{
    ConnId, Epoch, ErrorCode, HistoryAnswer, HistoryQuery, JoinAnswer, Message, OperationId, Origin, Outbound,
    Position, Publish, Refusal, Taken, TopicName, TopicState,
};
use crate::hub::Outcome;
use crate::limits::{PRICE_FOUR_BYTES, PRICE_KEPT, PRICE_PUBLICATION, PRICE_VISIT};
use crate::mailbox::{Answer, Request};
use crate::shard::Shard;
use crate::shard::link::conn::Flag;
use crate::transport::http::{NO_PUBLISHING, Role};

impl Shard {
    /// A topic's name, the one that this shard keeps if it knows the topic.
    pub(in crate::shard) fn topic_name(&self, topic: &str) -> Option<TopicName> {
        let known = self.hub.find(topic).map(|id| self.hub.name(id));
        known.or_else(|| TopicName::parse(topic).ok())
    }

    /// Sends a publication to its home. If that is here, what became of it is known at once; if not, it comes through
    /// `on_published`, should there be a ticket for it.
    pub(in crate::shard) fn publish(
        &mut self,
        topic: &TopicName,
        message: Message,
        ticket: impl FnOnce(&mut Self) -> Option<u32>,
    ) -> Option<Result<Taken, Refusal>> {
        if let Err(refusal) = self.may_publish(topic, message.origin) {
            return Some(Err(refusal));
        }
        let home = self.hub.home_of(topic.as_str());
        if home == self.settings.shard {
            return Some(self.publish_here(topic, message));
        }
        let ticket = ticket(self);
        self.outgoing.requests.push((home, Request::Publish { topic: topic.clone(), message, ticket }));
        None
    }

    /// Whether a connection may publish to a topic, by the listener that it came in on and by the topic's rule. Every
    /// endpoint that publishes asks here.
    fn may_publish(&mut self, topic: &TopicName, origin: Option<Origin>) -> Result<(), Refusal> {
        let Some(conn) = origin.and_then(|origin| self.conns.get(origin.conn)) else { return Ok(()) };
        match self.role_of(conn.listener()) {
            Role::Readers => Err(Refusal::new(ErrorCode::Forbidden, NO_PUBLISHING)),
            Role::All if self.settings.rules.has_reserved() && !self.rule_of(topic).publish => {
                Err(Refusal::new(ErrorCode::Forbidden, "this topic is not published to from here: publish = false"))
            }
            Role::All | Role::Publishers => Ok(()),
        }
    }

    /// What a listener is for.
    pub(in crate::shard) fn role_of(&self, listener: u8) -> Role {
        self.settings.access.get(usize::from(listener)).map_or(Role::All, |access| access.role)
    }

    /// Numbers a publication whose home is here, and sends it to every shard with readers.
    pub(in crate::shard) fn publish_here(&mut self, topic: &TopicName, message: Message) -> Result<Taken, Refusal> {
        self.budget.charge(PRICE_PUBLICATION + message.payload.len() as u64 / 4 * PRICE_FOUR_BYTES);
        let published = self.hub.publish(self.now, topic, message);
        self.budget.charge(self.hub.take_visits() as u64 * PRICE_VISIT);
        let published = match published? {
            Outcome::Said(published) => published,
            Outcome::Repeated(position) => {
                self.metrics.duplicates += 1;
                return Ok(Taken { position, is_duplicate: true });
            }
        };
        self.metrics.publications += 1;
        let position = published.publication.position;
        let mut shards = published.shards;
        while shards != 0 {
            let shard = crate::command::ShardId(shards.trailing_zeros() as u8);
            shards &= shards - 1;
            let publication = Arc::clone(&published.publication);
            if shard == self.settings.shard {
                self.deliver(publication);
            } else {
                self.outgoing.answers.push((shard, Answer::Deliver(publication)));
            }
        }
        Ok(Taken { position, is_duplicate: false })
    }

    /// A publication that this shard sent has its number, or was refused.
    pub(in crate::shard) fn on_published(&mut self, ticket: u32, result: Result<Taken, Refusal>) {
        match self.tickets.remove(ticket as usize) {
            Ticket::Publish { conn, id, topic } => self.answer_publish(conn, id.as_ref(), &topic, result),
            Ticket::Http { conn, part } => self.on_published_for_request(conn, part, result),
            other => unreachable!("a publication does not answer {other:?}"),
        }
    }

    /// A message of a raw connection: nobody is told what became of it, but one that may not publish is closed.
    pub(in crate::shard) fn publish_raw(&mut self, conn: ConnId, publish: &Publish<'_>) {
        if let Some(topic) = self.topic_name(&publish.topic) {
            let message = publish.message(Origin { shard: self.settings.shard, conn });
            if let Some(Err(Refusal { code: ErrorCode::Forbidden, message, .. })) =
                self.publish(&topic, message, |_| None)
            {
                self.close(conn, CloseReason::Forbidden, message);
            }
        }
    }

    pub(in crate::shard) fn publish_json(&mut self, conn: ConnId, publish: &mut Publish<'_>) {
        let Some(topic) = self.topic_name(&publish.topic) else { return };
        let message = publish.message(Origin { shard: self.settings.shard, conn });
        let id = &mut publish.id;
        let ticket =
            |shard: &mut Self| Some(shard.issue(Ticket::Publish { conn, id: id.take(), topic: topic.clone() }));
        if let Some(result) = self.publish(&topic, message, ticket) {
            self.answer_publish(conn, publish.id.as_ref(), &topic, result);
        }
    }

    fn answer_publish(
        &mut self,
        conn: ConnId,
        id: Option<&OperationId>,
        topic: &TopicName,
        result: Result<Taken, Refusal>,
    ) {
        match result {
            Ok(taken) => self.reply_json(conn, &Outbound::Published { id, topic: topic.as_str(), taken }),
            Err(refusal) => self.refuse(conn, id, refusal),
        }
    }

    /// Asks the home of a topic for what it keeps; the answer comes through `on_history`.
    pub(in crate::shard) fn ask_history(&mut self, topic: TopicName, query: HistoryQuery, ticket: u32) {
        let home = self.hub.home_of(topic.as_str());
        if home == self.settings.shard {
            let history = self.hub.history(self.now, topic.as_str(), query);
            self.on_history(ticket, history);
        } else {
            self.outgoing.requests.push((home, Request::AskHistory { topic, query, ticket }));
        }
    }

    pub(in crate::shard) fn on_history(&mut self, ticket: u32, history: Option<HistoryAnswer>) {
        let history = history
            .unwrap_or(HistoryAnswer { position: Position { epoch: Epoch(0), offset: 0 }, publications: Vec::new() });
        self.budget.charge(history.publications.len() as u64 * PRICE_KEPT);
        match self.tickets.remove(ticket as usize) {
            // A question is short and its answer may be long: who asks without reading is not answered.
            Ticket::History { conn, id, .. } if self.conns.get(conn).is_some_and(|c| c.is(Flag::PAUSED_BACKLOG)) => {
                let refusal = Refusal::new(ErrorCode::RateLimited, "the answers that wait are to be read first");
                self.refuse(conn, id.as_ref(), refusal);
            }
            Ticket::History { conn, id, topic } => {
                let (epoch, publications) = (history.position.epoch, &*history.publications);
                let outbound = Outbound::History { id: id.as_ref(), topic: topic.as_str(), epoch, publications };
                self.reply_json(conn, &outbound);
            }
            Ticket::Http { conn, .. } => self.on_history_for_request(conn, &history),
            other => unreachable!("a topic's history does not answer {other:?}"),
        }
    }

    /// Asks the home of a topic for its state; the answer comes through `on_topic_state`.
    pub(in crate::shard) fn ask_state(&mut self, topic: TopicName, ticket: u32) {
        let home = self.hub.home_of(topic.as_str());
        if home == self.settings.shard {
            let state = self.hub.state(topic.as_str());
            self.on_topic_state(ticket, state);
        } else {
            self.outgoing.requests.push((home, Request::AskTopic { topic, ticket }));
        }
    }

    pub(in crate::shard) fn on_topic_state(&mut self, ticket: u32, state: Option<TopicState>) {
        match self.tickets.get(ticket as usize) {
            // The connection follows the topic already and gets its position again, nothing else.
            Some(Ticket::Join { .. }) => {
                let position = state.map_or(Position { epoch: Epoch(0), offset: 0 }, |state| state.position);
                self.on_joined(ticket, Ok(JoinAnswer { position, recovered: None, publications: Vec::new() }));
            }
            Some(Ticket::Http { .. }) => self.on_state_for_request(ticket, state),
            other => unreachable!("a topic's state does not answer {other:?}"),
        }
    }
}
