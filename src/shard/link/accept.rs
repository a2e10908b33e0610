//! New connections, up to the limits and a little past them, so that refused clients get an answer.

use std::net::{IpAddr, SocketAddr};

use super::conn::{Standing, Timer};
use crate::command::{ConnId, Owner};
use crate::driver::{Op, Socket};
use crate::mailbox::{AdmissionError, one_client};
use crate::shard::Shard;

impl Shard {
    pub(in crate::shard) fn on_accepted(&mut self, socket: Socket, peer: SocketAddr, listener: u8) {
        let ip = peer.ip().to_canonical();
        let is_proxy = self.settings.edge.trusted.has(ip);
        // The client behind a proxy is known later. A peer over a Unix-domain socket has no address to count.
        let client = (!is_proxy && !ip.is_unspecified()).then_some(ip);
        let ip = client.filter(|_| self.counts_addresses());
        let per_ip_max = self.settings.live.limits.connections_per_ip_max;
        let entered =
            if self.has_seat() { self.settings.admission.enter(ip, per_ip_max) } else { Err(AdmissionError::Full) };
        let standing = match entered {
            Ok(()) => Standing::Counted,
            Err(AdmissionError::Full) => Standing::PastLimit,
            Err(AdmissionError::AddressFull) => Standing::PastAddressLimit,
        };
        if standing == Standing::PastLimit && self.settings.admission.is_first_refusal() {
            let connections_max = self.settings.live.limits.connections_max;
            tracing::warn!(
                connections_max,
                "the limit of connections is reached: new ones get 503, told only this once; it is what connections_max \
                 and the limit of open files allow, see `fanwire doctor` and fanwire_refused_total"
            );
        }
        let is_admitted = standing.is_counted();
        let has_place = is_admitted || self.has_refusal_seat();
        let Some(id) = (if has_place { self.links.conns.insert(self.now) } else { None }) else {
            if is_admitted {
                self.settings.admission.leave(ip);
            }
            self.metrics.refused += 1;
            let words = if self.is_plain(listener, is_proxy) { LAST_WORDS } else { b"" };
            self.ops.push(Op::Refuse { socket, words });
            return;
        };
        self.metrics.accepted += 1;
        self.metrics.http_connections += 1;
        if !is_admitted {
            self.take_refusal_seat(id);
        }
        if let Some(ip) = ip.filter(|_| is_admitted) {
            self.links.addresses.insert(id.index, ip);
        }
        self.links.conns[id.index].session.owner = self.owner_of(id, client);
        let link = &mut self.links.conns[id.index].link;
        (link.standing, link.listener) = (standing, listener);
        if self.settings.log_peers {
            self.links.peers.insert(id.index, peer);
        }
        self.enter_edge(id, is_proxy, listener, client);
        self.ops.push(Op::Adopt { conn: id, socket });
        self.set_timer(id, Timer::Head);
    }

    /// Whether connections are counted by address, so that the shard must remember the addresses.
    pub(in crate::shard) fn counts_addresses(&self) -> bool {
        self.settings.live.limits.connections_per_ip_max > 0
    }

    /// The owner in whose share a connection counts: the address of its client, or the connection itself while the
    /// address is unknown.
    fn owner_of(&self, id: ConnId, ip: Option<IpAddr>) -> Owner {
        use std::hash::Hasher as _;
        let (one, other) = self.settings.hash_key;
        let mut hasher = siphasher::sip::SipHasher13::new_with_keys(other, one);
        match ip.map(one_client) {
            Some(IpAddr::V4(ip)) => hasher.write_u32(ip.to_bits()),
            Some(IpAddr::V6(ip)) => hasher.write_u128(ip.to_bits()),
            None => hasher.write_u64(u64::from(id.index) << 32 | u64::from(id.generation)),
        }
        Owner(hasher.finish() as u16)
    }

    /// Counts a connection through a proxy for its client, the first time that the proxy names one. If the client's
    /// address is at its limit, the connection gets only a refusal.
    pub(in crate::shard) fn note_client(&mut self, id: ConnId, ip: IpAddr) {
        let owner = self.owner_of(id, Some(ip));
        let conn = &mut self.links.conns[id.index];
        // Subscriptions that the session has already stay in the share of its earlier owner.
        if conn.session.target_count == 0 {
            conn.session.owner = owner;
        }
        if !conn.link.standing.is_counted() || self.links.addresses.contains_key(&id.index) {
            return;
        }
        if let Some(peer) = self.links.peers.get_mut(&id.index) {
            // The client's port is unknown.
            *peer = SocketAddr::new(ip, 0);
        }
        let per_ip_max = self.settings.live.limits.connections_per_ip_max;
        if per_ip_max == 0 {
            return;
        }
        match self.settings.admission.enter_address(ip, per_ip_max) {
            Ok(()) => drop(self.links.addresses.insert(id.index, ip)),
            Err(_) => conn.link.standing = Standing::CountedPastAddressLimit,
        }
    }

    /// Counts a client out after its request is answered, while its connection stays.
    pub(in crate::shard) fn forget_client(&mut self, id: ConnId) {
        if let Some(ip) = self.links.addresses.remove(&id.index) {
            self.settings.admission.leave_address(ip);
        }
    }

    /// Counts out a connection that is gone.
    pub(in crate::shard) fn count_out(&mut self, index: u32, is_admitted: bool) {
        self.links.peers.remove(&index);
        if is_admitted {
            self.settings.admission.leave(self.links.addresses.remove(&index));
        } else {
            self.links.refusals -= 1;
        }
    }
}

/// The response to a connection that finds no seat even for a refusal.
const LAST_WORDS: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/json\r\nRetry-After: 5\r\n\
Content-Length: 77\r\nConnection: close\r\n\r\n\
{\"code\":\"overloaded\",\"message\":\"the gateway is at its limit of connections\"}\n";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::close::ErrorCode;
    use crate::wire::http1::encode_status_line;

    #[test]
    fn the_last_words_are_a_whole_response() {
        let text = std::str::from_utf8(LAST_WORDS).expect("text");
        let (head, body) = text.split_once("\r\n\r\n").expect("a head");
        assert!(head.contains(&format!("\r\nContent-Length: {}\r\n", body.len())), "{head}");
        let (status, code) = (ErrorCode::Overloaded.status(), ErrorCode::Overloaded.as_str());
        let mut status_line = Vec::new();
        encode_status_line(&mut status_line, status);
        assert!(LAST_WORDS.starts_with(&status_line) && body.contains(&format!("\"{code}\"")), "{text}");
        assert!(head.contains(&format!("\r\nRetry-After: {}\r\n", crate::limits::RETRY_AFTER_S)), "{head}");
    }
}
