//! Readers over HTTP: a request to follow becomes a response that does not end, once its subscriptions are made.
//!
//! ```text
//! request -> Waiting::Follow, the connection is held -> refused: a response with its status
//!                                                    -> joined:  head, what was joined, what was missed, Session::Stream
//! ```
//! From there on it is a reader like any other: runs of one encoding are shared, modes and bounds hold, and the shutdown
//! says goodbye. What the peer still sends is not looked at.

use std::collections::HashMap;

use super::exchanges::{JSON, Waiting};
use crate::close::CloseReason;
use crate::command::{ConnId, Joined, Outbound, Position, Publication, Refusal, Subscribe, Target, TopicName};
use crate::limits::{RETRY_AFTER_S, RETRY_MS_MIN};
use crate::shard::Shard;
use crate::shard::delivery::encoded::Encoding;
use crate::shard::link::conn::{Flag, Session, Slot, Timer, tick};
use crate::shard::session::join::pending_mut;
use crate::transport::http::{Follow, HttpTransport, RouteError, encode_stream_head, error_body};
use crate::transport::{sse, stream};

/// A response that is about to begin.
#[derive(Debug)]
pub(in crate::shard) struct Opening {
    /// The topics that are named, in the order of the request.
    names: Box<[TopicName]>,
    /// Where the reader says it was.
    since: Vec<(TopicName, Position)>,
}

/// Where readers are that get events of several topics: the position behind the last event, of each topic that they
/// named, by arena place. It is said with every event, so that a reader may come back to all of its topics.
#[derive(Debug, Default)]
pub(in crate::shard) struct Vectors(HashMap<u32, Box<[(TopicName, Position)]>>);

impl Vectors {
    /// Moves a reader behind a publication, and appends the id of its event; nothing if it has no positions.
    pub fn advance(&mut self, index: u32, publication: &Publication, out: &mut Vec<u8>) {
        if self.0.is_empty() {
            return;
        }
        let Some(vector) = self.0.get_mut(&index) else { return };
        if let Some((_, position)) = vector.iter_mut().find(|(topic, _)| *topic == publication.topic) {
            // The last value that a pattern brings may be one that the reader is behind already.
            let is_behind =
                position.epoch == publication.position.epoch && publication.position.offset < position.offset;
            *position = if is_behind { *position } else { publication.position };
        }
        sse::id(vector.iter().map(|(_, position)| *position), out);
    }

    pub fn forget(&mut self, index: u32) {
        if !self.0.is_empty() {
            self.0.remove(&index);
        }
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }
}

impl Shard {
    /// Begins to follow what a request asks for; the response begins when that is done.
    pub(in crate::shard) fn follow(&mut self, id: ConnId, follow: Follow, is_chunked: bool) {
        if self.is_draining() {
            return self.refuse_past_limit(id);
        }
        let encoding = match (follow.transport, &*follow.targets) {
            (HttpTransport::Events, [Target::Topic(_)]) => Encoding::Events,
            (HttpTransport::Events, _) => Encoding::BareEvents,
            (HttpTransport::Lines, _) if is_chunked => Encoding::Chunks,
            (HttpTransport::Lines, _) => Encoding::Lines,
            (HttpTransport::Poll { timeout_ms }, _) => return self.poll(id, follow, timeout_ms),
        };
        self.conns[id.index].encoding = encoding;
        if let Some(slot) = self.conns[id.index].exchange.index()
            && self.exchanges[slot].exchange.asker().is_head
        {
            let asker = self.exchanges[slot].exchange.take_asker();
            return self.respond_with(id, false, |date, out| head(encoding, asker.origin.as_deref(), date, out));
        }
        self.wait_for(id, Waiting::Follow(Opening { names: names(&follow), since: follow.since.clone() }));
        self.note_bandwidth(id, follow.bandwidth);
        let Follow { targets, since, last, policy, .. } = follow;
        self.subscribe(id, Subscribe { id: None, targets, since, last, policy, presence: false });
    }

    /// The subscriptions are made.
    pub(in crate::shard) fn begin_follow(&mut self, id: ConnId, joined: &[Joined]) {
        if self.is_poll(id) { self.open_poll(id, joined) } else { self.begin_stream(id, joined) }
    }

