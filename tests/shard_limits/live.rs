//! Live changes with existing readers and topics.

use std::sync::Arc;

use fanwire::close::CloseReason;
use fanwire::command::{Mode, Rate};
use fanwire::driver::sim::PeerId;
use fanwire::hub::{TopicRule, TopicRules, TopicSettings};
use fanwire::limits::{LIVE_STEP_MS, Limits, RULE_TOPICS_PER_STEP};
use fanwire::transport::http::{Access, Origins};
use fanwire::wire::ws::{Opcode, encode_client_frame};

use crate::world::{World, get, handshake, post};

/// One rule for every topic.
fn rules(settings: TopicSettings) -> Arc<TopicRules> {
    Arc::new(TopicRules::new(vec![TopicRule { pattern: ">".parse().expect("a pattern"), settings }]))
}

fn history_of(count: u32) -> TopicSettings {
    TopicSettings { history: count, ..TopicSettings::default() }
}

/// A gateway of two shards with a history of ten for every topic.
fn world(outbound_len_max: usize, limits: Limits) -> World {
    World::with_rules(2, outbound_len_max, limits, TopicRules::clone(&rules(history_of(10))))
}

/// Says numbers in a topic.
fn say(world: &mut World, topic: &str, numbers: std::ops::RangeInclusive<u32>) {
    let publisher = world.connect(0);
    for number in numbers {
        world.say(publisher, post(topic, &format!("<{number}>")).as_bytes());
        world.turns(2);
        assert!(world.hear(publisher).contains("\"offset\""), "it is taken");
    }
    world.net.close(publisher);
    world.turns(2);
}

/// The answer to a request.
fn ask(world: &mut World, path: &str) -> String {
    let peer = world.connect(1);
    world.say(peer, get(path).as_bytes());
    let heard = world.hear_for(peer, 4);
    world.net.close(peer);
    world.turns(2);
    heard
}

fn kept(world: &mut World, topic: &str) -> usize {
    ask(world, &format!("/topics/{topic}/history")).matches("\"o\":").count()
}

/// The memory of histories and last values.
fn retained(world: &World) -> u64 {
    (0..2).map(|shard| world.measure(shard).retained_len).sum()
}

/// Their memory after one message without a rule.
fn retained_of_one(number: u32) -> u64 {
    let mut world = World::new(2, 1 << 20, Limits::default());
    say(&mut world, "a", number..=number);
    retained(&world)
}

/// The numbers that a reader heard.
fn numbers(heard: &str) -> Vec<u32> {
    let parts = heard.split('<').skip(1).filter_map(|part| part.split_once('>'));
    parts.map(|(number, _)| number.parse().expect("a number")).collect()
}

#[test]
fn rules_that_change_hold_for_topics_that_are_there() {
    let mut world = world(1 << 20, Limits::default());
    let reader = world.upgrade(1, "/raw/a?last=0");
    say(&mut world, "a", 1..=10);
    assert_eq!(kept(&mut world, "a"), 10);
    world.change(|live| live.rules = rules(history_of(3)));
    assert_eq!(kept(&mut world, "a"), 3);
    say(&mut world, "a", 11..=12);
    assert_eq!(kept(&mut world, "a"), 3);
    world.change(|live| live.rules = Arc::default());
    assert_eq!(kept(&mut world, "a"), 1, "without a history there is the last value");
    assert_eq!(retained(&world), retained_of_one(12));
    world.change(|live| live.rules = rules(TopicSettings { last: false, ..TopicSettings::default() }));
    assert_eq!(kept(&mut world, "a"), 0);
    assert_eq!(retained(&world), 0);
    world.change(|live| live.rules = rules(history_of(5)));
    say(&mut world, "a", 13..=20);
    assert_eq!(kept(&mut world, "a"), 5);
    assert_eq!(numbers(&world.hear(reader)), (1..=20).collect::<Vec<_>>(), "the reader lost nothing");
}

