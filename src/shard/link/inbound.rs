//! Received bytes to messages to commands. Decode first, apply after: nothing closes a connection under its decoder.

use super::conn::{Carrier, Flag, tick};
use crate::command::ConnId;
use crate::shard::Shard;
use crate::shard::slot::Slot;
use crate::transport::websocket;
use crate::wire::ws::{Decoder, Item};

impl Shard {
    pub(in crate::shard) fn on_received(&mut self, id: ConnId, bytes: &mut [u8]) {
        let Some(conn) = self.links.conns.get_mut(id) else { return };
        self.metrics.received_len += bytes.len() as u64;
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
        if self.links.is_congested && self.outgoing.len() > mails {
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

    pub(in crate::shard) fn receive_frames(&mut self, id: ConnId, bytes: &mut [u8]) {
        let mut inbox = std::mem::take(&mut self.links.inbox);
        let message_len_max = self.settings.limits.message_len_max as usize;
        let conn = &mut self.links.conns[id.index];
        let outcome = if let Some(slot) = conn.link.parser.index() {
            let decoder = &mut self.links.decoders[slot];
            let outcome = decoder.decode(bytes, message_len_max, &mut self.links.pool, &mut inbox);
            if decoder.is_idle() {
                self.links.decoders.remove(slot);
                conn.link.parser = Slot::NONE;
            }
            outcome
        } else {
            let mut decoder = Decoder::default().with_deflate(!conn.session.agreed.is_none());
            let outcome = decoder.decode(bytes, message_len_max, &mut self.links.pool, &mut inbox);
            if !decoder.is_idle() {
                conn.link.parser = Slot::new(self.links.decoders.insert(decoder));
            }
            outcome
        };
        self.delivery.compressor.begin_receive();
        for item in inbox.items.drain(..) {
            self.on_item(id, &item, bytes);
            item.into_payload().recycle(&mut self.links.pool);
        }
        self.links.inbox = inbox;
        if let Err(error) = outcome {
            self.fail(id, error.close_reason(), error.message());
        }
    }

    fn on_item(&mut self, id: ConnId, item: &Item, bytes: &[u8]) {
        let Some(conn) = self.links.conns.get(id) else { return };
        if conn.link.is(Flag::DEAF) || conn.link.carrier != Carrier::WebSocket {
            return;
        }
        match item {
            Item::Close { code, .. } => self.on_close_frame(id, *code),
            _ if conn.link.is(Flag::CLOSING) => {}
            Item::Message { kind, is_deflated: true, payload } => {
                self.on_deflated(id, *kind, payload.as_slice(bytes));
            }
            Item::Message { kind, payload, .. } => self.on_message(id.into(), *kind, payload.as_slice(bytes)),
            Item::Ping(payload) => self.control(id, |out| websocket::pong(payload.as_slice(bytes), out)),
            Item::Pong(_) => {}
        }
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