    fn begin_stream(&mut self, id: ConnId, joined: &[Joined]) {
        let Some(Waiting::Follow(opening)) = self.take_waiting(id) else { return };
        if self.conns[id.index].is(Flag::PEER_DONE) {
            return self.terminate(id, CloseReason::PeerGone, false);
        }
        if self.is_draining() {
            self.leave_all(id);
            return self.refuse_past_limit(id);
        }
        let start = self.start(id, &opening.names, &opening.since, joined);
        let conn = &mut self.conns[id.index];
        let exchange = std::mem::replace(&mut conn.exchange, Slot::NONE).index();
        let origin = exchange.and_then(|slot| self.exchanges.remove(slot).exchange.take_asker().origin);
        conn.session = Session::Stream;
        conn.set(Flag::DEAF, true);
        conn.active_tick = tick(self.now);
        let encoding = conn.encoding;
        self.metrics.requests += 1;
        self.metrics.http_connections -= 1;
        if encoding.is_events() {
            self.metrics.event_connections += 1;
        } else {
            self.metrics.line_connections += 1;
        }
        self.unpause(id, Flag::PAUSED_REQUEST);
        self.set_timer(id, Timer::Ping);
        self.reply_dated(id, |date, _, out| head(encoding, origin.as_deref(), date, out));
        if let Some(outbox) = self.outboxes.get_mut(self.conns[id.index].outbox) {
            outbox.guard();
        }
        let retry_ms = RETRY_MS_MIN + self.rng.u64(0..=RETRY_MS_MIN);
        self.reply(id, |message, out| {
            if encoding.is_events() {
                sse::retry(retry_ms, out);
                sse::id(start.iter().map(|(_, position)| *position), out);
            }
            encoding.say(&Outbound::Subscribed { id: None, joined }, message, out);
        });
        if encoding == Encoding::BareEvents && !start.is_empty() {
            self.vectors.0.insert(id.index, start);
        }
    }

    /// Where a reader is before it gets anything: in front of what is kept for it, so that it loses nothing if it is gone
    /// before that arrives.
    pub(in crate::shard) fn start(
        &mut self,
        id: ConnId,
        names: &[TopicName],
        since: &[(TopicName, Position)],
        joined: &[Joined],
    ) -> Box<[(TopicName, Position)]> {
        let pending = pending_mut(&self.conns, &mut self.pendings, id);
        let start = |name: &TopicName| {
            let joined = joined.iter().find(|joined| joined.target.as_str() == name.as_str())?;
            let stands = joined.position?;
            let first = pending.as_ref().and_then(|pending| pending.catch_up.first_offset(name));
            let offset = first.map_or(stands.offset, |first| first.saturating_sub(1));
            // The first that is kept may be the last value that a pattern brings, and a reader that comes back has it.
            let was = since.iter().find(|(topic, _)| topic == name && joined.recovered == Some(true));
            let offset = was.map_or(offset, |(_, was)| offset.max(was.offset));
            Some((name.clone(), Position { offset, ..stands }))
        };
        names.iter().filter_map(start).collect()
    }

    /// A request to follow cannot be served now.
    pub(in crate::shard) fn refuse_follow(&mut self, id: ConnId, refusal: Refusal) {
        self.leave_all(id);
        let status = refusal.code.row().1;
        let retry = [("Retry-After", RETRY_AFTER_S)];
        let headers = if matches!(status, 429 | 503) { &retry[..] } else { &[] };
        self.respond(id, status, JSON, headers, &error_body(refusal.code.as_str(), refusal.message));
    }

    /// Sends a stream something that says nothing, so that nobody in between takes it for dead.
    pub(in crate::shard) fn beat(&mut self, id: ConnId) {
        let conn = &mut self.conns[id.index];
        conn.active_tick = tick(self.now);
        let encoding = conn.encoding;
        self.reply(id, |_, out| encoding.beat(out));
        self.set_timer(id, Timer::Ping);
    }
}

/// The topics that a request names, in its order.
pub(in crate::shard) fn names(follow: &Follow) -> Box<[TopicName]> {
    let name = |target: &Target| match target {
        Target::Topic(name) => Some(name.clone()),
        Target::Pattern(_) => None,
    };
    follow.targets.iter().filter_map(name).collect()
}

fn head(encoding: Encoding, origin: Option<&str>, date: &str, out: &mut Vec<u8>) {
    let content_type = if encoding.is_events() { sse::CONTENT_TYPE } else { stream::CONTENT_TYPE };
    encode_stream_head(out, content_type, encoding == Encoding::Chunks, origin, date);
}

/// What a request to follow is told for which more was said than may wait. Its subscriptions are still under way, so
/// that no further request may follow on the connection.
pub(in crate::shard) const TOO_SLOW: RouteError = RouteError {
    status: 503,
    code: "overloaded",
    message: "more was said than may wait while the subscriptions are made",
    allow: None,
};
