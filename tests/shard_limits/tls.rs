//! TLS at its bounds, record by record.

use fanwire::driver::sim::{PeerEnd, PeerId};
use fanwire::limits::{Limits, TLS_HANDSHAKES_PER_TURN, TLS_HELLO_LEN_MAX, TLS_PORTION_LEN_MAX};
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use rustls::ConnectionTrafficSecrets;
use rustls::SupportedProtocolVersion;
use rustls::version::{TLS12, TLS13};

use crate::tls_peer::{Tls, TlsPeer};
use crate::world::{World, handshake, post, text_frame};

const VERSIONS: [&SupportedProtocolVersion; 2] = [&TLS12, &TLS13];

struct Pair {
    world: World,
    tls: Tls,
}

impl Pair {
    fn new(outbound_len_max: usize) -> Self {
        let tls = Tls::new();
        Self { world: World::with_edge(1, outbound_len_max, Limits::default(), tls.settings()), tls }
    }

    /// A connection to the listener that speaks TLS.
    fn connect(&mut self) -> PeerId {
        let peer = self.world.net.connect(Some(0));
        self.world.net.set_listener(peer, 1);
        self.world.turns(1);
        peer
    }

    /// Both say what they have to say, until neither has anything; returns what the client heard.
    fn talk(&mut self, peer: PeerId, client: &mut TlsPeer) -> Vec<u8> {
        let mut heard = Vec::new();
        let mut quiet = 0;
        while quiet < 4 {
            let sent = self.world.net.write(peer, &client.wire);
            client.wire.drain(..sent);
            self.world.turns(1);
            let wire = self.world.net.read(peer);
            quiet = if sent == 0 && wire.is_empty() { quiet + 1 } else { 0 };
            heard.extend(client.hear(&wire));
        }
        heard
    }

    /// An upgraded connection.
    fn upgrade(&mut self, version: &'static SupportedProtocolVersion, path: &str) -> (PeerId, TlsPeer) {
        self.upgrade_as(self.tls.peer(version), path)
    }

    fn upgrade_as(&mut self, mut client: TlsPeer, path: &str) -> (PeerId, TlsPeer) {
        let peer = self.connect();
        client.say(handshake(path).as_bytes());
        let heard = self.talk(peer, &mut client);
        assert!(heard.starts_with(b"HTTP/1.1 101"), "{}", String::from_utf8_lossy(&heard));
        (peer, client)
    }

    fn assert_echo(&mut self, peer: PeerId, client: &mut TlsPeer, text: &str) {
        client.say(&text_frame(text));
        let heard = self.talk(peer, client);
        assert!(heard.ends_with(text.as_bytes()), "{text} wanted, got {heard:?}");
    }

    /// No connection is left, and nothing is held for any.
    fn end(mut self, peers: &[PeerId]) {
        for &peer in peers {
            self.world.net.reset(peer);
        }
        self.world.pass_ms(100);
        self.world.assert_empty();
    }
}

#[test]
fn any_split_of_the_records_says_the_same() {
    for version in VERSIONS {
        let mut pair = Pair::new(1 << 20);
        let mut peers = Vec::new();
        for piece_len in [1, 2, 3, 5, 7, 64, 1_000] {
            // Messages of the handshake spread over records of 32 bytes, too.
            for fragment in [None, Some(32), Some(100)] {
                let mut config = pair.tls.config(version);
                config.max_fragment_size = fragment;
                let mut client = TlsPeer::new(config);
                let peer = pair.connect();
                client.say(handshake("/echo").as_bytes());
                let mut heard = Vec::new();
                while !heard.ends_with(b"over") {
                    let piece: Vec<u8> = client.wire.drain(..piece_len.min(client.wire.len())).collect();
                    pair.world.say(peer, &piece);
                    pair.world.turns(1);
                    heard.extend(client.hear(&pair.world.net.read(peer)));
                    assert_eq!(client.failure, None, "{version:?} {piece_len} {fragment:?}");
                    if heard.ends_with(b"\r\n\r\n") {
                        heard.push(b'.');
                        client.say(&text_frame("over"));
                    }
                }
                assert!(heard.starts_with(b"HTTP/1.1 101"));
                peers.push(peer);
            }
        }
        assert_eq!(pair.world.measure(0).blocks_in_use, 0, "no record is under way");
        pair.end(&peers);
    }
}

