//! Publications on their way to their home shard, and what comes back.

use std::sync::Arc;

use super::Shard;
use super::conn::Flag;
use super::tickets::Ticket;
use crate::command::{
    ConnId, Epoch, ErrorCode, HistoryAnswer, HistoryQuery, JoinAnswer, Message, Origin, Outbound, Position, Publish,
    Refusal, TopicName, TopicState,
};
use crate::mailbox::{Answer, Request};

impl Shard {
    /// Sends a publication to its home, which may be here. With a ticket, the answer comes through `on_published`.
    pub(super) fn publish(&mut self, publish: &Publish<'_>, origin: Option<Origin>, ticket: Option<u32>) {
        let known = self.hub.find(publish.topic).map(|id| self.hub.name(id).clone());
        let Some(topic) = known.or_else(|| TopicName::parse(publish.topic).ok()) else {
            debug_assert!(false, "dialects and routes check the name");
            return;
        };
        let message = Message {
            kind: publish.kind,
            payload: Box::from(publish.payload),
            key: publish.key.map(Box::from),
            origin,
        };
        let home = self.hub.home_of(topic.as_str());
        if home == self.settings.shard {
            let result = self.publish_here(&topic, message);
            if let Some(ticket) = ticket {
                self.on_published(ticket, result);
            }
            return;
        }
        self.outgoing.requests.push((home, Request::Publish { topic, message, ticket }));
    }

    /// Numbers a publication whose home is here, and sends it to every shard with readers.
    pub(super) fn publish_here(&mut self, topic: &TopicName, message: Message) -> Result<Position, Refusal> {
        let published = self.hub.publish(self.now, topic, message)?;
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
        Ok(position)
    }

    /// A publication that this shard sent has its number, or was refused.
    pub(super) fn on_published(&mut self, ticket: u32, result: Result<Position, Refusal>) {
        match self.tickets.remove(ticket as usize) {
            Ticket::Publish { conn, id, topic } => match result {
                Ok(position) => {
                    let outbound = Outbound::Published { id: id.as_ref(), topic: topic.as_str(), position };
                    self.reply_json(conn, &outbound);
                }
                Err(refusal) => self.refuse(conn, id.as_ref(), refusal),
            },
            Ticket::Http { conn, part } => self.on_published_for_request(conn, part, result),
            other => unreachable!("a publication does not answer {other:?}"),
        }
    }

    pub(super) fn publish_json(&mut self, conn: ConnId, publish: &mut Publish<'_>) {
        let Ok(topic) = TopicName::parse(publish.topic) else { return };
        let id = publish.id.take();
        let ticket = self.issue(Ticket::Publish { conn, id, topic });
        let origin = Origin { shard: self.settings.shard, conn };
        self.publish(publish, Some(origin), Some(ticket));
    }

    /// Asks the home of a topic for what it keeps; the answer comes through `on_history`.
    pub(super) fn ask_history(&mut self, topic: TopicName, query: HistoryQuery, ticket: u32) {
        let home = self.hub.home_of(topic.as_str());
        if home == self.settings.shard {
            let history = self.hub.history(self.now, topic.as_str(), query);
            self.on_history(ticket, history);
        } else {
            self.outgoing.requests.push((home, Request::AskHistory { topic, query, ticket }));
        }
    }

    pub(super) fn on_history(&mut self, ticket: u32, history: Option<HistoryAnswer>) {
        let history = history
            .unwrap_or(HistoryAnswer { position: Position { epoch: Epoch(0), offset: 0 }, publications: Vec::new() });
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
    pub(super) fn ask_state(&mut self, topic: TopicName, ticket: u32) {
        let home = self.hub.home_of(topic.as_str());
        if home == self.settings.shard {
            let state = self.hub.state(topic.as_str());
            self.on_topic_state(ticket, state);
        } else {
            self.outgoing.requests.push((home, Request::AskTopic { topic, ticket }));
        }
    }

    pub(super) fn on_topic_state(&mut self, ticket: u32, state: Option<TopicState>) {
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
