//! Requests that carry detached sessions: those that wait for what the session is told, and those that bring messages.
//! They ask the shard that holds the session, which may be this one; what happens there stands in `shard/session/carry.rs`.
//!
//! A streaming response is a row of questions: each frame answers one, and the next is asked when the client has taken
//! what it was sent. So a slow client is behind with its session, and nothing piles up here.

use super::waiting::{CarryWait, Waiting};
use crate::close::{SOCKJS_BUSY, SOCKJS_CLOSED, SOCKJS_INTERRUPTED, Status};
use crate::command::{Carried, Carry, ConnId, ErrorCode, Opening, Refusal, SessionKey};
use crate::limits::DETACHED_HEARTBEAT_MS;
use crate::mailbox::Request;
use crate::shard::Shard;
use crate::shard::link::conn::{Flag, Timer};
use crate::shard::session::tickets::Ticket;
use crate::transport::http::{Asker, SockJsRoute, encode_open_head};
use crate::transport::sockjs::{self, Receiver, SockJsCall};

impl Shard {
    /// Serves what a client of SockJS asks for.
    pub(in crate::shard) fn serve_sockjs(&mut self, id: ConnId, route: SockJsRoute, body: Vec<u8>) {
        let service = &self.settings.sockjs[route.service];
        match route.call {
            SockJsCall::Greeting => self.respond(id, Status::Ok, sockjs::TEXT, &[], sockjs::GREETING),
            SockJsCall::Info => {
                let info = sockjs::info(service, self.upkeep.rng.u32(..));
                self.respond_sockjs(id, Status::Ok, sockjs::JSON, info.as_bytes());
            }
            SockJsCall::Receive { session, receiver } => {
                let (len_max, listener) = (service.response_len_max, self.links.conns[id.index].link.listener);
                let key =
                    self.session_key(route.service, route.topic.as_ref().map_or("", |topic| topic.as_str()), &session);
                let wait = CarryWait { key, receiver, len_max, len: 0, has_begun: false, asked: None };
                self.wait_for(id, Waiting::Carry(wait));
                let opening = Opening { service: route.service as u8, listener, topic: route.topic };
                self.ask_carry(id, Some(Box::new(opening)));
            }
            SockJsCall::Send { session } => {
                let key =
                    self.session_key(route.service, route.topic.as_ref().map_or("", |topic| topic.as_str()), &session);
                let error = if body.is_empty() { "Payload expected." } else { "Broken JSON encoding." };
                let Ok(messages) = sockjs::messages(&body) else {
                    return self.respond_sockjs(id, Status::InternalServerError, sockjs::TEXT, error.as_bytes());
                };
                let messages = messages.into_iter().map(|message| message.into_owned().into_boxed_str()).collect();
                self.wait_for(id, Waiting::Sent);
                let ticket = self.issue(Ticket::Carry { conn: id });
                let home = key.home(self.settings.shards);
                self.ask(home, Request::Carry { key, carry: Carry::Send(messages), ticket });
            }
            SockJsCall::WebSocket | SockJsCall::RawWebSocket => unreachable!("they are upgrades"),
        }
    }

    /// A session by the names that a client has for it.
    fn session_key(&self, service: usize, topic: &str, session: &str) -> SessionKey {
        use std::hash::Hasher as _;
        let (one, other) = self.settings.hash_key;
        let mut hasher = siphasher::sip::SipHasher13::new_with_keys(one, other);
        hasher.write_usize(service);
        hasher.write(topic.as_bytes());
        hasher.write_u8(0);
        hasher.write(session.as_bytes());
        SessionKey(hasher.finish())
    }

    /// Asks for what the session is told next.
    fn ask_carry(&mut self, id: ConnId, opening: Option<Box<Opening>>) {
        let ticket = self.issue(Ticket::Carry { conn: id });
        let Some(Waiting::Carry(wait)) = self.waiting_mut(id) else { return };
        wait.asked = Some(ticket);
        let key = wait.key;
        let home = key.home(self.settings.shards);
        self.ask(home, Request::Carry { key, carry: Carry::Receive { opening }, ticket });
        if self.is_carrying(id) {
            // It is read from while it waits, so that its end is seen.
            self.unpause(id, Flag::PAUSED_REQUEST);
            self.set_timer_in(id, Timer::Answer, 2 * DETACHED_HEARTBEAT_MS);
        }
    }

    /// Whether the request under way waits for what a detached session is told.
    pub(in crate::shard) fn is_carrying(&self, id: ConnId) -> bool {
        let slot = self.links.conns.get(id).and_then(|conn| conn.link.exchange());
        slot.is_some_and(|slot| matches!(self.requests.exchanges[slot].waiting, Some(Waiting::Carry(_))))
    }