#[test]
fn every_byte_of_a_conversation_may_be_the_last() {
    for version in VERSIONS {
        // How much the client says in all: a run whose peer stays.
        let mut pair = Pair::new(1 << 20);
        let mut client = pair.tls.peer(version);
        let peer = pair.connect();
        client.say(handshake("/echo").as_bytes());
        let mut len = 0;
        for _ in 0..10 {
            len += pair.world.net.write(peer, &std::mem::take(&mut client.wire));
            pair.world.turns(1);
            client.hear(&pair.world.net.read(peer));
        }
        let mut peers = vec![peer];
        for cut in (0..len).step_by(3) {
            let mut client = pair.tls.peer(version);
            let peer = pair.connect();
            client.say(handshake("/echo").as_bytes());
            let mut left = cut;
            for _ in 0..6 {
                let piece: Vec<u8> = client.wire.drain(..left.min(client.wire.len())).collect();
                left -= piece.len();
                pair.world.say(peer, &piece);
                pair.world.turns(1);
                client.hear(&pair.world.net.read(peer));
            }
            pair.world.net.half_close(peer);
            pair.world.turns(2);
            peers.push(peer);
        }
        pair.end(&peers);
    }
}

#[test]
fn handshakes_beyond_a_turns_budget_wait_for_the_next() {
    let mut pair = Pair::new(1 << 20);
    let mut peers: Vec<_> =
        (0..3 * TLS_HANDSHAKES_PER_TURN + 1).map(|_| (pair.connect(), pair.tls.peer(&TLS13))).collect();
    for (peer, client) in &mut peers {
        pair.world.say(*peer, &std::mem::take(&mut client.wire));
    }
    let mut answered = Vec::new();
    for _ in 0..5 {
        pair.world.turns(1);
        answered.push(peers.iter().filter(|(peer, _)| !pair.world.net.read(*peer).is_empty()).count());
    }
    let budget = TLS_HANDSHAKES_PER_TURN;
    assert_eq!(answered, [budget, budget, budget, 1, 0]);
    pair.end(&peers.iter().map(|(peer, _)| *peer).collect::<Vec<_>>());
}

#[test]
fn a_hello_without_an_end_is_held_up_to_its_bound() {
    let mut pair = Pair::new(1 << 20);
    let peer = pair.connect();
    // A record that promises as much as its length can say.
    pair.world.say(peer, &[0x16, 3, 1, 0xff, 0xff]);
    pair.world.say(peer, &vec![1; TLS_HELLO_LEN_MAX - 5]);
    pair.world.turns(2);
    assert_eq!(pair.world.end(peer), None);
    pair.world.say(peer, &[1]);
    pair.world.turns(2);
    assert!(pair.world.end(peer).is_some());
    pair.end(&[]);
}

#[test]
fn a_reader_that_stalls_keeps_references_and_one_portion() {
    for version in VERSIONS {
        let mut pair = Pair::new(4_096);
        let (peer, mut client) = pair.upgrade(version, "/raw/t?last=0");
        let publisher = pair.world.connect(0);
        let payload = "p".repeat(30_000);
        for number in 0..20 {
            pair.world.say(publisher, post("t", &format!("{number:02}{payload}")).as_bytes());
            pair.world.turns(2);
            let _ = pair.world.hear(publisher);
        }
        let waits = pair.world.measure(0).outbox_len;
        assert!((500_000..700_000).contains(&waits), "{waits}");
        let mut heard = Vec::new();
        while heard.len() < 20 * (payload.len() + 2) {
            let more = pair.talk(peer, &mut client);
            assert!(!more.is_empty(), "it gets all of it");
            heard.extend(more);
        }
        let numbers: Vec<usize> = (0..20).filter_map(|n| find(&heard, format!("{n:02}p").as_bytes())).collect();
        assert!(numbers.len() == 20 && numbers.is_sorted(), "{numbers:?}");
        assert_eq!(pair.world.measure(0).outbox_len, 0);
        pair.end(&[peer, publisher]);
    }
}

