//! Peers as a client would write them: a handshake, frames with masks, requests; and those that mean no good.

use crate::deflate::{Inflater, deflated};
use crate::stream::{self, Event, Stream};
use fanwire::buf::BlockPool;
use fanwire::command::MessageKind;
use fanwire::driver::sim::{PeerEnd, PeerId, SimNet};
use fanwire::wire::ws::{Decoder, Inbox, Item, Opcode, Role, encode_client_frame};

use crate::tls_peer::TlsPeer;

/// The role of a peer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Part {
    /// Reads one topic over `/raw`, and may publish to it.
    Raw { topic: String, echo: bool, mode: &'static str, pace: Pace },
    /// Follows topics and patterns over `/ws`, and may publish.
    Json { mode: &'static str, pace: Pace },
    /// Follows topics over `/sse` or `/stream`, from where another was if it says so.
    Follow { topics: Vec<&'static str>, mode: &'static str, is_events: bool, since: Option<String> },
    /// Polls topics, on from where it was.
    Poll { topics: Vec<&'static str>, since: Option<String> },
    /// Publishes over HTTP, on one connection.
    Http,
    /// Sends what nobody should.
    Hostile,
}

/// The options of a reader besides its mode.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pace {
    /// Messages a second; 0 for no limit.
    pub max_rate: u32,
    /// 0 for any age.
    pub max_age_ms: u32,
    /// Bytes a second; 0 for no limit.
    pub bandwidth: u32,
}

impl Pace {
    /// Whether the reader may be told that it skipped something, whatever its mode.
    pub fn skips(self) -> bool {
        self.max_rate > 0 || self.max_age_ms > 0
    }

    fn query(self) -> String {
        let bandwidth = if self.bandwidth > 0 { format!("&bandwidth={}", self.bandwidth) } else { String::new() };
        format!("max_rate={}&max_age_ms={}{bandwidth}", self.max_rate, self.max_age_ms)
    }
}

/// The compressed input.
#[derive(Clone, Copy, Debug, Default)]
pub struct Zipped {
    /// Messages that stand for themselves.
    pub alone: u64,
    /// Messages where those before may be leaned on.
    pub streamed: u64,
    /// Messages as they are between those: the reader was not in the stream, or they are no part of it.
    pub between: u64,
}

/// The offers of clients, with the parameters of some of them.
pub const OFFERS: [&str; 6] = [
    "",
    "permessage-deflate; client_max_window_bits",
    "permessage-deflate; client_max_window_bits",
    "permessage-deflate; server_no_context_takeover",
    "permessage-deflate; server_max_window_bits=9",
    "permessage-deflate; server_max_window_bits=13",
];

/// A message from the server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Heard {
    Text(String),
    Binary(Vec<u8>),
    Close(Option<u16>, String),
    /// The body of an HTTP response, with its status.
    Response(u16, String),
    /// A server-sent event.
    Event(Event),
}

/// One peer and what it knows of its connection.
#[derive(Debug)]
pub struct Peer {
    pub id: PeerId,
    pub part: Part,
    /// Bytes that its kernel had no room for yet.
    unsent: Vec<u8>,
    /// Its TLS session, if it uses TLS.
    pub tls: Option<TlsPeer>,
    /// Bytes of HTTP not yet understood.
    unread: Vec<u8>,
    decoder: Option<Decoder>,
    /// If compression was agreed on: what the gateway's messages lean on.
    inflater: Option<Inflater>,
    pub zipped: Zipped,
    stream: Option<Stream>,
    /// Where it is, as it was last told.
    pub position: Option<String>,
    pool: BlockPool,
    pub heard: Vec<Heard>,
    pub is_upgraded: bool,
    pub was_slow: bool,
    is_even: bool,
    pub close: Option<(Option<u16>, String)>,
    pub end: Option<PeerEnd>,
}

