//! The PROXY header, versions 1 and 2: the address of the proxy's client.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::limits::PROXY_HEADER_LEN_MAX;

/// A complete header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// The address of the client; `None` for the proxy's own connections, such as health checks, and if the proxy does
    /// not know.
    pub client: Option<IpAddr>,
    /// Bytes that the header took.
    pub len: usize,
}

/// The bytes cannot become a header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadHeader;

/// Whether bytes begin as a header does: neither HTTP nor TLS begins like that.
#[must_use]
pub fn begins_header(bytes: &[u8]) -> bool {
    bytes.starts_with(SIGNATURE_1) || bytes.starts_with(SIGNATURE_2)
}

/// Parses the header at the start of `bytes`; `None` while it is incomplete.
///
/// # Errors
/// As soon as the bytes cannot become a header of at most `PROXY_HEADER_LEN_MAX` bytes.
pub fn parse_header(bytes: &[u8]) -> Result<Option<Header>, BadHeader> {
    if bytes.starts_with(SIGNATURE_1) {
        parse_text(bytes)
    } else if bytes.starts_with(SIGNATURE_2) {
        parse_binary(bytes)
    } else if SIGNATURE_1.starts_with(bytes) || SIGNATURE_2.starts_with(bytes) {
        Ok(None)
    } else {
        Err(BadHeader)
    }
}

/// `PROXY TCP4 203.0.113.9 192.0.2.1 4711 443`, or `PROXY UNKNOWN` with anything behind it, and a line end.
fn parse_text(bytes: &[u8]) -> Result<Option<Header>, BadHeader> {
    let window = &bytes[..bytes.len().min(TEXT_LEN_MAX)];
    let Some(end) = window.windows(2).position(|two| two == b"\r\n") else {
        return if bytes.len() < TEXT_LEN_MAX { Ok(None) } else { Err(BadHeader) };
    };
    let line = str::from_utf8(&window[SIGNATURE_1.len()..end]).map_err(|_| BadHeader)?;
    let len = end + 2;
    let words: Vec<&str> = line.split(' ').collect();
    let client = match words[..] {
        ["UNKNOWN", ..] => None,
        [family @ ("TCP4" | "TCP6"), source, destination, source_port, destination_port] => {
            let is_port = |word: &str| word.bytes().all(|byte| byte.is_ascii_digit()) && word.parse::<u16>().is_ok();
            if !is_port(source_port) || !is_port(destination_port) {
                return Err(BadHeader);
            }
            let of_family = |word: &str| {
                let ip: Option<IpAddr> = word.parse().ok();
                ip.filter(|ip| ip.is_ipv4() == (family == "TCP4")).ok_or(BadHeader)
            };
            of_family(destination)?;
            Some(of_family(source)?)
        }
        _ => return Err(BadHeader),
    };
    Ok(Some(Header { client, len }))
}

/// The signature, version and command, family, and the length of the addresses and of further values.
fn parse_binary(bytes: &[u8]) -> Result<Option<Header>, BadHeader> {
    let Some((&[command, family, high, low], rest)) = bytes[SIGNATURE_2.len()..].split_first_chunk::<4>() else {
        return Ok(None);
    };
    let body_len = usize::from(u16::from_be_bytes([high, low]));
    let len = SIGNATURE_2.len() + 4 + body_len;
    let is_local = match command {
        0x20 => true,
        0x21 => false,
        _ => return Err(BadHeader),
    };
    if len > PROXY_HEADER_LEN_MAX {
        return Err(BadHeader);
    }
    let Some(body) = rest.get(..body_len) else { return Ok(None) };
    let client: Option<IpAddr> = match family {
        _ if is_local => None,
        TCP_OVER_IPV4 => {
            let (source, _) = body.get(..12).ok_or(BadHeader)?.split_first_chunk::<4>().ok_or(BadHeader)?;
            Some(Ipv4Addr::from(*source).into())
        }
        TCP_OVER_IPV6 => {
            let (source, _) = body.get(..36).ok_or(BadHeader)?.split_first_chunk::<16>().ok_or(BadHeader)?;
            Some(Ipv6Addr::from(*source).into())
        }
        UNSPECIFIED | UNIX_STREAM => None,
        _ => return Err(BadHeader),
    };
    Ok(Some(Header { client, len }))
}

const SIGNATURE_1: &[u8] = b"PROXY ";
const SIGNATURE_2: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";
/// The longest line of version 1 that its specification knows, line end included.
const TEXT_LEN_MAX: usize = 107;
const UNSPECIFIED: u8 = 0x00;
const TCP_OVER_IPV4: u8 = 0x11;
const TCP_OVER_IPV6: u8 = 0x21;
const UNIX_STREAM: u8 = 0x31;

