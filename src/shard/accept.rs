//! New connections, up to the limits and a little past them, so that who is refused is told.

use std::net::SocketAddr;

use super::Shard;
use super::conn::{Flag, Timer};
use crate::driver::{Op, Socket};
use crate::limits::REFUSALS_MAX;
use crate::mailbox::AdmissionError;

impl Shard {
    pub(super) fn on_accepted(&mut self, socket: Socket, peer: SocketAddr) {
        let ip = peer.ip().to_canonical();
        let flag = match self.settings.admission.enter(ip) {
            Ok(()) => Flag::ADMITTED,
            Err(AdmissionError::Full) => Flag::PAST_LIMIT,
            Err(AdmissionError::AddressFull) => Flag::PAST_ADDRESS_LIMIT,
        };
        let is_admitted = flag == Flag::ADMITTED;
        let has_place = is_admitted || self.refusals < REFUSALS_MAX;
        let Some(id) = (if has_place { self.conns.insert(self.now) } else { None }) else {
            if is_admitted {
                self.settings.admission.leave(ip);
            }
            self.metrics.refused += 1;
            self.ops.push(Op::Refuse { socket });
            return;
        };
        self.metrics.accepted += 1;
        self.metrics.http_connections += 1;
        self.refusals += u32::from(!is_admitted);
        if is_admitted && self.settings.admission.counts_addresses() {
            self.addresses.insert(id.index, ip);
        }
        self.conns[id.index].set(flag, true);
        self.ops.push(Op::Adopt { conn: id, socket });
        self.set_timer(id, Timer::Head);
    }

    /// Counts a connection out that is gone.
    pub(super) fn count_out(&mut self, index: u32, is_admitted: bool) {
        if is_admitted {
            let ip = self.addresses.remove(&index).unwrap_or(std::net::Ipv4Addr::UNSPECIFIED.into());
            self.settings.admission.leave(ip);
        } else {
            self.refusals -= 1;
        }
    }
}
