//! Input that had no part in its turn. It waits as it arrived, and its connection gets its next turn behind all
//! others. A connection with put-off input is not read from.
//!
//! ```text
//! received -> handled at once, within the share of one connection
//!          -> beyond it, or too expensive: put off -> one step in each round, within the budget of the turn
//! ```

use std::collections::{HashMap, HashSet, VecDeque};

use super::conn::{Carrier, Flag, tick};
use crate::buf::BlockPool;
use crate::command::{ConnId, SessionId, SessionIndex};
use crate::limits::{ITEMS_PER_PORTION_MAX, PUT_OFF_LEN_MAX};
use crate::shard::Shard;
use crate::shard::slot::Slot;
use crate::wire::ws::{Decoder, Item, WsError};

/// All put-off input of a shard.
#[derive(Debug, Default)]
pub(in crate::shard) struct PutOff {
    /// Sessions in the order of their turns; may name some that have nothing left.
    queue: VecDeque<SessionId>,
    /// Frames, by connection index.
    unheard: HashMap<u32, Unheard>,
    /// The number of their bytes.
    len: usize,
    /// Sessions that wait for another shard's answer before their turn.
    held: HashSet<SessionIndex>,
    /// Connections whose peer ended its side after the put-off input, by index.
    ended: HashSet<u32>,
}

/// Received bytes of a connection that are not handled yet.
#[derive(Debug, Default)]
struct Unheard {
    bytes: Vec<u8>,
    /// Decoded items; their ranges point into `bytes`.
    items: VecDeque<Item>,
    /// Bytes from here on are not decoded.
    raw_from: usize,
    /// The error after `items`.
    error: Option<WsError>,
}

/// An unfinished frame or message.
#[derive(Debug)]
pub(in crate::shard) struct Unfinished {
    pub decoder: Decoder,
    pub conn: ConnId,
    /// The time of its first byte, in ticks.
    pub since: u32,
}

impl PutOff {
    /// The number of its bytes.
    pub fn len(&self) -> usize {
        self.len
    }

    /// The number of connections with put-off frames.
    pub fn connections(&self) -> usize {
        self.unheard.len()
    }

    /// Whether so much is put off that nothing more may be received.
    pub fn is_full(&self) -> bool {
        self.len >= PUT_OFF_LEN_MAX
    }

    /// Whether a connection has put-off input.
    pub fn has_work(&self) -> bool {
        !self.queue.is_empty()
    }

    /// The connection that has the next step.
    pub fn next(&mut self) -> Option<SessionId> {
        self.queue.pop_front()
    }

    /// The number of put-off bytes of one connection.
    pub fn len_of(&self, index: u32) -> usize {
        if self.unheard.is_empty() { 0 } else { self.unheard.get(&index).map_or(0, |unheard| unheard.bytes.capacity()) }
    }

    /// Drops the put-off input of a connection.
    pub fn forget(&mut self, index: u32, pool: &mut BlockPool) {
        if !self.held.is_empty() {
            self.held.remove(&SessionIndex::own(index));
        }
        if !self.ended.is_empty() {
            self.ended.remove(&index);
        }
        if self.unheard.is_empty() {
            return;
        }
        if let Some(unheard) = self.unheard.remove(&index) {
            self.len -= unheard.bytes.capacity();
            unheard.items.into_iter().for_each(|item| item.into_payload().recycle(pool));
        }
    }

    fn insert(&mut self, index: u32, unheard: Unheard) {
        self.len += unheard.bytes.capacity();
        self.unheard.insert(index, unheard);
    }

    fn remove(&mut self, index: u32) -> Option<Unheard> {
        let unheard = self.unheard.remove(&index)?;
        self.len -= unheard.bytes.capacity();
        Some(unheard)
    }
}

impl Shard {
    /// Gives a connection another turn behind the others; it is not read from until then.
    pub(in crate::shard) fn put_off(&mut self, id: ConnId) {
        let Some(conn) = self.links.conns.get(id).filter(|conn| conn.link.carrier != Carrier::Gone) else { return };
        if !conn.link.is(Flag::PAUSED_TURN) {
            self.pause(id, Flag::PAUSED_TURN);
            self.links.put_off.queue.push_back(id.into());
        }
    }

    /// The same for any session, of a connection or detached.
    pub(in crate::shard) fn put_off_session(&mut self, id: SessionId) {
        if let Some(conn) = id.conn() {
            return self.put_off(conn);
        }
        if let Some(detached) = self.links.conns.detached.get_mut(id) {
            detached.is_held = true;
            self.links.put_off.queue.push_back(id);
        }
    }

    /// Handles no more input of a session until [`Shard::release_turn`].
    pub(in crate::shard) fn hold_turn(&mut self, id: SessionId) {
        if let Some(conn) = id.conn() {
            self.pause(conn, Flag::PAUSED_TURN);
        } else if let Some(detached) = self.links.conns.detached.get_mut(id) {
            detached.is_held = true;
        }
        self.links.put_off.held.insert(id.index);
    }

    /// Gives its turn to a session that was held.
    pub(in crate::shard) fn release_turn(&mut self, id: SessionId) {
        if !self.links.put_off.held.is_empty() && self.links.put_off.held.remove(&id.index) {
            self.links.put_off.queue.push_back(id);
        }
    }

    /// Notes that a peer ended its side. Returns `false` if nothing is put off: then the end is handled at once.
    pub(in crate::shard) fn puts_off_end(&mut self, id: ConnId) -> bool {
        let waits = self.links.conns.get(id).is_some_and(|conn| conn.link.is(Flag::PAUSED_TURN));
        if waits {
            self.links.put_off.ended.insert(id.index);
        }
        waits
    }

