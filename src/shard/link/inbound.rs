//! Received bytes to messages to commands. Decode first, apply after: nothing closes a connection under its decoder.

use super::conn::{Flag, Session, tick};
use crate::close::CloseReason;
use crate::command::{Command, ConnId, ErrorCode, OperationId, Outbound, Refusal, Subscribe};
use crate::dialect::{Dialect, json, raw};
use crate::limits::{
    PRICE_EIGHT_BYTES, PRICE_FOUR_BYTES, PRICE_JSON_BYTE, PRICE_MESSAGE, PRICE_RECEIVE, REPLY_BACKLOG_LEN_MAX,
};
use crate::shard::Shard;
use crate::shard::session::tickets::Ticket;
use crate::transport::http::NO_READING;
use crate::transport::websocket;
use crate::wire::ws::Item;

impl Shard {
    pub(in crate::shard) fn on_received(&mut self, id: ConnId, bytes: &mut [u8]) {
        let Some(conn) = self.conns.get_mut(id) else { return };
        self.metrics.received_len += bytes.len() as u64;
        self.budget.charge(PRICE_RECEIVE + bytes.len() as u64 / 4 * PRICE_FOUR_BYTES);
        if conn.is(Flag::DEAF) {
            return;
        }
        conn.active_tick = tick(self.now);
        if !conn.edge.is_none() {
            return self.receive_at_edge(id, bytes);
        }
        self.receive_plain(id, bytes);
    }

    /// Takes in what a connection says, without what it came wrapped in.
    pub(in crate::shard) fn receive_plain(&mut self, id: ConnId, bytes: &mut [u8]) {
        let Some(session) = self.conns.get(id).map(|conn| conn.session) else { return };
        let mails = self.outgoing.len();
        match session {
            Session::Http if self.turn_away(id, bytes) => {}
            Session::Http => self.receive_requests(id, bytes),
            Session::WebSocket => self.receive_frames(id, bytes),
            Session::Stream | Session::Gone => {}
        }
        self.note_mail(id, mails);
    }

    /// Stops reading from a connection that made mail while mail finds no room; there were `before` mails.
    pub(in crate::shard) fn note_mail(&mut self, id: ConnId, before: usize) {
        if self.is_congested && self.outgoing.len() > before {
            self.pause_for_congestion(id);
        }
    }

    /// Whoever makes mail, of whatever kind, while mail finds no room is not read from until it does.
    fn pause_for_congestion(&mut self, id: ConnId) {
        if self.conns.get(id).is_some_and(|conn| !conn.is(Flag::CLOSING) && !conn.is(Flag::PAUSED_CONGESTION)) {
            self.pause(id, Flag::PAUSED_CONGESTION);
            self.congested.push(id);
        }
    }

    /// What an item costs as far as that can be told before.
    pub(in crate::shard) fn price(&self, id: ConnId, item: &Item) -> u64 {
        match item {
            Item::Message { payload, is_deflated, .. } => {
                let is_json = self.conns.get(id).is_some_and(|conn| conn.encoding.dialect() == Dialect::Json);
                price_of_message(is_json && !is_deflated, payload.len())
            }
            _ => PRICE_MESSAGE,
        }
    }

    /// Takes in an item; `false` if it has to wait, which only one that `may_wait` has.
    pub(in crate::shard) fn on_item(&mut self, id: ConnId, item: &Item, bytes: &[u8], may_wait: bool) -> bool {
        let Some(conn) = self.conns.get(id) else { return true };
        if conn.is(Flag::DEAF) || conn.session != Session::WebSocket {
            return true;
        }
        match item {
            Item::Close { code, .. } => self.on_close_frame(id, *code),
            _ if conn.is(Flag::CLOSING) => {}
            Item::Message { is_text, is_deflated: true, payload } => {
                return self.on_deflated(id, *is_text, payload.as_slice(bytes), may_wait);
            }
            Item::Message { is_text, payload, .. } => self.on_message(id, *is_text, payload.as_slice(bytes)),
            Item::Ping(payload) => {
                self.budget.charge(PRICE_MESSAGE);
                self.control(id, |out| websocket::pong(payload.as_slice(bytes), out));
            }
            Item::Pong(_) => self.budget.charge(PRICE_MESSAGE),
        }
        true
    }

