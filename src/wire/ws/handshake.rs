//! The opening handshake, both ends. [RFC 6455 4]

use std::fmt;

use base64::Engine;
use base64::alphabet;
use base64::engine::general_purpose::{GeneralPurpose, PAD, STANDARD};
use sha1::{Digest, Sha1};

use super::extension::{DeflateAnswer, DeflateOffer, accept_deflate, encode_answer};
use crate::close::Status;
use crate::wire::http1::{BodyFraming, RequestHead, Version, encode_status_line, is_token_byte};

/// Why an opening handshake is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum HandshakeError {
    /// The method is not `GET`.
    BadMethod,
    /// The request is not HTTP/1.1, or has a body.
    BadRequest,
    /// No `Host`, or an empty one.
    BadHost,
    /// No `Upgrade: websocket`.
    BadUpgrade,
    /// No `Connection: Upgrade`.
    BadConnection,
    /// Not exactly one `Sec-WebSocket-Key` of 16 bytes in base64.
    BadKey,
    /// More than one `Sec-WebSocket-Version`.
    BadVersion,
    /// A `Sec-WebSocket-Protocol` that is no list of tokens.
    BadProtocol,
    /// A `Sec-WebSocket-Extensions` that is no list of extensions.
    BadExtensions,
    /// A version other than 13, or none. The answer names ours: `Sec-WebSocket-Version: 13`. [RFC 6455 4.4]
    UnsupportedVersion,
}

impl HandshakeError {
    /// The status of the answer.
    #[must_use]
    pub const fn status(self) -> Status {
        match self {
            Self::BadMethod => Status::MethodNotAllowed,
            Self::UnsupportedVersion => Status::UpgradeRequired,
            _ => Status::BadRequest,
        }
    }

    /// One sentence for people, without the peer's bytes in it.
    #[must_use]
    pub const fn message(self) -> &'static str {
        match self {
            Self::BadMethod => "the opening handshake is a GET request",
            Self::BadRequest => "the opening handshake is an HTTP/1.1 request without a body",
            Self::BadHost => "the opening handshake needs a Host",
            Self::BadUpgrade => "the opening handshake needs Upgrade: websocket",
            Self::BadConnection => "the opening handshake needs Connection: Upgrade",
            Self::BadKey => "the opening handshake needs one Sec-WebSocket-Key of 16 bytes in base64",
            Self::BadVersion => "the opening handshake needs one Sec-WebSocket-Version",
            Self::BadProtocol => "Sec-WebSocket-Protocol is a list of tokens",
            Self::BadExtensions => "Sec-WebSocket-Extensions is a list of extensions",
            Self::UnsupportedVersion => "only version 13 of the protocol is spoken here",
        }
    }
}

impl fmt::Display for HandshakeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.message())
    }
}

impl std::error::Error for HandshakeError {}

/// A valid opening handshake, to be answered with [`encode_switching_protocols`].
#[derive(Clone, Copy, Debug)]
pub struct Upgrade<'a> {
    /// The value of `Sec-WebSocket-Accept`.
    pub accept: [u8; 28],
    /// The first offer to compress messages that can be accepted.
    pub deflate: Option<DeflateOffer>,
    head: &'a RequestHead<'a>,
}

impl<'a> Upgrade<'a> {
    /// The subprotocols that the client offers, the preferred one first.
    pub fn protocols(&self) -> impl Iterator<Item = &'a str> + use<'a> {
        // They were found to be tokens, which are ASCII.
        list(self.head, PROTOCOL).filter_map(|protocol| std::str::from_utf8(protocol).ok())
    }
}

/// Whether a request means to be an opening handshake, valid or not.
#[must_use]
pub fn is_upgrade(head: &RequestHead<'_>) -> bool {
    head.has_token("upgrade", "websocket") || head.raw_values(KEY).next().is_some()
}

