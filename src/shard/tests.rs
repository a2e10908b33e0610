//! The seams of the shard, held by a dialect and a transport that exist for tests only: the dialect has state and a
//! prefix for each reader, and the sessions of the transport are carried by requests.

use std::ops::ControlFlow;
use std::sync::Arc;

use super::session::encoding::EncodingId;
use super::session::lag::Lag;
use super::{EdgeSettings, Seats, Settings, Shard};
use crate::command::{ConnId, Extras, Message, Origin, ShardId, TopicName};
use crate::dialect::Dialect;
use crate::driver::null::Null;
use crate::driver::{Completion, Driver as _, Op};
use crate::limits::{Limits, SURVEY_PLACES_MAX};
use crate::live::Live;
use crate::mailbox::Admission;
use crate::transport::Framing;
use crate::transport::service::{Meaning, Service, ServiceKind};
use crate::wire::ws::{Opcode, encode_client_frame};

/// A shard and its peers. The bytes sent to each connection are kept.
struct World {
    driver: Null,
    shard: Shard,
    heard: Vec<(ConnId, Vec<u8>)>,
}

impl World {
    fn new() -> Self {
        let limits = Limits { connections_max: 8, ..Limits::default() };
        let packets = Service { kind: ServiceKind::Packets, ..Service::sockjs("/packets", Meaning::Json) };
        let settings = Settings {
            shard: ShardId(0),
            shards: 1,
            has_engine: false,
            live: Arc::new(Live { limits, ..Live::default() }),
            edge: EdgeSettings::default(),
            pages: Arc::default(),
            hash_key: (1, 2),
            seed: 3,
            admission: Admission::new(8),
            seats: Seats::default(),
            process: Arc::default(),
            services: [packets].into(),
            log_peers: false,
            snapshots: None,
        };
        Self { driver: Null::default(), shard: Shard::new(settings), heard: Vec::new() }
    }

    fn turn(&mut self) {
        let shard = &mut self.shard;
        let sink = |now, completion: Completion<'_>| {
            let _ = shard.handle(now, completion);
            ControlFlow::Continue(())
        };
        self.driver.wait(None, sink).expect("nothing goes wrong");
        shard.flush();
        for op in &shard.ops {
            match op {
                Op::Send { conn, segments } => {
                    let bytes = segments.iter().flat_map(|segment| segment.iter().copied()).collect();
                    self.heard.push((*conn, bytes));
                }
                Op::SendMany { segment, conns } => {
                    self.heard.extend(conns.iter().map(|conn| (*conn, segment.to_vec())));
                }
                _ => {}
            }
        }
        self.driver.submit(&mut shard.ops).expect("nothing goes wrong");
    }

    /// A connection that uses HTTP.
    fn connect(&mut self) -> ConnId {
        self.driver.arrive(1);
        self.turn();
        *self.driver.adopted().last().expect("it was adopted")
    }

    /// The body of the response to a request, as far as it was sent.
    fn post(&mut self, conn: ConnId, path: &str, body: &str) -> String {
        let len = body.len();
        let request = format!("POST {path} HTTP/1.1\r\nHost: h\r\nContent-Length: {len}\r\n\r\n{body}");
        self.driver.receive(conn, request.as_bytes());
        self.turn();
        self.body(conn)
    }

    /// The body of the response since the last call.
    fn body(&mut self, conn: ConnId) -> String {
        let heard = self.heard.extract_if(.., |(to, _)| *to == conn).flat_map(|(_, bytes)| bytes).collect();
        let heard = String::from_utf8(heard).expect("text");
        heard.split_once("\r\n\r\n").map(|(_, body)| body.to_owned()).unwrap_or_default()
    }

    /// A WebSocket whose session uses the dialect of these tests.
    fn open(&mut self) -> ConnId {
        let conn = self.upgrade("/ws");
        self.shard.speak(conn.into(), EncodingId::of(Framing::WebSocket, Dialect::Tagged, true));
        conn
    }

    fn upgrade(&mut self, path: &str) -> ConnId {
        let conn = self.connect();
        let handshake = format!(
            "GET {path} HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
        );
        self.driver.receive(conn, handshake.as_bytes());
        self.turn();
        self.heard.clear();
        conn
    }

    fn say(&mut self, conn: ConnId, text: &str) {
        let mut frame = Vec::new();
        encode_client_frame(&mut frame, Opcode::Text, true, [1, 2, 3, 4], text.as_bytes());
        self.driver.receive(conn, &frame);
        self.turn();
    }

    /// The payloads of the frames sent to a connection since the last call.
    fn take(&mut self, conn: ConnId) -> Vec<String> {
        let bytes: Vec<u8> =
            self.heard.iter().filter(|(to, _)| *to == conn).flat_map(|(_, bytes)| bytes.clone()).collect();
        self.heard.retain(|(to, _)| *to != conn);
        let (mut rest, mut payloads) = (&bytes[..], Vec::new());
        while let [_, len, behind @ ..] = rest {
            let (len, behind) = match *len {
                126 => (usize::from(u16::from_be_bytes([behind[0], behind[1]])), &behind[2..]),
                len => (usize::from(len), behind),
            };
            payloads.push(String::from_utf8_lossy(&behind[..len]).into_owned());
            rest = &behind[len..];
        }
        payloads
    }
}

