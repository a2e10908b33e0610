//! Extensions in the opening handshake: the client's offer, and the answer. [RFC 6455 9.1, RFC 7692 7.1]

use super::handshake::HandshakeError;
use crate::wire::http1::{RequestHead, is_token_byte};

/// An offer of `permessage-deflate` that can be accepted.
///
/// Of the options for the client's own messages only `client_no_context_takeover` is kept, since the answer asks for
/// it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DeflateOffer {
    /// Each of our messages must be compressed without a history.
    pub server_no_context_takeover: bool,
    /// The largest window that ours may have, in bits, `9..=15`; `None` if the client does not care.
    pub server_max_window_bits: Option<u8>,
    /// The client promises to compress each of its messages without a history.
    pub client_no_context_takeover: bool,
}

/// The answer to an offer. `client_no_context_takeover` always stands in it, so that nothing need be kept of a client
/// between two of its messages; some lean on earlier ones all the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeflateAnswer {
    /// Each of our messages is compressed without a history.
    pub server_no_context_takeover: bool,
    /// Our window in bits, if the client asked for one: at most the bits that it asked for.
    pub server_max_window_bits: Option<u8>,
}

/// The first offer that can be accepted, over all fields of the name: clients put the preferred one first.
///
/// # Errors
/// "If a value is received ... that does not conform to the ABNF ..., the recipient of such malformed data MUST
/// immediately _Fail the WebSocket Connection_." [RFC 6455 9.1]
pub fn accept_deflate(head: &RequestHead<'_>) -> Result<Option<DeflateOffer>, HandshakeError> {
    let mut first = None;
    for value in head.raw_values(EXTENSIONS) {
        let mut cursor = Cursor(value);
        // All of the list is read, so that a mistake in the grammar behind a good offer is found too.
        while let Some(offer) = cursor.extension().ok_or(HandshakeError::BadExtensions)? {
            first = first.or(offer);
        }
    }
    Ok(first)
}

/// Appends the field's line, its end included.
pub fn encode_answer(out: &mut Vec<u8>, answer: &DeflateAnswer) {
    out.extend_from_slice(b"Sec-WebSocket-Extensions: permessage-deflate; client_no_context_takeover");
    if answer.server_no_context_takeover {
        out.extend_from_slice(b"; server_no_context_takeover");
    }
    if let Some(bits) = answer.server_max_window_bits {
        out.extend_from_slice(b"; server_max_window_bits=");
        out.extend_from_slice(itoa::Buffer::new().format(bits).as_bytes());
    }
    out.extend_from_slice(b"\r\n");
}

/// A walk along one field: `1#extension` with `extension = token *( ";" token [ "=" ( token | quoted-string ) ] )`.
struct Cursor<'a>(&'a [u8]);

impl<'a> Cursor<'a> {
    /// The next extension of the list: `Some(None)` at its end, `Some(Some(None))` for one that is declined, `None` if
    /// it breaks the grammar.
    fn extension(&mut self) -> Option<Option<Option<DeflateOffer>>> {
        // Elements of a list may be empty. [RFC 9110 5.6.1.2]
        while self.take(b',') {}
        if self.0.is_empty() {
            return Some(None);
        }
        let name = self.token()?;
        let mut parameters = Parameters::new(name.eq_ignore_ascii_case(b"permessage-deflate"));
        while self.take(b';') {
            let parameter = self.token()?;
            let value = if self.take(b'=') { Some(self.value()?) } else { None };
            parameters.add(parameter, value.as_deref());
        }
        (self.take(b',') || self.0.is_empty()).then(|| Some(parameters.offer()))
    }

    /// Whether the byte is next; takes it, and the space around it.
    fn take(&mut self, byte: u8) -> bool {
        self.0 = self.0.trim_ascii_start();
        let is_next = self.0.first() == Some(&byte);
        if is_next {
            self.0 = self.0[1..].trim_ascii_start();
        }
        is_next
    }

