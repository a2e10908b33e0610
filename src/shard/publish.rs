//! Publications on their way to their home shard, and what comes back.

use std::sync::Arc;

use super::Shard;
use super::conn::Flag;
use super::tickets::Ticket;
use crate::command::{
    ConnId, Epoch, ErrorCode, JoinAnswer, OperationId, Origin, Outbound, PayloadKind, Position, Publication, Publish,
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
        let (kind, payload) = (publish.kind, Box::from(publish.payload));
        let key = publish.key.map(Box::from);
        let home = self.hub.home_of(topic.as_str());
        if home == self.settings.shard {
            let result = self.publish_here(&topic, kind, payload, key, origin);
            if let Some(ticket) = ticket {
                self.on_published(ticket, result);
            }
            return;
        }
        self.outgoing.requests.push((home, Request::Publish { topic, kind, payload, key, origin, ticket }));
    }

    /// Numbers a publication whose home is here, and sends it to every shard with readers.
    pub(super) fn publish_here(
        &mut self,
        topic: &TopicName,
        kind: PayloadKind,
        payload: Box<[u8]>,
        key: Option<Box<str>>,
        origin: Option<Origin>,
    ) -> Result<Position, Refusal> {
        let published = self.hub.publish(topic, kind, payload, key, origin)?;
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

    pub(super) fn ask_history(
        &mut self,
        conn: ConnId,
        id: Option<OperationId>,
        topic: TopicName,
        since: Option<Position>,
        limit: u32,
    ) {
        let ticket = self.issue(Ticket::History { conn, id, topic: topic.clone(), since, limit });
        self.ask_state(topic, ticket);
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
            Some(Ticket::History { .. }) => {
                let Ticket::History { conn, id, topic, since, limit } = self.tickets.remove(ticket as usize) else {
                    unreachable!("it was looked at above");
                };
                // A question is short and its answer may be long: who asks without reading is not answered.
                if self.conns.get(conn).is_some_and(|conn| conn.is(Flag::PAUSED_BACKLOG)) {
                    let refusal = Refusal::new(ErrorCode::RateLimited, "the answers that wait are to be read first");
                    return self.refuse(conn, id.as_ref(), refusal);
                }
                let epoch = state.as_ref().map_or(Epoch(0), |state| state.position.epoch);
                let publications = kept(state, since, limit);
                let outbound =
                    Outbound::History { id: id.as_ref(), topic: topic.as_str(), epoch, publications: &publications };
                self.reply_json(conn, &outbound);
            }
            Some(Ticket::Http { .. }) => self.on_state_for_request(ticket, state),
            other => unreachable!("a topic's state does not answer {other:?}"),
        }
    }
}

/// What is kept of a topic's publications and newer than `since`: in this version the last value.
pub(super) fn kept(state: Option<TopicState>, since: Option<Position>, limit: u32) -> Vec<Arc<Publication>> {
    let is_newer = |last: &Arc<Publication>| {
        since.is_none_or(|since| since.epoch != last.position.epoch || since.offset < last.position.offset)
    };
    state.and_then(|state| state.last).filter(is_newer).into_iter().take(limit as usize).collect()
}
