//! Requests that carry detached sessions: some wait for messages of the session, others bring messages. They ask the
//! shard that holds the session, which may be this one; `shard/session/carry.rs` has that side.
//!
//! A streaming response is a series of questions: each frame is an answer, and the next question follows when the
//! client has taken its bytes. So a slow client leaves messages in its session, and nothing grows here.

use super::waiting::{CarryWait, Waiting};
use crate::close::Status;
use crate::command::{Carried, Carry, ConnId, ErrorCode, Opening, Refusal, SessionKey, TopicName};
use crate::limits::DETACHED_HEARTBEAT_MS;
use crate::mailbox::Request;
use crate::routes::ServiceRoute;
use crate::shard::Shard;
use crate::shard::link::conn::{Flag, Timer};
use crate::shard::session::tickets::Ticket;
use crate::transport::http::{Asker, encode_open_head};
use crate::transport::service::{Answer, Receiver, ServiceCall, ServiceKind};
use crate::transport::stream::{CHUNK_END, LAST_CHUNK, chunk_len};

impl Shard {
    /// Serves a client's request to a service.
    pub(in crate::shard) fn serve_service(&mut self, id: ConnId, route: ServiceRoute, body: Vec<u8>) {
        let ServiceRoute { service: place, topic, call } = route;
        let service = &self.settings.services[place];
        let kind = service.kind;
        match call {
            ServiceCall::Page(number) => {
                let page = service.page(number, self.upkeep.rng.u32(..));
                self.respond_as(id, kind, page);
            }
            ServiceCall::Receive { session, receiver } => {
                let (len_max, listener) = (service.response_len_max, self.links.conns[id.index].link.listener);
                let key = self.session_key(place, topic.as_ref(), &session);
                let wait = CarryWait { key, kind, receiver, len_max, len: 0, has_begun: false, asked: None };
                self.wait_for(id, Waiting::Carry(wait));
                let owner = self.links.conns[id.index].session.owner;
                self.ask_carry(id, Some(Box::new(Opening { service: place as u8, listener, owner, topic })));
            }
            ServiceCall::Send { session } => {
                let key = self.session_key(place, topic.as_ref(), &session);
                let messages = match kind.messages(&body) {
                    Ok(messages) => messages.into_iter().map(|message| message.into_owned().into_boxed_str()).collect(),
                    Err(answer) => return self.respond_as(id, kind, answer),
                };
                self.wait_for(id, Waiting::Sent(kind));
                let ticket = self.issue(Ticket::Carry { conn: id });
                self.ask(key.home(self.settings.shards), Request::Carry { key, carry: Carry::Send(messages), ticket });
            }
            ServiceCall::WebSocket(_) => unreachable!("it is an upgrade"),
        }
    }

    /// The key of a session, from a client's names.
    fn session_key(&self, service: usize, topic: Option<&TopicName>, session: &str) -> SessionKey {
        use std::hash::Hasher as _;
        let (one, other) = self.settings.hash_key;
        let mut hasher = siphasher::sip::SipHasher13::new_with_keys(one, other);
        hasher.write_usize(service);
        hasher.write(topic.map_or("", |topic| topic.as_str()).as_bytes());
        hasher.write_u8(0);
        hasher.write(session.as_bytes());
        SessionKey(hasher.finish())
    }

    /// Asks for the next messages of the session.
    fn ask_carry(&mut self, id: ConnId, opening: Option<Box<Opening>>) {
        let ticket = self.issue(Ticket::Carry { conn: id });
        let Some(Waiting::Carry(wait)) = self.waiting_mut(id) else { return };
        wait.asked = Some(ticket);
        let key = wait.key;
        let home = key.home(self.settings.shards);
        self.ask(home, Request::Carry { key, carry: Carry::Receive { opening }, ticket });
        if self.is_carrying(id) {
            // The connection is read from while it waits, so that its end is noticed.
            self.unpause(id, Flag::PAUSED_REQUEST);
            self.set_timer_in(id, Timer::Answer, 2 * DETACHED_HEARTBEAT_MS);
        }
    }

    /// Whether the current request waits for messages of a detached session.
    pub(in crate::shard) fn is_carrying(&self, id: ConnId) -> bool {
        let slot = self.links.conns.get(id).and_then(|conn| conn.link.exchange());
        slot.is_some_and(|slot| matches!(self.requests.exchanges[slot].waiting, Some(Waiting::Carry(_))))
    }

