//! A peer that vanishes between any two bytes leaves nothing behind, and an idle connection owns nothing but its
//! subscriptions.

#[path = "common/settings.rs"]
mod settings;

use fanwire::driver::sim::{Faults, Holdings, PeerId, SimDriver, SimNet};
use fanwire::limits::Limits;
use fanwire::mailbox::Mailbox;
use fanwire::shard::{Census, Shard, turn};
use fanwire::wire::ws::{Opcode, encode_client_frame};

use settings::settings;

/// Two shards, so that what crosses them is on its way when the peer vanishes.
struct World {
    net: SimNet,
    cores: Vec<(SimDriver, Shard, Mailbox)>,
}

impl World {
    fn new() -> Self {
        let net = SimNet::new(1, 2, Faults::NONE);
        let limits = Limits { connections_max: 16, ..Limits::default() };
        let (mailboxes, _) = Mailbox::mesh(2);
        let cores = mailboxes
            .into_iter()
            .zip(settings(2, &limits))
            .enumerate()
            .map(|(index, (mailbox, settings))| (net.driver(index), Shard::new(settings), mailbox));
        Self { cores: cores.collect(), net }
    }

    fn turns(&mut self, count: usize) {
        for _ in 0..count {
            for (driver, shard, mailbox) in &mut self.cores {
                turn(driver, shard, mailbox, |_| {}).expect("the simulated kernel does not fail as a whole");
            }
        }
    }

    fn census(&self) -> Census {
        let sum = |part: fn(&Census) -> usize| self.cores.iter().map(|(_, shard, _)| part(&shard.census())).sum();
        Census {
            connections: sum(|census| census.connections),
            subscriptions: sum(|census| census.subscriptions),
            outboxes: sum(|census| census.outboxes),
            decoders: sum(|census| census.decoders),
            exchanges: sum(|census| census.exchanges),
            pendings: sum(|census| census.pendings),
            lags: sum(|census| census.lags),
            vectors: sum(|census| census.vectors),
            edges: sum(|census| census.edges),
            watched: sum(|census| census.watched),
            streams: sum(|census| census.streams),
            tickets: sum(|census| census.tickets),
            shares: sum(|census| census.shares),
            deadlines: sum(|census| census.deadlines),
            put_off: sum(|census| census.put_off),
            detached: sum(|census| census.detached),
            blocks: sum(|census| census.blocks),
        }
    }

    /// Vanished connections are gone at the latest after the last deadline.
    fn assert_empty(&mut self, what: &str) {
        for _ in 0..8 {
            self.turns(4);
            if self.census() == Census::default() {
                break;
            }
            self.net.advance_ms(60_000);
        }
        assert_eq!(self.census(), Census::default(), "{what}");
        assert_eq!(self.net.holdings(), Holdings::default(), "{what}");
        for (_, shard, mailbox) in &self.cores {
            let metrics = shard.measure();
            assert_eq!((metrics.patterns, metrics.outbox_len, mailbox.depth()), (0, 0, 0), "{what}");
        }
    }
}

fn handshake(path: &str) -> Vec<u8> {
    format!(
        "GET {path} HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
    )
    .into_bytes()
}

fn check(name: &str, conversation: &[u8]) {
    type Vanish = fn(&SimNet, PeerId);
    let ways: [(&str, Vanish); 4] = [
        ("resets", |net, peer| net.reset(peer)),
        ("closes", |net, peer| net.close(peer)),
        ("ends its side", |net, peer| net.half_close(peer)),
        ("says nothing more", |net, peer| net.set_reading(peer, false)),
    ];
    let mut world = World::new();
    for len in 0..=conversation.len() {
        for (way, vanish) in ways {
            for turns_before in [0, 1, 3] {
                let peer = world.net.connect(Some(len % 2));
                world.turns(1);
                assert_eq!(world.net.write(peer, &conversation[..len]), len, "the window is wide");
                world.turns(turns_before);
                vanish(&world.net, peer);
                world.assert_empty(&format!("{name}: {way} after {len} bytes and {turns_before} turns"));
            }
        }
    }
}

#[test]
fn a_json_client_that_vanishes_anywhere_leaves_nothing() {
    let mut bytes = handshake("/ws");
    let text = br#"{"op":"sub","topics":["a","b","a.*",">"],"id":1}"#;
    encode_client_frame(&mut bytes, Opcode::Text, true, [1, 2, 3, 4], text);
    let text = br#"{"op":"pub","topic":"b","data":{"x":1},"id":2}"#;
    encode_client_frame(&mut bytes, Opcode::Text, false, [5, 6, 7, 8], &text[..9]);
    encode_client_frame(&mut bytes, Opcode::Ping, true, [5, 6, 7, 8], b"?");
    encode_client_frame(&mut bytes, Opcode::Continuation, true, [5, 6, 7, 8], &text[9..]);
    check("json", &bytes);
}

#[test]
fn a_raw_client_that_vanishes_anywhere_leaves_nothing() {
    let mut bytes = handshake("/raw/a?echo=0");
    encode_client_frame(&mut bytes, Opcode::Binary, true, [1, 2, 3, 4], &[7; 40]);
    encode_client_frame(&mut bytes, Opcode::Close, true, [1, 2, 3, 4], &1000_u16.to_be_bytes());
    check("raw", &bytes);
}

#[test]
fn an_http_client_that_vanishes_anywhere_leaves_nothing() {
    let requests = b"POST /publish/a HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n\r\nhello\
        POST /publish HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n\
        1c\r\n{\"topic\":\"a.b\",\"data\":[1,2]}\r\n0\r\n\r\n\
        GET /topics/a HTTP/1.1\r\nHost: localhost\r\n\r\nGET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n";
    check("http", requests);
}

#[test]
fn an_idle_connection_owns_nothing_but_its_subscriptions() {
    let mut world = World::new();
    let readers: Vec<PeerId> = ["/raw/a", "/ws", "/echo"]
        .map(|path| {
            let peer = world.net.connect(None);
            world.turns(1);
            let mut bytes = handshake(path);
            let text = br#"{"op":"sub","topics":["a","b.*"]}"#;
            encode_client_frame(&mut bytes, Opcode::Text, true, [1, 2, 3, 4], text);
            assert_eq!(world.net.write(peer, &bytes), bytes.len());
            peer
        })
        .to_vec();
    for _ in 0..20 {
        world.turns(2);
        for peer in &readers {
            let _ = world.net.read(*peer);
        }
    }
    let idle = Census { connections: 3, subscriptions: 3, shares: 2, deadlines: 3, ..Census::default() };
    assert_eq!(world.census(), idle);
}
