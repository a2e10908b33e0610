//! A raw TCP client: it writes any octets, and reads a conversation with expectations.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use super::deflate::Inflater;
use super::{Frame, HANG, Length, Opcode, Response, Wire};

/// The key of the RFC's own example, and its answer. [RFC 6455 1.3]
const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

/// One connection, with what was received and not yet looked at.
pub struct Socket {
    stream: Wire,
    received: Vec<u8>,
    /// The agreement on compressed messages from the gateway.
    inflater: Option<Inflater>,
    /// Messages that came compressed.
    pub deflated: usize,
}

/// Saying things.
impl Socket {
    pub fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect_timeout(&address, HANG).expect("the gateway accepts");
        stream.set_nodelay(true).expect("nodelay");
        stream.set_read_timeout(Some(HANG)).expect("a read timeout");
        stream.set_write_timeout(Some(HANG)).expect("a write timeout");
        Self::over(Wire::Plain(stream))
    }

    /// A connection that is already there.
    pub fn over(stream: Wire) -> Self {
        stream.socket().set_read_timeout(Some(HANG)).expect("a read timeout");
        Self { stream, received: Vec::new(), inflater: None, deflated: 0 }
    }

    /// The layer below its octets.
    pub fn wire(&mut self) -> &mut Wire {
        &mut self.stream
    }

    /// An opening handshake that every server must take. [RFC 6455 4.1]
    pub fn handshake(target: &str) -> String {
        format!(
            "GET {target} HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Key: {KEY}\r\nSec-WebSocket-Version: 13\r\n\r\n"
        )
    }

    /// Goes through the opening handshake on `target`.
    pub fn open(&mut self, target: &str) -> Response {
        self.write(Self::handshake(target));
        self.expect_upgrade()
    }

    /// Goes through the opening handshake on `target` with an offer of extensions.
    pub fn open_with(&mut self, target: &str, offer: &str) -> Response {
        let field = format!("Sec-WebSocket-Extensions: {offer}\r\n\r\n");
        let handshake = Self::handshake(target);
        self.write(handshake.strip_suffix("\r\n").expect("a head").to_owned() + &field);
        let response = self.expect_upgrade();
        self.inflater = response.header("sec-websocket-extensions").map(Inflater::new);
        response
    }

    /// Writes octets. A peer that is gone is no error here: what it said before it went is what counts.
    pub fn write(&mut self, octets: impl AsRef<[u8]>) -> &mut Self {
        match self.stream.write_all(octets.as_ref()) {
            Err(error) if !matches!(error.kind(), ErrorKind::BrokenPipe | ErrorKind::ConnectionReset) => {
                panic!("the gateway takes octets, or ends: {error}")
            }
            _ => self,
        }
    }

    /// Writes octets in as many segments as there are pieces of `piece_len`.
    pub fn write_in_pieces(&mut self, octets: impl AsRef<[u8]>, piece_len: usize) -> &mut Self {
        for piece in octets.as_ref().chunks(piece_len) {
            self.write(piece);
        }
        self
    }

    /// Writes one frame.
    pub fn send(&mut self, frame: Frame) -> &mut Self {
        self.write(frame.encode())
    }

    /// Writes frames in one segment.
    pub fn send_all(&mut self, frames: &[Frame]) -> &mut Self {
        self.write(frames.iter().flat_map(Frame::encode).collect::<Vec<u8>>())
    }

    /// Ends our side of the stream.
    pub fn finish(&mut self) -> &mut Self {
        self.stream.finish().expect("a half-close");
        self
    }

    /// Resets the connection.
    pub fn abort(self) {
        socket2::SockRef::from(self.stream.socket()).set_linger(Some(Duration::ZERO)).expect("a linger of zero");
    }

    /// Writes one octet after the other, each when the gateway had a moment to disconnect us, until it does.
    pub fn drip(&mut self, octet: u8) {
        let pause = Duration::from_millis(20);
        self.stream.socket().set_read_timeout(Some(pause)).expect("a read timeout");
        for _ in 0..HANG.as_millis() / pause.as_millis() {
            self.write([octet]);
            match self.fill() {
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
                _ => return,
            }
        }
        panic!("the gateway listened to all of it");
    }
}

