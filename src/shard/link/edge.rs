//! The layers between a connection's socket and its requests or frames: the PROXY header of a proxy, then TLS. A
//! connection with neither has no edge; one with TLS keeps its edge for the keys.
//!
//! ```text
//! Proxy --header--> Hello --record--> Waiting --its turn--> Tls --failure--> Failed
//!   |                 |   not TLS
//!   +--header---------+----------------------> no edge: plain HTTP
//! ```

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use super::conn::{Carrier, Flag};
use super::ending::Parting;
use crate::buf::Segment;
use crate::close::CloseReason;
use crate::command::ConnId;
use crate::limits::TLS_HELLO_LEN_MAX;
use crate::shard::Shard;
use crate::shard::slot::Slot;
use crate::transport::http::RequestError;
use crate::transport::tls;
use crate::wire::proxy::{Trusted, begins_header, forwarded_for, parse_header};

/// The layers of connections, by listener.
#[derive(Clone, Debug, Default)]
pub struct EdgeSettings {
    /// Whether a listener uses TLS. A listener without an entry does not.
    pub tls_listeners: Arc<[bool]>,
    /// The TLS configuration for handshakes, and the time at which the first certificate expires, in seconds since
    /// 1970.
    pub tls: Option<(tls::SharedConfig, u64)>,
    /// The proxies that are trusted to name a client's address.
    pub trusted: Arc<Trusted>,
    /// Whether connections of these proxies begin with a PROXY header.
    pub proxy_protocol: bool,
}

/// The layers between a connection and its socket.
#[derive(Debug)]
pub(in crate::shard) struct Edge {
    pub stage: Stage,
    /// The address of its client, if it is known.
    pub address: Option<IpAddr>,
    /// Bytes that are not enough yet, in a pooled block; no block while there are none.
    held: Vec<u8>,
    /// Encrypted bytes that the driver does not have yet, in order.
    pub sealed: Vec<Segment>,
    pub is_in_flight: bool,
    /// The socket took the last portion at once.
    pub is_fast: bool,
    /// The sealed bytes are the rest of a portion that the socket did not take at once.
    pub is_rest: bool,
    pub begun_len: usize,
    /// `close_notify` is sent or about to be sent.
    pub has_said_goodbye: bool,
    /// The peer's `close_notify` is handled.
    pub is_peer_done: bool,
}

impl Edge {
    /// The number of bytes that wait to be complete.
    pub fn held_len(&self) -> usize {
        let records = if let Stage::Tls(session) = &self.stage { session.held_len() } else { 0 };
        self.held.len() + records
    }
}

#[derive(Debug)]
pub(in crate::shard) enum Stage {
    /// Waits for a PROXY header, and then for TLS if `then_tls`.
    Proxy { then_tls: bool },
    /// Waits for the first record.
    Hello,
    /// The first record arrived; the connection waits for its handshake.
    Waiting,
    /// The handshake, and everything after it.
    Tls(Box<tls::Session>),
    /// Only the alert is still sent, and nothing is read.
    Failed,
}

impl Shard {
    /// Sets up the layers of a new connection.
    pub(in crate::shard) fn enter_edge(&mut self, id: ConnId, is_proxy: bool, listener: u8, address: Option<IpAddr>) {
        let then_tls = self.settings.edge.tls_listeners.get(usize::from(listener)).is_some_and(|is_tls| *is_tls);
        let stage = match is_proxy && self.settings.edge.proxy_protocol {
            true => Stage::Proxy { then_tls },
            false if then_tls => Stage::Hello,
            false => return,
        };
        let edge = Edge {
            stage,
            address,
            held: Vec::new(),
            sealed: Vec::new(),
            is_in_flight: false,
            is_fast: true,
            is_rest: false,
            begun_len: 0,
            has_said_goodbye: false,
            is_peer_done: false,
        };
        self.links.conns[id.index].link.edge = Slot::new(self.links.edges.insert(edge));
    }

