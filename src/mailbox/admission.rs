//! How many connections the process has, and each address: the one count that shards share.
//!
//! SO_REUSEPORT spreads connections unevenly, so a share of the limit per shard would refuse some below it. The counts
//! are touched when a connection comes and goes, never for a message (docs/decisions/0002).

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// The shared count. Clones count together.
#[derive(Clone, Debug)]
pub struct Admission {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    connections: AtomicU32,
    connections_max: u32,
    has_refused: AtomicBool,
    by_ip: Mutex<HashMap<IpAddr, u32>>,
}

/// Why a connection is past a limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AdmissionError {
    /// The process has `connections_max`.
    Full,
    /// The address has `connections_per_ip_max`.
    AddressFull,
}

impl Admission {
    /// A count that admits `connections_max`.
    #[must_use]
    pub fn new(connections_max: u32) -> Self {
        let (connections, has_refused) = (AtomicU32::new(0), AtomicBool::new(false));
        let shared = Shared { connections, connections_max, has_refused, by_ip: Mutex::default() };
        Self { shared: Arc::new(shared) }
    }

    /// Counts a connection, and its address if there is one to count, of which `per_ip_max` are admitted. The shard
    /// remembers what it counted, and counts that out.
    ///
    /// # Errors
    /// If it is past a limit; then it is not counted.
    pub fn enter(&self, ip: Option<IpAddr>, per_ip_max: u32) -> Result<(), AdmissionError> {
        let shared = &*self.shared;
        let room = |count: u32| (count < shared.connections_max).then_some(count + 1);
        if shared.connections.fetch_update(Ordering::Relaxed, Ordering::Relaxed, room).is_err() {
            return Err(AdmissionError::Full);
        }
        ip.map_or(Ok(()), |ip| self.enter_address(ip, per_ip_max)).inspect_err(|_| {
            shared.connections.fetch_sub(1, Ordering::Relaxed);
        })
    }

    /// Counts the address of a connection that was counted without one.
    ///
    /// # Errors
    /// If the address has no room; then it is not counted.
    pub fn enter_address(&self, ip: IpAddr, per_ip_max: u32) -> Result<(), AdmissionError> {
        let mut by_ip = self.shared.by_ip.lock().unwrap_or_else(PoisonError::into_inner);
        let count = by_ip.entry(one_client(ip)).or_default();
        if *count >= per_ip_max {
            // An entry that was made for this is of nobody.
            if *count == 0 {
                by_ip.remove(&one_client(ip));
            }
            return Err(AdmissionError::AddressFull);
        }
        *count += 1;
        Ok(())
    }

    /// Counts a connection out that was counted in, with the address that was counted for it.
    pub fn leave(&self, ip: Option<IpAddr>) {
        let shared = &*self.shared;
        shared.connections.fetch_sub(1, Ordering::Relaxed);
        if let Some(ip) = ip {
            self.leave_address(ip);
        }
    }

    /// Counts an address out that was counted in, while its connection stays.
    pub fn leave_address(&self, ip: IpAddr) {
        let ip = one_client(ip);
        let mut by_ip = self.shared.by_ip.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = by_ip.get_mut(&ip) {
            *count -= 1;
            if *count == 0 {
                by_ip.remove(&ip);
            }
        }
    }

    /// Whether this is the first refusal. Notes that there was one.
    #[must_use]
    pub fn is_first_refusal(&self) -> bool {
        !self.shared.has_refused.swap(true, Ordering::Relaxed)
    }

    /// Connections counted now.
    #[must_use]
    pub fn connections(&self) -> u32 {
        self.shared.connections.load(Ordering::Relaxed)
    }
}

/// The address that stands for one client: an IPv4 address, or for IPv6 a /64 network, which one client has as a
/// whole. [RFC 6177 2]
#[must_use]
pub fn one_client(ip: IpAddr) -> IpAddr {
    match ip {
        IpAddr::V4(_) => ip,
        IpAddr::V6(ip) => Ipv6Addr::from_bits(ip.to_bits() & !u128::from(u64::MAX)).into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;

    #[test]
    fn both_limits_hold_and_the_counts_return_to_zero() {
        let admission = Admission::new(3);
        let ip = |last| Some(IpAddr::from(Ipv4Addr::new(127, 0, 0, last)));
        assert_eq!(admission.enter(ip(1), 2), Ok(()));
        assert_eq!(admission.enter(ip(1), 2), Ok(()));
        assert_eq!(admission.enter(ip(1), 2), Err(AdmissionError::AddressFull));
        assert_eq!(admission.enter(ip(2), 2), Ok(()));
        assert_eq!(admission.enter(ip(3), 2), Err(AdmissionError::Full));
        for last in [1, 1, 2] {
            admission.leave(ip(last));
        }
        assert_eq!(admission.enter(None, 2), Ok(()));
        assert_eq!(admission.enter_address([127, 0, 0, 1].into(), 2), Ok(()));
        admission.leave(ip(1));
        assert_eq!(admission.connections(), 0);
        assert!(admission.shared.by_ip.lock().expect("nobody panicked").is_empty());
    }

    #[test]
    fn a_client_in_ipv6_is_a_network_of_64_bits() {
        let admission = Admission::new(10);
        let enter = |ip: &str| admission.enter(Some(ip.parse().expect("an address")), 1);
        assert_eq!(enter("2001:db8:0:1::1"), Ok(()));
        assert_eq!(enter("2001:db8:0:1:ffff:ffff:ffff:ffff"), Err(AdmissionError::AddressFull));
        assert_eq!(enter("2001:db8:0:2::1"), Ok(()));
        admission.leave(Some("2001:db8:0:1::2".parse().expect("an address")));
        assert_eq!(enter("2001:db8:0:1::3"), Ok(()));
    }
}