    fn token(&mut self) -> Option<&'a [u8]> {
        self.0 = self.0.trim_ascii_start();
        let len = self.0.iter().take_while(|&&byte| is_token_byte(byte)).count();
        let (token, rest) = self.0.split_at(len);
        self.0 = rest;
        (len > 0).then_some(token)
    }

    /// "When using the quoted-string syntax variant, the value after quoted-string unescaping MUST conform to the
    /// 'token' ABNF."
    fn value(&mut self) -> Option<Vec<u8>> {
        if self.0.first() != Some(&b'"') {
            return self.token().map(<[u8]>::to_vec);
        }
        let (mut value, mut at) = (Vec::new(), 1);
        loop {
            match self.0.get(at)? {
                b'"' => break,
                b'\\' => {
                    value.push(*self.0.get(at + 1)?);
                    at += 2;
                }
                byte => {
                    value.push(*byte);
                    at += 1;
                }
            }
        }
        self.0 = &self.0[at + 1..];
        (!value.is_empty() && value.iter().all(|&byte| is_token_byte(byte))).then_some(value)
    }
}

/// The parameters of one offer. [RFC 7692 7.1]
struct Parameters {
    offer: DeflateOffer,
    /// One bit for each name that was there.
    seen: u8,
    is_declined: bool,
}

impl Parameters {
    fn new(is_deflate: bool) -> Self {
        Self { offer: DeflateOffer::default(), seen: 0, is_declined: !is_deflate }
    }

    /// "A server MUST decline an extension negotiation offer for this extension" with an unknown parameter, an invalid
    /// value, or the same parameter twice. [RFC 7692 7.1]
    fn add(&mut self, name: &[u8], value: Option<&[u8]>) {
        let (number, is_valid) = match name {
            b"server_no_context_takeover" => {
                self.offer.server_no_context_takeover = true;
                (0, value.is_none())
            }
            b"client_no_context_takeover" => {
                self.offer.client_no_context_takeover = true;
                (1, value.is_none())
            }
            b"server_max_window_bits" => {
                self.offer.server_max_window_bits = value.and_then(window_bits);
                // No encoder of this library makes a window of 8 bits.
                (2, self.offer.server_max_window_bits.is_some_and(|bits| bits >= WINDOW_BITS_MIN))
            }
            b"client_max_window_bits" => (3, value.is_none_or(|value| window_bits(value).is_some())),
            _ => (4, false),
        };
        self.is_declined |= !is_valid || self.seen & 1 << number != 0;
        self.seen |= 1 << number;
    }

    fn offer(self) -> Option<DeflateOffer> {
        (!self.is_declined).then_some(self.offer)
    }
}

/// "a decimal integer value without leading zeroes between 8 to 15, inclusive" [RFC 7692 7.1.2.1]
fn window_bits(value: &[u8]) -> Option<u8> {
    match value {
        [digit @ b'8'..=b'9'] => Some(digit - b'0'),
        [b'1', digit @ b'0'..=b'5'] => Some(10 + digit - b'0'),
        _ => None,
    }
}

