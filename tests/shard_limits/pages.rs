//! The last values of a large pattern, which come in pages.

use std::collections::HashMap;

use fanwire::driver::sim::PeerId;
use fanwire::limits::{Limits, PATTERN_PAGE_MAX};

use crate::world::World;

/// Says one message in each of many topics.
fn fill(world: &mut World, publisher: PeerId, count: usize) {
    let lines: Vec<String> = (0..count).map(|n| format!("{{\"topic\":\"px.{n}\",\"data\":\"{n:0200}\"}}")).collect();
    for lines in lines.chunks(100) {
        publish(world, publisher, &lines.join("\n"));
    }
}

fn publish(world: &mut World, publisher: PeerId, body: &str) {
    let head = format!("POST /publish HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n", body.len());
    world.say(publisher, (head + body).as_bytes());
    world.turns(4);
    world.hear(publisher);
}

/// The offsets of every topic, in the order heard.
fn offsets(heard: &str) -> HashMap<String, Vec<u64>> {
    let mut offsets: HashMap<String, Vec<u64>> = HashMap::new();
    for push in heard.split("{\"t\":\"").skip(1) {
        let (topic, rest) = push.split_once("\",\"o\":").expect("a push has an offset");
        let offset = rest.split(',').next().and_then(|number| number.parse().ok()).expect("a number");
        offsets.entry(topic.to_owned()).or_default().push(offset);
    }
    offsets
}

#[test]
fn every_last_value_comes_once_and_what_is_said_meanwhile_follows_it() {
    const TOPICS: usize = 5 * PATTERN_PAGE_MAX;
    let mut world = World::new(2, 20_000, Limits::default());
    let publisher = world.connect(0);
    fill(&mut world, publisher, TOPICS);
    let reader = world.upgrade(1, "/ws");
    world.say_text(reader, r#"{"op":"sub","topics":["px.*"],"id":1}"#);
    let mut heard = String::new();
    for n in 0..200 {
        // Topics from all parts of the table, while pages are under way.
        publish(&mut world, publisher, &format!("{{\"topic\":\"px.{}\",\"data\":0}}", n * 37 % TOPICS));
        heard.push_str(&world.hear(reader));
    }
    heard.push_str(&world.hear_for(reader, 200));
    let offsets = offsets(&heard);
    assert_eq!(offsets.len(), TOPICS, "each topic is there");
    for (topic, offsets) in &offsets {
        let first = offsets[0];
        assert!(first <= 2 && offsets.iter().copied().eq(first..first + offsets.len() as u64), "{topic}: {offsets:?}");
    }
    let news: usize = offsets.values().filter(|offsets| offsets.last() == Some(&2)).count();
    assert_eq!(news, 200, "what was said meanwhile is there");
}

#[test]
fn who_does_not_read_is_asked_no_further_pages_for_and_may_leave() {
    const TOPICS: usize = 20 * PATTERN_PAGE_MAX;
    let mut world = World::new(2, 2_000, Limits::default());
    let publisher = world.connect(0);
    fill(&mut world, publisher, TOPICS);
    let reader = world.upgrade(0, "/ws");
    world.say_text(reader, r#"{"op":"sub","topics":["px.*"]}"#);
    world.turns(200);
    let waits = world.measure(0).outbox_len;
    assert!(waits < 600_000, "{waits} bytes wait for a reader that does not read");
    world.say_text(reader, r#"{"op":"unsub","topics":["px.*"],"id":7}"#);
    let heard = world.hear_for(reader, 2_000);
    assert!(heard.contains("\"id\":7"), "it is answered");
    world.say_text(reader, r#"{"op":"sub","topics":["px.1"],"id":8}"#);
    world.turns(4);
    assert!(world.hear(reader).contains("{\"t\":\"px.1\",\"o\":1"), "it is not held any more");
    for peer in [reader, publisher] {
        world.net.close(peer);
    }
    world.pass_ms(100);
    world.assert_empty();
}
