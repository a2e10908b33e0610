//! TLS between a connection and its socket. Records are decrypted in the receive buffer. Bytes are encrypted only
//! when the socket has taken all earlier encrypted bytes: a reader that does not read keeps references, and at most
//! one portion of encrypted bytes. Handshakes have a budget each turn.

use std::collections::{HashMap, VecDeque};
use std::net::{IpAddr, Ipv6Addr};

use super::edge::Stage;
use super::ending::Parting;
use crate::buf::Segment;
use crate::close::CloseReason;
use crate::command::ConnId;
use crate::driver::Op;
use crate::limits::{
    PRICE_HANDSHAKE, SEGMENTS_PER_SEND_MAX, TLS_ENCRYPT_PER_TURN_LEN, TLS_HANDSHAKES_PER_TURN, TLS_PORTION_LEN_MAX,
    TLS_RECORD_LEN,
};
use crate::shard::Shard;
use crate::transport::tls;

/// The TLS work of one turn, and memory that is reused.
#[derive(Debug, Default)]
pub(in crate::shard) struct TlsTurn {
    /// Connections whose handshake has not begun.
    waiting: Handshakes,
    /// Connections that had no part in this turn's encryption.
    postponed: Vec<ConnId>,
    encrypted_len: usize,
    plain: Vec<u8>,
    gathered: Vec<u8>,
}

/// Connections whose handshake has not begun, in order of arrival. Addresses take turns, so that many connections
/// from one address delay each other and not everyone.
#[derive(Debug, Default)]
struct Handshakes {
    turns: VecDeque<Option<IpAddr>>,
    by_address: HashMap<Option<IpAddr>, VecDeque<ConnId>>,
}

impl Handshakes {
    fn push(&mut self, address: Option<IpAddr>, id: ConnId) {
        let address = address.map(household);
        let waiting = self.by_address.entry(address).or_default();
        if waiting.is_empty() {
            self.turns.push_back(address);
        }
        waiting.push_back(id);
    }

    fn pop(&mut self) -> Option<ConnId> {
        let address = self.turns.pop_front()?;
        let waiting = self.by_address.get_mut(&address)?;
        let id = waiting.pop_front();
        if waiting.is_empty() {
            self.by_address.remove(&address);
        } else {
            self.turns.push_back(address);
        }
        id
    }

    fn is_empty(&self) -> bool {
        self.turns.is_empty()
    }
}

/// The part of an address that counts: for IPv6 the first half, which one customer gets.
fn household(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() >> 64 << 64).into(),
        address => address,
    }
}

impl TlsTurn {
    /// Whether the next turn must not wait.
    pub fn has_work(&self) -> bool {
        !self.waiting.is_empty() || !self.postponed.is_empty()
    }
}

impl Shard {
    /// Adds a connection whose handshake has not begun.
    pub(in crate::shard) fn wait_for_handshake(&mut self, id: ConnId) {
        let address = self.edge_mut(id).and_then(|edge| edge.address);
        self.links.tls.waiting.push(address, id);
    }

    /// Begins as many handshakes as a turn has time for, and continues sends that the last turn postponed.
    pub(in crate::shard) fn shake_hands(&mut self) {
        self.links.tls.encrypted_len = 0;
        for id in std::mem::take(&mut self.links.tls.postponed) {
            self.mark_dirty(id);
        }
        let mut left = TLS_HANDSHAKES_PER_TURN;
        while left > 0
            && self.turn.budget.begin_item()
            && let Some(id) = self.links.tls.waiting.pop()
        {
            let is_there = self.edge_mut(id).is_some_and(|edge| matches!(edge.stage, Stage::Waiting));
            if is_there {
                self.turn.budget.charge(PRICE_HANDSHAKE);
                self.begin_handshake(id);
                left -= 1;
            }
        }
    }

    fn begin_handshake(&mut self, id: ConnId) {
        let session = self.settings.edge.tls.as_ref().and_then(|(config, _)| tls::Session::new(config).ok());
        let Some(session) = session else { return self.terminate(id, CloseReason::Internal, Parting::Abort) };
        let mut held = self.take_held(id);
        if let Some(edge) = self.edge_mut(id) {
            edge.stage = Stage::Tls(Box::new(session));
        }
        self.decrypt(id, &mut held);
        self.links.pool.put(held);
    }