/// Hearing frames.
impl Socket {
    /// The next frame, checked for what no server may ever send.
    pub fn read_frame(&mut self) -> Frame {
        let [first, second] = self.take(2).try_into().expect("two octets");
        let length = match second & 0x7f {
            126 => self.take(2).iter().fold(0, |len, octet| len << 8 | u64::from(*octet)),
            127 => self.take(8).iter().fold(0, |len, octet| len << 8 | u64::from(*octet)),
            len => u64::from(len),
        };
        assert_eq!(second & 0x80, 0, "a server masks no frame [RFC 6455 5.1]");
        let rsv = first >> 4 & 7;
        let may_be_deflated = self.inflater.is_some() && matches!(first & 0xf, 1 | 2);
        assert!(rsv == 0 || rsv == 4 && may_be_deflated, "no reserved bit without an extension [RFC 6455 5.2]");
        let form_is_minimal = match second {
            126 => length > 125,
            127 => length > 0xffff,
            _ => true,
        };
        assert!(form_is_minimal, "a length in the fewest octets [RFC 6455 5.2]");
        let (fin, opcode) = (first & 0x80 != 0, Opcode(first & 0xf));
        assert!(opcode.0 < 8 || (fin && length <= 125), "a control frame is whole and short [RFC 6455 5.5]");
        let payload = self.take(usize::try_from(length).expect("a length that fits"));
        Frame { fin, rsv, opcode, masking_key: None, length: Length::Minimal, payload }
    }

    /// Whether compressed messages were agreed on.
    pub fn takes_deflate(&self) -> bool {
        self.inflater.is_some()
    }

    /// The next message, put together from its fragments.
    pub fn read_message(&mut self) -> (Opcode, Vec<u8>) {
        let first = self.read_frame();
        let (opcode, mut is_whole, mut payload) = (first.opcode, first.fin, first.payload.clone());
        while !is_whole {
            let next = self.read_frame();
            assert_eq!(next.opcode, Opcode::CONTINUATION, "a fragment, got {next:?}");
            is_whole = next.fin;
            payload.extend(next.payload);
        }
        if first.rsv == 4 {
            self.deflated += 1;
            payload = self.inflater.as_mut().expect("it was agreed on").inflate(&payload);
        }
        (opcode, payload)
    }

    pub fn expect_text(&mut self, text: impl AsRef<[u8]>) -> &mut Self {
        self.expect_message(Opcode::TEXT, text.as_ref())
    }

    pub fn expect_binary(&mut self, payload: impl AsRef<[u8]>) -> &mut Self {
        self.expect_message(Opcode::BINARY, payload.as_ref())
    }

    fn expect_message(&mut self, opcode: Opcode, payload: &[u8]) -> &mut Self {
        let (got_opcode, got) = self.read_message();
        let is_equal = got_opcode == opcode && got == payload;
        let got = Frame::new(got_opcode, got);
        assert!(is_equal, "{:?} wanted, got {got:?}", Frame::new(opcode, payload));
        self
    }

    pub fn expect_pong(&mut self, payload: impl AsRef<[u8]>) -> &mut Self {
        let frame = self.read_frame();
        let wanted = Frame::pong(payload);
        assert!(frame.opcode == Opcode::PONG && frame.payload == wanted.payload, "{wanted:?} wanted, got {frame:?}");
        self
    }

    /// The gateway says farewell with `code`; we answer, and it ends the stream.
    pub fn expect_close(&mut self, code: u16) {
        let got = self.expect_close_frame();
        assert_eq!(got, Some(code), "the close code");
        // One that fails the connection may have ended it already, and does not care for the answer.
        self.send(Frame::close(code, ""));
        self.expect_end();
    }

    /// The next frame is a close frame that keeps the rules; its code. [RFC 6455 5.5.1]
    pub fn expect_close_frame(&mut self) -> Option<u16> {
        let frame = self.read_frame();
        assert_eq!(frame.opcode, Opcode::CLOSE, "a close frame, got {frame:?}");
        match frame.payload.as_slice() {
            [] => None,
            [high, low, reason @ ..] => {
                assert!(std::str::from_utf8(reason).is_ok(), "a reason is UTF-8, got {reason:?}");
                Some(u16::from_be_bytes([*high, *low]))
            }
            _ => panic!("a close frame with half a code"),
        }
    }

    /// Nothing more comes: the stream ends in order, or with a reset where unread octets were on their way.
    pub fn expect_end(&mut self) {
        match self.fill() {
            Err(error) if error.kind() != ErrorKind::ConnectionReset => panic!("the end of the stream wanted: {error}"),
            _ => self.expect_nothing_more(),
        }
    }

