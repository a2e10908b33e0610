//! How many read a topic: told at a bounded rate, true at the end, and forgotten with who wanted to know.

use fanwire::limits::{Limits, PRESENCE_INTERVAL_MS};
use serde_json::Value;

use crate::world::World;

const WATCH: &str = r#"{"op":"sub","topics":["crowd"],"presence":true,"id":1}"#;

/// The messages among what was heard: a frame begins with its own bytes, a message with a brace.
fn messages(heard: &str) -> Vec<Value> {
    let mut messages = Vec::new();
    let mut rest = heard;
    while let Some(start) = rest.find('{') {
        let mut values = serde_json::Deserializer::from_str(&rest[start..]).into_iter();
        messages.push(values.next().expect("a message").expect("of JSON"));
        rest = &rest[start + values.byte_offset()..];
    }
    messages
}

fn counts(heard: &str) -> Vec<(u64, u64, u64)> {
    let number = |message: &Value, field: &str| message[field].as_u64().expect("a number");
    let presences = messages(heard).into_iter().filter(|message| message["op"] == "presence");
    presences.map(|m| (number(&m, "readers"), number(&m, "joins"), number(&m, "leaves"))).collect()
}

fn check(shards: usize) {
    let mut world = World::new(shards, 1 << 20, Limits::default());
    let watcher = world.upgrade(0, "/ws");
    world.say_text(watcher, WATCH);
    let heard = messages(&world.hear_for(watcher, 4));
    assert_eq!((heard[0]["op"].as_str(), heard[1]["op"].as_str(), heard.len()), (Some("ok"), Some("presence"), 2));
    assert_eq!(heard[1]["readers"], 1);
    // A thousand come at once, each with a name for it.
    let crowd: Vec<_> = (0..1_000).map(|n| world.net.connect(Some(n % shards))).collect();
    let path = crate::world::handshake("/raw/crowd");
    world.turns(4);
    crowd.iter().for_each(|&peer| world.say(peer, path.as_bytes()));
    let mut told = counts(&world.hear_for(watcher, 4));
    world.pass_ms(PRESENCE_INTERVAL_MS * 5);
    told.extend(counts(&world.hear(watcher)));
    assert!((1..=3).contains(&told.len()), "{told:?}");
    assert_eq!(told.last(), Some(&(1_001, 1_001, 0)));
    // And go, but for one.
    crowd[1..].iter().for_each(|&peer| world.net.close(peer));
    world.pass_ms(PRESENCE_INTERVAL_MS * 5);
    let told = counts(&world.hear(watcher));
    assert!((1..=3).contains(&told.len()), "{told:?}");
    assert_eq!(told.last(), Some(&(2, 1_001, 999)));
    // A reader without presence gets no more counts, and nothing is kept for it.
    world.say_text(watcher, r#"{"op":"unsub","topics":["crowd"],"id":2}"#);
    world.turns(4);
    world.net.close(crowd[0]);
    world.pass_ms(PRESENCE_INTERVAL_MS * 3);
    assert_eq!(counts(&world.hear(watcher)), []);
    world.net.close(watcher);
    world.pass_ms(10_000);
    world.assert_empty();
}

#[test]
fn a_crowd_that_comes_at_once_is_told_in_a_few_counts_and_the_last_is_true() {
    check(1);
    check(3);
}

#[test]
fn everyone_who_watches_is_told_and_each_count_is_the_same_for_all() {
    let mut world = World::new(2, 1 << 20, Limits::default());
    let watchers: Vec<_> = (0..40).map(|n| world.upgrade(n % 2, "/ws")).collect();
    for &watcher in &watchers {
        world.say_text(watcher, WATCH);
        assert_eq!(counts(&world.hear_for(watcher, 4)).len(), 1, "at once");
    }
    world.pass_ms(PRESENCE_INTERVAL_MS * 2);
    for &watcher in &watchers {
        let told = counts(&world.hear(watcher));
        assert!((1..=2).contains(&told.len()) && told.last() == Some(&(40, 40, 0)), "{told:?}");
    }
}

#[test]
fn who_does_not_read_is_told_the_newest_count_when_it_does() {
    let mut world = World::new(1, 1 << 12, Limits::default());
    let watcher = world.upgrade(0, "/ws");
    let latest = WATCH.replace("\"id\"", "\"mode\":\"latest\",\"id\"");
    world.say_text(watcher, &latest);
    world.turns(4);
    let publisher = world.connect(0);
    for n in 0..20 {
        world.say(publisher, crate::world::post("crowd", &format!("\"{n}{}\"", "x".repeat(1_000))).as_bytes());
        world.turns(2);
    }
    for round in 0..20 {
        let reader = world.upgrade(0, "/raw/crowd?last=0");
        world.pass_ms(PRESENCE_INTERVAL_MS);
        assert!(world.end(reader).is_none() && world.end(watcher).is_none(), "round {round}");
    }
    let mut heard = String::new();
    for _ in 0..40 {
        heard.push_str(&world.hear(watcher));
        world.pass_ms(PRESENCE_INTERVAL_MS / 10);
    }
    let told = counts(&heard);
    assert_eq!(told.last(), Some(&(21, 21, 0)));
    assert!(told.len() < 10, "{told:?}");
}

#[test]
fn presence_of_a_pattern_or_of_another_kind_is_refused() {
    let mut world = World::new(1, 1 << 20, Limits::default());
    let peer = world.upgrade(0, "/ws");
    for text in [
        r#"{"op":"sub","topics":["a","crowd.*"],"presence":true,"id":3}"#,
        r#"{"op":"sub","topics":["a"],"presence":1,"id":3}"#,
    ] {
        world.say_text(peer, text);
        let heard = messages(&world.hear_for(peer, 2));
        assert!(heard.len() == 1 && heard[0]["code"] == "bad_request" && heard[0]["id"] == 3, "{heard:?}");
    }
    assert_eq!(world.measure(0).subscriptions, 0);
}