    /// Handles bytes from the socket of a connection with TLS.
    pub(in crate::shard) fn decrypt(&mut self, id: ConnId, bytes: &mut [u8]) {
        let Some(slot) = self.links.conns[id.index].link.edge.index() else { return };
        let edge = &mut self.links.edges[slot];
        let Stage::Tls(session) = &mut edge.stage else { return };
        let (mut plain, mut out) = (std::mem::take(&mut self.links.tls.plain), Vec::new());
        let was_handshaking = session.is_handshaking();
        let outcome = session.receive(bytes, &mut self.links.pool, &mut plain, &mut out);
        if was_handshaking && !session.is_handshaking() {
            let count = if session.is_resumed() { &mut self.metrics.tls_resumed } else { &mut self.metrics.tls_full };
            *count += 1;
        }
        let is_peer_done = session.is_peer_closed() && !std::mem::replace(&mut edge.is_peer_done, true);
        if !out.is_empty() {
            edge.sealed.push(Segment::from(out));
        }
        let is_flooding = edge.sealed.len() >= SEGMENTS_PER_SEND_MAX / 2;
        if !plain.is_empty() {
            self.receive_plain(id, &mut plain);
        }
        plain.clear();
        self.links.tls.plain = plain;
        if let Err(error) = outcome {
            self.metrics.tls_failed += 1;
            self.metrics.tls_alerts += u64::from(error.is_alert());
            tracing::debug!(conn = id.index, %error, "TLS failed");
            self.fail_edge(id);
        } else if is_flooding {
            // Each of its records needs an answer, and it reads none.
            self.terminate(id, CloseReason::TlsFailed, Parting::Abort);
        } else if is_peer_done {
            self.on_receive_closed(id, None);
        }
        self.mark_dirty(id);
    }

    /// Sends encrypted bytes. Returns whether the outbox has to wait: encrypted bytes are left, or nothing more may
    /// be sent.
    pub(in crate::shard) fn flush_sealed(&mut self, id: ConnId) -> bool {
        let conn = &mut self.links.conns[id.index];
        let Some(edge) = conn.link.edge.index().and_then(|slot| self.links.edges.get_mut(slot)) else { return false };
        if edge.is_in_flight {
            return true;
        }
        if !edge.sealed.is_empty() {
            self.send_sealed(id);
            return true;
        }
        let has_failed = matches!(edge.stage, Stage::Failed);
        if has_failed {
            self.links.outboxes.release(&mut conn.link.outbox);
            self.settle(id);
        }
        has_failed
    }

    /// Encrypts and sends the next portion of the outbox.
    pub(in crate::shard) fn encrypt(&mut self, id: ConnId, len_max: usize) {
        let conn = &mut self.links.conns[id.index];
        if self.links.tls.encrypted_len >= TLS_ENCRYPT_PER_TURN_LEN {
            if let Some(outbox) = self.links.outboxes.get_mut(conn.link.outbox) {
                outbox.hold_back();
            }
            return self.links.tls.postponed.push(id);
        }
        let Some(edge) = conn.link.edge.index().and_then(|slot| self.links.edges.get_mut(slot)) else { return };
        let Stage::Tls(session) = &mut edge.stage else { return };
        let portion_len = if edge.is_fast { TLS_PORTION_LEN_MAX } else { TLS_RECORD_LEN };
        let vector = self.links.outboxes.vector();
        let outbox = self.links.outboxes.get_mut(conn.link.outbox);
        let portion = outbox.and_then(|outbox| outbox.next_send(vector, len_max.min(portion_len)));
        debug_assert!(portion.is_some(), "what waits can be sent");
        let Some(mut segments) = portion else { return };
        let mut out = Vec::new();
        let outcome = match &*segments {
            [segment] => session.encrypt(segment, &mut out),
            _ => {
                self.links.tls.gathered.clear();
                segments.iter().for_each(|segment| self.links.tls.gathered.extend_from_slice(segment));
                session.encrypt(&self.links.tls.gathered, &mut out)
            }
        };
        segments.clear();
        self.links.outboxes.recycle(segments);
        if let Err(error) = outcome {
            tracing::debug!(conn = id.index, %error, "TLS failed");
            self.metrics.tls_failed += 1;
            return self.terminate(id, CloseReason::TlsFailed, Parting::Abort);
        }
        self.links.tls.encrypted_len += out.len();
        edge.sealed.push(Segment::from(out));
        self.send_sealed(id);
    }

