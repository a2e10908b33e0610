//! `X-Forwarded-For`: each proxy appends the address of its client, so that only the end of the list can be believed.

use std::net::{IpAddr, SocketAddr};

use super::Trusted;
use crate::limits::FORWARDED_HOPS_MAX;

/// The client of a list that came from a trusted proxy: the last hop that is not a trusted proxy. Before it anybody may
/// have written anything. `None` if the last hop is no address.
#[must_use]
pub fn forwarded_for(list: &[u8], trusted: &Trusted) -> Option<IpAddr> {
    let mut client = None;
    for hop in list.rsplit(|&byte| byte == b',').take(FORWARDED_HOPS_MAX) {
        let Some(ip) = str::from_utf8(hop.trim_ascii()).ok().and_then(address) else { break };
        client = Some(ip);
        if !trusted.has(ip) {
            break;
        }
    }
    client
}

/// An address; some proxies add the port, and put IPv6 into brackets.
fn address(hop: &str) -> Option<IpAddr> {
    let bare = hop.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(hop);
    let ip = bare.parse().ok().or_else(|| hop.parse::<SocketAddr>().ok().map(|addr| addr.ip()));
    ip.map(|ip: IpAddr| ip.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(list: impl AsRef<[u8]>, client: Option<&str>) {
        let list = list.as_ref();
        let networks = vec!["10.0.0.0/8".parse().expect("a network")];
        let client = client.map(|client| client.parse().expect("an address"));
        assert_eq!(forwarded_for(list, &Trusted { networks, unix: false }), client, "{}", list.escape_ascii());
    }

    #[test]
    fn the_last_hop_that_is_no_proxy_is_the_client() {
        check("203.0.113.9", Some("203.0.113.9"));
        check("1.1.1.1, 203.0.113.9", Some("203.0.113.9"));
        check("1.1.1.1, 203.0.113.9,10.0.0.1 ,\t10.0.0.2", Some("203.0.113.9"));
        check("10.0.0.1, 10.0.0.2", Some("10.0.0.1"));
        check("203.0.113.9:4711", Some("203.0.113.9"));
        check("[2001:db8::1]:4711", Some("2001:db8::1"));
        check("[2001:db8::1]", Some("2001:db8::1"));
        check("::ffff:203.0.113.9", Some("203.0.113.9"));
    }

    #[test]
    fn what_is_no_address_is_not_believed_nor_what_is_before_it() {
        check("", None);
        check("unknown", None);
        check(b"\xe9", None);
        check(b"203.0.113.9, \xe9", None);
        check(b"\xe9, 203.0.113.9", Some("203.0.113.9"));
        check(b"203.0.113.9, \xff, 10.0.0.1", Some("10.0.0.1"));
        check("1.1.1.1, evil", None);
        check("1.1.1.1, evil, 10.0.0.1", Some("10.0.0.1"));
        check("1.1.1.1,", None);
        check(format!("1.1.1.1{}", ", 10.0.0.1".repeat(FORWARDED_HOPS_MAX)), Some("10.0.0.1"));
    }
}