/// Checks an opening handshake against every MUST of [RFC 6455 4.2.1].
///
/// # Errors
/// The first rule that it breaks.
pub fn accept<'a>(head: &'a RequestHead<'_>) -> Result<Upgrade<'a>, HandshakeError> {
    // "An HTTP/1.1 or higher GET request, including a "Request-URI""
    if head.method() != "GET" {
        return Err(HandshakeError::BadMethod);
    }
    if head.version() < Version::Http11 || !matches!(head.body(), BodyFraming::None | BodyFraming::Length(0)) {
        return Err(HandshakeError::BadRequest);
    }
    // "A |Host| header field containing the server's authority."
    if head.authority().is_empty() {
        return Err(HandshakeError::BadHost);
    }
    // "An |Upgrade| header field containing the value "websocket", treated as an ASCII case-insensitive value."
    if !head.has_token("upgrade", "websocket") {
        return Err(HandshakeError::BadUpgrade);
    }
    // "A |Connection| header field that includes the token "Upgrade", treated as an ASCII case-insensitive value."
    if !head.has_token("connection", "upgrade") {
        return Err(HandshakeError::BadConnection);
    }
    // "A |Sec-WebSocket-Version| header field, with a value of 13."
    match only_value(head, VERSION) {
        Some(b"13") => {}
        None if head.raw_values(VERSION).next().is_some() => return Err(HandshakeError::BadVersion),
        _ => return Err(HandshakeError::UnsupportedVersion),
    }
    // "A |Sec-WebSocket-Key| header field with a base64-encoded value that, when decoded, is 16 bytes in length."
    let key = only_value(head, KEY).filter(|key| is_key(key)).ok_or(HandshakeError::BadKey)?;
    // "the elements that comprise this value MUST be non-empty strings with characters in the range U+0021 to U+007E
    // not including separator characters" [RFC 6455 4.1]
    if !list(head, PROTOCOL).all(|protocol| protocol.iter().all(|&byte| is_token_byte(byte))) {
        return Err(HandshakeError::BadProtocol);
    }
    Ok(Upgrade { accept: accept_for_bytes(key), deflate: accept_deflate(head)?, head })
}

/// Appends the server's half of the opening handshake; `protocol` is one of [`Upgrade::protocols`], `deflate` answers
/// [`Upgrade::deflate`]. [RFC 6455 4.2.2]
pub fn encode_switching_protocols(
    out: &mut Vec<u8>,
    accept: &[u8; 28],
    protocol: Option<&str>,
    deflate: Option<&DeflateAnswer>,
) {
    encode_status_line(out, Status::SwitchingProtocols);
    out.extend_from_slice(b"Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ");
    out.extend_from_slice(accept);
    if let Some(protocol) = protocol {
        out.extend_from_slice(b"\r\nSec-WebSocket-Protocol: ");
        out.extend(protocol.bytes().filter(|&byte| is_token_byte(byte)));
    }
    out.extend_from_slice(b"\r\n");
    if let Some(answer) = deflate {
        encode_answer(out, answer);
    }
    out.extend_from_slice(b"\r\n");
}

/// A client's `Sec-WebSocket-Key` from 16 random bytes.
#[must_use]
pub fn client_key(nonce: [u8; 16]) -> String {
    STANDARD.encode(nonce)
}

/// The `Sec-WebSocket-Accept` that answers a `Sec-WebSocket-Key`. [RFC 6455 4.2.2]
#[must_use]
pub fn accept_for(key: &str) -> [u8; 28] {
    accept_for_bytes(key.as_bytes())
}

fn accept_for_bytes(key: &[u8]) -> [u8; 28] {
    let digest = Sha1::new().chain_update(key).chain_update(GUID).finalize();
    let mut accept = [0; 28];
    STANDARD.encode_slice(digest, &mut accept).expect("20 bytes are 28 characters of base64");
    accept
}

const LENIENT: GeneralPurpose = GeneralPurpose::new(&alphabet::STANDARD, PAD.with_decode_allow_trailing_bits(true));

/// 24 characters of padded base64. Bits past the 16 bytes are not looked at, as in most servers.
fn is_key(value: &[u8]) -> bool {
    let mut nonce = [0; 18];
    value.len() == 24 && LENIENT.decode_slice(value, &mut nonce) == Ok(16)
}

/// The value of the field if it is there exactly once.
fn only_value<'a>(head: &RequestHead<'a>, name: &str) -> Option<&'a [u8]> {
    let mut values = head.raw_values(name);
    values.next().filter(|_| values.next().is_none())
}