    /// Handles the answer of the session's shard.
    pub(in crate::shard) fn on_carried(&mut self, ticket: u32, carried: Carried) {
        let Ticket::Carry { conn: id } = self.sessions.tickets.remove(ticket as usize) else {
            unreachable!("the ticket of a request comes back with its answer");
        };
        match (self.waiting_mut(id), carried) {
            (Some(Waiting::Sent(_)), Carried::Refused | Carried::Busy) => {
                let refusal = Refusal::new(ErrorCode::Overloaded, "the session does not read what it is told");
                self.respond_refused(id, refusal);
            }
            (Some(Waiting::Sent(kind)), carried) => {
                let kind = *kind;
                self.respond_as(id, kind, kind.taken(carried == Carried::Taken));
            }
            (Some(Waiting::Carry(wait)), carried) if wait.asked == Some(ticket) => {
                wait.asked = None;
                self.tell_carried(id, &carried);
            }
            _ => {}
        }
    }

    fn tell_carried(&mut self, id: ConnId, carried: &Carried) {
        let Some(Waiting::Carry(wait)) = self.waiting_mut(id) else { return };
        let Some(frame) = wait.receiver.frame(carried) else {
            return self.respond_refused(id, Refusal::new(ErrorCode::Overloaded, "there are too many sessions"));
        };
        let (kind, receiver, is_first) = (wait.kind, wait.receiver, !std::mem::replace(&mut wait.has_begun, true));
        if !receiver.is_stream() {
            let (content_type, body) = (receiver.content_type(), frame.bytes.into());
            return self.respond_as(id, kind, Answer { status: Status::Ok, content_type, body });
        }
        wait.len += frame.bytes.len();
        let is_over = frame.is_last || wait.len >= wait.len_max;
        let asker = self.asker(id);
        if is_first {
            self.begin_carry(id, kind, receiver, &asker);
        }
        self.reply(id, |out| chunk(&frame.bytes, &asker, out));
        if is_over {
            self.finish_carry(id, &asker);
        }
    }

    /// Writes the head of a streaming response and its first bytes.
    fn begin_carry(&mut self, id: ConnId, kind: ServiceKind, receiver: Receiver, asker: &Asker) {
        let headers = kind.fields(asker.origin.as_deref());
        self.reply_dated(id, |date, out| {
            encode_open_head(out, receiver.content_type(), &headers, asker, date);
            chunk(receiver.prelude(), asker, out);
        });
    }

    fn finish_carry(&mut self, id: ConnId, asker: &Asker) {
        self.take_waiting(id);
        let keep_alive = asker.keep_alive && !asker.is_http_1_0 && !self.is_draining();
        self.respond_with(id, keep_alive, |_, out| {
            if !asker.is_http_1_0 {
                out.extend_from_slice(LAST_CHUNK);
            }
        });
    }

    /// The client has taken its bytes: asks for the next messages.
    pub(in crate::shard) fn resume_carry(&mut self, id: ConnId) {
        if let Some(Waiting::Carry(wait)) = self.waiting_mut(id)
            && wait.has_begun
            && wait.asked.is_none()
        {
            self.ask_carry(id, None);
        }
    }

    /// The client is gone: tells the session's shard, if a question is open.
    pub(in crate::shard) fn forget_carry(&mut self, id: ConnId) {
        let Some(Waiting::Carry(CarryWait { key, asked: Some(ticket), .. })) = self.waiting_mut(id) else { return };
        let (key, ticket) = (*key, *ticket);
        self.take_waiting(id);
        self.ask(key.home(self.settings.shards), Request::Carry { key, carry: Carry::Gone, ticket });
    }
    /// Answers the current request in the form of its service.
    fn respond_as(&mut self, id: ConnId, kind: ServiceKind, answer: Answer) {
        let headers = kind.fields(self.asker(id).origin.as_deref());
        self.respond(id, answer.status, answer.content_type, &headers, &answer.body);
    }

    /// The properties of the request that its answer depends on.
    fn asker(&self, id: ConnId) -> Asker {
        let slot = self.links.conns.get(id).and_then(|conn| conn.link.exchange());
        slot.map(|slot| self.requests.exchanges[slot].exchange.asker().clone()).unwrap_or_default()
    }
}

/// Appends a chunk, not empty, of a response whose length is not known yet. [RFC 9112 7.1]
fn chunk(bytes: &[u8], asker: &Asker, out: &mut Vec<u8>) {
    if asker.is_http_1_0 {
        return out.extend_from_slice(bytes);
    }
    chunk_len(bytes.len(), out);
    out.extend_from_slice(bytes);
    out.extend_from_slice(CHUNK_END);
}
