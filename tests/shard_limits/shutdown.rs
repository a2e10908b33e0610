//! The shutdown: what was said before it is heard before the farewell.

use fanwire::limits::Limits;

use crate::world::{World, post};

/// A message comes in together with the shutdown; `order` is which shards have a turn first.
fn check(shards: usize, order: &[usize]) {
    let mut world = World::new(shards, 1 << 20, Limits::default());
    let topic = world.topics_at(0).next().expect("there are names enough");
    let reader = world.upgrade(shards - 1, &format!("/raw/{topic}?last=0"));
    world.turns(4);
    let publisher = world.connect(0);
    world.say(publisher, post(&topic, "the last word").as_bytes());
    world.drain();
    for &shard in order {
        world.net.advance_ms(10);
        world.turn_of(shard);
    }
    assert!(world.hear(publisher).starts_with("HTTP/1.1 200"), "it is acknowledged");
    world.pass_ms(100);
    let heard = world.hear(reader);
    let message = heard.find("the last word").unwrap_or_else(|| panic!("it is missing: {heard}"));
    assert!(heard.find("retry_ms=").is_some_and(|farewell| message < farewell), "{heard}");
}

/// Fault: the farewell comes in the turn of the message, before that goes to its readers.
#[test]
fn what_was_acknowledged_in_the_turn_in_which_a_shutdown_begins_is_heard_before_the_farewell() {
    check(1, &[0]);
}

/// Fault: a shard says good-bye without waiting for the fences, before which the others send what they have for its readers.
#[test]
fn what_was_acknowledged_before_a_shutdown_is_heard_in_other_shards_before_the_farewell() {
    check(2, &[0, 1]);
    check(2, &[1, 1, 0]);
}
