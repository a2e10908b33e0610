//! A whole connection to two shards in the simulated kernel: what a peer says in the pieces and with the pauses that the
//! input names, and how it goes.
//!
//! Oracles: what the peer hears is HTTP, frames and JSON; a polite publisher is answered and a polite reader hears all
//! that it said, in order and without a gap; and at the end nothing is held for anybody.

#[path = "../common/settings.rs"]
mod settings;

use std::sync::Arc;

use fanwire::buf::BlockPool;
use fanwire::command::{MessageKind, Target};
use fanwire::driver::sim::{Faults, Holdings, PeerId, SimDriver, SimNet};
use fanwire::hub::{TopicRule, TopicRules, TopicSettings};
use fanwire::limits::Limits;
use fanwire::live::Live;
use fanwire::mailbox::Mailbox;
use fanwire::shard::{Census, Settings, Shard, turn};
use fanwire::wire::http1::{AnswerBody, parse_answer_head};
use fanwire::wire::ws::decode::Role;
use fanwire::wire::ws::{Decoder, Inbox, Item, Opcode, encode_client_frame};

use super::input::{Input, pieces};

pub fn check(bytes: &[u8]) {
    let mut input = Input::new(bytes);
    let (way, end, terms) = (Way::of(input.byte()), input.byte(), input.byte());
    let lens = input.lens();
    let stream = way.stream(input.rest());
    let reads = terms & 1 == 0;
    let pause_ms = [0, 1, 60, 1100][usize::from(terms >> 1) % 4];
    let outbound_len_max = if terms & 8 == 0 { 1 << 18 } else { 600 };
    // A few compressed bytes may say much to the polite reader too.
    let is_small = terms & 16 != 0 && !matches!(way, Way::Bytes | Way::Upgraded);
    let outbox_len_max = if is_small { 1 << 16 } else { 1 << 22 };

    let mut world = World::new(outbound_len_max, outbox_len_max);
    let peer = world.net.connect(Some(usize::from(terms >> 5) % 2));
    world.net.set_reading(peer, reads);
    world.turns(1);
    let mut heard = Vec::new();
    let mut rest = &stream[..];
    for (count, piece) in pieces(&stream, &lens).take(PIECES_MAX).enumerate() {
        world.net.write(peer, piece);
        rest = &rest[piece.len()..];
        if count < PUBLICATIONS_MAX {
            world.net.advance_ms(pause_ms);
            world.publish();
        }
        world.turns(2);
        heard.extend(world.net.read(peer));
    }
    world.net.write(peer, rest);
    world.turns(3);
    heard.extend(world.net.read(peer));
    match end % 4 {
        0 => world.net.reset(peer),
        1 => world.net.close(peer),
        2 => world.net.half_close(peer),
        _ => world.net.set_reading(peer, false),
    }
    world.publish();
    world.turns(3);
    heard.extend(world.net.read(peer));
    check_heard(&heard, &stream, matches!(way, Way::Operations));
    world.finish();
}

/// The meaning of the input's bytes.
#[derive(Clone, Copy)]
enum Way {
    /// They are what the peer says.
    Bytes,
    /// Lines: operations in text messages.
    Operations,
    /// The first line is a path, the others messages of a WebSocket at it.
    Messages,
    /// The first line is a path, the rest is said on a WebSocket at it, as it is.
    Upgraded,
    /// Lines of a batch of publications.
    Batch,
    /// Each line is the target of a `GET`.
    Gets,
    /// Each line is a path behind `/publish/`, a space and a body.
    Posts,
}

impl Way {
    fn of(byte: u8) -> Self {
        match byte % 7 {
            0 => Self::Bytes,
            1 => Self::Operations,
            2 => Self::Messages,
            3 => Self::Upgraded,
            4 => Self::Batch,
            5 => Self::Gets,
            _ => Self::Posts,
        }
    }

