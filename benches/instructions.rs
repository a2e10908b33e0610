//! Work to count instructions of: `instructions CASE REPEATS` does it so many times, and `--list` names the cases. Two
//! counts of repeats under callgrind, and their slope, are what one costs; `scripts/instructions.py` does that. Time is
//! not looked at, and every seed is fixed, so that each run executes the same.

mod rig;

use std::hint::black_box;
use std::sync::Arc;

use fanwire::buf::BlockPool;
use fanwire::command::{Epoch, Message, PayloadKind, Position, Publication, ShardId, TopicName};
use fanwire::dialect::{Dialect, json};
use fanwire::hub::{Hub, HubSettings};
use fanwire::time::MonoTime;
use fanwire::transport::websocket;
use fanwire::wire::http1::parse_head;
use fanwire::wire::json::Scratch;
use fanwire::wire::ws::mask::unmask;
use fanwire::wire::ws::{Decoder, Inbox, Opcode, Role, handshake};
use rig::Bench;

type Work = fn(u32);

/// A counted operation: its name, one repeat of it, and the number of repeats that makes a measurable difference.
const CASES: [(&str, &str, u32, Work); 17] = [
    ("decode_128", "a receive of 64 masked frames of 128 bytes", 100, |n| decode(Opcode::Binary, 128, 64, n)),
    ("decode_text_128", "the same, as text", 100, |n| decode(Opcode::Text, 128, 64, n)),
    ("decode_16k", "a masked frame of 16 KiB", 100, |n| decode(Opcode::Binary, 16 << 10, 1, n)),
    ("unmask_128", "128 bytes", 10_000, |n| unmask_len(128, n)),
    ("unmask_16k", "16 KiB", 100, |n| unmask_len(16 << 10, n)),
    ("encode_raw_128", "a frame with a payload of 128 bytes", 10_000, |n| encode(Dialect::Raw, n)),
    ("encode_json_128", "a push of the JSON dialect with a payload of 128 bytes", 10_000, |n| encode(Dialect::Json, n)),
    ("handshake", "an opening handshake parsed, accepted, answered", 1_000, handshakes),
    ("json_sub", "a subscribe operation read", 1_000, |n| {
        read_json(r#"{"op":"sub","topics":["px.AAPL"],"mode":"latest","id":7}"#, n);
    }),
    ("json_pub", "a publish operation read", 1_000, |n| {
        read_json(r#"{"op":"pub","topic":"px.AAPL","data":{"symbol":"AAPL","price":187.44,"volume":1200}}"#, n);
    }),
    ("home_publish", "a publication numbered and kept by its home", 10_000, publish_at_home),
    ("home_join_and_leave", "a reader that comes and goes, at the topic's home", 10_000, join_at_home),
    ("idle_turn", "a turn in which nothing happens", 10_000, idle_turns),
    ("sub_and_unsub", "two operations of a connection, a turn each", 1_000, subscribe_and_leave),
    ("publish_json", "a turn that takes one publication by JSON, to one reader", 1_000, publish_by_json),
    ("fanout_1000", "a turn that takes one message to 1,000 readers", 100, |n| fan_out(1_000, n)),
    ("fanout_11000", "a turn that takes one message to 11,000 readers", 100, |n| fan_out(11_000, n)),
];

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let run = |name: &str, repeats: u32| match CASES.iter().find(|(known, ..)| *known == name) {
        Some((.., work)) => work(repeats),
        None => panic!("{name} is no case: see --list"),
    };
    match arguments[..] {
        ["--list"] => CASES.iter().for_each(|(name, what, repeats, _)| println!("{name}\t{repeats}\t{what}")),
        [name, repeats] => run(name, repeats.parse().expect("a number of repeats")),
        // As `cargo bench` runs it: each once, to see that all of them work.
        _ => CASES.iter().for_each(|(name, ..)| run(name, 1)),
    }
}

/// The copy that each receive begins with is counted, too.
fn decode(opcode: Opcode, len: usize, count: usize, repeats: u32) {
    let one = rig::frame(opcode, &vec![b'x'; len]);
    let frames = one.repeat(count);
    let mut bytes = frames.clone();
    let (mut pool, mut inbox) = (BlockPool::default(), Inbox::default());
    for _ in 0..repeats {
        bytes.copy_from_slice(&frames);
        let mut decoder = Decoder::new(Role::Server);
        decoder.decode(black_box(&mut bytes), 1 << 20, &mut pool, &mut inbox).expect("valid frames");
        assert_eq!(inbox.items.len(), count);
        inbox.clear(&mut pool);
    }
}

fn unmask_len(len: usize, repeats: u32) {
    let mut bytes = vec![0x5a; len];
    for _ in 0..repeats {
        unmask(black_box(&mut bytes), black_box([0x37, 0xfa, 0x21, 0x3d]), 0);
    }
}

fn encode(dialect: Dialect, repeats: u32) {
    let publication = publication();
    let (mut scratch, mut out) = (Vec::new(), Vec::new());
    for _ in 0..repeats {
        out.clear();
        let publication = black_box(&publication);
        websocket::frame_with(&mut scratch, &mut out, |message| dialect.encode_push(publication, message));
        black_box(&out);
    }
}

fn handshakes(repeats: u32) {
    let request = rig::handshake("/raw/px.AAPL");
    let mut out = Vec::new();
    for _ in 0..repeats {
        let (head, _) = parse_head(black_box(request.as_bytes())).expect("valid").expect("complete");
        let upgrade = handshake::accept(&head).expect("valid");
        out.clear();
        handshake::encode_switching_protocols(&mut out, &upgrade.accept, None, None);
        black_box(&out);
    }
}

fn read_json(text: &str, repeats: u32) {
    let mut scratch = Scratch::default();
    for _ in 0..repeats {
        assert!(json::decode(&mut scratch, black_box(text.as_bytes())).is_ok());
    }
}

fn publish_at_home(repeats: u32) {
    let (mut hub, topic) = (hub(), topic());
    for _ in 0..repeats {
        let message = Message::text(black_box(&[b'x'; 128]));
        black_box(hub.publish(MonoTime::ZERO, &topic, message).expect("there is room"));
    }
}

fn join_at_home(repeats: u32) {
    let (mut hub, topic) = (hub(), topic());
    for _ in 0..repeats {
        black_box(hub.join(MonoTime::ZERO, &topic, ShardId(0), None, true).expect("there is room"));
        hub.leave(MonoTime::ZERO, topic.as_str(), ShardId(0), true);
    }
}

fn idle_turns(repeats: u32) {
    let mut bench = Bench::new(1_000);
    bench.open(1_000, "/raw/px.AAPL");
    (0..repeats).for_each(|_| bench.turn());
}

fn subscribe_and_leave(repeats: u32) {
    let mut bench = Bench::new(1_001);
    bench.open(1_000, "/raw/px.AAPL");
    let conn = bench.open(1, "/ws")[0];
    let operations = [r#"{"op":"sub","topics":["px.AAPL"]}"#, r#"{"op":"unsub","topics":["px.AAPL"]}"#];
    let [subscribe, leave] = operations.map(rig::text);
    for _ in 0..repeats {
        bench.say(conn, &subscribe);
        bench.say(conn, &leave);
    }
}

fn publish_by_json(repeats: u32) {
    let mut bench = Bench::new(2);
    bench.open(1, "/raw/px.AAPL");
    let publisher = bench.open(1, "/ws")[0];
    let frame = rig::text(&format!(r#"{{"op":"pub","topic":"px.AAPL","data":"{}"}}"#, "x".repeat(126)));
    (0..repeats).for_each(|_| bench.say(publisher, &frame));
}

fn fan_out(readers: u32, repeats: u32) {
    let mut bench = Bench::new(readers + 1);
    bench.open(readers, "/raw/px.AAPL");
    let publisher = bench.open(1, "/raw/px.AAPL?echo=0")[0];
    let frame = rig::text(&"x".repeat(128));
    (0..repeats).for_each(|_| bench.say(publisher, &frame));
}

fn publication() -> Publication {
    Publication {
        topic: topic(),
        position: Position { epoch: Epoch(7), offset: 123_456 },
        prev: 123_455,
        kind: PayloadKind::Text,
        payload: [b'x'; 128].into(),
        key: None,
        origin: None,
        time: MonoTime::ZERO,
        extras: None,
    }
}

fn topic() -> TopicName {
    TopicName::parse("px.AAPL").expect("a valid name")
}

fn hub() -> Hub {
    Hub::new(HubSettings {
        shard: ShardId(0),
        shards: 1,
        hash_key: (1, 2),
        epoch_seed: 3,
        topics_max: 10,
        patterns_max: 10,
        retained_len_max: 1 << 20,
        message_id_ttl_ms: 0,
        rules: Arc::default(),
    })
}