    /// Nothing more comes, and the stream ends in order.
    pub fn expect_orderly_end(&mut self) {
        self.fill().expect("the orderly end of the stream");
        self.expect_nothing_more();
    }

    /// Whether anything comes before the stream ends.
    pub fn has_more(&mut self) -> bool {
        !self.received.is_empty()
            || self.fill().unwrap_or_else(|error| {
                assert_eq!(error.kind(), ErrorKind::ConnectionReset, "more, or the end of the stream, wanted");
                false
            })
    }

    /// Forgets what came.
    pub fn forget(&mut self) {
        self.received.clear();
    }

    fn expect_nothing_more(&self) {
        let more = String::from_utf8_lossy(&self.received);
        assert!(more.is_empty(), "the end of the stream wanted, got {more:?}");
    }
}

/// Hearing HTTP.
impl Socket {
    /// The gateway agrees to the RFC's example. [RFC 6455 4.2.2]
    pub fn expect_upgrade(&mut self) -> Response {
        let response = self.expect_http_status(101);
        response.expect_header("upgrade", "websocket").expect_header("connection", "upgrade");
        assert_eq!(response.header("sec-websocket-accept"), Some(ACCEPT), "case counts here");
        response
    }

    /// The next response has this status.
    pub fn expect_http_status(&mut self, status: u16) -> Response {
        self.expect_http_status_of(&[status])
    }

    /// The next response has one of these statuses.
    pub fn expect_http_status_of(&mut self, statuses: &[u16]) -> Response {
        let response = self.read_response(true);
        assert!(statuses.contains(&response.status), "status of {statuses:?} wanted, got {response:?}");
        response
    }

    /// The next response, which answers a `HEAD` if it has no body whatever its fields say.
    pub fn read_response(&mut self, has_body: bool) -> Response {
        let head_len = loop {
            if let Some(at) = self.received.windows(4).position(|octets| octets == b"\r\n\r\n") {
                break at;
            }
            let has_more = self.fill().unwrap_or_else(|error| panic!("a response wanted: {error}"));
            assert!(
                has_more,
                "a response wanted, the stream ended after {:?}",
                String::from_utf8_lossy(&self.received)
            );
        };
        let head = self.take(head_len + 4);
        let mut response = Response::parse_head(std::str::from_utf8(&head[..head_len]).expect("a head of UTF-8"));
        if has_body && response.status >= 200 && response.status != 204 {
            self.read_body(&mut response);
        }
        response
    }

    fn read_body(&mut self, response: &mut Response) {
        if response.header("transfer-encoding").is_none() {
            match response.header("content-length") {
                Some(len) => response.body = self.take(len.parse().expect("a length")),
                None => {
                    response.expect_header("connection", "close");
                    while self.fill().expect("the orderly end of the stream") {}
                    response.body = std::mem::take(&mut self.received);
                }
            }
            return;
        }
        response.expect_header("transfer-encoding", "chunked");
        assert_eq!(response.header("content-length"), None, "one way to tell the length");
        loop {
            let line = self.take_line();
            let len = usize::from_str_radix(&line, 16).unwrap_or_else(|_| panic!("a chunk's length, got {line:?}"));
            let chunk = self.take(len);
            response.body.extend(chunk);
            assert_eq!(self.take_line(), "", "a chunk ends with CRLF");
            if len == 0 {
                return;
            }
        }
    }

    fn take_line(&mut self) -> String {
        let mut line = Vec::new();
        while !line.ends_with(b"\r\n") {
            line.extend(self.take(1));
        }
        line.truncate(line.len() - 2);
        String::from_utf8(line).expect("a line of UTF-8")
    }
}

/// Octets.
impl Socket {
    fn take(&mut self, len: usize) -> Vec<u8> {
        while self.received.len() < len {
            let has_more = self.fill().unwrap_or_else(|error| panic!("{len} octets wanted: {error}"));
            assert!(has_more, "{len} octets wanted, the stream ended after {:?}", self.received);
        }
        let rest = self.received.split_off(len);
        std::mem::replace(&mut self.received, rest)
    }

    /// Receives more; false at the end of the stream.
    fn fill(&mut self) -> std::io::Result<bool> {
        let mut octets = [0; 64 * 1024];
        let len = self.stream.read(&mut octets)?;
        self.received.extend_from_slice(&octets[..len]);
        Ok(len > 0)
    }
}
