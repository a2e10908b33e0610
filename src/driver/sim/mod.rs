//! A seeded fake kernel with a virtual clock: several shards' drivers and their peers in one thread.
//!
//! A test makes one [`SimNet`], takes a [`SimDriver`] for each shard and plays the peers itself. Every draw comes
//! from one generator, so the same seed and the same calls give the same run. [`Faults`] says what goes wrong.
//!
//! # Time
//! Time moves only by [`SimNet::advance_ms`] and [`SimNet::advance_to`]. A wait never blocks and never moves it: it
//! hands out what is ready, which may be nothing, and returns. The net remembers the deadline of each shard's last
//! wait, so a scheduler steps shards in an order of its own, and when no shard has work ([`SimNet::has_work`]) goes
//! to [`SimNet::next_deadline`].
//!
//! # Misuse
//! The shard's side of the promises is asserted here: one send in flight, no empty segment, an id that is used
//! once, a socket that is adopted or refused once.
//!
//! This room must never know the meaning of the bytes. Tests: `tests/driver_contract.rs`, and beside the code.

mod driver;
mod faults;
mod link;
mod net;
#[cfg(test)]
mod tests;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::atomic::Ordering;

pub use driver::{SimDriver, SimWaker};
pub use faults::Faults;

use self::link::{Link, ServerEnd, chance};
use self::net::{Happened, Net, Shard};
use crate::time::MonoTime;

/// The network, as the test sees it. Clones are handles of the same one.
#[derive(Clone, Debug)]
pub struct SimNet(Rc<RefCell<Net>>);

/// A peer of one connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PeerId(usize);

/// How a connection ended for its peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PeerEnd {
    /// The server ended its side in order, and everything before that was read.
    Finished,
    Reset,
}

/// The counts of the simulated kernel; all zero at the end of a run without leaks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Holdings {
    /// Connections that were not accepted.
    pub backlog: usize,
    /// Accepted sockets that were neither adopted nor refused.
    pub unadopted: usize,
    /// Connections that were not closed.
    pub connections: usize,
    /// Segments of sends that did not end.
    pub segments: usize,
    /// Completions that no wait has returned yet.
    pub queued: usize,
}

impl SimNet {
    /// A network with `shards` shards.
    ///
    /// # Panics
    /// If a chance in `faults` would keep something from ever happening.
    #[must_use]
    pub fn new(seed: u64, shards: usize, faults: Faults) -> Self {
        let Faults { late, would_block, accept_failure, .. } = faults;
        assert!(late < 1000 && would_block < 1000 && accept_failure < 1000, "a delay ends at some time");
        Self(Rc::new(RefCell::new(Net {
            now: MonoTime::ZERO.plus_millis(1),
            rng: fastrand::Rng::with_seed(seed),
            faults,
            links: Vec::new(),
            shards: (0..shards).map(|_| Shard::default()).collect(),
            sockets_max: usize::MAX,
            reachable: BTreeMap::new(),
        })))
    }

    /// The driver of one shard.
    ///
    /// # Panics
    /// If it was taken before.
    #[must_use]
    pub fn driver(&self, shard: usize) -> SimDriver {
        let had_driver = std::mem::replace(&mut self.0.borrow_mut().shards[shard].has_driver, true);
        assert!(!had_driver, "a shard has one driver");
        SimDriver::new(Rc::clone(&self.0), shard)
    }

    /// The time now.
    #[must_use]
    pub fn now(&self) -> MonoTime {
        self.0.borrow().now
    }

    /// Lets time pass.
    pub fn advance_ms(&self, millis: u64) {
        let mut net = self.0.borrow_mut();
        net.now = net.now.plus_millis(millis);
    }

    /// Lets time pass until `time`; not at all if that has passed.
    pub fn advance_to(&self, time: MonoTime) {
        let mut net = self.0.borrow_mut();
        net.now = net.now.max(time);
    }

    /// The next time at which something happens by itself: a shard's wait ends, or a listener has rested.
    #[must_use]
    pub fn next_deadline(&self) -> Option<MonoTime> {
        let net = self.0.borrow();
        net.shards.iter().flat_map(|shard| shard.until.into_iter().chain(shard.rests_until)).min()
    }

    /// Whether a wait of this shard has a completion, now or, if completions come late, soon.
    #[must_use]
    pub fn has_work(&self, shard: usize) -> bool {
        self.0.borrow().has_work(shard)
    }

    /// Whether this shard was woken since its last wait.
    #[must_use]
    pub fn is_woken(&self, shard: usize) -> bool {
        self.0.borrow().shards[shard].woken.load(Ordering::Acquire)
    }

    /// Bounds the sockets that the server may have open: past it accepting fails as with EMFILE. `None` for no bound.
    pub fn set_sockets_max(&self, sockets_max: Option<usize>) {
        self.0.borrow_mut().sockets_max = sockets_max.unwrap_or(usize::MAX);
    }