/// Fault: what is encrypted gets too little room for all of its records.
#[test]
fn the_longest_portion_has_room_for_every_record() {
    for version in VERSIONS {
        let mut pair = Pair::new(1 << 22);
        let (peer, mut client) = pair.upgrade(version, "/raw/t?last=0");
        let publisher = pair.world.connect(0);
        let payload = "p".repeat(TLS_PORTION_LEN_MAX + TLS_PORTION_LEN_MAX / 2);
        pair.world.say(publisher, post("t", &payload).as_bytes());
        pair.world.turns(10);
        let heard = pair.talk(peer, &mut client);
        assert!(heard.ends_with(payload.as_bytes()), "{} bytes", heard.len());
        assert_eq!(pair.world.measure(0).tls_failed, 0);
        pair.end(&[peer, publisher]);
    }
}

#[test]
fn control_frames_wait_for_one_portion_and_not_for_the_queue() {
    let mut pair = Pair::new(4_096);
    let (peer, mut client) = pair.upgrade(&TLS13, "/raw/t?last=0");
    let publisher = pair.world.connect(0);
    for _ in 0..10 {
        pair.world.say(publisher, post("t", &"p".repeat(80_000)).as_bytes());
        pair.world.turns(2);
        let _ = pair.world.hear(publisher);
    }
    let mut ping = Vec::new();
    fanwire::wire::ws::encode_client_frame(&mut ping, fanwire::wire::ws::Opcode::Ping, true, [1, 2, 3, 4], b"now");
    client.say(&ping);
    let heard = pair.talk(peer, &mut client);
    let pong = find(&heard, b"\x8a\x03now").expect("a pong");
    assert!(pong < 300_000, "behind {pong} bytes");
    pair.end(&[peer, publisher]);
}

#[test]
fn keys_change_as_often_as_a_client_likes_within_reason() {
    let mut pair = Pair::new(1 << 20);
    let (peer, mut client) = pair.upgrade(&TLS13, "/echo");
    for round in 0..20 {
        client.client.refresh_traffic_keys().expect("TLS 1.3 can");
        client.flush();
        pair.assert_echo(peer, &mut client, &format!("round {round}"));
    }
    // Without a word in between that is a flood.
    for _ in 0..100 {
        client.client.refresh_traffic_keys().expect("TLS 1.3 can");
        client.flush();
    }
    pair.talk(peer, &mut client);
    assert!(pair.world.end(peer).is_some());
    assert_eq!(pair.world.measure(0).tls_failed, 1);
    pair.end(&[peer]);
}

#[test]
fn what_is_published_reaches_a_client_in_the_middle_of_a_message_of_the_handshake() {
    let mut pair = Pair::new(1 << 20);
    let mut config = pair.tls.config(&TLS13);
    config.enable_secret_extraction = true;
    let (peer, client) = pair.upgrade_as(TlsPeer::new(config), "/raw/t?last=0");
    let mut sealer = Sealer::of(client);
    let mut seal = |kind: u8, content: &[u8]| sealer.seal(kind, content);
    // The first three bytes of a KeyUpdate, in a record of their own; and half of another record.
    pair.world.say(peer, &seal(22, &[24, 0, 0]));
    pair.world.turns(2);
    assert_eq!(pair.world.measure(0).blocks_in_use, 1);
    let publisher = pair.world.connect(0);
    for text in ["one", "two"] {
        pair.world.say(publisher, post("t", text).as_bytes());
        pair.world.turns(3);
        assert!(pair.world.net.read(peer).len() > 20, "a record with {text}");
    }
    let rest = seal(22, &[1, 0]);
    pair.world.say(peer, &rest[..10]);
    pair.world.turns(2);
    pair.world.say(publisher, post("t", "three").as_bytes());
    pair.world.turns(3);
    assert!(pair.world.net.read(peer).len() > 20);
    pair.world.say(peer, &rest[10..]);
    pair.world.turns(3);
    assert_eq!(pair.world.measure(0).blocks_in_use, 0);
    assert_eq!(pair.world.measure(0).tls_failed, 0, "keys of the client changed");
    pair.end(&[peer, publisher]);
}

