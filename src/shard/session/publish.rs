//! Publications on their way to their home shard, and the answers.

use std::sync::Arc;

use super::gate::Act;
use super::tickets::Ticket;
use crate::close::CloseReason;
use crate::command::{
    Epoch, ErrorCode, HistoryAnswer, HistoryQuery, JoinAnswer, Message, OperationId, Origin, Outbound, PayloadKind,
    Peer, Position, Publication, Publish, Refusal, SessionId, Taken, TopicName, TopicState,
};
use crate::hub::{Outcome, Published};
use crate::limits::{
    PRICE_FOUR_BYTES, PRICE_KEPT, PRICE_PUBLICATION, PRICE_TWO_ENCODED_BYTES, PRICE_VISIT, PUBLICATION_COST,
};
use crate::mailbox::{Answer, Request};
use crate::shard::Shard;
use crate::shard::link::conn::Flag;

impl Shard {
    /// A topic's name, the one that this shard keeps if it knows the topic.
    pub(in crate::shard) fn topic_name(&self, topic: &str) -> Option<TopicName> {
        let known = self.hub.find(topic).map(|id| self.hub.name(id));
        known.or_else(|| TopicName::parse(topic).ok())
    }

    /// Sends a publication to the thread that numbers it: the engine, or else its home. What became of it comes through
    /// `on_published`, if there is a ticket for it.
    pub(in crate::shard) fn publish(&mut self, topic: TopicName, mut message: Message, ticket: Option<u32>) {
        if let (Some(terms), Some(origin)) = (&mut message.terms, message.origin)
            && self.links.conns.session(origin.session).is_some()
        {
            terms.owner = self.links.conns[origin.session.index].owner;
        }
        let to = if self.settings.has_engine { Peer::Engine } else { self.hub.home_of(topic.as_str()).into() };
        self.ask(to, Request::Publish { topic, message, ticket });
    }

    /// Numbers a publication of a topic with its home here, and sends it to every shard with readers.
    pub(in crate::shard) fn number(&mut self, topic: &TopicName, message: Message) -> Result<Taken, Refusal> {
        self.charge_publication(message.payload.len());
        let published = self.hub.publish(self.now, topic, message);
        self.turn.budget.charge(self.hub.take_visits() as u64 * PRICE_VISIT);
        let published = match published? {
            Outcome::Said(published) => published,
            Outcome::Repeated(position) => {
                self.metrics.duplicates += 1;
                return Ok(Taken { position, is_duplicate: true });
            }
        };
        let position = published.publication.position;
        self.send_out(&published);
        Ok(Taken { position, is_duplicate: false })
    }

    /// Takes a publication that the engine numbered, of a topic with its home here, and sends it to every shard with
    /// readers. The engine is told if it does not follow what was taken before, so that it sends what is between.
    pub(in crate::shard) fn take(&mut self, publication: Arc<Publication>) {
        self.charge_publication(publication.payload.len());
        let topic = publication.topic.clone();
        let taken = self.hub.take(self.now, publication);
        self.turn.budget.charge(self.hub.take_visits() as u64 * PRICE_VISIT);
        match taken {
            Ok(Outcome::Said(published)) => self.send_out(&published),
            Ok(Outcome::Repeated(_)) => self.metrics.duplicates += 1,
            Err(cause) => self.answer(Peer::Engine, Answer::NotTaken { topic, cause }),
        }
    }

    fn charge_publication(&mut self, payload_len: usize) {
        self.turn.grown += payload_len + PUBLICATION_COST;
        self.turn.budget.charge(PRICE_PUBLICATION + payload_len as u64 / 4 * PRICE_FOUR_BYTES);
    }

    fn send_out(&mut self, published: &Published) {
        self.metrics.publications += 1;
        for shard in published.shards.iter() {
            self.answer(shard, Answer::Deliver(Arc::clone(&published.publication)));
        }
    }

    /// A publication that this shard sent has its number, or was refused.
    pub(in crate::shard) fn on_published(&mut self, ticket: u32, result: Result<Taken, Refusal>) {
        match self.sessions.tickets.remove(ticket as usize) {
            Ticket::Publish { session, id, topic } => self.answer_publish(session, id.as_ref(), &topic, result),
            Ticket::Http { conn, part } => self.on_published_for_request(conn, part, result),
            other => unreachable!("a publication does not answer {other:?}"),
        }
    }