    fn stream(self, bytes: &[u8]) -> Vec<u8> {
        let lines = bytes.split(|&byte| byte == b'\n');
        let (first, behind) = match bytes.iter().position(|&byte| byte == b'\n') {
            Some(at) => (&bytes[..at], &bytes[at + 1..]),
            None => (bytes, &[][..]),
        };
        match self {
            Self::Bytes => bytes.to_vec(),
            Self::Operations => frames(handshake(b"/ws"), lines, Opcode::Text),
            Self::Messages => frames(handshake(first), lines.skip(1), Opcode::Binary),
            Self::Upgraded => [handshake(first), behind.to_vec()].concat(),
            Self::Batch => post(b"", bytes),
            Self::Gets => lines.flat_map(|line| [b"GET ", line, b" HTTP/1.1\r\nHost: x\r\n\r\n"].concat()).collect(),
            Self::Posts => {
                let post = |line: &[u8]| match line.iter().position(|&byte| byte == b' ') {
                    Some(at) => post(&[b"/", &line[..at]].concat(), &line[at + 1..]),
                    None => post(&[b"/", line].concat(), b""),
                };
                lines.flat_map(post).collect()
            }
        }
    }
}

fn handshake(path: &[u8]) -> Vec<u8> {
    let fields = b" HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
        Sec-WebSocket-Extensions: permessage-deflate\r\n\
        Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n";
    [b"GET ", path, fields].concat()
}

fn post(path: &[u8], body: &[u8]) -> Vec<u8> {
    let len = body.len().to_string();
    [b"POST /publish", path, b" HTTP/1.1\r\nHost: x\r\nContent-Length: ", len.as_bytes(), b"\r\n\r\n", body].concat()
}

fn frames<'a>(mut out: Vec<u8>, messages: impl Iterator<Item = &'a [u8]>, opcode: Opcode) -> Vec<u8> {
    // The masking key is zero, so that what the input says stands in the stream.
    messages.for_each(|message| encode_client_frame(&mut out, opcode, true, [0; 4], message));
    out
}

/// The peer's input: answers, then frames if it asked for them.
fn check_heard(heard: &[u8], stream: &[u8], is_json: bool) {
    // An answer to it has the fields of a body, and none.
    if stream.windows(5).any(|word| word == b"HEAD ") {
        return;
    }
    let mut rest = heard;
    while let Some((head, len)) = parse_answer_head(rest).expect("an answer") {
        rest = &rest[len..];
        if head.status() == 101 {
            return check_frames(rest, is_json);
        }
        let mut body = AnswerBody::new(head.framing(), usize::MAX).expect("a body");
        let taken = body.decode(rest, &mut Vec::new()).expect("a body");
        if !body.is_complete() {
            return;
        }
        rest = &rest[taken..];
    }
}

fn check_frames(heard: &[u8], is_json: bool) {
    for text in texts(heard).into_iter().filter(|_| is_json) {
        let value: serde_json::Value = serde_json::from_str(&text).expect("what the gateway says is JSON");
        assert!(value.is_object(), "{text}");
    }
}

/// Messages that are text and not compressed.
fn texts(frames: &[u8]) -> Vec<String> {
    let (mut pool, mut inbox, mut bytes) = (BlockPool::default(), Inbox::default(), frames.to_vec());
    let mut decoder = Decoder::new(Role::Client).with_deflate(true);
    decoder.decode(&mut bytes, 1 << 24, &mut pool, &mut inbox).expect("frames");
    let text = |item: &Item| match item {
        Item::Message { kind: MessageKind::Text, is_deflated: false, payload } => {
            Some(String::from_utf8(payload.as_slice(&bytes).to_vec()).expect("checked"))
        }
        _ => None,
    };
    inbox.items.iter().filter_map(text).collect()
}

/// Two shards, a polite publisher at the first, and a polite reader at the other.
struct World {
    net: SimNet,
    cores: Vec<(SimDriver, Shard, Mailbox)>,
    publisher: PeerId,
    reader: PeerId,
    said: usize,
    answers: Vec<u8>,
    heard: Vec<u8>,
}