impl Peer {
    pub fn new(id: PeerId, part: Part, is_even: bool, offer: &str) -> Self {
        let mut peer = Self {
            id,
            unsent: Vec::new(),
            tls: None,
            unread: Vec::new(),
            decoder: None,
            inflater: None,
            zipped: Zipped::default(),
            stream: None,
            position: None,
            pool: BlockPool::default(),
            heard: Vec::new(),
            is_upgraded: false,
            was_slow: false,
            is_even,
            close: None,
            end: None,
            part,
        };
        let path = match &peer.part {
            Part::Raw { topic, echo, mode, pace } => {
                Some(format!("/raw/{topic}?echo={}&mode={mode}&{}", u8::from(*echo), pace.query()))
            }
            Part::Json { pace, .. } => Some(format!("/ws?{}", pace.query())),
            Part::Follow { .. } | Part::Poll { .. } | Part::Http | Part::Hostile => None,
        };
        if let Part::Follow { topics, mode, is_events, since } = &peer.part {
            let request = stream::request(topics, mode, *is_events, since.as_deref());
            peer.unsent.extend_from_slice(request.as_bytes());
        }
        if let Some(path) = path {
            peer.unsent.extend_from_slice(handshake_with(&path, offer).as_bytes());
        }
        peer
    }

    /// Whether it belongs to the half of the peers that follow names only.
    pub fn is_even(&self) -> bool {
        self.is_even
    }

    /// Queues bytes as they are.
    pub fn say_bytes(&mut self, bytes: &[u8]) {
        self.unsent.extend_from_slice(bytes);
    }

    /// Queues a text message, in as many fragments as `pieces` says.
    pub fn say(&mut self, text: &str, rng: &mut fastrand::Rng, pieces: usize) {
        let is_deflated = self.inflater.is_some() && rng.bool();
        let bytes = if is_deflated { deflated(text) } else { text.as_bytes().to_vec() };
        let mut start = 0;
        for piece in 0..pieces {
            let is_last = piece + 1 == pieces;
            let end = if is_last { bytes.len() } else { rng.usize(start..=bytes.len()) };
            let opcode = if piece == 0 { Opcode::Text } else { Opcode::Continuation };
            let key = rng.u32(..).to_ne_bytes();
            let first = self.unsent.len();
            encode_client_frame(&mut self.unsent, opcode, is_last, key, &bytes[start..end]);
            if is_deflated && piece == 0 {
                self.unsent[first] |= RSV1;
            }
            start = end;
            if !is_last && rng.u8(0..4) == 0 {
                encode_client_frame(&mut self.unsent, Opcode::Ping, true, key, b"between");
            }
        }
    }

    /// Queues a close frame.
    pub fn say_goodbye(&mut self) {
        encode_client_frame(&mut self.unsent, Opcode::Close, true, [1, 2, 3, 4], &1000_u16.to_be_bytes());
    }

    /// Lets bytes flow in both directions, as far as there is room; says whether any did.
    pub fn exchange(&mut self, net: &SimNet) -> bool {
        let outbound = match &mut self.tls {
            Some(tls) => {
                tls.say(&std::mem::take(&mut self.unsent));
                &mut tls.wire
            }
            None => &mut self.unsent,
        };
        let sent = net.write(self.id, outbound);
        outbound.drain(..sent);
        let mut bytes = net.read(self.id);
        let moved = sent > 0 || !bytes.is_empty();
        if let Some(tls) = &mut self.tls {
            bytes = tls.hear(&bytes);
            assert_eq!(tls.failure, None, "the server breaks no rule");
        }
        self.hear(bytes);
        if self.end.is_none() {
            self.end = net.end(self.id);
        }
        moved
    }

    /// Whether it can say a close frame.
    pub fn is_websocket(&self) -> bool {
        self.decoder.is_some()
    }

    /// Whether the connection still stands and its end has not begun.
    pub fn is_open(&self, net: &SimNet) -> bool {
        self.end.is_none() && self.close.is_none() && !net.has_peer_ended(self.id)
    }

