//! Readers over HTTP: a request to follow becomes a response that does not end, once its subscriptions are made.
//!
//! ```text
//! request -> Waiting::Follow, the connection is held -> refused: a response with its status
//!                                                    -> joined:  head, what was joined, what was missed, Carrier::Stream
//! ```
//! From there on it is a reader like any other: runs of one encoding are shared, modes and bounds hold, and the shutdown
//! says goodbye. What the peer still sends is not looked at.

use super::waiting::{JSON, Opening, Waiting, names};
use crate::close::CloseReason;
use crate::command::{ConnId, Joined, Outbound, Position, Refusal, Subscribe, TopicName};
use crate::dialect::DialectState;
use crate::limits::{RETRY_AFTER_S, RETRY_MS_MIN};
use crate::routes::{Follow, HttpTransport};
use crate::shard::Shard;
use crate::shard::link::conn::{Carrier, Flag, Timer, tick};
use crate::shard::link::ending::Parting;
use crate::shard::session::encoding::{Encoding, EncodingId};
use crate::shard::session::pending::pending_mut;
use crate::shard::session::rest;
use crate::shard::session::vector::Vector;
use crate::shard::slot::Slot;
use crate::transport::Framing;
use crate::transport::http::{encode_stream_head, error_body};

impl Shard {
    /// Begins to follow the topics of a request; the response begins when the subscriptions are made.
    pub(in crate::shard) fn follow(&mut self, id: ConnId, follow: Follow) {
        if self.is_draining() {
            return self.refuse_past_limit(id);
        }
        let encoding = match follow.transport {
            HttpTransport::Stream { framing, dialect, has_prefix } => EncodingId::of(framing, dialect, has_prefix),
            HttpTransport::Poll { timeout_ms } => return self.poll(id, follow, timeout_ms),
        };
        self.speak(id.into(), encoding);
        if let Some(slot) = self.links.conns[id.index].link.exchange()
            && self.requests.exchanges[slot].exchange.asker().is_head
        {
            let asker = self.requests.exchanges[slot].exchange.take_asker();
            return self.respond_with(id, false, |date, out| head(encoding.row(), asker.origin.as_deref(), date, out));
        }
        self.wait_for(id, Waiting::Follow(Opening { names: names(&follow), since: follow.since.clone() }));
        self.note_bandwidth(id.into(), follow.bandwidth);
        let Follow { targets, since, last, policy, .. } = follow;
        self.subscribe(id.into(), Subscribe { id: None, targets, since, last, policy, presence: false, headers: None });
    }

    /// The subscriptions are made.
    pub(in crate::shard) fn begin_follow(&mut self, id: ConnId, joined: &[Joined]) {
        if self.is_poll(id) { self.open_poll(id, joined) } else { self.begin_stream(id, joined) }
    }

    fn begin_stream(&mut self, id: ConnId, joined: &[Joined]) {
        let Some(Waiting::Follow(opening)) = self.take_waiting(id) else { return };
        if self.links.conns[id.index].link.is(Flag::PEER_DONE) {
            return self.terminate(id, CloseReason::PeerGone, Parting::InOrder);
        }
        if self.is_draining() {
            self.leave_all(id.into());
            return self.refuse_past_limit(id);
        }
        let start = self.start(id, &opening.names, &opening.since, joined);
        let conn = &mut self.links.conns[id.index];
        let exchange = std::mem::replace(&mut conn.link.parser, Slot::NONE).index();
        let origin = exchange.and_then(|slot| self.requests.exchanges.remove(slot).exchange.take_asker().origin);
        conn.link.carrier = Carrier::Stream;
        conn.link.set(Flag::DEAF, true);
        conn.link.active_tick = tick(self.now);
        let encoding = conn.session.encoding;
        self.metrics.requests += 1;
        self.metrics.http_connections -= 1;
        if encoding.row().framing == Framing::Events {
            self.metrics.event_connections += 1;
        } else {
            self.metrics.line_connections += 1;
        }
        self.unpause(id, Flag::PAUSED_REQUEST);
        self.set_timer(id, Timer::Ping);
        self.reply_dated(id, |date, out| head(encoding.row(), origin.as_deref(), date, out));
        if let Some(outbox) = self.links.outboxes.get_mut(self.links.conns[id.index].link.outbox) {
            outbox.guard();
        }
        let retry_ms = RETRY_MS_MIN + self.upkeep.rng.u64(0..=RETRY_MS_MIN);
        self.reply_with(id.into(), |_, message, out| {
            encoding.row().framing.begin(retry_ms, start.iter().map(|(_, position)| *position), out);
            encoding.row().say(&DialectState::None, &Outbound::Subscribed { id: None, joined }, message, out);
        });
        if encoding.row().has_prefix && !start.is_empty() {
            let slot = &mut self.links.conns[id.index].session.rest;
            rest::ensure(&mut self.sessions.rests, slot).vector = Some(Box::new(Vector::new(start)));
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
        let pending = pending_mut(&self.links.conns, &mut self.sessions.pendings, id.into());
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
        self.leave_all(id.into());
        self.respond_refused(id, refusal);
    }

    /// Answers the request under way with a refusal.
    pub(in crate::shard) fn respond_refused(&mut self, id: ConnId, refusal: Refusal) {
        let status = refusal.code.status();
        let retry = [("Retry-After", RETRY_AFTER_S)];
        let headers = if status.has_retry_after() { &retry[..] } else { &[] };
        self.respond(id, status, JSON, headers, &error_body(refusal.code, refusal.message));
    }

    /// Sends a heartbeat to a stream, so that no proxy in between takes it for dead.
    pub(in crate::shard) fn beat(&mut self, id: ConnId) {
        let conn = &mut self.links.conns[id.index];
        conn.link.active_tick = tick(self.now);
        let encoding = conn.session.encoding;
        self.reply(id, |out| encoding.row().framing.heartbeat(out));
        self.set_timer(id, Timer::Ping);
    }
}

fn head(encoding: &Encoding, origin: Option<&str>, date: &str, out: &mut Vec<u8>) {
    encode_stream_head(out, encoding.framing.content_type(), encoding.framing == Framing::Chunks, origin, date);
}
