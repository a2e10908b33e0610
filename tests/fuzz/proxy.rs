//! Input from proxies: the PROXY header in either version, `X-Forwarded-For`, and networks.
//!
//! Oracles: what is read of a prefix never contradicts what is read of more, what was read is read again from the same
//! header written anew, and a list of forwarders is believed from its end only.

use std::net::IpAddr;

use fanwire::limits::PROXY_HEADER_LEN_MAX;
use fanwire::wire::proxy::{BadHeader, Header, Network, Trusted, begins_header, forwarded_for, parse_header};

use super::input::Input;

pub fn check(bytes: &[u8]) {
    let mut input = Input::new(bytes);
    match input.byte() % 4 {
        0 | 1 => check_header(input.rest()),
        2 => check_forwarded(&mut input),
        _ => check_network(&mut input),
    }
}

fn check_header(bytes: &[u8]) {
    let whole = parse_header(bytes);
    let mut is_decided = false;
    for len in 0..bytes.len().min(PROXY_HEADER_LEN_MAX + 1) {
        let outcome = parse_header(&bytes[..len]);
        assert!(outcome == Ok(None) || outcome == whole, "{len}: {outcome:?} and then {whole:?}");
        assert!(!is_decided || outcome != Ok(None), "what was decided is open again at {len}");
        is_decided |= outcome != Ok(None);
    }
    match whole {
        Ok(Some(header)) => check_whole(header, bytes),
        Ok(None) => assert!(bytes.len() < PROXY_HEADER_LEN_MAX, "it waits for more than a header can have"),
        Err(BadHeader) => {}
    }
}

fn check_whole(header: Header, bytes: &[u8]) {
    assert!(begins_header(bytes) && header.len <= PROXY_HEADER_LEN_MAX);
    let own = &bytes[..header.len];
    assert_eq!(parse_header(own), Ok(Some(header)), "nothing behind it is read");
    assert_eq!(parse_header(&own[..header.len - 1]), Ok(None), "all of it is read");
    if own.starts_with(b"PROXY ") {
        let text = std::str::from_utf8(own).expect("a header in words is text");
        let line = text.strip_suffix("\r\n").expect("it ends with its line");
        assert!(!line.contains("\r\n") && own.len() <= 107, "one line");
        let words: Vec<&str> = line.split(' ').collect();
        let is_port = |word: &str| word.chars().all(|digit| digit.is_ascii_digit()) && word.parse::<u16>().is_ok();
        match words[1] {
            "UNKNOWN" => assert_eq!(header.client, None),
            family => {
                let (source, destination): (IpAddr, IpAddr) = match (words[2].parse(), words[3].parse()) {
                    (Ok(source), Ok(destination)) => (source, destination),
                    _ => panic!("{line:?} has no addresses"),
                };
                let family_of = |ip: IpAddr| if ip.is_ipv4() { "TCP4" } else { "TCP6" };
                assert_eq!((family, family), (family_of(source), family_of(destination)));
                assert!(words.len() == 6 && is_port(words[4]) && is_port(words[5]), "{line:?}");
                assert_eq!(header.client, Some(source));
            }
        }
    } else {
        // [PROXY protocol 2.2]: signature, version and command, family, length.
        let (command, family) = (own[12], own[13]);
        assert_eq!(header.len, 16 + usize::from(own[14]) * 256 + usize::from(own[15]));
        assert!(matches!(command, 0x20 | 0x21), "{command:x}");
        let client = match (command, family) {
            (0x21, 0x11) => Some(IpAddr::from(<[u8; 4]>::try_from(&own[16..20]).expect("four bytes"))),
            (0x21, 0x21) => Some(IpAddr::from(<[u8; 16]>::try_from(&own[16..32]).expect("sixteen bytes"))),
            _ => None,
        };
        assert_eq!(header.client, client);
    }
    let Some(client) = header.client else { return };
    let family = if client.is_ipv4() { "TCP4" } else { "TCP6" };
    let anew = format!("PROXY {family} {client} {client} 1 65535\r\n");
    assert_eq!(parse_header(anew.as_bytes()), Ok(Some(Header { client: Some(client), len: anew.len() })));
}

fn networks(input: &mut Input<'_>) -> Trusted {
    let mut trusted = Trusted { networks: Vec::new(), unix: input.byte() % 2 == 1 };
    let text = String::from_utf8_lossy(input.counted());
    trusted.networks.extend(text.split(' ').take(8).filter_map(|word| word.parse::<Network>().ok()));
    trusted
}

fn check_forwarded(input: &mut Input<'_>) {
    let trusted = networks(input);
    let list = input.rest();
    let client = forwarded_for(list, &trusted);
    let hops: Vec<&[u8]> = list.split(|&byte| byte == b',').collect();
    // Of the hops behind the client each is a proxy, so that nobody between could have lied.
    if let Some(client) = client {
        assert_eq!(client, client.to_canonical());
        let believed = (1..=hops.len()).find(|&count| {
            let end = hops[hops.len() - count..].join(&b',');
            forwarded_for(&end, &trusted) == Some(client)
        });
        let believed = believed.expect("it is somewhere in the list");
        for hop in &hops[hops.len() - believed + 1..] {
            let ip = forwarded_for(hop, &trusted).expect("an address behind the client");
            assert!(trusted.has(ip), "{ip} is no proxy, and {client} was believed");
        }
        if !trusted.has(client) {
            let forged = [b"6.6.6.6, ", list].concat();
            assert_eq!(forwarded_for(&forged, &trusted), Some(client), "what was written before it is believed");
        }
    } else {
        assert!(forwarded_for(hops.last().expect("one hop"), &trusted).is_none());
    }
}

fn check_network(input: &mut Input<'_>) {
    let addresses: [u8; 16] = std::array::from_fn(|_| input.byte());
    let text = String::from_utf8_lossy(input.rest());
    let Ok(network) = text.parse::<Network>() else { return };
    let printed = network.to_string();
    assert_eq!(printed.parse(), Ok(network), "{text} is printed as {printed}");
    let (base, len) = printed.split_once('/').expect("an address and a length");
    let (base, len): (IpAddr, u32) = (base.parse().expect("an address"), len.parse().expect("a length"));
    let trusted = Trusted { networks: vec![network], unix: false };
    let v4 = IpAddr::from(*addresses.first_chunk::<4>().expect("four bytes"));
    for ip in [base, v4, IpAddr::from(addresses)] {
        let canonical = ip.to_canonical();
        assert_eq!(trusted.has(ip), is_in(base, len, canonical), "{ip} in {printed}");
    }
}

/// Bit by bit.
fn is_in(base: IpAddr, len: u32, ip: IpAddr) -> bool {
    let octets = |ip: IpAddr| match ip {
        IpAddr::V4(ip) => ip.octets().to_vec(),
        IpAddr::V6(ip) => ip.octets().to_vec(),
    };
    let (base, ip) = (octets(base), octets(ip));
    let bit = |octets: &[u8], at: u32| octets[at as usize / 8] >> (7 - at % 8) & 1;
    base.len() == ip.len() && (0..len).all(|at| bit(&base, at) == bit(&ip, at))
}
