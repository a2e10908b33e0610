//! `uri-host [ ":" port ]`: the form of `Host` and of the authority in an absolute target. [RFC 3986 3.2.2]

use std::net::Ipv6Addr;

use super::target::hex_digit;

/// Whether bytes are a host, which may be empty, and perhaps a port.
pub(super) fn is_authority(bytes: &[u8]) -> bool {
    let Some(literal) = bytes.strip_prefix(b"[") else {
        let end = bytes.iter().position(|&byte| byte == b':').unwrap_or(bytes.len());
        let (host, port) = bytes.split_at(end);
        return is_reg_name(host) && is_port(port);
    };
    let Some(end) = literal.iter().position(|&byte| byte == b']') else { return false };
    is_ip_literal(&literal[..end]) && is_port(&literal[end + 1..])
}

/// `*( unreserved / pct-encoded / sub-delims )`, which IPv4 addresses are, too.
fn is_reg_name(host: &[u8]) -> bool {
    let mut rest = host;
    while let [first, after @ ..] = rest {
        rest = match (first, after) {
            (b'%', [high, low, after @ ..]) if hex_digit(*high).is_some() && hex_digit(*low).is_some() => after,
            (byte, after) if is_name_byte(*byte) => after,
            _ => return false,
        };
    }
    true
}

fn is_ip_literal(literal: &[u8]) -> bool {
    let is_future = |rest: &[u8]| {
        let dot = rest.iter().position(|&byte| byte == b'.').unwrap_or_default();
        let (version, address) = rest.split_at(dot);
        let is_address_byte = |&byte: &u8| is_name_byte(byte) || byte == b':';
        !version.is_empty()
            && version.iter().all(|&byte| hex_digit(byte).is_some())
            && address.len() > 1
            && address[1..].iter().all(is_address_byte)
    };
    match literal {
        [b'v' | b'V', rest @ ..] => is_future(rest),
        _ => str::from_utf8(literal).is_ok_and(|text| text.parse::<Ipv6Addr>().is_ok()),
    }
}

/// Nothing, or a colon and digits, perhaps none.
fn is_port(bytes: &[u8]) -> bool {
    match bytes {
        [] => true,
        [b':', digits @ ..] => digits.iter().all(u8::is_ascii_digit),
        _ => false,
    }
}

/// `unreserved / sub-delims`
fn is_name_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=".contains(&byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_and_a_port_are_taken_and_nothing_else() {
        for good in [
            "",
            "localhost",
            "push.example:8080",
            "a:",
            "127.0.0.1:0",
            "[::1]",
            "[::1]:8080",
            "[2001:db8::1]:",
            "[::ffff:1.2.3.4]",
            "[v1.a:b]",
            "b%C3%BCcher.example",
            "a_b~!$&'()*+,;=",
        ] {
            assert!(is_authority(good.as_bytes()), "{good:?}");
        }
        for bad in [
            "[::1",
            "::1]",
            "[::1]x",
            "[::1]:x",
            "[]",
            "[1]",
            "[::1%25eth0]",
            "[v1]",
            "[v.a]",
            "[v1.]",
            "::1",
            "a:x",
            "a:80:80",
            "a:-1",
            "a%b",
            "a%",
            "a%4",
            "a%4g",
            "a b",
            "a/b",
            "a@b",
            "a?b",
            "a#b",
            "a\\b",
            "a\"b",
            "a<b",
            "\u{fc}",
        ] {
            assert!(!is_authority(bad.as_bytes()), "{bad:?}");
        }
    }
}
