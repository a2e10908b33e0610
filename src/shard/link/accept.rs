//! New connections, up to the limits and a little past them, so that who is refused is told.

use std::net::{IpAddr, SocketAddr};

use super::conn::{Standing, Timer};
use crate::command::ConnId;
use crate::driver::{Op, Socket};
use crate::limits::REFUSALS_MAX;
use crate::mailbox::AdmissionError;
use crate::shard::Shard;

impl Shard {
    pub(in crate::shard) fn on_accepted(&mut self, socket: Socket, peer: SocketAddr, listener: u8) {
        let ip = peer.ip().to_canonical();
        let is_proxy = self.settings.edge.trusted.has(ip);
        // Whom a proxy speaks for is known later. Who came in through a file has no address to be counted by.
        let ip = (!is_proxy && !ip.is_unspecified()).then_some(ip);
        let standing = match self.settings.admission.enter(ip) {
            Ok(()) => Standing::Counted,
            Err(AdmissionError::Full) => Standing::PastLimit,
            Err(AdmissionError::AddressFull) => Standing::PastAddressLimit,
        };
        let is_admitted = standing.is_counted();
        let has_place = is_admitted || self.links.refusals < REFUSALS_MAX;
        let Some(id) = (if has_place { self.links.conns.insert(self.now) } else { None }) else {
            if is_admitted {
                self.settings.admission.leave(ip);
            }
            self.metrics.refused += 1;
            self.ops.push(Op::Refuse { socket });
            return;
        };
        self.metrics.accepted += 1;
        self.metrics.http_connections += 1;
        self.links.refusals += u32::from(!is_admitted);
        if let Some(ip) = ip.filter(|_| is_admitted) {
            self.note_address(id, ip);
        }
        let link = &mut self.links.conns[id.index].link;
        (link.standing, link.listener) = (standing, listener);
        self.enter_edge(id, is_proxy, listener);
        self.ops.push(Op::Adopt { conn: id, socket });
        self.set_timer(id, Timer::Head);
    }

    fn note_address(&mut self, id: ConnId, ip: IpAddr) {
        if self.settings.admission.counts_addresses() {
            self.links.addresses.insert(id.index, ip);
        }
    }

    /// Counts a connection that came through a proxy for the client at its other end, the first that is named. Past the
    /// limit it gets no more than a refusal.
    pub(in crate::shard) fn note_client(&mut self, id: ConnId, ip: IpAddr) {
        let conn = &mut self.links.conns[id.index];
        if !conn.link.standing.is_counted() || self.links.addresses.contains_key(&id.index) {
            return;
        }
        match self.settings.admission.enter_address(ip) {
            Ok(()) => self.note_address(id, ip),
            Err(_) => conn.link.standing = Standing::CountedPastAddressLimit,
        }
    }

    /// Counts a connection out that is gone.
    pub(in crate::shard) fn count_out(&mut self, index: u32, is_admitted: bool) {
        if is_admitted {
            self.settings.admission.leave(self.links.addresses.remove(&index));
        } else {
            self.links.refusals -= 1;
        }
    }
}