    /// Whether a new connection uses HTTP from its first byte.
    pub(super) fn is_plain(&self, listener: u8, is_proxy: bool) -> bool {
        let is_tls = self.settings.edge.tls_listeners.get(usize::from(listener)).is_some_and(|is_tls| *is_tls);
        !(is_tls || is_proxy && self.settings.edge.proxy_protocol)
    }

    /// The edge of a connection, if it has one.
    pub(in crate::shard) fn edge_mut(&mut self, id: ConnId) -> Option<&mut Edge> {
        let slot = self.links.conns.get(id)?.link.edge.index()?;
        self.links.edges.get_mut(slot)
    }

    pub(in crate::shard) fn receive_at_edge(&mut self, id: ConnId, bytes: &mut [u8]) {
        let Some(edge) = self.edge_mut(id) else { return };
        match edge.stage {
            Stage::Tls(_) => return self.decrypt(id, bytes),
            Stage::Failed => return,
            Stage::Proxy { .. } | Stage::Hello | Stage::Waiting => {}
        }
        let Some(edge) = self.links.conns[id.index].link.edge.index().and_then(|slot| self.links.edges.get_mut(slot))
        else {
            return;
        };
        if edge.held.capacity() == 0 {
            edge.held = self.links.pool.take();
        }
        edge.held.extend_from_slice(bytes);
        if let Stage::Proxy { then_tls } = edge.stage {
            self.look_for_proxy_header(id, then_tls);
        } else {
            self.look_for_hello(id);
        }
    }

    fn look_for_proxy_header(&mut self, id: ConnId, then_tls: bool) {
        let Some(edge) = self.edge_mut(id) else { return };
        let header = match parse_header(&edge.held) {
            Ok(None) => return,
            Ok(Some(header)) => header,
            Err(_) => return self.terminate(id, CloseReason::BadProxyHeader, Parting::InOrder),
        };
        edge.held.drain(..header.len);
        if let Some(ip) = header.client {
            self.note_client(id, ip.to_canonical());
        }
        let address = header.client.map(|ip| ip.to_canonical());
        if then_tls {
            if let Some(edge) = self.edge_mut(id) {
                edge.stage = Stage::Hello;
                edge.address = address;
            }
            self.look_for_hello(id);
        } else {
            self.go_plain(id);
        }
    }

    fn look_for_hello(&mut self, id: ConnId) {
        let Some(edge) = self.edge_mut(id) else { return };
        match *edge.held {
            [] => {}
            [tls::HANDSHAKE, ..] if edge.held.len() > TLS_HELLO_LEN_MAX => self.fail_hello(id),
            [tls::HANDSHAKE, ..] => {
                if tls::has_record(&edge.held) && !matches!(edge.stage, Stage::Waiting) {
                    edge.stage = Stage::Waiting;
                    self.wait_for_handshake(id);
                }
            }
            _ if begins_header(&edge.held) => self.terminate(id, CloseReason::BadProxyHeader, Parting::InOrder),
            _ if tls::looks_like_http(&edge.held) => self.refuse_plain(id),
            _ => self.fail_hello(id),
        }
    }

    fn fail_hello(&mut self, id: ConnId) {
        self.metrics.tls_failed += 1;
        self.terminate(id, CloseReason::TlsFailed, Parting::InOrder);
    }

    /// From here on the bytes are HTTP.
    fn go_plain(&mut self, id: ConnId) {
        let mut held = self.take_held(id);
        self.release_edge(id, false);
        if !held.is_empty() {
            self.receive_plain(id, &mut held);
        }
        if held.capacity() > 0 {
            self.links.pool.put(held);
        }
    }

