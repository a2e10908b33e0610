//! A shard that falls behind: who makes mail for it waits, whatever the mail is, and nothing is lost.

use fanwire::limits::{
    LANE_COST_MAX, Limits, MAIL_PER_PART_COST_MAX, RECEIVE_PER_WAIT_MAX, SPILL_COST_MAX, SPILL_LEN_MAX,
};

use crate::world::{World, text_frame};

/// Says as much as the kernel takes for so many turns of shard 0, while shard 1 has none; returns how much that was.
fn flood(world: &mut World, peer: fanwire::driver::sim::PeerId, bytes: &[u8], turns: usize) -> usize {
    let mut said = 0;
    for _ in 0..turns {
        said += world.net.write(peer, &bytes[said % bytes.len()..]);
        world.turn_of(0);
        world.hear(peer);
    }
    said
}

/// A publisher at shard 0 is paused while its publications find no room, wherever the topic is at home.
fn check_publisher(home: usize) {
    let limits = Limits { outbox_len_max: 1 << 30, ..Limits::default() };
    let mut world = World::new(2, 1 << 20, limits);
    let topic = world.topics_at(home).next().expect("there are names enough");
    let reader = world.upgrade(1, &format!("/raw/{topic}"));
    let publisher = world.upgrade(0, &format!("/raw/{topic}?echo=0"));
    let payload = "x".repeat(100_000);
    let frame = text_frame(&payload);
    let said = flood(&mut world, publisher, &frame, 1_000);
    let bound = LANE_COST_MAX + SPILL_COST_MAX + 2 * MAIL_PER_PART_COST_MAX + (1 << 20);
    assert!(said < bound, "{said} bytes were taken in for a shard that takes none");
    let mut heard = world.hear_for(reader, 1).len();
    let messages = said / frame.len();
    for _ in 0..2_000 {
        world.turns(1);
        heard += world.hear(reader).len();
        world.hear(publisher);
    }
    assert_eq!(heard / payload.len(), messages, "home {home}: everything arrives once the shard gets on");
}

#[test]
fn a_publisher_waits_for_a_shard_that_is_home_and_behind() {
    check_publisher(1);
}

#[test]
fn a_publisher_waits_for_a_shard_with_readers_that_is_behind() {
    check_publisher(0);
}

#[test]
fn who_subscribes_and_leaves_waits_for_a_shard_that_is_behind() {
    let mut world = World::new(2, 1 << 20, Limits::default());
    let topics: Vec<String> = world.topics_at(1).take(1_000).map(|topic| format!("\"{topic}\"")).collect();
    let peer = world.upgrade(0, "/ws");
    let list = topics.join(",");
    let mut bytes = text_frame(&format!("{{\"op\":\"sub\",\"topics\":[{list}]}}"));
    bytes.extend(text_frame(&format!("{{\"op\":\"unsub\",\"topics\":[{list}]}}")));
    let said = flood(&mut world, peer, &bytes, 1_000);
    let mails = world.depth(0);
    let in_one_turn = 2 * topics.len() * (RECEIVE_PER_WAIT_MAX / bytes.len() + 1);
    assert!(mails <= SPILL_LEN_MAX + 2 * in_one_turn, "{mails} mails wait in shard 0");
    for _ in 0..500 {
        world.turns(1);
        world.hear(peer);
    }
    world.say(peer, &bytes[said % bytes.len()..]);
    world.say_text(peer, r#"{"op":"ping","id":"last"}"#);
    // Each operation asks for its topics in portions.
    let heard = world.hear_for(peer, 1_000);
    assert!(heard.contains(r#"{"op":"ok","id":"last"}"#), "it is read from again");
    world.net.reset(peer);
    world.turns(100);
    world.assert_empty();
}