    fn hear(&mut self, bytes: Vec<u8>) {
        if self.part == Part::Hostile {
            return;
        }
        self.unread.extend_from_slice(&bytes);
        while self.decoder.is_none() && self.stream.is_none() && self.hear_response() {}
        if let Some(stream) = &mut self.stream {
            stream.read(&mut self.unread, &mut self.heard);
        }
        if let Some(decoder) = &mut self.decoder {
            let mut bytes = std::mem::take(&mut self.unread);
            let mut inbox = Inbox::default();
            let outcome = decoder.decode(&mut bytes, usize::MAX >> 33, &mut self.pool, &mut inbox);
            assert_eq!(outcome, Ok(()), "the server breaks no rule");
            for item in inbox.items.drain(..) {
                self.hear_item(&item, &bytes);
                item.into_payload().recycle(&mut self.pool);
            }
        }
    }

    fn hear_item(&mut self, item: &Item, bytes: &[u8]) {
        let text = |payload: &[u8]| String::from_utf8(payload.to_vec()).expect("the server sends UTF-8 as text");
        match item {
            Item::Message { kind, is_deflated: true, payload } => {
                let inflater = self.inflater.as_mut().expect("compression was agreed on");
                let message = inflater.inflate(payload.as_slice(bytes));
                *(if inflater.keeps_context { &mut self.zipped.streamed } else { &mut self.zipped.alone }) += 1;
                self.heard.push(if *kind == MessageKind::Text {
                    Heard::Text(text(&message))
                } else {
                    Heard::Binary(message)
                });
            }
            Item::Message { kind: MessageKind::Text, payload, .. } => {
                self.zipped.between += u64::from(self.zipped.streamed > 0);
                self.heard.push(Heard::Text(text(payload.as_slice(bytes))));
            }
            Item::Message { payload, .. } => self.heard.push(Heard::Binary(payload.as_slice(bytes).to_vec())),
            Item::Ping(payload) => {
                let payload = payload.as_slice(bytes);
                encode_client_frame(&mut self.unsent, Opcode::Pong, true, [9, 8, 7, 6], payload);
            }
            Item::Pong(_) => {}
            Item::Close { code, reason } => {
                let reason = text(reason.as_slice(bytes));
                self.heard.push(Heard::Close(*code, reason.clone()));
                self.close = Some((*code, reason));
                self.say_goodbye();
            }
        }
    }

    /// Takes one HTTP response from what was read; `false` if there is none yet.
    fn hear_response(&mut self) -> bool {
        let Some(head_len) = find(&self.unread, b"\r\n\r\n").map(|at| at + 4) else { return false };
        let head = String::from_utf8(self.unread[..head_len].to_vec()).expect("a head is text");
        let status: u16 = head[9..12].parse().expect("a status");
        if let Some(stream) = Stream::begin(&head) {
            self.unread.drain(..head_len);
            self.is_upgraded = true;
            self.stream = Some(stream);
            return false;
        }
        if let Some(since) = head.lines().find_map(|line| line.strip_prefix("Fanwire-Since: ")) {
            self.position = Some(since.to_owned());
        }
        let length = head.lines().find_map(|line| line.strip_prefix("Content-Length: "));
        let body_len: usize = length.map_or(0, |length| length.parse().expect("a length"));
        if self.unread.len() < head_len + body_len {
            return false;
        }
        let rest = self.unread.split_off(head_len + body_len);
        let body = String::from_utf8(self.unread.split_off(head_len)).expect("a body is text");
        self.unread = rest;
        if status == 101 {
            self.is_upgraded = true;
            let answer = head.lines().find_map(|line| line.strip_prefix("Sec-WebSocket-Extensions: "));
            self.inflater = answer.map(Inflater::new);
            self.decoder = Some(Decoder::new(Role::Client).with_deflate(answer.is_some()));
            return false;
        }
        self.heard.push(Heard::Response(status, body));
        true
    }
}

fn handshake(path: &str) -> String {
    handshake_with(path, "")
}

