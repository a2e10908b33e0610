//! A client that says what it likes, and waits for as long as a loaded machine takes.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use crate::common::{Frame, Opcode, Socket};

/// Ends a hang, and nothing else.
const PATIENCE: Duration = Duration::from_secs(120);

pub struct Peer {
    stream: TcpStream,
    received: Vec<u8>,
}

impl Peer {
    pub fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect_timeout(&address, PATIENCE).expect("the gateway accepts");
        stream.set_nodelay(true).expect("nodelay");
        Self::over(stream)
    }

    /// One from another address of this machine, which is another client.
    pub fn connect_from(source: [u8; 4], address: SocketAddr) -> Self {
        let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).expect("a socket");
        socket.bind(&SocketAddr::from((source, 0)).into()).expect("an address of loopback");
        socket.connect(&address.into()).expect("the gateway accepts");
        Self::over(TcpStream::from(socket))
    }

    fn over(stream: TcpStream) -> Self {
        stream.set_read_timeout(Some(PATIENCE)).expect("a read timeout");
        stream.set_write_timeout(Some(PATIENCE)).expect("a write timeout");
        Self { stream, received: Vec::new() }
    }

    /// Its socket, if nothing was received that is not read.
    pub fn into_stream(self) -> TcpStream {
        assert!(self.received.is_empty());
        self.stream
    }

    /// One past its opening handshake, with an offer of compression.
    pub fn websocket(address: SocketAddr, target: &str) -> Self {
        let mut peer = Self::connect(address);
        let handshake = Socket::handshake(target);
        let head = handshake.strip_suffix("\r\n").expect("a head");
        peer.write(format!("{head}Sec-WebSocket-Extensions: permessage-deflate\r\n\r\n"));
        let answer = peer.read_head().expect("an answer to the handshake");
        assert!(answer.starts_with("HTTP/1.1 101"), "{answer}");
        peer
    }

    /// The same without an offer of compression.
    pub fn plain_websocket(address: SocketAddr, target: &str) -> Self {
        let mut peer = Self::connect(address);
        peer.write(Socket::handshake(target));
        assert_eq!(peer.read_status(), Some(101));
        peer
    }

    /// Writes all of it; a peer that was shown the door is no error.
    pub fn write(&mut self, bytes: impl AsRef<[u8]>) -> &mut Self {
        if let Err(error) = self.stream.write_all(bytes.as_ref()) {
            let is_end = matches!(error.kind(), ErrorKind::BrokenPipe | ErrorKind::ConnectionReset);
            assert!(is_end, "the gateway takes bytes, or ends: {error}");
        }
        self
    }

    /// Writes what the kernel takes within a moment.
    pub fn write_some(&mut self, bytes: &[u8]) -> usize {
        self.stream.set_write_timeout(Some(Duration::from_millis(200))).expect("a write timeout");
        let (mut at, mut is_taking) = (0, true);
        while at < bytes.len() && is_taking {
            match self.stream.write(&bytes[at..]) {
                Ok(count) => at += count,
                Err(_) => is_taking = false,
            }
        }
        at
    }

    fn fill(&mut self) -> bool {
        let mut buffer = [0; 64 * 1024];
        match self.stream.read(&mut buffer) {
            Ok(0) => false,
            Ok(count) => {
                self.received.extend_from_slice(&buffer[..count]);
                true
            }
            Err(error) if error.kind() == ErrorKind::ConnectionReset => false,
            Err(error) => panic!("an answer or an end: {error}"),
        }
    }

    fn take(&mut self, count: usize) -> Option<Vec<u8>> {
        while self.received.len() < count {
            if !self.fill() {
                return None;
            }
        }
        Some(self.received.drain(..count).collect())
    }

    /// A head, up to its blank line; `None` if the stream ends before.
    fn read_head(&mut self) -> Option<String> {
        let mut looked_at = 0;
        loop {
            if let Some(at) = self.received[looked_at..].windows(4).position(|four| four == b"\r\n\r\n") {
                let head = self.take(looked_at + at + 4)?;
                return Some(String::from_utf8(head).expect("a head of ASCII"));
            }
            looked_at = self.received.len().saturating_sub(3);
            if !self.fill() {
                return None;
            }
        }
    }

    /// The status of a response whose body is not looked at.
    pub fn read_status(&mut self) -> Option<u16> {
        self.read_head()?.get(9..12)?.parse().ok()
    }

    /// The next message, in one frame; pings on the way are answered.
    pub fn read_message(&mut self) -> Option<Vec<u8>> {
        loop {
            match self.read_frame()? {
                (Opcode::PING, payload) => drop(self.write(Frame::pong(payload).encode())),
                (Opcode::PONG, _) => {}
                (_, payload) => return Some(payload),
            }
        }
    }

    /// A response with a length, its status and body; `None` if the stream ends before.
    pub fn read_response(&mut self) -> Option<(u16, Vec<u8>)> {
        let head = self.read_head()?;
        let status = head.get(9..12).and_then(|status| status.parse().ok()).expect("a status");
        let fields = head.to_ascii_lowercase();
        let length = fields.split("content-length: ").nth(1).and_then(|rest| rest.split("\r\n").next());
        let length = length.map_or(0, |length| length.parse().expect("a length"));
        Some((status, self.take(length)?))
    }

    /// One request, and its response.
    pub fn request(&mut self, method: &str, target: &str, body: &[u8]) -> Option<(u16, Vec<u8>)> {
        let head = format!("{method} {target} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {}\r\n\r\n", body.len());
        self.write(head).write(body);
        self.read_response()
    }

    /// Asks until the answer contains a text.
    pub fn get_until(address: SocketAddr, target: &str, text: &str) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let answer = Self::get(address, target);
            if answer.contains(text) {
                return;
            }
            assert!(Instant::now() < deadline, "{target} has {text} at last: {answer:.200}");
        }
    }

    /// The gateway's answer about a target, requested again if an answer took too long.
    pub fn get(address: SocketAddr, target: &str) -> String {
        loop {
            if let Some((status, body)) = Self::connect(address).request("GET", target, b"") {
                assert!(status == 200 || status == 404, "{target}: {status}");
                return String::from_utf8(body).expect("text");
            }
        }
    }

    /// Publishes a body of lines, or one message, that must be taken.
    pub fn publish(&mut self, target: &str, body: &[u8]) {
        let answer = self.request("POST", target, body);
        assert!(matches!(answer, Some((200, _))), "it is taken: {answer:?}");
    }

    /// The next frame of the gateway: opcode and payload as it came; `None` at the end of the stream.
    pub fn read_frame(&mut self) -> Option<(Opcode, Vec<u8>)> {
        let head = self.take(2)?;
        let length = match head[1] & 0x7f {
            126 => self.take(2)?.iter().fold(0, |len, octet| len << 8 | usize::from(*octet)),
            127 => self.take(8)?.iter().fold(0, |len, octet| len << 8 | usize::from(*octet)),
            length => usize::from(length),
        };
        Some((Opcode(head[0] & 0xf), self.take(length)?))
    }

    /// Reads up to the pong for a ping that stands behind everything so far, which passes what waits to be sent: how many
    /// messages came before it.
    pub fn drain(&mut self) -> usize {
        self.write(Frame::ping("behind").encode());
        let mut messages = 0;
        loop {
            match self.read_frame().expect("a pong and not an end") {
                (Opcode::PONG, payload) if payload == b"behind" => return messages,
                (Opcode::PING, payload) => drop(self.write(Frame::pong(payload).encode())),
                (Opcode::CLOSE, payload) => panic!("a pong and not a close: {:?}", String::from_utf8_lossy(&payload)),
                _ => messages += 1,
            }
        }
    }

    /// Reads so many messages, each of which has this in it.
    pub fn expect_messages(&mut self, count: usize, part: &str) {
        for at in 0..count {
            match self.read_frame().unwrap_or_else(|| panic!("{count} messages, and an end after {at}")) {
                (Opcode::PING, payload) => drop(self.write(Frame::pong(payload).encode())),
                (_, payload) => {
                    let text = String::from_utf8_lossy(&payload);
                    assert!(text.contains(part), "the {at}th of {count} with {part}: {text}");
                }
            }
        }
    }

    /// Reads to the close frame: its code, or `None` if the stream ended without one.
    pub fn read_close(&mut self) -> Option<u16> {
        while let Some((opcode, payload)) = self.read_frame() {
            match opcode {
                Opcode::CLOSE => return payload.first_chunk().map(|code| u16::from_be_bytes(*code)),
                Opcode::PING => drop(self.write(Frame::pong(payload).encode())),
                _ => {}
            }
        }
        None
    }

    /// Reads until a text has come.
    pub fn read_until(&mut self, text: &str) {
        let mut looked_at = 0;
        while !self.received[looked_at..].windows(text.len()).any(|part| part == text.as_bytes()) {
            looked_at = self.received.len().saturating_sub(text.len());
            assert!(self.fill(), "{text} comes before the end");
        }
        self.received.clear();
    }

    /// Reads to the end of the stream, whatever comes.
    pub fn read_to_end(&mut self) {
        while self.fill() {
            self.received.clear();
        }
    }

    /// Resets the connection.
    pub fn reset(self) {
        socket2::SockRef::from(&self.stream).set_linger(Some(Duration::ZERO)).expect("a linger of zero");
    }
}