    pub(in crate::shard) fn on_message(&mut self, id: ConnId, is_text: bool, message: &[u8]) {
        self.metrics.messages_received += 1;
        let dialect = self.conns[id.index].encoding.dialect();
        self.budget.charge(price_of_message(dialect == Dialect::Json, message.len()));
        match dialect {
            Dialect::Echo => self.echo(id, is_text, message),
            Dialect::Raw => {
                let Some(topic) = self.raw_topic(id) else { return };
                self.publish_raw(id, &raw::decode(topic.as_str(), is_text, message));
            }
            Dialect::Json if is_text => {
                let mut scratch = self.json.take().unwrap_or_default();
                match json::decode(&mut scratch, message) {
                    Ok(command) => self.apply(id, command),
                    Err(refused) => self.refuse(id, refused.id.as_ref(), refused.refusal),
                }
                self.json = Some(scratch);
            }
            Dialect::Json => self.close(id, CloseReason::UnsupportedData, "operations are text"),
        }
    }

    fn apply(&mut self, id: ConnId, command: Command<'_>) {
        let may_read = self.role_of(self.conns[id.index].listener()).may_read();
        match command {
            Command::Subscribe(Subscribe { id: operation, .. }) | Command::History { id: operation, .. }
                if !may_read =>
            {
                self.refuse(id, operation.as_ref(), Refusal::new(ErrorCode::Forbidden, NO_READING));
            }
            Command::Subscribe(subscribe) => self.subscribe(id, subscribe),
            Command::Unsubscribe { id: operation, targets } => {
                self.unsubscribe(id, &targets);
                self.reply_json(id, &Outbound::Done { id: operation.as_ref() });
            }
            Command::Publish(mut publish) => self.publish_json(id, &mut publish),
            Command::History { id: operation, topic, query } => {
                let ticket = self.issue(Ticket::History { conn: id, id: operation, topic: topic.clone() });
                self.ask_history(topic, query, ticket);
            }
            Command::Ping { id: operation } => self.reply_json(id, &Outbound::Done { id: operation.as_ref() }),
        }
    }

    /// Tells the peer that an operation was refused.
    pub(in crate::shard) fn refuse(&mut self, id: ConnId, operation: Option<&OperationId>, refusal: Refusal) {
        tracing::debug!(code = refusal.code.as_str(), message = refusal.message, "refused");
        if self.conns.get(id).is_some_and(|conn| conn.session == Session::Http) {
            return self.refuse_follow(id, refusal);
        }
        debug_assert!(refusal.code != ErrorCode::Internal, "our own mistakes are no answer");
        self.reply_json(id, &Outbound::Refused { id: operation, refusal });
    }

    /// Sends one message of the JSON dialect.
    pub(in crate::shard) fn reply_json(&mut self, id: ConnId, outbound: &Outbound<'_>) {
        self.reply(id, |message, out| {
            websocket::frame_with(message, out, |message| {
                json::encode(outbound, message);
                true
            });
        });
    }

    /// Appends to what this turn sends to a connection, in order with the publications. `write` gets a vector to build
    /// messages in. Who does not read its replies is not read from.
    pub(in crate::shard) fn reply(&mut self, id: ConnId, write: impl FnOnce(&mut Vec<u8>, &mut Vec<u8>)) {
        let Some(conn) = self.conns.get_mut(id) else { return };
        if conn.is(Flag::CLOSING) || conn.session == Session::Gone {
            return;
        }
        let outbox = self.outboxes.ensure(&mut conn.outbox);
        let len_before = outbox.len();
        outbox.reply(|out| write(&mut self.message, out));
        self.budget.charge(PRICE_MESSAGE + (outbox.len() - len_before) as u64 / 8 * PRICE_EIGHT_BYTES);
        let has_backlog = outbox.len() > REPLY_BACKLOG_LEN_MAX;
        let is_deaf = conn.is(Flag::DEAF);
        self.mark_dirty(id);
        if has_backlog && !is_deaf {
            self.pause(id, Flag::PAUSED_BACKLOG);
        }
    }

    /// Sends a control frame, ahead of what waits.
    pub(in crate::shard) fn control(&mut self, id: ConnId, write: impl FnOnce(&mut Vec<u8>)) {
        let Some(conn) = self.conns.get_mut(id) else { return };
        if conn.is_open_websocket() {
            self.outboxes.ensure(&mut conn.outbox).control(write);
            self.mark_dirty(id);
        }
    }
}

fn price_of_message(is_json: bool, len: usize) -> u64 {
    PRICE_MESSAGE + if is_json { len as u64 * PRICE_JSON_BYTE } else { len as u64 / 4 * PRICE_FOUR_BYTES }
}
