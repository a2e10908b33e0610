//! Readers that want less than all, in virtual time: rates, ages and bandwidth.

use fanwire::close::CloseReason;
use fanwire::limits::Limits;

use crate::world::{World, post};

/// Says one message each ten milliseconds and listens to each; returns what was heard.
fn talk(world: &mut World, topics: &[&str], millis: u64, peer: fanwire::driver::sim::PeerId) -> String {
    let publisher = world.connect(0);
    let mut heard = String::new();
    for n in 0..millis / 10 {
        for topic in topics {
            world.say(publisher, post(topic, &format!("{n}")).as_bytes());
        }
        world.pass_ms(10);
        world.hear(publisher);
        heard.push_str(&world.hear(peer));
    }
    heard
}

fn count(heard: &str, what: &str) -> u64 {
    heard.matches(what).count() as u64
}

/// All numbers behind `"skipped":`, added.
fn skipped(heard: &str) -> u64 {
    let numbers = heard.split("\"skipped\":").skip(1).map(|rest| rest.split(',').next().unwrap_or_default());
    numbers.map(|number| number.parse::<u64>().expect("a number")).sum()
}

#[test]
fn a_rate_brings_the_newest_so_many_times_a_second_and_counts_the_rest() {
    let mut world = World::new(2, 1 << 20, Limits::default());
    let reader = world.upgrade(1, "/ws");
    world.say_text(reader, r#"{"op":"sub","topics":["a"],"max_rate":10,"id":1}"#);
    world.turns(4);
    assert!(world.hear(reader).contains("\"ok\""));
    let mut heard = talk(&mut world, &["a"], 2_000, reader);
    world.pass_ms(200);
    heard.push_str(&world.hear(reader));
    let pushes = count(&heard, "{\"t\":\"a\"");
    assert!((19..=22).contains(&pushes), "{pushes} in two seconds");
    assert_eq!(pushes + skipped(&heard), 200, "each of 200 is there or counted");
    assert!(heard.contains("\"o\":200,\"d\":199"), "the newest is there: {heard}");
    assert_eq!(world.measure(1).skipped, skipped(&heard));
}

#[test]
fn a_rate_is_of_the_whole_subscription_and_its_topics_take_turns() {
    let mut world = World::new(1, 1 << 20, Limits::default());
    let reader = world.upgrade(0, "/ws");
    world.say_text(reader, r#"{"op":"sub","topics":["px.*"],"max_rate":20}"#);
    world.turns(2);
    let heard = talk(&mut world, &["px.a", "px.b", "px.c", "px.d"], 2_000, reader);
    let of = |topic: &str| count(&heard, &format!("{{\"t\":\"{topic}\""));
    let all = of("px.a") + of("px.b") + of("px.c") + of("px.d");
    assert!((39..=42).contains(&all), "{all} in two seconds");
    assert!(["px.a", "px.b", "px.c", "px.d"].into_iter().all(|topic| of(topic) >= 9), "{heard}");
}

#[test]
fn a_topic_without_a_rate_is_not_slowed_by_one_that_has_it() {
    let mut world = World::new(1, 1 << 20, Limits::default());
    let reader = world.upgrade(0, "/ws");
    world.say_text(reader, r#"{"op":"sub","topics":["slow"],"max_rate":1}"#);
    world.say_text(reader, r#"{"op":"sub","topics":["fast"]}"#);
    world.turns(2);
    let heard = talk(&mut world, &["slow", "fast"], 1_000, reader);
    assert_eq!(count(&heard, "{\"t\":\"fast\""), 100);
    assert!(count(&heard, "{\"t\":\"slow\"") <= 2);
}

#[test]
fn subscribing_again_changes_the_rate() {
    let mut world = World::new(1, 1 << 20, Limits::default());
    let reader = world.upgrade(0, "/ws");
    world.say_text(reader, r#"{"op":"sub","topics":["a"]}"#);
    world.turns(2);
    let plain = talk(&mut world, &["a"], 500, reader);
    assert_eq!(count(&plain, "{\"t\":\"a\""), 50);
    world.say_text(reader, r#"{"op":"sub","topics":["a"],"max_rate":4,"last":false}"#);
    world.turns(2);
    let throttled = talk(&mut world, &["a"], 1_000, reader);
    assert!(count(&throttled, "{\"t\":\"a\"") <= 6, "{throttled}");
    world.say_text(reader, r#"{"op":"sub","topics":["a"],"max_rate":0,"last":false}"#);
    world.pass_ms(300);
    world.hear(reader);
    let plain = talk(&mut world, &["a"], 500, reader);
    assert_eq!(count(&plain, "{\"t\":\"a\""), 50);
}

#[test]
fn a_raw_reader_has_a_rate_too() {
    let mut world = World::new(1, 1 << 20, Limits::default());
    let reader = world.upgrade(0, "/raw/a?max_rate=5");
    let heard = talk(&mut world, &["a"], 2_000, reader);
    let frames = heard.bytes().filter(|byte| *byte == b'\x01' || *byte == b'\x02' || *byte == b'\x03').count();
    assert!((9..=12).contains(&frames), "{frames} frames of one to three digits");
}

#[test]
fn what_has_grown_too_old_is_told_and_not_sent() {
    let mut world = World::new(1, 64, Limits::default());
    let reader = world.upgrade(0, "/ws");
    world.say_text(reader, r#"{"op":"sub","topics":["a"],"max_age_ms":100}"#);
    world.turns(2);
    world.hear(reader);
    let publisher = world.connect(0);
    // The reader's kernel is full, and it reads nothing for half a second.
    for n in 0..50 {
        world.say(publisher, post("a", &format!("\"{n:040}\"")).as_bytes());
        world.pass_ms(10);
        world.hear(publisher);
    }
    let mut heard = String::new();
    for _ in 0..200 {
        heard.push_str(&world.hear(reader));
        world.turns(1);
    }
    let pushes = count(&heard, "{\"t\":\"a\"");
    assert_eq!(pushes + skipped(&heard), 50, "{heard}");
    assert!(pushes <= 14, "the last ten, and what was under way: {pushes}");
    assert!(heard.contains("\"o\":50"), "the newest is young enough");
}

#[test]
fn a_reader_with_a_bandwidth_gets_so_many_bytes_a_second_and_ends_on_the_newest() {
    let mut world = World::new(1, 1 << 20, Limits::default());
    let reader = world.upgrade(0, "/ws?bandwidth=2000");
    world.say_text(reader, r#"{"op":"sub","topics":["a"],"mode":"latest"}"#);
    world.turns(2);
    let mut heard = talk(&mut world, &["a"], 4_000, reader);
    assert!((6_000..9_000).contains(&heard.len()), "{} bytes in four seconds", heard.len());
    world.pass_ms(1_000);
    heard.push_str(&world.hear(reader));
    assert!(heard.contains("\"o\":400,"), "the newest is there");
    assert_eq!(count(&heard, "{\"t\":\"a\"") + skipped(&heard), 400);
}

#[test]
fn a_reader_that_waits_for_everything_at_too_little_bandwidth_is_disconnected() {
    let limits = Limits { reader_bandwidth_max: 2_000, outbox_len_max: 4_000, ..Limits::default() };
    let mut world = World::new(1, 1 << 20, limits);
    let reader = world.upgrade(0, "/raw/a");
    let publisher = world.connect(0);
    let mut heard = String::new();
    for _ in 0..200 {
        world.say(publisher, post("a", &"x".repeat(200)).as_bytes());
        world.pass_ms(10);
        world.hear(publisher);
        heard.push_str(&world.hear(reader));
    }
    assert!(heard.contains("too slow"), "{} bytes", heard.len());
    assert!(heard.len() < 4_000, "{} bytes in less than a second", heard.len());
    for peer in [reader, publisher] {
        world.net.close(peer);
    }
    world.pass_ms(100);
    world.assert_empty();
}

/// Says messages, each in a turn of its own, while no time passes: what a reader was sent before has used up its bandwidth.
fn talk_at_once(world: &mut World, messages: &[String]) {
    let publisher = world.connect(0);
    for message in messages {
        world.say(publisher, post("a", message).as_bytes());
        world.turns(2);
    }
}

/// Fault: what waits for the bandwidth and was not offered yet does not make a reader one that is behind.
#[test]
fn a_reader_that_skips_skips_what_comes_while_its_bandwidth_is_used_up() {
    let mut world = World::new(1, 1 << 20, Limits::default());
    let reader = world.upgrade(0, "/raw/a?bandwidth=1400&mode=latest&last=0");
    talk_at_once(&mut world, &(0..5).map(|n| format!("<{n}>")).collect::<Vec<_>>());
    world.pass_ms(1_000);
    let heard = world.hear(reader);
    assert!(heard.contains("<0>") && heard.contains("<4>"), "{heard:?}");
    assert_eq!((count(&heard, "<"), world.measure(0).skipped), (2, 3), "{heard:?}");
}

/// The same fault: its outbox would have no bound for as long as a slice takes.
#[test]
fn a_reader_that_waits_for_everything_has_its_bound_while_its_bandwidth_is_used_up() {
    let mut world = World::new(1, 1 << 20, Limits { outbox_len_max: 4_000, ..Limits::default() });
    world.upgrade(0, "/raw/a?bandwidth=1400&last=0");
    talk_at_once(&mut world, &vec!["x".repeat(900); 4]);
    assert!((3_600..4_000).contains(&world.measure(0).outbox_len));
    talk_at_once(&mut world, &vec!["x".repeat(900); 4]);
    assert!(world.measure(0).outbox_len < 100, "a farewell: {}", world.measure(0).outbox_len);
    world.pass_ms(10_000);
    assert_eq!(world.measure(0).closes[CloseReason::SlowReader.index()], 1);
}

#[test]
fn a_large_message_is_cut_to_the_bandwidth_and_arrives_whole() {
    let mut world = World::new(1, 1 << 20, Limits::default());
    let reader = world.upgrade(0, "/raw/a?bandwidth=10000");
    let publisher = world.connect(0);
    let payload = "0123456789".repeat(2_000);
    world.say(publisher, post("a", &payload).as_bytes());
    world.pass_ms(1_000);
    let first = world.hear(reader);
    assert!((9_000..=11_000).contains(&first.len()), "{}", first.len());
    world.pass_ms(1_500);
    let all = first + &world.hear(reader);
    assert!(all.ends_with(&payload) && all.len() < payload.len() + 16);
}

#[test]
fn what_asks_for_nonsense_is_refused() {
    let mut world = World::new(1, 1 << 20, Limits::default());
    for query in ["max_rate=-1", "max_rate=x", "max_rate=NaN", "max_rate=1e99", "max_age_ms=1.5", "bandwidth=10"] {
        let peer = world.connect(0);
        let request = crate::world::handshake(&format!("/raw/a?{query}"));
        world.say(peer, request.as_bytes());
        world.turns(2);
        assert!(world.hear(peer).starts_with("HTTP/1.1 400"), "{query}");
    }
    let peer = world.upgrade(0, "/ws");
    for field in ["\"max_rate\":\"5\"", "\"max_rate\":-5", "\"max_age_ms\":-1", "\"max_age_ms\":99999999999"] {
        world.say_text(peer, &format!("{{\"op\":\"sub\",\"topics\":[\"a\"],{field}}}"));
        world.turns(2);
        assert!(world.hear(peer).contains("bad_request"), "{field}");
    }
}