    /// The shard of a session has answered.
    pub(in crate::shard) fn on_carried(&mut self, ticket: u32, carried: Carried) {
        let Ticket::Carry { conn: id } = self.sessions.tickets.remove(ticket as usize) else {
            unreachable!("the ticket of a request comes back with its answer");
        };
        match self.waiting_mut(id) {
            Some(Waiting::Sent) => match carried {
                Carried::Taken => self.respond_sockjs(id, Status::NoContent, sockjs::TEXT, b""),
                Carried::Unknown | Carried::Ended(..) => self.respond_sockjs(id, Status::NotFound, sockjs::TEXT, b""),
                _ => self.respond_refused(
                    id,
                    Refusal::new(ErrorCode::Overloaded, "the session does not read what it is told"),
                ),
            },
            Some(Waiting::Carry(wait)) if wait.asked == Some(ticket) => {
                wait.asked = None;
                self.tell_carried(id, carried);
            }
            _ => {}
        }
    }

    fn tell_carried(&mut self, id: ConnId, carried: Carried) {
        let mut frame = Vec::new();
        let ends = match carried {
            Carried::Opened => {
                frame.extend_from_slice(sockjs::open());
                false
            }
            Carried::Told(elements) => {
                sockjs::wrap(&elements, &mut frame);
                false
            }
            Carried::Silence => {
                frame.extend_from_slice(sockjs::heartbeat());
                false
            }
            Carried::Busy => {
                frame = sockjs::close(SOCKJS_BUSY, "Another connection still open");
                true
            }
            Carried::Ended(reason, text) => {
                frame = sockjs::close(reason.row().close_code.unwrap_or(SOCKJS_CLOSED), &text);
                true
            }
            Carried::Refused => {
                return self.respond_refused(id, Refusal::new(ErrorCode::Overloaded, "there are too many sessions"));
            }
            Carried::Unknown | Carried::Taken => {
                frame = sockjs::close(SOCKJS_INTERRUPTED, "Connection interrupted");
                true
            }
        };
        let Some(Waiting::Carry(CarryWait { receiver, len, len_max, has_begun, .. })) = self.waiting_mut(id) else {
            return;
        };
        let (receiver, is_first) = (*receiver, !std::mem::replace(has_begun, true));
        *len += frame.len();
        let is_over = ends || !receiver.is_stream() || *len >= *len_max;
        let mut body = Vec::new();
        if !receiver.is_stream() {
            receiver.frame(&frame, &mut body);
            return self.respond_sockjs(id, Status::Ok, receiver.content_type(), &body);
        }
        let asker = self.asker(id);
        if is_first {
            self.begin_carry(id, receiver, &asker);
        }
        receiver.frame(&frame, &mut body);
        self.reply(id, |out| chunk(&body, &asker, out));
        if is_over {
            self.finish_carry(id, &asker);
        }
    }

    /// Writes the head of a streaming response and what it begins with.
    fn begin_carry(&mut self, id: ConnId, receiver: Receiver, asker: &Asker) {
        let headers = [sockjs::CACHE, sockjs::page_fields(asker.origin.as_deref())];
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
                out.extend_from_slice(b"0\r\n\r\n");
            }
        });
    }

    /// The client has taken what it was sent: the session may tell it more.
    pub(in crate::shard) fn resume_carry(&mut self, id: ConnId) {
        if let Some(Waiting::Carry(wait)) = self.waiting_mut(id)
            && wait.has_begun
            && wait.asked.is_none()
        {
            self.ask_carry(id, None);
        }
    }

    /// The client is gone: the session's shard is told, if it was asked.
    pub(in crate::shard) fn forget_carry(&mut self, id: ConnId) {
        let Some(Waiting::Carry(CarryWait { key, asked: Some(ticket), .. })) = self.waiting_mut(id) else { return };
        let (key, ticket) = (*key, *ticket);
        self.take_waiting(id);
        self.ask(key.home(self.settings.shards), Request::Carry { key, carry: Carry::Gone, ticket });
    }
    /// Answers the request under way as SockJS has it.
    fn respond_sockjs(&mut self, id: ConnId, status: Status, content_type: &str, body: &[u8]) {
        let asker = self.asker(id);
        let headers = [sockjs::CACHE, sockjs::page_fields(asker.origin.as_deref())];
        self.respond(id, status, content_type, &headers, body);
    }

    /// What the answer depends on of its request.
    fn asker(&self, id: ConnId) -> Asker {
        let slot = self.links.conns.get(id).and_then(|conn| conn.link.exchange());
        slot.map(|slot| self.requests.exchanges[slot].exchange.asker().clone()).unwrap_or_default()
    }
}

/// Appends a part of a response whose length nobody knows yet. [RFC 9112 7.1]
fn chunk(bytes: &[u8], asker: &Asker, out: &mut Vec<u8>) {
    if asker.is_http_1_0 {
        return out.extend_from_slice(bytes);
    }
    out.extend_from_slice(format!("{:x}\r\n", bytes.len()).as_bytes());
    out.extend_from_slice(bytes);
    out.extend_from_slice(b"\r\n");
}