#[cfg(test)]
mod tests {
    use super::*;

    fn binary(command: u8, family: u8, body: &[u8]) -> Vec<u8> {
        let len = (body.len() as u16).to_be_bytes();
        [SIGNATURE_2, &[command, family], &len, body].concat()
    }

    /// Each prefix is incomplete, and bytes behind the header are left alone.
    fn check(header: &[u8], client: Option<&str>) {
        for len in 0..header.len() {
            assert_eq!(parse_header(&header[..len]), Ok(None), "{len} of {header:?}");
        }
        let client = client.map(|client| client.parse().expect("an address"));
        let whole = Ok(Some(Header { client, len: header.len() }));
        assert_eq!(parse_header(header), whole);
        assert_eq!(parse_header(&[header, b"GET / HTTP/1.1\r\n\r\n"].concat()), whole);
    }

    #[test]
    fn both_versions_tell_the_client() {
        check(b"PROXY TCP4 203.0.113.9 192.0.2.1 4711 443\r\n", Some("203.0.113.9"));
        check(b"PROXY TCP6 2001:db8::1 ::1 65535 0\r\n", Some("2001:db8::1"));
        check(b"PROXY UNKNOWN\r\n", None);
        check(b"PROXY UNKNOWN ffff::1 whatever\r\n", None);
        let addresses = [203, 0, 113, 9, 192, 0, 2, 1, 1, 2, 3, 4];
        check(&binary(0x21, 0x11, &addresses), Some("203.0.113.9"));
        check(&binary(0x21, 0x11, &[&addresses[..], &[3, 0, 1, 7]].concat()), Some("203.0.113.9"));
        check(&binary(0x20, 0x11, &addresses), None);
        check(&binary(0x20, 0x00, &[]), None);
        check(&binary(0x21, 0x00, &[]), None);
        check(&binary(0x21, 0x31, &[0; 216]), None);
        let mut body = [0; 36];
        body[15] = 1;
        check(&binary(0x21, 0x21, &body), Some("::1"));
    }

    #[test]
    fn what_is_no_header_is_refused_as_soon_as_it_can_be() {
        for bad in [
            &b"GET / HTTP/1.1\r\n"[..],
            b"proxy TCP4 ",
            b"PROXX",
            b"PROXY TCP4 203.0.113.9 192.0.2.1 4711 443 \r\n",
            b"PROXY TCP4 203.0.113.9 192.0.2.1 4711\r\n",
            b"PROXY TCP4 203.0.113.9  192.0.2.1 4711 443\r\n",
            b"PROXY TCP4 203.0.113.9 192.0.2.1 +4711 443\r\n",
            b"PROXY TCP4 203.0.113.9 192.0.2.1 65536 443\r\n",
            b"PROXY TCP4 ::1 ::2 1 2\r\n",
            b"PROXY TCP6 1.2.3.4 ::2 1 2\r\n",
            b"PROXY UDP4 1.2.3.4 1.2.3.4 1 2\r\n",
            b"PROXY \xff\r\n",
            b"PROXY \r\n",
            &[0x16, 3, 1],
            &binary(0x11, 0x11, &[0; 12]),
            &binary(0x22, 0x11, &[0; 12]),
            &binary(0x21, 0x11, &[0; 11]),
            &binary(0x21, 0x21, &[0; 35]),
            &binary(0x21, 0x12, &[0; 12]),
            &binary(0x21, 0x11, &[0; PROXY_HEADER_LEN_MAX])[..16],
        ] {
            assert_eq!(parse_header(bad), Err(BadHeader), "{bad:?}");
        }
        let endless = [b"PROXY UNKNOWN ".as_slice(), &[b'x'; TEXT_LEN_MAX]].concat();
        assert_eq!(parse_header(&endless), Err(BadHeader));
        assert_eq!(parse_header(&endless[..TEXT_LEN_MAX - 1]), Ok(None));
    }

    #[test]
    fn no_bytes_are_a_panic() {
        let mut rng = fastrand::Rng::with_seed(7);
        let good = [
            b"PROXY TCP4 203.0.113.9 192.0.2.1 4711 443\r\n".to_vec(),
            binary(0x21, 0x11, &[7; 12]),
            binary(0x21, 0x21, &[7; 40]),
        ];
        for _ in 0..50_000 {
            let mut bytes = good[rng.usize(0..good.len())].clone();
            for _ in 0..rng.usize(1..4) {
                let at = rng.usize(0..bytes.len());
                bytes[at] = rng.u8(..);
            }
            bytes.truncate(rng.usize(0..=bytes.len()));
            if let Ok(Some(header)) = parse_header(&bytes) {
                assert!(header.len <= bytes.len());
            }
        }
    }
}
