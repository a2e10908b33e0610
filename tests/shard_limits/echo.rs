//! Readers with `echo=0`: their own messages are not for them, by whichever way a message would come.

use fanwire::driver::sim::PeerId;
use fanwire::hub::{TopicRule, TopicRules, TopicSettings};
use fanwire::limits::{CATCH_UP_LEN_MAX, Limits};

use crate::world::{World, get, handshake, post, text_frame};

/// Somebody else says something; then the reader hears that, and nothing of what it said itself.
fn check(world: &mut World, reader: PeerId, topic: &str) {
    let publisher = world.connect(0);
    world.say(publisher, post(topic, "theirs").as_bytes());
    let mut heard = world.hear_for(reader, 4);
    for _ in 0..1_000 {
        world.pass_ms(10);
        heard.push_str(&world.hear(reader));
    }
    assert!(heard.contains("theirs"), "{topic}: {} bytes", heard.len());
    assert!(!heard.contains("mine"), "{topic}: {} bytes", heard.len());
}

/// Fault: `echo=0` is ignored in what a reader is behind with.
#[test]
fn a_reader_that_is_behind_or_has_a_rate_does_not_hear_itself() {
    for terms in ["max_rate=5", "mode=latest", "mode=drop_oldest"] {
        let mut world = World::new(2, 4096, Limits::default());
        let reader = world.upgrade(0, &format!("/raw/t.0?echo=0&last=0&{terms}"));
        world.turns(4);
        // More than its kernel takes.
        let publisher = world.connect(0);
        world.say(publisher, post("t.0", &"x".repeat(10_000)).as_bytes());
        world.turns(4);
        for _ in 0..3 {
            world.say_text(reader, "mine");
            world.turns(4);
        }
        check(&mut world, reader, "t.0");
    }
}

/// Fault: `echo=0` is ignored in what a reader catches up with.
#[test]
fn a_reader_that_catches_up_does_not_hear_what_it_said_meanwhile() {
    let settings = TopicSettings { history: 1_000, ..TopicSettings::default() };
    for home in [0, 1] {
        let rules = TopicRules::new(vec![TopicRule { pattern: ">".parse().expect("a pattern"), settings }]);
        let mut world = World::with_rules(2, 4096, Limits::default(), rules);
        let topic = world.topics_at(home).next().expect("there are names enough");
        let publisher = world.connect(0);
        for _ in 0..8 {
            world.say(publisher, post(&topic, &"x".repeat(CATCH_UP_LEN_MAX / 4)).as_bytes());
            world.turns(4);
        }
        world.say(publisher, get(&format!("/topics/{topic}")).as_bytes());
        let heard = world.hear_for(publisher, 8);
        let (_, epoch) = heard.split_once("\"epoch\":\"").expect("it has one");
        let epoch = &epoch[..epoch.find('"').expect("its end")];
        // It speaks with its first bytes: once it has so much to catch up with, it is not read from.
        let reader = world.connect(0);
        let mut first = handshake(&format!("/raw/{topic}?echo=0&since={epoch}-0")).into_bytes();
        first.extend(text_frame("mine"));
        world.say(reader, &first);
        world.turns(4);
        assert_eq!(world.measure(home).publications, 9, "it was said");
        check(&mut world, reader, &topic);
    }
}