    /// The bytes that arrived before the current stage. The caller returns the block to the pool.
    pub(in crate::shard) fn take_held(&mut self, id: ConnId) -> Vec<u8> {
        let mut held = self.edge_mut(id).map(|edge| std::mem::take(&mut edge.held)).unwrap_or_default();
        if held.is_empty() && held.capacity() > 0 {
            self.links.pool.put(std::mem::take(&mut held));
        }
        held
    }

    /// Answers a client that speaks HTTP on a TLS port, in plain HTTP.
    fn refuse_plain(&mut self, id: ConnId) {
        self.release_edge(id, false);
        self.refuse_with(id, CloseReason::WrongScheme, "this port speaks TLS: use https:// or wss://");
    }

    /// Refuses a client whose first bytes are not HTTP on an HTTP port. Returns whether it did.
    pub(in crate::shard) fn turn_away(&mut self, id: ConnId, bytes: &[u8]) -> bool {
        let conn = &self.links.conns[id.index];
        if !conn.link.parser.is_none() || !conn.link.edge.is_none() {
            return false;
        }
        if bytes.first() == Some(&tls::HANDSHAKE) {
            self.reply(id, |out| out.extend_from_slice(&tls::NO_TLS_HERE));
            self.begin_end(id, CloseReason::WrongScheme);
            return true;
        }
        let is_header = begins_header(bytes);
        if is_header {
            let message = "a PROXY header, and this address is not trusted as a proxy";
            self.refuse_with(id, CloseReason::BadProxyHeader, message);
        }
        is_header
    }

    fn refuse_with(&mut self, id: ConnId, reason: CloseReason, message: &'static str) {
        self.links.conns[id.index].link.end = Some(reason);
        self.refuse_request(id, RequestError::with_status(reason.row().status, message));
    }

    /// Counts the client that a trusted proxy names for a connection, or for a poll on it. Clients with an unreadable
    /// address count as one. Returns whether a client was counted.
    pub(in crate::shard) fn note_forwarded_for(&mut self, id: ConnId, list: Option<&[u8]>) -> bool {
        let is_own = self.links.addresses.contains_key(&id.index);
        let Some(list) = list.filter(|_| !is_own) else { return false };
        // A connection without an address came from a trusted proxy, or over a Unix-domain socket that is not
        // trusted.
        if self.settings.edge.trusted.is_empty() {
            return false;
        }
        let ip = forwarded_for(list, &self.settings.edge.trusted).unwrap_or(Ipv4Addr::UNSPECIFIED.into());
        self.note_client(id, ip);
        self.links.addresses.contains_key(&id.index)
    }

    /// Frees the edge of a connection. With `in_order` the peer gets a `close_notify` first, if the socket takes it
    /// at once.
    pub(in crate::shard) fn release_edge(&mut self, id: ConnId, in_order: bool) {
        let Some(slot) = self.links.conns[id.index].link.edge.index() else { return };
        if in_order {
            self.say_last_goodbye(id);
        }
        self.links.conns[id.index].link.edge = Slot::NONE;
        let mut edge = self.links.edges.remove(slot);
        if edge.held.capacity() > 0 {
            self.links.pool.put(std::mem::take(&mut edge.held));
        }
        if let Stage::Tls(session) = &mut edge.stage {
            session.release(&mut self.links.pool);
        }
    }

    /// The TLS session failed: only sealed bytes are still sent; they end with the alert.
    pub(in crate::shard) fn fail_edge(&mut self, id: ConnId) {
        let Some(slot) = self.links.conns.get(id).and_then(|conn| conn.link.edge.index()) else { return };
        if let Stage::Tls(mut session) = std::mem::replace(&mut self.links.edges[slot].stage, Stage::Failed) {
            session.release(&mut self.links.pool);
        }
        let conn = &mut self.links.conns[id.index];
        if conn.link.carrier != Carrier::Gone {
            conn.link.end.get_or_insert(CloseReason::TlsFailed);
            self.begin_end(id, CloseReason::TlsFailed);
            self.links.conns[id.index].link.set(Flag::DEAF, true);
        }
    }
}