#[test]
fn empty_records_say_nothing_and_too_many_are_a_flood() {
    let mut pair = Pair::new(1 << 20);
    let mut config = pair.tls.config(&TLS13);
    config.enable_secret_extraction = true;
    let (peer, client) = pair.upgrade_as(TlsPeer::new(config), "/echo");
    let mut sealer = Sealer::of(client);
    for _ in 0..20 {
        pair.world.say(peer, &sealer.seal(23, b""));
        pair.world.say(peer, &sealer.seal(23, &text_frame("said")));
        pair.world.turns(2);
        assert!(!pair.world.net.read(peer).is_empty(), "what is said between is answered");
    }
    let flood: Vec<u8> = (0..5_000).flat_map(|_| sealer.seal(23, b"")).collect();
    pair.world.say(peer, &flood);
    pair.world.turns(3);
    let measured = pair.world.measure(0);
    assert_eq!((measured.tls_failed, measured.blocks_in_use, measured.outbox_len), (1, 0, 0));
    let _ = pair.world.net.read(peer);
    assert!(pair.world.end(peer).is_some());
    pair.end(&[peer]);
}

#[test]
fn an_alert_is_the_last_that_a_broken_session_hears() {
    for version in VERSIONS {
        let mut pair = Pair::new(1 << 20);
        let (peer, mut client) = pair.upgrade(version, "/raw/t?last=0");
        pair.world.say(peer, &[0x17, 3, 3, 0, 30]);
        pair.world.say(peer, &[9; 30]);
        let publisher = pair.world.connect(0);
        pair.world.say(publisher, post("t", "too late").as_bytes());
        let heard = pair.talk(peer, &mut client);
        assert!(heard.is_empty() && client.failure.is_some(), "{version:?}");
        assert_eq!(pair.world.end(peer), Some(PeerEnd::Finished));
        pair.end(&[peer, publisher]);
    }
}

/// Makes records that rustls would not.
struct Sealer {
    key: LessSafeKey,
    iv: [u8; 12],
    number: u64,
}

impl Sealer {
    fn of(client: TlsPeer) -> Self {
        let secrets = client.client.dangerous_extract_secrets().expect("the configuration allows it");
        let (number, ConnectionTrafficSecrets::Aes256Gcm { key, iv }) = secrets.tx else { panic!("the first suite") };
        let key = LessSafeKey::new(UnboundKey::new(&AES_256_GCM, key.as_ref()).expect("a key"));
        Self { key, iv: iv.as_ref().try_into().expect("12 bytes"), number }
    }

    /// A record of TLS 1.3. [RFC 8446 5.2]
    fn seal(&mut self, kind: u8, content: &[u8]) -> Vec<u8> {
        let mut record = [content, &[kind]].concat();
        let head = [0x17, 3, 3, 0, (record.len() + 16) as u8];
        let mut nonce = self.iv;
        nonce.iter_mut().skip(4).zip(self.number.to_be_bytes()).for_each(|(byte, digit)| *byte ^= digit);
        self.number += 1;
        let nonce = Nonce::assume_unique_for_key(nonce);
        self.key.seal_in_place_append_tag(nonce, Aad::from(head), &mut record).expect("it fits");
        [&head[..], &record].concat()
    }
}

fn find(bytes: &[u8], what: &[u8]) -> Option<usize> {
    bytes.windows(what.len()).position(|window| window == what)
}

#[test]
fn an_address_with_many_handshakes_does_not_keep_another_waiting() {
    let mut pair = Pair::new(1 << 20);
    let many = 20 * TLS_HANDSHAKES_PER_TURN;
    let hello = |pair: &mut Pair, address: u8| {
        let peer = pair.world.net.connect(Some(0));
        pair.world.net.set_listener(peer, 1);
        pair.world.net.set_address(peer, ([10, 0, 0, address], 1).into());
        let client = pair.tls.peer(&TLS13);
        assert_eq!(pair.world.net.write(peer, &client.wire), client.wire.len());
        peer
    };
    let rude: Vec<_> = (0..many).map(|_| hello(&mut pair, 1)).collect();
    let polite = hello(&mut pair, 2);
    pair.world.turns(3);
    let answered = |pair: &Pair, peer| !pair.world.net.read(peer).is_empty();
    assert!(answered(&pair, polite), "its handshake has begun");
    let begun = rude.iter().filter(|peer| answered(&pair, **peer)).count();
    assert!((1..many / 2).contains(&begun), "the others wait for their turns: {begun}");
}