#[test]
fn a_time_to_keep_that_comes_later_holds_for_what_was_said_before() {
    let mut world = world(1 << 20, Limits::default());
    say(&mut world, "a", 1..=10);
    world.change(|live| live.rules = rules(TopicSettings { history_ttl_ms: 1_000, ..history_of(10) }));
    assert_eq!(kept(&mut world, "a"), 10);
    world.pass_ms(1_500);
    assert_eq!(retained(&world), retained_of_one(10), "it goes in silence, but for the last value");
}

#[test]
fn many_topics_follow_by_and_by() {
    let mut world = World::with_rules(1, 1 << 22, Limits::default(), TopicRules::clone(&rules(history_of(10))));
    let topics = RULE_TOPICS_PER_STEP + 10;
    let publisher = world.connect(0);
    for _ in 0..2 {
        let body: String = (0..topics).map(|n| format!("{{\"topic\":\"t.{n}\",\"data\":1}}\n")).collect();
        let head = format!("POST /publish HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n", body.len());
        world.say(publisher, format!("{head}{body}").as_bytes());
        world.turns(40);
    }
    let one = world.measure(0).retained_len / (2 * topics as u64);
    let kept = |world: &World| (world.measure(0).retained_len / one) as usize;
    assert_eq!(kept(&world), 2 * topics);
    world.change(|live| live.rules = Arc::default());
    assert_eq!(kept(&world), 2 * topics - RULE_TOPICS_PER_STEP, "so many in one step");
    world.pass_ms(10 * LIVE_STEP_MS);
    assert_eq!(kept(&world), topics, "the last value of each stays");
}

#[test]
fn a_reader_that_is_behind_skips_once_its_rule_says_so() {
    for later in [Mode::Queue, Mode::Latest, Mode::DropOldest] {
        let mut world = world(1024, Limits { outbox_len_max: 4096, ..Limits::default() });
        let reader = world.upgrade(1, "/raw/a?last=0");
        let publisher = world.connect(0);
        let publish = |world: &mut World, number: u32| {
            let text = format!("<{number}>{}", "x".repeat(200));
            world.say(publisher, post("a", &text).as_bytes());
            world.turns(2);
            world.hear(publisher);
        };
        (1..=10).for_each(|number| publish(&mut world, number));
        world.change(|live| live.rules = rules(TopicSettings { mode: later, ..TopicSettings::default() }));
        (11..=100).for_each(|number| publish(&mut world, number));
        let heard = numbers(&world.hear_for(reader, 200));
        world.pass_ms(3_000);
        let is_closed = world.measure(1).closes[CloseReason::SlowReader.index()] > 0;
        assert_eq!(is_closed, later == Mode::Queue, "{later:?}: {heard:?}");
        assert!(heard.is_sorted_by(|one, other| one < other) && heard.len() < 100, "{later:?}: {heard:?}");
        assert!(later == Mode::Queue || heard.last() == Some(&100), "{later:?}: {heard:?}");
        // And back, while it is there.
        world.change(|live| live.rules = Arc::default());
        (101..=110).for_each(|number| publish(&mut world, number));
        let heard = numbers(&world.hear_for(reader, 50));
        assert!(later == Mode::Queue || heard == (101..=110).collect::<Vec<_>>(), "{later:?}: {heard:?}");
    }
}

#[test]
fn a_bound_that_is_lowered_ends_who_is_past_it_and_nobody_else() {
    let mut world = world(1024, Limits { outbox_len_max: 1 << 20, ..Limits::default() });
    let (reader, sleeper) = (world.upgrade(1, "/raw/a?last=0"), world.upgrade(1, "/raw/a?last=0"));
    let publisher = world.connect(0);
    let mut heard = String::new();
    for number in 1..=60 {
        if number == 50 {
            world.change(|live| live.limits.outbox_len_max = 4096);
            assert_eq!(world.end(sleeper), None, "the next message ends it");
        }
        world.say(publisher, post("a", &format!("<{number}>{}", "x".repeat(200))).as_bytes());
        world.turns(2);
        heard.push_str(&world.hear(reader));
        world.hear(publisher);
    }
    heard.push_str(&world.hear_for(reader, 20));
    world.pass_ms(3_000);
    assert_eq!(numbers(&heard), (1..=60).collect::<Vec<_>>());
    assert_eq!(world.measure(1).closes[CloseReason::SlowReader.index()], 1);
}