/// Bits of the smallest window that an encoder here can keep to.
pub const WINDOW_BITS_MIN: u8 = 9;
const EXTENSIONS: &str = "sec-websocket-extensions";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::http1::parse_head;

    fn offered(fields: &[&str]) -> Result<Option<DeflateOffer>, HandshakeError> {
        let fields: String = fields.iter().map(|field| format!("Sec-WebSocket-Extensions: {field}\r\n")).collect();
        let text = format!("GET / HTTP/1.1\r\nHost: h\r\n{fields}\r\n");
        let (head, _) = parse_head(text.as_bytes()).expect("a head").expect("all of it");
        accept_deflate(&head)
    }

    fn offer(server_no_context_takeover: bool, server_max_window_bits: Option<u8>) -> Option<DeflateOffer> {
        Some(DeflateOffer { server_no_context_takeover, server_max_window_bits, client_no_context_takeover: false })
    }

    #[test]
    fn offers_that_can_be_accepted_are() {
        for (field, expected) in [
            ("permessage-deflate", offer(false, None)),
            ("Permessage-Deflate", offer(false, None)),
            ("permessage-deflate; client_max_window_bits", offer(false, None)),
            ("permessage-deflate;client_max_window_bits=8", offer(false, None)),
            (
                "permessage-deflate; client_max_window_bits=15; client_no_context_takeover",
                offer(false, None).map(|offer| DeflateOffer { client_no_context_takeover: true, ..offer }),
            ),
            ("permessage-deflate; server_no_context_takeover", offer(true, None)),
            ("permessage-deflate ; server_max_window_bits = 10", offer(false, Some(10))),
            ("permessage-deflate; server_max_window_bits=\"12\"", offer(false, Some(12))),
            ("permessage-deflate; server_max_window_bits=\"1\\5\"", offer(false, Some(15))),
            ("permessage-deflate; server_max_window_bits=9; server_no_context_takeover", offer(true, Some(9))),
            (",, permessage-deflate ,", offer(false, None)),
            ("x-webkit-deflate-frame; a=b, permessage-deflate", offer(false, None)),
        ] {
            assert_eq!(offered(&[field]), Ok(expected), "{field}");
        }
    }

    #[test]
    fn offers_that_cannot_be_accepted_are_declined_and_the_next_one_is_looked_at() {
        for parameters in [
            "unknown",
            "unknown=1",
            "Server_no_context_takeover",
            "server_no_context_takeover=1",
            "server_no_context_takeover; server_no_context_takeover",
            "client_no_context_takeover=\"x\"",
            "client_no_context_takeover; client_no_context_takeover",
            "server_max_window_bits",
            "server_max_window_bits=7",
            "server_max_window_bits=8",
            "server_max_window_bits=16",
            "server_max_window_bits=09",
            "server_max_window_bits=+9",
            "server_max_window_bits=010",
            "server_max_window_bits=10; server_max_window_bits=10",
            "client_max_window_bits=7",
            "client_max_window_bits=16",
            "client_max_window_bits=x",
            "client_max_window_bits; client_max_window_bits",
        ] {
            let field = format!("permessage-deflate; {parameters}");
            assert_eq!(offered(&[&field]), Ok(None), "{field}");
            let with_next = format!("{field}, permessage-deflate; server_max_window_bits=11, permessage-deflate");
            assert_eq!(offered(&[&with_next]), Ok(offer(false, Some(11))), "{with_next}");
            assert_eq!(offered(&[&field, "permessage-deflate"]), Ok(offer(false, None)), "a field each");
        }
        for none in ["", ",", "permessage-bzip2", "permessage-deflate2; server_max_window_bits=9"] {
            assert_eq!(offered(&[none]), Ok(None), "{none}");
        }
        assert_eq!(offered(&[]), Ok(None));
    }

    #[test]
    fn what_breaks_the_grammar_fails_the_handshake() {
        for field in [
            ";",
            "permessage-deflate;",
            "permessage-deflate; ;",
            "permessage-deflate; =9",
            "permessage-deflate; server_max_window_bits=",
            "permessage-deflate; server_max_window_bits=\"9",
            "permessage-deflate; server_max_window_bits=\"\"",
            "permessage-deflate; server_max_window_bits=\"9 \"",
            "permessage-deflate; server_max_window_bits=\"9\"x",
            "permessage-deflate; server_max_window_bits=\"9\\",
            "permessage-deflate server_no_context_takeover",
            "permessage-deflate, permessage/deflate",
            "permessage-deflate; größe",
            "\"permessage-deflate\"",
        ] {
            assert_eq!(offered(&[field]), Err(HandshakeError::BadExtensions), "{field}");
            assert_eq!(offered(&["permessage-deflate", field]), Err(HandshakeError::BadExtensions), "{field}");
        }
    }

    #[test]
    fn no_bytes_make_the_walk_panic_or_go_on_for_ever() {
        let seed = 0x5eed_0012;
        println!("seed {seed}");
        let mut rng = fastrand::Rng::with_seed(seed);
        for _ in 0..20_000 {
            let alphabet = b"permessage-deflate; ,=\"\\19a\x80";
            let field: Vec<u8> = (0..rng.usize(0..40)).map(|_| alphabet[rng.usize(0..alphabet.len())]).collect();
            let mut cursor = Cursor(&field);
            while let Some(Some(_)) = cursor.extension() {}
        }
    }

    #[test]
    fn answers_are_written_as_the_rfc_says() {
        let answer = |server_no_context_takeover, server_max_window_bits| {
            let mut out = Vec::new();
            encode_answer(&mut out, &DeflateAnswer { server_no_context_takeover, server_max_window_bits });
            String::from_utf8(out).expect("text")
        };
        let start = "Sec-WebSocket-Extensions: permessage-deflate; client_no_context_takeover";
        assert_eq!(answer(false, None), format!("{start}\r\n"));
        assert_eq!(
            answer(true, Some(12)),
            format!("{start}; server_no_context_takeover; server_max_window_bits=12\r\n")
        );
    }
}
