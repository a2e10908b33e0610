//! A reader that comes back after very much was said: it gets it in portions, in order, and as fast as it reads.

use fanwire::driver::sim::PeerId;
use fanwire::hub::{TopicRule, TopicRules, TopicSettings};
use fanwire::limits::{Limits, RESUME_PAGE_LEN_MAX};

use crate::world::World;

const PAYLOAD_LEN: usize = 200;
const BATCH: usize = 500;

fn world(history: u32, outbound_len_max: usize) -> World {
    let settings = TopicSettings { history, ..TopicSettings::default() };
    let rules = TopicRules::new(vec![TopicRule { pattern: ">".parse().expect("a pattern"), settings }]);
    World::with_rules(2, outbound_len_max, Limits { outbox_len_max: 64 << 20, ..Limits::default() }, rules)
}

/// Publishes so many messages, each of which names its number.
fn say(world: &mut World, publisher: PeerId, topic: &str, numbers: std::ops::Range<usize>) {
    let numbers: Vec<_> = numbers.collect();
    for batch in numbers.chunks(BATCH) {
        let line = |n: &usize| format!("{{\"topic\":\"{topic}\",\"data\":\"{n:0PAYLOAD_LEN$}\"}}\n");
        let body: String = batch.iter().map(line).collect();
        world.say(
            publisher,
            format!("POST /publish HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n{body}", body.len()).as_bytes(),
        );
        assert!(world.hear_for(publisher, 20).contains("HTTP/1.1 200"));
    }
}

fn since(world: &mut World, topic: &str, offset: usize) -> String {
    let peer = world.connect(0);
    world.say(peer, crate::world::get(&format!("/topics/{topic}")).as_bytes());
    let heard = world.hear_for(peer, 4);
    world.net.close(peer);
    world.turns(2);
    let epoch = heard.split("\"epoch\":\"").nth(1).and_then(|rest| rest.split('"').next()).expect("an epoch");
    format!("{epoch}-{offset}")
}

/// The offsets of the pushes in what was heard.
fn offsets(heard: &str) -> Vec<usize> {
    let pushes = heard.split("\"o\":").skip(1);
    pushes.filter_map(|rest| rest.split([',', '}']).next()?.parse().ok()).collect()
}

#[test]
fn what_was_missed_comes_in_portions_and_without_a_gap_while_more_is_said() {
    for home in [0, 1] {
        let mut world = world(100_000, 1 << 16);
        let topic = world.topics_at(home).next().expect("a topic");
        let publisher = world.connect(1);
        let missed = 4 * RESUME_PAGE_LEN_MAX / PAYLOAD_LEN;
        say(&mut world, publisher, &topic, 1..missed + 1);
        let position = since(&mut world, &topic, 10);
        let reader = world.upgrade(0, "/ws");
        world.say_text(reader, &format!(r#"{{"op":"sub","topics":["{topic}"],"since":{{"{topic}":"{position}"}}}}"#));
        let mut heard = world.hear_for(reader, 3);
        assert!(heard.contains("\"recovered\":true"), "{heard:.300}");
        for round in 0..5 {
            say(&mut world, publisher, &topic, missed + 1 + round * 20..missed + 21 + round * 20);
            heard.push_str(&world.hear_for(reader, 10));
        }
        heard.push_str(&world.hear_for(reader, 400));
        let behind = heard.split("\"recovered\":true").nth(1).expect("the pushes");
        assert_eq!(offsets(behind), (11..=missed + 100).collect::<Vec<_>>());
        world.net.reset(reader);
        world.net.reset(publisher);
    }
}

#[test]
fn what_is_not_kept_for_as_long_as_a_reader_takes_is_told_as_a_gap() {
    let history = 4 * RESUME_PAGE_LEN_MAX / PAYLOAD_LEN;
    let mut world = world(history as u32, 1 << 16);
    let publisher = world.connect(1);
    say(&mut world, publisher, "t", 1..history + 1);
    let position = since(&mut world, "t", 0);
    let reader = world.upgrade(0, "/ws");
    world.say_text(reader, &format!(r#"{{"op":"sub","topics":["t"],"since":{{"t":"{position}"}}}}"#));
    // It reads nothing until all that it has not yet got is kept no more.
    world.turns(10);
    say(&mut world, publisher, "t", history + 1..2 * history + 1);
    let heard = world.hear_for(reader, 800);
    let (before, behind) = heard.split_once("\"op\":\"gap\"").expect("a gap");
    let first = offsets(before.split("\"recovered\":true").nth(1).expect("the pushes"));
    let skipped: usize =
        behind.split("\"skipped\":").nth(1).and_then(|rest| rest.split(',').next()?.parse().ok()).expect("a count");
    let rest = offsets(behind);
    assert_eq!(first, (1..=first.len()).collect::<Vec<_>>());
    assert!(first.len() < history && skipped == history - first.len(), "{} {skipped}", first.len());
    // The gap itself names the offset that comes next.
    assert_eq!(rest[0], history + 1);
    assert_eq!(rest[1..], (history + 1..=2 * history).collect::<Vec<_>>());
}

#[test]
fn a_reader_that_skips_gets_a_portion_or_the_last_value() {
    let mut world = world(100_000, 1 << 20);
    let publisher = world.connect(1);
    let much = 2 * RESUME_PAGE_LEN_MAX / PAYLOAD_LEN;
    say(&mut world, publisher, "t", 1..much + 1);
    for (behind, recovered) in [(20, true), (much, false)] {
        let position = since(&mut world, "t", much - behind);
        let reader = world.upgrade(0, "/ws");
        let ask = format!(r#"{{"op":"sub","topics":["t"],"mode":"drop_oldest","since":{{"t":"{position}"}}}}"#);
        world.say_text(reader, &ask);
        let heard = world.hear_for(reader, 60);
        assert!(heard.contains(&format!("\"recovered\":{recovered}")), "{heard:.300}");
        let (_, pushes) = heard.split_once("\"recovered\":").expect("the pushes");
        let first = if recovered { much - behind + 1 } else { much };
        assert_eq!(offsets(pushes), (first..=much).collect::<Vec<_>>());
    }
}

#[test]
fn a_reader_that_leaves_on_the_way_is_told_no_more() {
    let mut world = world(100_000, 1 << 16);
    let publisher = world.connect(1);
    let missed = 4 * RESUME_PAGE_LEN_MAX / PAYLOAD_LEN;
    say(&mut world, publisher, "t", 1..missed + 1);
    let position = since(&mut world, "t", 0);
    let reader = world.upgrade(0, "/ws");
    world.say_text(reader, &format!(r#"{{"op":"sub","topics":["t"],"since":{{"t":"{position}"}}}}"#));
    world.hear_for(reader, 5);
    world.say_text(reader, r#"{"op":"unsub","topics":["t"],"id":"left"}"#);
    let heard = world.hear_for(reader, 100);
    let (_, behind) = heard.split_once("\"id\":\"left\"").expect("an answer");
    assert_eq!(offsets(behind), [0; 0]);
    world.net.reset(reader);
    world.net.reset(publisher);
    world.turns(10);
    world.assert_empty();
}