    /// A message in the one topic of a session. Its sender is not told the outcome, but a session that may not publish
    /// ends.
    pub(in crate::shard) fn publish_here(&mut self, session: SessionId, kind: PayloadKind, payload: &[u8]) {
        if let Some(topic) = self.only_topic(session) {
            if let Err(refusal) = self.may(session, &Act::Publish(&topic)) {
                return self.end_session(session, CloseReason::Forbidden, refusal.message);
            }
            let origin = Some(Origin { shard: self.settings.shard, session });
            let message = Message { kind, payload: payload.into(), key: None, origin, terms: None, extras: None };
            self.publish(topic, message, None);
        }
    }

    pub(in crate::shard) fn publish_json(&mut self, session: SessionId, publish: &mut Publish<'_>) {
        let Some(topic) = self.topic_name(&publish.topic) else { return };
        if let Err(refusal) = self.may(session, &Act::Publish(&topic)) {
            return self.refuse(session, publish.id.as_ref(), refusal);
        }
        let message = publish.message(Origin { shard: self.settings.shard, session });
        let ticket = self.issue(Ticket::Publish { session, id: publish.id.take(), topic: topic.clone() });
        self.publish(topic, message, Some(ticket));
    }

    fn answer_publish(
        &mut self,
        session: SessionId,
        id: Option<&OperationId>,
        topic: &TopicName,
        result: Result<Taken, Refusal>,
    ) {
        match result {
            Ok(taken) => self.say(session, &Outbound::Published { id, topic: topic.as_str(), taken }),
            Err(refusal) => self.refuse(session, id, refusal),
        }
    }

    /// Asks the home of a topic for its history; the answer comes through `on_history`.
    pub(in crate::shard) fn ask_history(&mut self, topic: TopicName, query: HistoryQuery, ticket: u32) {
        let home = self.hub.home_of(topic.as_str());
        self.ask(home, Request::AskHistory { topic, query, ticket });
    }

    pub(in crate::shard) fn on_history(&mut self, ticket: u32, history: Option<HistoryAnswer>) {
        let history = history
            .unwrap_or(HistoryAnswer { position: Position { epoch: Epoch(0), offset: 0 }, publications: Vec::new() });
        let payload_len: usize = history.publications.iter().map(|publication| publication.payload.len()).sum();
        let price = history.publications.len() as u64 * PRICE_KEPT + payload_len as u64 / 2 * PRICE_TWO_ENCODED_BYTES;
        self.turn.budget.charge(price);
        match self.sessions.tickets.remove(ticket as usize) {
            // A question is short and its answer may be long: a client that does not read its answers gets no further ones.
            Ticket::History { session, id, .. } if self.is_unread(session) => {
                let refusal = Refusal::new(ErrorCode::RateLimited, "the answers that wait are to be read first");
                self.refuse(session, id.as_ref(), refusal);
            }
            Ticket::History { session, id, topic } => {
                let (epoch, publications) = (history.position.epoch, &*history.publications);
                let outbound = Outbound::History { id: id.as_ref(), topic: topic.as_str(), epoch, publications };
                self.say(session, &outbound);
            }
            Ticket::Http { conn, .. } => self.on_history_for_request(conn, &history),
            other => unreachable!("a topic's history does not answer {other:?}"),
        }
    }

    /// Whether so many answers wait for a session's peer that it is not read from.
    fn is_unread(&self, session: SessionId) -> bool {
        let link = session.conn().and_then(|conn| self.links.conns.get(conn));
        link.is_some_and(|conn| conn.link.is(Flag::PAUSED_BACKLOG))
    }

    /// Asks the home of a topic for its state; the answer comes through `on_topic_state`.
    pub(in crate::shard) fn ask_state(&mut self, topic: TopicName, ticket: u32) {
        let home = self.hub.home_of(topic.as_str());
        self.ask(home, Request::AskTopic { topic, ticket });
    }

    pub(in crate::shard) fn on_topic_state(&mut self, ticket: u32, state: Option<TopicState>) {
        match self.sessions.tickets.get(ticket as usize) {
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
