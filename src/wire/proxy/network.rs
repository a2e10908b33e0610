//! Networks, and which addresses are in them.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

/// A network: an address and how many of its first bits count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    addr: IpAddr,
    prefix_len: u8,
}

/// The proxies that are trusted to name a client's address.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Trusted {
    /// Networks of proxies.
    pub networks: Vec<Network>,
    /// Whether connections through socket files count as trusted proxies.
    pub unix: bool,
}

impl Trusted {
    /// Whether no proxy is trusted.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.networks.is_empty() && !self.unix
    }

    /// Whether an address is one of a trusted proxy. A connection through a socket file has the unspecified address.
    #[must_use]
    pub fn has(&self, ip: IpAddr) -> bool {
        let ip = ip.to_canonical();
        (self.unix && ip.is_unspecified()) || self.networks.iter().any(|network| network.has(ip))
    }
}

impl Network {
    fn has(self, ip: IpAddr) -> bool {
        self.addr.is_ipv4() == ip.is_ipv4() && (bits(self.addr) ^ bits(ip)) & mask(self.prefix_len) == 0
    }
}

/// The bits of an address from the left, as both families have their prefixes.
fn bits(ip: IpAddr) -> u128 {
    match ip {
        IpAddr::V4(ip) => u128::from(ip.to_bits()) << 96,
        IpAddr::V6(ip) => ip.to_bits(),
    }
}

fn mask(prefix_len: u8) -> u128 {
    u128::MAX.checked_shl(128 - u32::from(prefix_len)).unwrap_or(0)
}

impl FromStr for Network {
    type Err = ();

    /// `10.0.0.0/8`, or an address alone. Bits behind the prefix must be zero: they show a slip of the pen.
    fn from_str(text: &str) -> Result<Self, ()> {
        let (addr, prefix_len) = match text.split_once('/') {
            Some((addr, len)) if len.bytes().all(|byte| byte.is_ascii_digit()) => {
                (addr, Some(len.parse::<u8>().map_err(|_| ())?))
            }
            Some(_) => return Err(()),
            None => (text, None),
        };
        let addr: IpAddr = addr.parse().map_err(|_| ())?;
        let len_max = if addr.is_ipv4() { 32 } else { 128 };
        let prefix_len = prefix_len.unwrap_or(len_max);
        let is_network = prefix_len <= len_max && bits(addr) & !mask(prefix_len) == 0;
        is_network.then_some(Self { addr, prefix_len }).ok_or(())
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.addr, self.prefix_len)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_in_a_network_by_its_first_bits() {
        for (network, inside, outside) in [
            ("10.0.0.0/8", "10.255.0.1", "11.0.0.0"),
            ("10.1.2.3", "10.1.2.3", "10.1.2.2"),
            ("0.0.0.0/0", "255.255.255.255", "::1"),
            ("192.168.4.0/31", "192.168.4.1", "192.168.4.2"),
            ("fd00::/8", "fdff::1", "fe00::"),
            ("::1", "::1", "::2"),
            ("::/0", "2001:db8::1", "1.2.3.4"),
            ("2001:db8::/127", "2001:db8::1", "2001:db8::2"),
        ] {
            let trusted = Trusted { networks: vec![network.parse().expect(network)], unix: false };
            assert!(trusted.has(inside.parse().expect("an address")), "{network} {inside}");
            assert!(!trusted.has(outside.parse().expect("an address")), "{network} {outside}");
        }
    }

    #[test]
    fn an_address_of_the_old_family_in_the_new_one_is_the_old_one() {
        let trusted = Trusted { networks: vec!["10.0.0.0/8".parse().expect("a network")], unix: false };
        assert!(trusted.has("::ffff:10.0.0.1".parse().expect("an address")));
    }

    #[test]
    fn only_who_came_through_a_file_has_no_address() {
        let trusted = Trusted { networks: Vec::new(), unix: true };
        assert!(trusted.has("0.0.0.0".parse().expect("an address")));
        assert!(!trusted.has("127.0.0.1".parse().expect("an address")));
        assert!(!Trusted::default().has("0.0.0.0".parse().expect("an address")));
    }

    #[test]
    fn what_is_no_network_is_refused() {
        for bad in
            ["", "10.0.0.0/33", "10.0.0.1/8", "::1/64", "::/129", "10.0.0.0/", "10.0.0.0/+8", "localhost", "10/8"]
        {
            assert!(bad.parse::<Network>().is_err(), "{bad}");
        }
    }
}