    /// The counts of the simulated kernel now.
    #[must_use]
    pub fn holdings(&self) -> Holdings {
        let net = self.0.borrow();
        let mut holdings = Holdings::default();
        for link in &net.links {
            match link.server {
                ServerEnd::Backlog => holdings.backlog += 1,
                ServerEnd::Accepted => holdings.unadopted += 1,
                ServerEnd::Connecting(_) | ServerEnd::Held(_) => holdings.connections += 1,
                ServerEnd::Gone => {}
            }
            holdings.segments += link.held.as_ref().map_or(0, Vec::len);
        }
        for queued in net.shards.iter().flat_map(|shard| &shard.queued) {
            holdings.queued += 1;
            if let Happened::Sent { rest, .. } = &queued.happened {
                holdings.segments += rest.len();
            }
        }
        holdings
    }

    /// Opens a connection to a shard, or to one that the seed picks.
    #[must_use]
    pub fn connect(&self, shard: Option<usize>) -> PeerId {
        let mut net = self.0.borrow_mut();
        let shards = net.shards.len();
        let shard = shard.unwrap_or_else(|| net.rng.usize(0..shards));
        PeerId(net.dial(shard))
    }

    /// Lets a connection come in on another listener than the first; before the shard accepts it.
    pub fn set_listener(&self, peer: PeerId, listener: u8) {
        self.link_mut(peer, |link| link.listener = listener);
    }

    /// Lets a connection come from another address than loopback; before the shard accepts it.
    pub fn set_address(&self, peer: PeerId, address: SocketAddr) {
        self.link_mut(peer, |link| link.peer_addr = address);
    }

    /// Lets `Op::Connect` reach `addr`, and returns the next peer that it reached there.
    #[must_use]
    pub fn accept_at(&self, addr: SocketAddr) -> Option<PeerId> {
        self.0.borrow_mut().reachable.entry(addr).or_default().pop_front().map(PeerId)
    }

    /// The peer writes. Returns how many bytes its kernel took: as many as there is room for, 0 after an end.
    pub fn write(&self, peer: PeerId, bytes: &[u8]) -> usize {
        let net = &mut *self.0.borrow_mut();
        net.links[peer.0].write_as_peer(bytes, &net.faults, &mut net.rng)
    }

    /// The peer reads what has come, which makes room for more. Nothing while it does not read.
    #[must_use]
    pub fn read(&self, peer: PeerId) -> Vec<u8> {
        let net = &mut *self.0.borrow_mut();
        let link = &mut net.links[peer.0];
        let len = link.outbound.bytes.len();
        if !link.is_peer_reading || len == 0 {
            return Vec::new();
        }
        let is_split = chance(&mut net.rng, net.faults.split_read);
        let count = if is_split { net.rng.usize(1..=len) } else { len };
        link.outbound.take(count)
    }

    /// Makes the peer stop reading, or read again.
    pub fn set_reading(&self, peer: PeerId, is_reading: bool) {
        self.link_mut(peer, |link| link.is_peer_reading = is_reading);
    }

    /// Whether the peer reads.
    #[must_use]
    pub fn is_reading(&self, peer: PeerId) -> bool {
        self.0.borrow().links[peer.0].is_peer_reading
    }

    /// The peer ends its side; it may go on reading.
    pub fn half_close(&self, peer: PeerId) {
        self.link_mut(peer, |link| link.inbound.is_finished = true);
    }

    /// The peer closes its socket: in order if it has read everything, by a reset otherwise.
    pub fn close(&self, peer: PeerId) {
        self.link_mut(peer, |link| {
            if link.outbound.bytes.is_empty() {
                link.inbound.is_finished = true;
                link.is_peer_gone = true;
            } else {
                link.reset_by_peer();
            }
        });
    }

    /// The peer resets the connection.
    pub fn reset(&self, peer: PeerId) {
        self.link_mut(peer, Link::reset_by_peer);
    }

    /// How the connection ended for the peer, once it has read what came before; `None` while it goes on.
    #[must_use]
    pub fn end(&self, peer: PeerId) -> Option<PeerEnd> {
        let net = self.0.borrow();
        let link = &net.links[peer.0];
        if !link.outbound.bytes.is_empty() {
            None
        } else if link.is_reset_for_peer {
            Some(PeerEnd::Reset)
        } else {
            link.outbound.is_finished.then_some(PeerEnd::Finished)
        }
    }

    /// Whether the server has closed its socket, even if the peer has not seen it yet.
    #[must_use]
    pub fn is_closed_by_server(&self, peer: PeerId) -> bool {
        self.0.borrow().links[peer.0].server == ServerEnd::Gone
    }

    /// Whether the peer's side of the stream has ended: by itself, by a fault, or by a reset.
    #[must_use]
    pub fn has_peer_ended(&self, peer: PeerId) -> bool {
        let net = self.0.borrow();
        let link = &net.links[peer.0];
        link.inbound.is_finished || link.is_reset_for_peer || link.is_peer_gone
    }

    /// The shard that the peer is connected to.
    #[must_use]
    pub fn shard_of(&self, peer: PeerId) -> usize {
        self.0.borrow().links[peer.0].shard
    }

    /// The peer's address, as `Accepted` shows it.
    #[must_use]
    pub fn addr_of(&self, peer: PeerId) -> SocketAddr {
        self.0.borrow().links[peer.0].peer_addr
    }

    fn link_mut(&self, peer: PeerId, change: impl FnOnce(&mut Link)) {
        change(&mut self.0.borrow_mut().links[peer.0]);
    }
}