    fn send_sealed(&mut self, id: ConnId) {
        let Some(slot) = self.links.conns[id.index].link.edge.index() else { return };
        let edge = &mut self.links.edges[slot];
        if !edge.sealed.is_empty() {
            edge.is_in_flight = true;
            let segments = std::mem::take(&mut edge.sealed);
            self.ops.push(Op::Send { conn: id, segments });
        }
    }

    /// Handles the end of a send of a connection with an edge. Once all encrypted bytes are sent, returns their
    /// length before encryption.
    pub(in crate::shard) fn on_sealed_sent(
        &mut self,
        id: ConnId,
        sent_len: usize,
        rest: &mut Vec<Segment>,
    ) -> Option<usize> {
        // A reader with a bandwidth cap counts as behind as soon as anything is left in its outbox.
        let is_limited = self.bandwidth(id.into()) > 0;
        let len_max = if is_limited { 0 } else { self.settings.live.limits.outbox_len_max as usize };
        let conn = &mut self.links.conns[id.index];
        let edge = conn.link.edge.index().and_then(|slot| self.links.edges.get_mut(slot))?;
        edge.is_in_flight = false;
        // The rest of a portion that was not taken at once does not count as fast.
        let is_fast = rest.is_empty() && !edge.is_rest;
        (edge.is_fast, edge.is_rest) = (is_fast, !rest.is_empty());
        if !rest.is_empty() {
            rest.append(&mut edge.sealed);
            std::mem::swap(rest, &mut edge.sealed);
        }
        let outbox = self.links.outboxes.get_mut(conn.link.outbox).filter(|outbox| outbox.is_in_flight());
        if edge.sealed.is_empty() {
            let begun_len = std::mem::take(&mut edge.begun_len);
            return Some(begun_len + outbox.map_or(0, |outbox| outbox.sent_all(if is_fast { len_max } else { 0 })));
        }
        // Records are a little longer than their content.
        edge.begun_len += outbox.map_or(0, |outbox| outbox.sent_some(sent_len));
        self.mark_dirty(id);
        None
    }

    /// Sends `close_notify` to a connection whose outbox became empty, once. Returns whether it did.
    pub(in crate::shard) fn says_tls_goodbye(&mut self, id: ConnId) -> bool {
        let is_said = self.seal_goodbye(id);
        self.send_sealed(id);
        is_said
    }

    /// Sends `close_notify` to a connection that is closed now, if no send is in flight.
    pub(in crate::shard) fn say_last_goodbye(&mut self, id: ConnId) {
        let is_busy = self.edge_mut(id).is_none_or(|edge| edge.is_in_flight || !edge.sealed.is_empty());
        if !is_busy && self.seal_goodbye(id) {
            self.send_sealed(id);
        }
    }

    fn seal_goodbye(&mut self, id: ConnId) -> bool {
        let Some(edge) = self.edge_mut(id) else { return false };
        let Stage::Tls(session) = &mut edge.stage else { return false };
        if session.is_handshaking() || std::mem::replace(&mut edge.has_said_goodbye, true) {
            return false;
        }
        let mut out = Vec::new();
        let is_said = session.say_goodbye(&mut out).is_ok() && !out.is_empty();
        if is_said {
            edge.sealed.push(Segment::from(out));
        }
        is_said
    }

    /// Uses certificates that were loaded again.
    pub(in crate::shard) fn on_certificates(&mut self, config: Option<tls::SharedConfig>, expires_s: u64) {
        let counts = u64::from(self.settings.shard.0 == 0);
        match config {
            Some(config) => {
                self.settings.edge.tls = Some((config, expires_s));
                self.metrics.tls_reloads += counts;
            }
            None => self.metrics.tls_reload_failures += counts,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_take_turns_and_each_keeps_its_order() {
        let mut handshakes = Handshakes::default();
        let id = |index| ConnId { index, generation: 0 };
        let crowd: IpAddr = "2001:db8::1".parse().expect("an address");
        let neighbour: IpAddr = "2001:db8::2".parse().expect("an address");
        let other: IpAddr = "192.0.2.1".parse().expect("an address");
        (0..4).for_each(|index| handshakes.push(Some(if index % 2 == 0 { crowd } else { neighbour }), id(index)));
        handshakes.push(Some(other), id(10));
        handshakes.push(None, id(20));
        let order: Vec<u32> = std::iter::from_fn(|| handshakes.pop()).map(|id| id.index).collect();
        assert_eq!(order, [0, 10, 20, 1, 2, 3]);
        assert!(handshakes.is_empty() && handshakes.by_address.is_empty());
    }
}