impl World {
    fn new(outbound_len_max: usize, outbox_len_max: u32) -> Self {
        let net = SimNet::new(1, 2, Faults { outbound_len_max, ..Faults::NONE });
        let limits = Limits {
            connections_max: 16,
            topics_max: 10_000,
            message_len_max: 1 << 14,
            outbox_len_max,
            ..Limits::default()
        };
        let history = TopicSettings { history: 10, ..TopicSettings::default() };
        let rule = |pattern, settings| TopicRule { pattern: Target::parse(pattern).expect("a pattern"), settings };
        let rules = TopicRules::new(vec![
            rule("h.>", history),
            rule("o.>", TopicSettings { last: false, publish: false, ..TopicSettings::default() }),
        ]);
        let live = Arc::new(Live { rules: Arc::new(rules), limits: limits.clone(), ..Live::default() });
        let (mailboxes, _) = Mailbox::mesh(2);
        let cores = mailboxes.into_iter().zip(settings::settings(2, &limits)).enumerate();
        let cores = cores.map(|(index, (mailbox, settings))| {
            (net.driver(index), Shard::new(Settings { live: Arc::clone(&live), ..settings }), mailbox)
        });
        let cores = cores.collect();
        let (publisher, reader) = (net.connect(Some(0)), net.connect(Some(1)));
        let mut world = Self { net, cores, publisher, reader, said: 0, answers: Vec::new(), heard: Vec::new() };
        world.turns(1);
        let follow = [&br#"{"op":"sub","topics":["polite.t"]}"#[..]];
        world.net.write(reader, &frames(handshake(b"/ws"), follow.into_iter(), Opcode::Text));
        world.turns(4);
        world
    }

    /// Each shard has its turn, and the polite ones read.
    fn turns(&mut self, count: usize) {
        for _ in 0..count {
            for (driver, shard, mailbox) in &mut self.cores {
                turn(driver, shard, mailbox, |_| {}).expect("the simulated kernel does not fail as a whole");
            }
            self.answers.extend(self.net.read(self.publisher));
            self.heard.extend(self.net.read(self.reader));
        }
    }

    fn publish(&mut self) {
        let request = post(b"/polite.t", format!("\"news {}\"", self.said).as_bytes());
        assert_eq!(self.net.write(self.publisher, &request), request.len());
        self.said += 1;
    }

    fn finish(mut self) {
        // Bytes beyond a small window come with the next turns.
        let mut before = usize::MAX;
        while before != self.heard.len() {
            before = self.heard.len();
            self.turns(4);
        }
        self.check_answers();
        self.check_news();
        self.net.close(self.publisher);
        self.net.close(self.reader);
        for _ in 0..8 {
            self.turns(4);
            if self.census().iter().all(|census| *census == Census::default()) {
                break;
            }
            self.net.advance_ms(60_000);
        }
        assert_eq!(self.census(), [Census::default(), Census::default()]);
        assert_eq!(self.net.holdings(), Holdings::default());
        for (_, shard, mailbox) in &self.cores {
            let metrics = shard.measure();
            assert_eq!((metrics.patterns, metrics.outbox_len, mailbox.depth()), (0, 0, 0));
        }
    }

    fn census(&self) -> [Census; 2] {
        [0, 1].map(|index| self.cores[index].1.census())
    }

    fn check_answers(&self) {
        let (mut rest, mut answers) = (&self.answers[..], 0);
        while let Some((head, len)) = parse_answer_head(rest).expect("an answer") {
            assert_eq!(head.status(), 200, "the polite publisher was refused");
            let mut body = AnswerBody::new(head.framing(), 1 << 20).expect("a body");
            let taken = body.decode(&rest[len..], &mut Vec::new()).expect("a body");
            assert!(body.is_complete());
            answers += 1;
            rest = &rest[len + taken..];
        }
        assert_eq!(answers, self.said, "each of its publications is answered");
    }

    fn check_news(&self) {
        let (head, len) = parse_answer_head(&self.heard).expect("an answer").expect("a whole one");
        assert_eq!(head.status(), 101);
        let (mut offset, mut news) = (None, 0);
        for text in texts(&self.heard[len..]) {
            let message: serde_json::Value = serde_json::from_str(&text).expect("JSON");
            let (Some("polite.t"), Some(next)) = (message["t"].as_str(), message["o"].as_u64()) else { continue };
            assert!(offset.is_none_or(|offset| next == offset + 1), "{next} behind {offset:?}");
            offset = Some(next);
            news += usize::from(message["d"].as_str() == Some(&format!("news {news}")));
        }
        assert_eq!(news, self.said, "the polite reader hears all that the polite publisher says");
    }
}

/// Pieces; what is behind them is said at once.
const PIECES_MAX: usize = 200;
/// Publications of the polite publisher, less one; also pauses, so that nobody has to be asked for a pong.
const PUBLICATIONS_MAX: usize = 16;
