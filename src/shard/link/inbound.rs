//! Received bytes to messages to commands. Decode first, apply after: nothing closes a connection under its decoder.

use super::conn::{Carrier, Conn, Flag, tick};
use crate::command::ConnId;
use crate::limits::{PRICE_FOUR_BYTES, PRICE_MESSAGE, PRICE_RECEIVE};
use crate::shard::Shard;
use crate::transport::websocket;
use crate::wire::ws::Item;

impl Shard {
    pub(in crate::shard) fn on_received(&mut self, id: ConnId, bytes: &mut [u8]) {
        let Some(conn) = self.links.conns.get_mut(id) else { return };
        self.metrics.received_len += bytes.len() as u64;
        self.turn.grown += bytes.len();
        self.turn.budget.charge(PRICE_RECEIVE + bytes.len() as u64 / 4 * PRICE_FOUR_BYTES);
        if conn.link.is(Flag::DEAF) {
            return;
        }
        conn.link.active_tick = tick(self.now);
        if !conn.link.edge.is_none() {
            return self.receive_at_edge(id, bytes);
        }
        self.receive_plain(id, bytes);
    }

    /// Takes in what a connection says, without what it came wrapped in.
    pub(in crate::shard) fn receive_plain(&mut self, id: ConnId, bytes: &mut [u8]) {
        let Some(session) = self.links.conns.get(id).map(|conn| conn.link.carrier) else { return };
        let mails = self.outgoing.len();
        match session {
            Carrier::Http1 if self.turn_away(id, bytes) => {}
            Carrier::Http1 => self.receive_requests(id, bytes),
            Carrier::WebSocket => self.receive_frames(id, bytes),
            Carrier::Stream | Carrier::Gone => {}
        }
        self.note_mail(id, mails);
    }

    /// Stops reading from a connection that sent mail while a mailbox is full; there were `before` mails.
    pub(in crate::shard) fn note_mail(&mut self, id: ConnId, before: usize) {
        if self.links.is_congested && self.outgoing.len() > before {
            self.pause_for_congestion(id);
        }
    }

    /// Stops reading from a connection that sent mail while a mailbox is full, until there is room again.
    fn pause_for_congestion(&mut self, id: ConnId) {
        if self
            .links
            .conns
            .get(id)
            .is_some_and(|conn| !conn.link.is(Flag::CLOSING) && !conn.link.is(Flag::PAUSED_CONGESTION))
        {
            self.pause(id, Flag::PAUSED_CONGESTION);
            self.links.congested.push(id);
        }
    }

    /// The cost of an item as far as that is known before it is taken in.
    pub(in crate::shard) fn price(&self, id: ConnId, item: &Item) -> u64 {
        match item {
            Item::Message { payload, is_deflated, .. } => {
                let price_of = |conn: &Conn| conn.session.encoding.row().dialect.price(payload.len());
                let price = self.links.conns.get(id).filter(|_| !is_deflated).map_or(0, price_of);
                PRICE_MESSAGE + price
            }
            _ => PRICE_MESSAGE,
        }
    }

    /// Takes in an item; `false` if it has to wait, which only one that `may_wait` has.
    pub(in crate::shard) fn on_item(&mut self, id: ConnId, item: &Item, bytes: &[u8], may_wait: bool) -> bool {
        let Some(conn) = self.links.conns.get(id) else { return true };
        if conn.link.is(Flag::DEAF) || conn.link.carrier != Carrier::WebSocket {
            return true;
        }
        match item {
            Item::Close { code, .. } => self.on_close_frame(id, *code),
            _ if conn.link.is(Flag::CLOSING) => {}
            Item::Message { kind, is_deflated: true, payload } => {
                return self.on_deflated(id, *kind, payload.as_slice(bytes), may_wait);
            }
            Item::Message { kind, payload, .. } => self.on_message(id.into(), *kind, payload.as_slice(bytes)),
            Item::Ping(payload) => {
                self.turn.budget.charge(PRICE_MESSAGE);
                self.control(id, |out| websocket::pong(payload.as_slice(bytes), out));
            }
            Item::Pong(_) => self.turn.budget.charge(PRICE_MESSAGE),
        }
        true
    }

    /// Sends a control frame, ahead of what waits.
    pub(in crate::shard) fn control(&mut self, id: ConnId, write: impl FnOnce(&mut Vec<u8>)) {
        let Some(conn) = self.links.conns.get_mut(id) else { return };
        if conn.link.is_open_websocket() {
            self.links.outboxes.ensure(&mut conn.link.outbox).control(write);
            self.mark_dirty(id);
        }
    }
}