/// The elements of a comma-separated list over all fields of this name; empty ones are no elements.
fn list<'a>(head: &'a RequestHead<'_>, name: &'static str) -> impl Iterator<Item = &'a [u8]> + use<'a> {
    let elements = head.raw_values(name).flat_map(|list| list.split(|&byte| byte == b','));
    elements.map(<[u8]>::trim_ascii).filter(|element| !element.is_empty())
}

const KEY: &str = "sec-websocket-key";
const VERSION: &str = "sec-websocket-version";
const PROTOCOL: &str = "sec-websocket-protocol";
const GUID: &str = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::http1::parse_head;

    /// A valid opening handshake, that of [RFC 6455 1.2].
    const REQUEST: &str = "GET /chat HTTP/1.1\r\nHost: server.example.com\r\nUpgrade: websocket\r\n\
        Connection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nOrigin: http://example.com\r\n\
        Sec-WebSocket-Protocol: chat, superchat\r\nSec-WebSocket-Version: 13\r\n\r\n";

    fn accepted(text: &str) -> Result<([u8; 28], Vec<String>), HandshakeError> {
        let (head, _) = parse_head(text.as_bytes()).expect(text).expect(text);
        let upgrade = accept(&head)?;
        Ok((upgrade.accept, upgrade.protocols().map(str::to_owned).collect()))
    }

    /// The handshake with `from` replaced by `to`.
    fn changed(from: &str, to: &str) -> String {
        assert!(REQUEST.contains(from), "{from}");
        REQUEST.replacen(from, to, 1)
    }

    #[test]
    fn the_example_of_the_rfc_is_accepted_and_answered_byte_for_byte() {
        let (accept, protocols) = accepted(REQUEST).expect("valid");
        assert_eq!(&accept, b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
        assert_eq!(protocols, ["chat", "superchat"]);
        let mut out = Vec::new();
        encode_switching_protocols(&mut out, &accept, Some("chat"), None);
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\nSec-WebSocket-Protocol: chat\r\n\r\n"
        );
        let mut out = Vec::new();
        encode_switching_protocols(&mut out, &accept, None, None);
        assert!(out.ends_with(b"+xOo=\r\n\r\n"));
    }

    #[test]
    fn what_the_rfc_allows_is_accepted() {
        for (from, to) in [
            ("Upgrade: websocket", "upgrade: WebSocket"),
            ("Upgrade: websocket", "Upgrade: h2c, websocket"),
            ("Connection: Upgrade", "Connection: keep-alive, upgrade"),
            ("Connection: Upgrade", "Connection: keep-alive\r\nConnection: UPGRADE"),
            ("Sec-WebSocket-Key: d", "sec-websocket-key:\td"),
            ("Version: 13", "Version:  13 "),
            ("/chat", "ws://other.example/chat?x"),
            ("Origin: http://example.com", "Content-Length: 0"),
            ("Sec-WebSocket-Protocol: chat, superchat\r\n", ""),
            ("chat, superchat", ", chat ,,"),
            ("Origin: http://example.com", "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits"),
        ] {
            assert!(accepted(&changed(from, to)).is_ok(), "{to}");
        }
    }

    #[test]
    fn every_must_of_the_opening_handshake_is_enforced() {
        use HandshakeError::*;
        for (from, to, error, status) in [
            ("GET", "POST", BadMethod, 405),
            ("GET", "HEAD", BadMethod, 405),
            ("GET", "get", BadMethod, 405),
            ("HTTP/1.1", "HTTP/1.0", BadRequest, 400),
            ("Origin: http://example.com", "Content-Length: 1", BadRequest, 400),
            ("Origin: http://example.com", "Transfer-Encoding: chunked", BadRequest, 400),
            ("server.example.com", "", BadHost, 400),
            ("Upgrade: websocket\r\n", "", BadUpgrade, 400),
            ("Upgrade: websocket", "Upgrade: websockets", BadUpgrade, 400),
            ("Upgrade: websocket", "Upgrade: web socket", BadUpgrade, 400),
            ("Connection: Upgrade\r\n", "", BadConnection, 400),
            ("Connection: Upgrade", "Connection: keep-alive", BadConnection, 400),
            ("Sec-WebSocket-Version: 13\r\n", "", UnsupportedVersion, 426),
            ("Version: 13", "Version: 13\r\nSec-WebSocket-Version: 13", BadVersion, 400),
            ("Version: 13", "Version: 8\r\nSec-WebSocket-Version: 13", BadVersion, 400),
            ("Version: 13", "Version: 8", UnsupportedVersion, 426),
            ("Version: 13", "Version: 13, 8", UnsupportedVersion, 426),
            ("Version: 13", "Version: 013", UnsupportedVersion, 426),
            ("Version: 13", "Version: ", UnsupportedVersion, 426),
            ("Version: 13", "Version: 99999999999999999999", UnsupportedVersion, 426),
            ("Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n", "", BadKey, 400),
            ("dGhlIHNhbXBsZSBub25jZQ==", "", BadKey, 400),
            ("dGhlIHNhbXBsZSBub25jZQ==", "dGhlIHNhbXBsZSBub25jZQ", BadKey, 400),
            ("dGhlIHNhbXBsZSBub25jZQ==", "dGhlIHNhbXBsZSBub25jZQ=A", BadKey, 400),
            ("dGhlIHNhbXBsZSBub25jZQ==", "dGhlIHNhbXBsZSBub25jZSE=", BadKey, 400),
            ("dGhlIHNhbXBsZSBub25jZQ==", "dGhlIHNhbXBsZSBub25j", BadKey, 400),
            ("dGhlIHNhbXBsZSBub25jZQ==", "dGhlIHNhbXBsZSBub25-ZQ==", BadKey, 400),
            ("dGhlIHNhbXBsZSBub25jZQ==", "dGhl IHNhbXBsZSBub25jZQ==", BadKey, 400),
            ("Origin: http", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nOrigin: http", BadKey, 400),
            ("chat, superchat", "chat room", BadProtocol, 400),
            ("chat, superchat", "chat, \"super\"", BadProtocol, 400),
            ("chat, superchat", "größe", BadProtocol, 400),
            ("Origin: http", "Sec-WebSocket-Extensions: a;\r\nOrigin: http", BadExtensions, 400),
        ] {
            let text = changed(from, to);
            assert_eq!(accepted(&text), Err(error), "{to}");
            assert_eq!(error.status().code(), status, "{to}");
        }
        // Bits past the 16 bytes are not looked at: hand-made clients take any 22 characters and `==`.
        let lenient = changed("dGhlIHNhbXBsZSBub25jZQ==", "dGhlIHNhbXBsZSBub25jZR==");
        assert_eq!(accepted(&lenient).map(|(accept, _)| accept), Ok(accept_for("dGhlIHNhbXBsZSBub25jZR==")));
    }

    #[test]
    fn protocols_are_listed_over_all_their_fields() {
        let text = changed("chat, superchat", "b ,a\r\nX: y\r\nsec-websocket-protocol: fanwire.json.v1");
        assert_eq!(
            accepted(&text).map(|(_, protocols)| protocols),
            Ok(["b", "a", "fanwire.json.v1"].map(String::from).into())
        );
    }

    #[test]
    fn a_request_that_means_to_upgrade_is_told_from_one_that_does_not() {
        let means = |text: &str| is_upgrade(&parse_head(text.as_bytes()).unwrap().unwrap().0);
        assert!(means(REQUEST));
        assert!(means(&changed("Connection: Upgrade\r\n", "")));
        assert!(means(&changed("Upgrade: websocket\r\n", "")));
        assert!(means(&changed("Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n", "")));
        assert!(!means("GET /ws HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n"));
    }

    #[test]
    fn a_client_key_is_accepted_and_its_answer_is_the_one_the_client_expects() {
        let key = client_key([0xff; 16]);
        let (accept, _) = accepted(&changed("dGhlIHNhbXBsZSBub25jZQ==", &key)).expect("valid");
        assert_eq!(accept, accept_for(&key));
        assert_eq!(client_key(*b"the sample nonce"), "dGhlIHNhbXBsZSBub25jZQ==");
    }
}
