//! Commands from a session's messages, and the answers to the session.

use super::encoding::{Encoding, EncodingId};
use super::gate::Act;
use super::rest::{self, Rest};
use super::tickets::Ticket;
use crate::close::CloseReason;
use crate::command::{Command, ErrorCode, MessageKind, OperationId, Outbound, Refusal, SessionId};
use crate::dialect::{Decoded, DialectState};
use crate::limits::{PRICE_EIGHT_BYTES, PRICE_MESSAGE, REPLY_BACKLOG_LEN_MAX};
use crate::shard::Shard;
use crate::shard::link::conn::{Carrier, Flag, Link};

impl Shard {
    pub(in crate::shard) fn on_message(&mut self, id: SessionId, kind: MessageKind, message: &[u8]) {
        self.metrics.messages_received += 1;
        let session = &self.links.conns[id.index];
        let encoding = session.encoding.row();
        match encoding.framing.messages(message) {
            Ok(None) => self.on_plain_message(id, kind, message),
            Ok(Some(messages)) => {
                for message in messages {
                    if self.links.conns.session(id).is_some() {
                        self.on_plain_message(id, MessageKind::Text, message.as_bytes());
                    }
                }
            }
            Err(why) => self.end_session(id, CloseReason::ProtocolError, why),
        }
    }

    fn on_plain_message(&mut self, id: SessionId, kind: MessageKind, message: &[u8]) {
        let session = &self.links.conns[id.index];
        let (dialect, slot) = (session.encoding.row().dialect, session.rest);
        self.turn.budget.charge(PRICE_MESSAGE + dialect.price(message.len()));
        let mut scratch = std::mem::take(&mut self.requests.scratch);
        let mut nothing = DialectState::None;
        let state = rest::get_mut(&mut self.sessions.rests, slot).map_or(&mut nothing, |rest| &mut rest.state);
        match dialect.decode(state, &mut scratch, kind, message) {
            Decoded::Command(command) => self.apply(id, command),
            Decoded::Refused(operation, refusal) => self.refuse(id, operation.as_ref(), refusal),
            Decoded::Nothing => {}
            Decoded::Unsupported(why) => self.end_session(id, CloseReason::UnsupportedData, why),
        }
        self.requests.scratch = scratch;
    }

    fn apply(&mut self, id: SessionId, command: Command<'_>) {
        match command {
            Command::Subscribe(subscribe) => self.subscribe(id, subscribe),
            Command::Unsubscribe { id: operation, targets } => {
                self.unsubscribe(id, &targets);
                self.say(id, &Outbound::Done { id: operation.as_ref() });
            }
            Command::Publish(mut publish) => self.publish_json(id, &mut publish),
            Command::Say { kind, payload } => self.publish_here(id, kind, payload),
            Command::Echo { kind, message } => self.echo(id, kind, message),
            Command::History { id: operation, topic, query } => {
                if let Err(refusal) = self.may(id, &Act::History(&topic)) {
                    return self.refuse(id, operation.as_ref(), refusal);
                }
                let ticket = self.issue(Ticket::History { session: id, id: operation, topic: topic.clone() });
                self.ask_history(topic, query, ticket);
            }
            Command::Ping { id: operation } => self.say(id, &Outbound::Done { id: operation.as_ref() }),
        }
    }

    /// From now on a session speaks so.
    pub(in crate::shard) fn speak(&mut self, id: SessionId, encoding: EncodingId) {
        let session = &mut self.links.conns[id.index];
        session.speak(encoding);
        let state = encoding.row().dialect.open();
        if !matches!(state, DialectState::None) {
            rest::ensure(&mut self.sessions.rests, &mut session.rest).state = state;
        }
    }

    /// From now on a session's publications come with their attributes, or without, where its dialect has them.
    pub(in crate::shard) fn tell_headers(&mut self, id: SessionId, tells_headers: bool) {
        let session = &mut self.links.conns[id.index];
        let Encoding { framing, dialect, has_prefix } = *session.encoding.row();
        let wanted = dialect.with_headers(tells_headers);
        if wanted != dialect {
            // A stream is one of its encoding.
            session.agreed.leave_stream();
            self.speak(id, EncodingId::of(framing, wanted, has_prefix));
        }
    }

    /// Tells the peer that an operation was refused.
    pub(in crate::shard) fn refuse(&mut self, id: SessionId, operation: Option<&OperationId>, refusal: Refusal) {
        tracing::debug!(code = refusal.code.as_str(), message = refusal.message, "refused");
        if let Some(conn) = id.conn().filter(|_| self.links.conns.session(id).is_some() && self.is_request(id)) {
            return self.refuse_follow(conn, refusal);
        }
        debug_assert!(refusal.code != ErrorCode::Internal, "our own mistakes are no answer");
        self.say(id, &Outbound::Refused { id: operation, refusal });
    }

    /// Tells a session something that is no publication, in the way that it speaks.
    pub(in crate::shard) fn say(&mut self, id: SessionId, outbound: &Outbound<'_>) {
        let Some(session) = self.links.conns.session(id) else { return };
        let encoding = session.encoding;
        self.reply_with(id, |rest, message, out| {
            let state = rest.as_deref().map_or(&DialectState::None, |rest| &rest.state);
            encoding.row().say(state, outbound, message, out);
        });
    }

    /// Appends to what this turn sends to a connection, in order with the publications.
    pub(in crate::shard) fn reply(&mut self, id: impl Into<SessionId>, write: impl FnOnce(&mut Vec<u8>)) {
        self.reply_with(id.into(), |_, _, out| write(out));
    }

    /// The same: `write` gets what few sessions have, and a vector to build messages in. A connection that does not read
    /// its replies is not read from.
    pub(in crate::shard) fn reply_with(
        &mut self,
        id: SessionId,
        write: impl FnOnce(Option<&mut Rest>, &mut Vec<u8>, &mut Vec<u8>),
    ) {
        let takes_more = |link: &Link| !link.is(Flag::CLOSING) && link.carrier != Carrier::Gone;
        if self.links.conns.session(id).is_none() || !self.links.conns.link_of(id.index).is_none_or(takes_more) {
            return;
        }
        let (session, outbox_slot) = self.links.conns.parts_mut(id.index);
        let rest = rest::get_mut(&mut self.sessions.rests, session.rest);
        let outbox = self.links.outboxes.ensure(outbox_slot);
        let len_before = outbox.len();
        outbox.reply(|out| write(rest, &mut self.delivery.message, out));
        let len = outbox.len() - len_before;
        self.turn.grown += len;
        self.turn.budget.charge(PRICE_MESSAGE + len as u64 / 8 * PRICE_EIGHT_BYTES);
        let has_backlog = outbox.len() > REPLY_BACKLOG_LEN_MAX;
        self.mark_news(id);
        if has_backlog
            && let Some(conn) = id.conn()
            && !self.links.conns[conn.index].link.is(Flag::DEAF)
        {
            self.pause(conn, Flag::PAUSED_BACKLOG);
        }
    }

    /// Notes that a session has something to be sent, or may have nothing left, at the end of the turn.
    pub(in crate::shard) fn mark_news(&mut self, id: SessionId) {
        match id.conn() {
            Some(conn) => self.mark_dirty(conn),
            None => self.links.conns.detached.news.push(id),
        }
    }

    /// Ends a session, in order: one that is a connection's own takes the connection with it.
    pub(in crate::shard) fn end_session(&mut self, id: SessionId, reason: CloseReason, text: &str) {
        match id.conn() {
            Some(conn) => self.close(conn, reason, text),
            None => self.end_detached(id, reason, text),
        }
    }
}