#[test]
fn each_reader_gets_its_own_bytes_and_then_those_of_all() {
    let mut world = World::new();
    let (a, b) = (world.open(), world.open());
    world.say(a, "follow one px.A");
    world.say(b, "follow another px.A");
    assert_eq!((world.take(a), world.take(b)), (vec!["joined".to_owned()], vec!["joined".to_owned()]));
    let long = "x".repeat(300);
    for text in ["", "hello", &long] {
        world.say(a, &format!("say px.A {text}"));
        assert_eq!((world.take(a), world.take(b)), (vec![format!("one {text}")], vec![format!("another {text}")]));
    }
}

#[test]
fn what_was_said_before_is_caught_up_with_behind_the_readers_own_bytes() {
    let mut world = World::new();
    let (a, b) = (world.open(), world.open());
    world.say(a, "say px.A before");
    world.say(b, "follow tag px.A");
    assert_eq!(world.take(b), ["joined", "tag before"]);
    world.say(b, "nonsense");
    assert_eq!(world.take(b), ["refused bad_request"]);
}

#[test]
fn the_exception_of_a_publication_does_not_get_it_and_all_others_do() {
    let mut world = World::new();
    let (a, b, c) = (world.upgrade("/raw/px.A"), world.upgrade("/raw/px.A"), world.open());
    world.say(c, "follow tag px.A");
    world.take(c);
    for (except, heard) in [(a, [0, 1, 1]), (b, [1, 0, 1]), (c, [1, 1, 0])] {
        let except = Some(Origin { shard: ShardId(0), session: except.into() });
        let extras = Some(Box::new(Extras { except, ..Extras::default() }));
        let topic = TopicName::parse("px.A").expect("a valid name");
        world.shard.publish(topic, Message { extras, ..Message::text(b"news") }, None);
        world.turn();
        assert_eq!([a, b, c].map(|conn| world.take(conn).len()), heard);
    }
}

#[test]
fn what_a_session_keeps_goes_with_its_connection() {
    let mut world = World::new();
    let a = world.open();
    world.say(a, "follow one px.A");
    assert_eq!(world.shard.sessions.rests.len(), 1);
    let mut close = Vec::new();
    encode_client_frame(&mut close, Opcode::Close, true, [1, 2, 3, 4], &[3, 232]);
    world.driver.receive(a, &close);
    (0..3).for_each(|_| world.turn());
    assert_eq!((world.shard.sessions.rests.len(), world.shard.census().connections), (0, 0));
}

#[test]
fn a_session_is_carried_by_requests_of_a_transport_that_is_a_folder_and_its_rows() {
    let mut world = World::new();
    let (receiver, sender) = (world.connect(), world.connect());
    assert_eq!(world.post(receiver, "/packets/me", ""), "open\n");
    assert_eq!(world.post(receiver, "/packets/me", ""), "", "it waits");
    let subscribe = "{\"op\":\"sub\",\"topics\":[\"px.A\"],\"id\":1}";
    let publish = "{\"op\":\"pub\",\"topic\":\"px.A\",\"data\":7}";
    assert_eq!(world.post(sender, "/packets/me/say", &format!("{subscribe}\n{publish}")), "taken\n");
    let told = world.body(receiver);
    let lines: Vec<_> = told.lines().collect();
    assert_eq!(lines.len(), 3, "{told}");
    assert!(
        lines[0].starts_with("{\"op\":\"ok\",\"id\":1") && lines.contains(&"{\"t\":\"px.A\",\"o\":1,\"d\":7}"),
        "{told}"
    );
    assert_eq!(world.shard.census().detached, 1);
}

#[test]
fn a_scrape_where_much_is_busy_takes_several_turns() {
    let mut world = World::new();
    let conn = world.connect();
    // Of readers that are behind.
    for _ in 0..3 * SURVEY_PLACES_MAX {
        world.shard.sessions.lags.insert(Lag::default());
    }
    world.driver.receive(conn, b"GET /metrics HTTP/1.1\r\nHost: h\r\n\r\n");
    let mut turns = 0;
    let body = loop {
        world.turn();
        turns += 1;
        let body = world.body(conn);
        if !body.is_empty() {
            break body;
        }
        assert!(turns < 100, "it is answered at last");
    };
    assert!(turns > 3, "in {turns} turns");
    assert!(body.contains("fanwire_connections"), "{body}");
    assert!(!world.shard.upkeep.tally.is_asked());
}