/// How many messages of a hundred, one each ten milliseconds, come to a reader that was there before; and the last.
fn paced(world: &mut World, reader: PeerId) -> (usize, Option<u32>) {
    let publisher = world.connect(0);
    let mut heard = String::new();
    for number in 1..=100 {
        world.say(publisher, post("a", &format!("<{number}>")).as_bytes());
        world.pass_ms(10);
        world.hear(publisher);
        heard.push_str(&world.hear(reader));
    }
    world.pass_ms(200);
    heard.push_str(&world.hear(reader));
    world.net.close(publisher);
    let heard = numbers(&heard);
    (heard.len(), heard.last().copied())
}

#[test]
fn a_rate_that_comes_later_holds_for_readers_that_are_there() {
    for path in ["/raw/a?last=0", "/ws"] {
        let mut world = world(1 << 20, Limits::default());
        let reader = world.upgrade(1, path);
        world.say_text(reader, r#"{"op":"sub","topics":["b","*"],"last":false}"#);
        world.turns(4);
        world.hear(reader);
        assert_eq!(paced(&mut world, reader), (100, Some(100)), "{path}");
        let max_rate = Rate::per_second(10.0);
        world.change(|live| live.rules = rules(TopicSettings { max_rate, ..TopicSettings::default() }));
        let (count, last) = paced(&mut world, reader);
        assert!((9..=13).contains(&count) && last == Some(100), "{path}: {count} {last:?}");
        world.change(|live| live.rules = Arc::default());
        assert_eq!(paced(&mut world, reader), (100, Some(100)), "{path}");
    }
}

#[test]
fn a_bandwidth_that_comes_later_holds_for_readers_that_are_there() {
    let mut world = World::new(1, 1 << 20, Limits::default());
    let reader = world.upgrade(0, "/raw/a?last=0");
    world.change(|live| live.limits.reader_bandwidth_max = 10_000);
    let publisher = world.connect(0);
    for _ in 0..20 {
        world.say(publisher, post("a", &"x".repeat(2_000)).as_bytes());
        world.turns(2);
    }
    let mut came = 0;
    for _ in 0..100 {
        world.pass_ms(10);
        came += world.net.read(reader).len();
    }
    assert!((5_000..20_000).contains(&came), "{came} bytes in a second");
    world.change(|live| live.limits.reader_bandwidth_max = 0);
    for _ in 0..20 {
        world.pass_ms(10);
        came += world.net.read(reader).len();
    }
    assert!(came >= 40_000, "{came} bytes");
}

/// Lets a peer answer pings; returns how many came in so much time.
fn pings(world: &mut World, peer: PeerId, millis: u64) -> usize {
    let mut count = 0;
    for _ in 0..millis / 10 {
        world.pass_ms(10);
        if world.net.read(peer).starts_with(&[0x89, 0]) {
            count += 1;
            let mut pong = Vec::new();
            encode_client_frame(&mut pong, Opcode::Pong, true, [1, 2, 3, 4], b"");
            world.say(peer, &pong);
        }
    }
    count
}

#[test]
fn pings_come_when_they_should_now_and_a_shorter_time_out_ends_nobody_who_answers() {
    let mut world = World::new(1, 1 << 16, Limits { ping_timeout_ms: 100, ..Limits::default() });
    let peer = world.upgrade(0, "/ws");
    assert_eq!(pings(&mut world, peer, 5_000), 0);
    world.change(|live| live.limits.ping_interval_ms = 500);
    assert!(pings(&mut world, peer, 5_000) >= 8);
    world.change(|live| live.limits.ping_interval_ms = 10_000);
    assert!(pings(&mut world, peer, 9_000) <= 1);
    // Its pong comes soon after the ping, and long before the time-out that holds when it is looked at.
    world.change(|live| (live.limits.ping_interval_ms, live.limits.ping_timeout_ms) = (1_000, 10_000));
    while !world.net.read(peer).starts_with(&[0x89, 0]) {
        world.pass_ms(10);
    }
    let mut pong = Vec::new();
    encode_client_frame(&mut pong, Opcode::Pong, true, [1, 2, 3, 4], b"");
    world.say(peer, &pong);
    world.turns(1);
    world.change(|live| (live.limits.ping_interval_ms, live.limits.ping_timeout_ms) = (30_000, 100));
    world.pass_ms(15_000);
    assert_eq!(world.measure(0).closes[CloseReason::PingTimeout.index()], 0);
    // A reader that answers no ping is closed after the time that holds now.
    world.pass_ms(30_000);
    assert_eq!(world.measure(0).closes[CloseReason::PingTimeout.index()], 1);
}

#[test]
fn limits_that_are_looked_up_hold_at_once() {
    let mut world = World::new(1, 1 << 16, Limits { topics_max: 1, ..Limits::default() });
    let publish = |world: &mut World, topic: &str, text: &str| {
        let peer = world.connect(0);
        world.say(peer, post(topic, text).as_bytes());
        let heard = world.hear_for(peer, 3);
        world.net.close(peer);
        heard[9..12].to_owned()
    };
    assert_eq!(publish(&mut world, "a", "1"), "200");
    assert_eq!(publish(&mut world, "b", "1"), "503");
    world.change(|live| (live.limits.topics_max, live.limits.message_len_max) = (2, 3));
    assert_eq!(publish(&mut world, "b", "123"), "200");
    assert_eq!(publish(&mut world, "b", "1234"), "413");
    world.change(|live| (live.limits.topics_per_connection_max, live.limits.message_len_max) = (1, 100));
    let reader = world.upgrade(0, "/ws");
    world.say_text(reader, r#"{"op":"sub","topics":["a","b"],"id":1}"#);
    let heard = world.hear_for(reader, 3);
    assert!(heard.contains("too_many_topics"), "{heard}");
}

#[test]
fn who_may_come_in_changes_and_who_is_there_stays() {
    let mut world = World::new(1, 1 << 16, Limits::default());
    let come = |world: &mut World| {
        let peer = world.connect(0);
        world.say(peer, handshake("/ws").replace("Host: x\r\n", "Host: x\r\nOrigin: https://a.b\r\n").as_bytes());
        (peer, world.hear_for(peer, 3).starts_with("HTTP/1.1 101"))
    };
    let (first, is_in) = come(&mut world);
    assert!(is_in);
    let origins = Origins::Listed([Box::from("https://c.d")].into());
    world.change(|live| live.access = [Access { origins, ..Access::OPEN }].into());
    assert!(!come(&mut world).1);
    assert_eq!(world.end(first), None);
}

#[test]
fn addresses_are_counted_from_when_there_is_a_limit_and_not_after() {
    let mut world = World::new(1, 1 << 16, Limits::default());
    let early = world.upgrade(0, "/ws");
    world.change(|live| live.limits.connections_per_ip_max = 1);
    let counted = world.upgrade(0, "/ws");
    let refused = |world: &mut World| {
        let peer = world.connect(0);
        world.say(peer, handshake("/ws").as_bytes());
        let heard = world.hear_for(peer, 3);
        world.net.close(peer);
        world.turns(2);
        heard.starts_with("HTTP/1.1 429")
    };
    assert!(refused(&mut world));
    world.net.close(early);
    world.turns(2);
    assert!(refused(&mut world), "who was not counted frees no place");
    world.change(|live| live.limits.connections_per_ip_max = 0);
    let other = world.upgrade(0, "/ws");
    world.net.close(counted);
    world.net.close(other);
    world.turns(2);
    world.change(|live| live.limits.connections_per_ip_max = 1);
    let last = world.upgrade(0, "/ws");
    assert!(refused(&mut world));
    world.net.close(last);
    world.turns(2);
    assert!(!refused(&mut world), "all counts went back to nothing");
}
