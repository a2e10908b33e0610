//! Long polling: a request that waits for a publication in its topics.
//!
//! ```text
//! request -> Waiting::Poll, the connection is held -> joined: open -> something held, or the time is over: response
//! ```
//! An open poll is a connection that stays held: publications of its topics are kept, as for any connection with
//! subscriptions under way, and the response at the end of the turn takes them. Between two polls there is no reader;
//! each poll names its positions in `since`, and the home keeps the publications behind them.

use super::waiting::{JSON, Open, Poll, Waiting, names};
use crate::close::Status;
use crate::command::{ConnId, Joined, Subscribe, TopicName};
use crate::dialect::json;
use crate::limits::{HEAD_LEN_MAX, POLL_ANSWER_LEN_MAX};
use crate::routes::Follow;
use crate::shard::Shard;
use crate::shard::link::conn::{Carrier, Flag, Timer};
use crate::shard::session::pending::pending_mut;
use crate::wire::json::escape_into;

impl Shard {
    pub(in crate::shard) fn poll(&mut self, id: ConnId, follow: Follow, timeout_ms: u64) {
        let headers = follow.headers;
        self.wait_for(id, Waiting::Poll(Poll { names: names(&follow), timeout_ms, headers, open: None }));
        let Follow { targets, since, last, .. } = follow;
        self.subscribe(
            id.into(),
            Subscribe { id: None, targets, since, last, policy: None, presence: false, headers: None },
        );
    }

    /// Whether the request under way is a poll.
    pub(in crate::shard) fn is_poll(&self, id: ConnId) -> bool {
        let Some(conn) = self.links.conns.get(id).filter(|conn| conn.link.carrier == Carrier::Http1) else {
            return false;
        };
        let waiting = conn.link.exchange().and_then(|slot| self.requests.exchanges[slot].waiting.as_ref());
        matches!(waiting, Some(Waiting::Poll(_)))
    }

    /// Polls that wait.
    pub(in crate::shard) fn polls(&self) -> usize {
        let is_poll = |waiting: &Option<Waiting>| matches!(waiting, Some(Waiting::Poll(_)));
        self.requests.exchanges.iter().filter(|(_, session)| is_poll(&session.waiting)).count()
    }

    /// The subscriptions are made: from here on the poll waits for a publication.
    pub(in crate::shard) fn open_poll(&mut self, id: ConnId, joined: &[Joined]) {
        let Some(Waiting::Poll(poll)) = self.waiting_mut(id) else { return };
        let (names, timeout_ms) = (poll.names.clone(), poll.timeout_ms);
        let positions = self.start(id, &names, &[], joined);
        let find = |name: &TopicName| joined.iter().find(|joined| joined.target.as_str() == name.as_str());
        let stood = |name| find(name).and_then(|joined| joined.position).map_or(0, |position| position.offset);
        let stands = positions.iter().map(|(name, _)| stood(name)).collect();
        let recovered = |name: &TopicName| {
            find(name).and_then(|joined| joined.recovered).map(|recovered| (name.clone(), recovered))
        };
        let recovered: Vec<_> = names.iter().filter_map(recovered).collect();
        let is_lost = recovered.iter().any(|(_, recovered)| !recovered);
        let is_over = timeout_ms == 0 || self.is_draining() || self.links.conns[id.index].link.is(Flag::PEER_DONE);
        if let Some(Waiting::Poll(poll)) = self.waiting_mut(id) {
            poll.open = Some(Open { positions, stands, recovered, is_due: is_lost || is_over });
        }
        self.requests.polls_ready.push(id);
        self.unpause(id, Flag::PAUSED_REQUEST);
        self.set_timer_in(id, Timer::Poll, timeout_ms);
    }

    /// Stops reading from a peer that says more than one request behind its poll.
    pub(in crate::shard) fn bound_poll(&mut self, id: ConnId) {
        if (self.is_poll(id) || self.is_carrying(id))
            && let Some(slot) = self.links.conns[id.index].link.exchange()
            && self.requests.exchanges[slot].exchange.buffered() > HEAD_LEN_MAX
        {
            self.pause(id, Flag::PAUSED_REQUEST);
        }
    }

