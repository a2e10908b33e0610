//! The client's half of the opening handshake. [RFC 6455 4.1]

use fanwire::wire::ws::handshake::{accept_for, client_key};

use super::deflate::{Agreed, parse_agreed};

/// A server's answer to an opening handshake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// The head is not complete.
    Incomplete,
    /// The connection is open; frames follow behind so many bytes.
    Open(usize),
    /// The same, with messages compressed.
    OpenWithDeflate(usize, Agreed),
    /// Another status than 101.
    Refused(u16),
    /// No HTTP, a wrong `Sec-WebSocket-Accept`, or an extension that was not offered.
    Bad,
}

/// The offer in an opening handshake.
#[derive(Clone, Copy, Debug, Default)]
pub struct Offer<'a> {
    /// As `Sec-WebSocket-Protocol`.
    pub subprotocol: Option<&'a str>,
    /// As `Sec-WebSocket-Extensions`.
    pub extension: Option<&'a str>,
}

/// Appends the request. The connection's `nonce` makes its key.
pub fn encode_request(host: &str, path: &str, offer: Offer<'_>, nonce: [u8; 16], out: &mut Vec<u8>) {
    out.extend_from_slice(b"GET ");
    out.extend_from_slice(path.as_bytes());
    out.extend_from_slice(b" HTTP/1.1\r\nHost: ");
    out.extend_from_slice(host.as_bytes());
    out.extend_from_slice(b"\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n");
    out.extend_from_slice(b"Sec-WebSocket-Key: ");
    out.extend_from_slice(client_key(nonce).as_bytes());
    for (name, value) in [("Protocol", offer.subprotocol), ("Extensions", offer.extension)] {
        let Some(value) = value else { continue };
        out.extend_from_slice(b"\r\nSec-WebSocket-");
        out.extend_from_slice(name.as_bytes());
        out.extend_from_slice(b": ");
        out.extend_from_slice(value.as_bytes());
    }
    out.extend_from_slice(b"\r\n\r\n");
}

/// Looks at what came so far.
#[must_use]
pub fn parse_answer(bytes: &[u8], offers_deflate: bool, nonce: [u8; 16]) -> Answer {
    let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let mut response = httparse::Response::new(&mut headers);
    let head_len = match response.parse(bytes) {
        Ok(httparse::Status::Complete(len)) => len,
        Ok(httparse::Status::Partial) if bytes.len() < ANSWER_LEN_MAX => return Answer::Incomplete,
        _ => return Answer::Bad,
    };
    match response.code {
        Some(101) => {}
        Some(status) => return Answer::Refused(status),
        None => return Answer::Bad,
    }
    let value = |name: &str| {
        let mut values = response.headers.iter().filter(|header| header.name.eq_ignore_ascii_case(name));
        values.next().map(|header| header.value)
    };
    // "If the response lacks a |Sec-WebSocket-Accept| header field or [it] contains a value other than [this], the
    // client MUST _Fail the WebSocket Connection_" [RFC 6455 4.1]
    let is_ours = value("sec-websocket-accept").is_some_and(|accept| accept == accept_for(&client_key(nonce)));
    let upgrades = value("upgrade").is_some_and(|upgrade| upgrade.eq_ignore_ascii_case(b"websocket"));
    if !is_ours || !upgrades {
        return Answer::Bad;
    }
    // "... an extension that was not present in the client's handshake" [RFC 6455 4.1]
    match value("sec-websocket-extensions") {
        None => Answer::Open(head_len),
        Some(value) => match parse_agreed(value).filter(|_| offers_deflate) {
            Some(agreed) => Answer::OpenWithDeflate(head_len, agreed),
            None => Answer::Bad,
        },
    }
}

/// The nonce of one connection, made again when the answer is checked, so that nothing has to be kept.
#[must_use]
pub fn nonce(seed: u64, connection: u64) -> [u8; 16] {
    let mut random = fastrand::Rng::with_seed(seed ^ connection.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    random.u128(..).to_be_bytes()
}

/// Bytes of an answer's head. A longer one is no answer.
pub const ANSWER_LEN_MAX: usize = 16 * 1024;
const HEADERS_MAX: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    const NONCE: [u8; 16] = *b"the sample nonce";
    const ANSWER: &str = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
        Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";

    fn changed(from: &str, to: &str) -> Answer {
        assert!(ANSWER.contains(from), "{from}");
        parse_answer(ANSWER.replacen(from, to, 1).as_bytes(), false, NONCE)
    }

    #[test]
    fn the_answer_of_the_rfc_opens_the_connection_and_every_part_of_it_is_incomplete() {
        assert_eq!(parse_answer(ANSWER.as_bytes(), false, NONCE), Answer::Open(ANSWER.len()));
        assert_eq!(changed("\r\n\r\n", "\r\n\r\n\x01\x02"), Answer::Open(ANSWER.len()));
        for len in 0..ANSWER.len() {
            assert_eq!(parse_answer(&ANSWER.as_bytes()[..len], true, NONCE), Answer::Incomplete, "{len}");
        }
    }

    #[test]
    fn other_answers_are_refused_or_bad() {
        for (from, to, answer) in [
            ("101 Switching Protocols", "503 No", Answer::Refused(503)),
            ("101 Switching Protocols", "200 OK", Answer::Refused(200)),
            ("HTTP/1.1", "SSH-2.0", Answer::Bad),
            ("xOo=", "xOO=", Answer::Bad),
            ("Sec-WebSocket-Accept", "X", Answer::Bad),
            ("Upgrade: websocket", "Upgrade: h2c", Answer::Bad),
            ("Connection: Upgrade", "Sec-WebSocket-Extensions: permessage-deflate", Answer::Bad),
        ] {
            assert_eq!(changed(from, to), answer, "{to}");
        }
        let endless = "HTTP/1.1 101 OK\r\nA: ".to_owned() + &"a".repeat(ANSWER_LEN_MAX);
        assert_eq!(parse_answer(endless.as_bytes(), false, NONCE), Answer::Bad);
    }

    #[test]
    fn compression_is_agreed_to_only_if_it_was_offered() {
        let extension = "Connection: Upgrade\r\nSec-WebSocket-Extensions: permessage-deflate";
        let answer = ANSWER.replacen("Connection: Upgrade", extension, 1);
        let agreed = Agreed { server_no_context_takeover: false };
        assert_eq!(parse_answer(answer.as_bytes(), true, NONCE), Answer::OpenWithDeflate(answer.len(), agreed));
        assert_eq!(parse_answer(answer.as_bytes(), false, NONCE), Answer::Bad);
        let answer = answer.replacen("deflate", "inflate", 1);
        assert_eq!(parse_answer(answer.as_bytes(), true, NONCE), Answer::Bad);
    }

    #[test]
    fn the_library_accepts_the_request() {
        let mut out = Vec::new();
        let offer = Offer { subprotocol: Some("fanwire.json.v1"), extension: Some("permessage-deflate") };
        encode_request("h:1", "/raw/a?last=0", offer, nonce(1, 2), &mut out);
        let (head, len) = fanwire::wire::http1::parse_head(&out).expect("valid").expect("complete");
        assert_eq!(len, out.len());
        let upgrade = fanwire::wire::ws::handshake::accept(&head).expect("an opening handshake");
        assert_eq!(upgrade.accept, accept_for(&client_key(nonce(1, 2))));
        assert_ne!(nonce(1, 2), nonce(1, 3));
    }
}