/// With an offer of extensions, unless it is empty.
fn handshake_with(path: &str, offer: &str) -> String {
    let offer = if offer.is_empty() { String::new() } else { format!("Sec-WebSocket-Extensions: {offer}\r\n") };
    format!(
        "GET {path} HTTP/1.1\r\nHost: sim\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n{offer}\r\n"
    )
}

const RSV1: u8 = 0x40;

/// Something that no client should send, in one of many ways.
pub fn hostile_bytes(rng: &mut fastrand::Rng) -> Vec<u8> {
    let mut bytes = Vec::new();
    match rng.u8(0..10) {
        0 => bytes.extend((0..rng.usize(1..2_000)).map(|_| rng.u8(..))),
        1 => bytes.extend_from_slice(&handshake("/ws").as_bytes()[..rng.usize(1..120)]),
        2 => {
            bytes.extend_from_slice(b"POST /publish/evil HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n");
            bytes.extend((0..rng.usize(0..3_000)).map(|_| b'x'));
        }
        3 => {
            // Many pipelined requests in one write.
            for _ in 0..rng.usize(1..400) {
                bytes.extend_from_slice(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n");
            }
        }
        4 => {
            bytes.extend_from_slice(handshake("/ws").as_bytes());
            encode_client_frame(
                &mut bytes,
                Opcode::Text,
                true,
                [1, 2, 3, 4],
                b"{\"op\":\"sub\",\"topics\":[\"t.>\",\"*.*\"]}",
            );
            let start = bytes.len();
            encode_client_frame(&mut bytes, Opcode::Text, true, [1, 2, 3, 4], b"{\"op\":\"ping\"}");
            let flip = rng.usize(start..bytes.len());
            bytes[flip] ^= 1 << rng.u8(0..8);
            bytes.extend((0..rng.usize(0..200)).map(|_| rng.u8(..)));
        }
        5 => {
            bytes.extend_from_slice(handshake("/echo").as_bytes());
            for _ in 0..rng.usize(1..300) {
                encode_client_frame(&mut bytes, Opcode::Binary, rng.bool(), [5, 6, 7, 8], &[7; 100]);
            }
        }
        6 => {
            bytes.extend_from_slice(handshake("/raw/evil").as_bytes());
            for piece in 0..rng.usize(1..500) {
                let opcode = if piece == 0 { Opcode::Text } else { Opcode::Continuation };
                encode_client_frame(&mut bytes, opcode, false, [0; 4], b"x");
            }
        }
        7 => {
            // Compressed, but for a bit; or a bomb.
            bytes.extend_from_slice(handshake_with("/echo", OFFERS[1]).as_bytes());
            let mut message = deflated([7; 5_000].map(|octet| octet * rng.u8(0..2)));
            if rng.bool() {
                let at = rng.usize(0..message.len());
                message[at] ^= 1 << rng.u8(0..8);
            }
            for _ in 0..rng.usize(1..30) {
                let first = bytes.len();
                encode_client_frame(&mut bytes, Opcode::Binary, true, [5, 6, 7, 8], &message);
                bytes[first] |= RSV1;
            }
        }
        8 => {
            // Readers and polls with more behind them.
            let endpoint = ["sse", "stream", "poll"][rng.usize(0..3)];
            let query = ["topic=t.0&topic=u.1&since=1-1,", "topic=t.1&last=0", "topic=", "topic=t.*"][rng.usize(0..4)];
            let head = format!("GET /{endpoint}?{query} HTTP/1.1\r\nHost: x\r\nLast-Event-ID: {}\r\n\r\n", rng.u32(..));
            for _ in 0..rng.usize(1..30) {
                bytes.extend_from_slice(head.as_bytes());
            }
        }
        _ => {
            bytes.extend_from_slice(b"POST /publish HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nffff");
            bytes.extend((0..rng.usize(0..100)).map(|_| rng.u8(..)));
        }
    }
    bytes
}

fn find(bytes: &[u8], what: &[u8]) -> Option<usize> {
    bytes.windows(what.len()).position(|window| window == what)
}