    /// Answers the polls for whose topics this turn had a publication.
    pub(in crate::shard) fn answer_polls(&mut self) {
        let mut ready = std::mem::take(&mut self.requests.polls_ready);
        for id in ready.drain(..) {
            let has_news = pending_mut(&self.links.conns, &mut self.sessions.pendings, id.into())
                .is_some_and(|p| !p.catch_up.is_empty());
            let is_due = |waiting: &mut Waiting| match waiting {
                Waiting::Poll(poll) => poll.open.as_ref().is_some_and(|open| open.is_due),
                _ => false,
            };
            if has_news || self.waiting_mut(id).is_some_and(is_due) {
                self.answer_poll(id);
            }
        }
        self.requests.polls_ready = ready;
    }

    /// Answers an open poll with the publications that are kept for it, or with 204 if there are none; `false` for any
    /// other request.
    pub(in crate::shard) fn answer_poll(&mut self, id: ConnId) -> bool {
        let is_open = |waiting: &mut Waiting| matches!(waiting, Waiting::Poll(poll) if poll.is_open());
        if !self.waiting_mut(id).is_some_and(is_open) {
            return false;
        }
        let Some(Waiting::Poll(Poll { open: Some(mut open), headers, .. })) = self.take_waiting(id) else {
            return false;
        };
        let encode = if headers { json::encode_push_with_headers } else { json::encode_push };
        let mut body = b"{\"messages\":[".to_vec();
        let mut count = 0;
        while let Some(pending) = pending_mut(&self.links.conns, &mut self.sessions.pendings, id.into())
            && let Some((publication, _)) = pending.catch_up.pop(false)
        {
            let at = open.positions.iter_mut().find(|(topic, _)| *topic == publication.topic);
            // The home sent only the beginning of a long history: publications since then do not follow it directly.
            if at.as_ref().is_some_and(|(_, position)| position.offset < publication.prev) {
                continue;
            }
            let len = body.len();
            if count > 0 {
                body.push(b',');
            }
            encode(&publication, &mut body);
            if count > 0 && body.len() > POLL_ANSWER_LEN_MAX {
                body.truncate(len);
                break;
            }
            count += 1;
            if let Some((_, position)) = at {
                *position = publication.position;
            }
        }
        // The last value may be older than where the topic stood: what passed in between is not for who joins later.
        let pending = pending_mut(&self.links.conns, &mut self.sessions.pendings, id.into());
        for ((topic, position), &stood) in open.positions.iter_mut().zip(&open.stands) {
            if pending.as_ref().is_none_or(|pending| pending.catch_up.first_offset(topic).is_none()) {
                position.offset = stood.max(position.offset);
            }
        }
        self.leave_all(id.into());
        // The next request is looked at in the next turn: until then the deadline of the poll must not stand.
        self.set_timer(id, Timer::Answer);
        self.metrics.deliveries += count;
        let mut since = Vec::new();
        for (index, (_, position)) in open.positions.iter().enumerate() {
            since.extend((index > 0).then_some(b','));
            position.write(&mut since);
        }
        let since = String::from_utf8_lossy(&since).into_owned();
        let headers = [("Fanwire-Since", since.as_str())];
        if count == 0 && open.recovered.iter().all(|(_, recovered)| *recovered) {
            self.respond(id, Status::NoContent, JSON, &headers, b"");
            return true;
        }
        body.extend_from_slice(b"],\"since\":");
        escape_into(&mut body, &since);
        if !open.recovered.is_empty() {
            body.extend_from_slice(b",\"recovered\":");
            encode_recovered(&open.recovered, &mut body);
        }
        body.extend_from_slice(b"}\n");
        self.respond(id, Status::Ok, JSON, &headers, &body);
        true
    }
}

fn encode_recovered(recovered: &[(TopicName, bool)], out: &mut Vec<u8>) {
    let mut separator = b'{';
    for (topic, recovered) in recovered {
        out.push(separator);
        escape_into(out, topic.as_str());
        out.extend_from_slice(if *recovered { b":true" } else { b":false" });
        separator = b',';
    }
    out.push(b'}');
}