    /// Whether the peer ended its side after the put-off input, and all of that input is handled.
    pub(in crate::shard) fn end_is_due(&mut self, id: ConnId) -> bool {
        let is_open = self.links.conns.get(id).is_some_and(|conn| !conn.link.is(Flag::PAUSED_TURN));
        is_open && self.links.put_off.ended.remove(&id.index)
    }

    /// Handles frames within the connection's share.
    pub(in crate::shard) fn receive_frames(&mut self, id: ConnId, bytes: &mut [u8]) {
        if self.links.conns[id.index].link.is(Flag::PAUSED_TURN) {
            return self.add_unheard(id, bytes);
        }
        let mut at = 0;
        while at < bytes.len() && self.hears(id) {
            let bytes = &mut bytes[at..];
            let mut inbox = std::mem::take(&mut self.links.inbox);
            let (taken, error) = self.decode(id, bytes, &mut inbox.items);
            at += taken;
            let mut items = inbox.items.drain(..);
            while let Some(item) = items.next() {
                if self.is_put_off(id, &item, bytes) {
                    let items = std::iter::once(item).chain(items).collect();
                    let unheard = Unheard { bytes: bytes.to_vec(), items, raw_from: taken, error };
                    self.links.put_off.insert(id.index, unheard);
                    self.links.inbox = inbox;
                    return self.put_off(id);
                }
                item.into_payload().recycle(&mut self.links.pool);
            }
            drop(items);
            self.links.inbox = inbox;
            self.fail_if(id, error);
        }
    }

    /// Handles an item within the connection's share; returns `true` if the item has to wait.
    fn is_put_off(&mut self, id: ConnId, item: &Item, bytes: &[u8]) -> bool {
        let waits = self.links.conns.get(id).is_some_and(|conn| conn.link.is(Flag::PAUSED_TURN));
        if waits || !self.turn.budget.fits(self.price(id, item)) {
            return self.hears(id);
        }
        !self.on_item(id, item, bytes, true)
    }

    /// Whether input of the connection is still handled.
    fn hears(&self, id: ConnId) -> bool {
        self.links
            .conns
            .get(id)
            .is_some_and(|conn| !conn.link.is(Flag::DEAF) && conn.link.carrier == Carrier::WebSocket)
    }

    /// Decodes a portion of `bytes`. Returns its length, and the error after it.
    fn decode(&mut self, id: ConnId, bytes: &mut [u8], items: &mut Vec<Item>) -> (usize, Option<WsError>) {
        let len_max = self.settings.live.limits.message_len_max as usize;
        let len = bytes.len();
        let conn = &mut self.links.conns[id.index];
        let mut decode = |decoder: &mut Decoder| {
            decoder.decode_some(bytes, len_max, ITEMS_PER_PORTION_MAX, &mut self.links.pool, items)
        };
        let outcome = if let Some(slot) = conn.link.parser.index() {
            let outcome = decode(&mut self.links.decoders[slot].decoder);
            if self.links.decoders[slot].decoder.is_idle() {
                self.links.decoders.remove(slot);
                conn.link.parser = Slot::NONE;
            } else if items.iter().any(|item| matches!(item, Item::Message { .. })) {
                self.links.decoders[slot].since = tick(self.now);
            }
            outcome
        } else {
            let mut decoder = Decoder::default().with_deflate(!conn.session.agreed.is_none());
            let outcome = decode(&mut decoder);
            if !decoder.is_idle() {
                let unfinished = Unfinished { decoder, conn: id, since: tick(self.now) };
                conn.link.parser = Slot::new(self.links.decoders.insert(unfinished));
            }
            outcome
        };
        match outcome {
            Ok(taken) => (taken, None),
            Err(error) => (len, Some(error)),
        }
    }

    fn fail_if(&mut self, id: ConnId, error: Option<WsError>) {
        if let Some(error) = error {
            self.fail(id, error.close_reason(), error.message());
        }
    }

    /// Keeps bytes that arrived before the driver paused the connection.
    fn add_unheard(&mut self, id: ConnId, bytes: &[u8]) {
        let mut unheard = self.links.put_off.remove(id.index).unwrap_or_default();
        unheard.bytes.extend_from_slice(bytes);
        self.links.put_off.insert(id.index, unheard);
    }

    /// Handles put-off input: one item of any cost, and more within the connection's share.
    pub(in crate::shard) fn hear_on(&mut self, id: ConnId) {
        let Some(mut unheard) = self.links.put_off.remove(id.index) else { return };
        let mut is_first = true;
        while self.hears(id) {
            let Some(item) = unheard.items.pop_front() else {
                if unheard.error.is_some() || unheard.raw_from == unheard.bytes.len() {
                    self.fail_if(id, unheard.error);
                    return;
                }
                self.decode_unheard(id, &mut unheard);
                continue;
            };
            let waits = self.links.conns[id.index].link.is(Flag::PAUSED_TURN);
            if waits || !is_first && !self.turn.budget.fits(self.price(id, &item)) {
                unheard.items.push_front(item);
                self.links.put_off.insert(id.index, unheard);
                return self.put_off(id);
            }
            is_first = false;
            self.on_item(id, &item, &unheard.bytes, false);
            item.into_payload().recycle(&mut self.links.pool);
        }
        unheard.items.into_iter().for_each(|item| item.into_payload().recycle(&mut self.links.pool));
    }

    fn decode_unheard(&mut self, id: ConnId, unheard: &mut Unheard) {
        unheard.bytes.drain(..std::mem::take(&mut unheard.raw_from));
        let mut items = Vec::new();
        let (taken, error) = self.decode(id, &mut unheard.bytes, &mut items);
        unheard.items = items.into();
        unheard.raw_from = taken;
        unheard.error = error;
    }
}
