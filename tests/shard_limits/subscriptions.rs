//! Subscriptions: what a refused one takes along, what a pattern's reader gets, and how much one operation may cost.

use fanwire::limits::{CATCH_UP_LEN_MAX, HELD_LEN_MAX, Limits, SEARCHES_PER_TURN_MAX};

use crate::world::{World, handshake, post};
use fanwire::driver::sim::PeerId;

#[test]
fn a_refused_operation_takes_nothing_away_that_was_followed_before() {
    let mut world = World::new(1, 1 << 16, Limits { topics_max: 2, ..Limits::default() });
    let peer = world.upgrade(0, "/ws");
    world.say_text(peer, r#"{"op":"sub","topics":["a"],"id":1}"#);
    assert!(world.hear_for(peer, 3).contains(r#"{"op":"ok","id":1"#));
    world.say_text(peer, r#"{"op":"sub","topics":["a","b","c"],"id":2}"#);
    assert!(world.hear_for(peer, 3).contains(r#"{"op":"err","id":2,"code":"overloaded""#));
    let publisher = world.connect(0);
    world.say(publisher, (post("a", "1") + &post("b", "2")).as_bytes());
    let heard = world.hear_for(peer, 3);
    assert!(heard.contains(r#"{"t":"a","o":1,"d":1}"#), "{heard}");
    assert!(!heard.contains(r#""t":"b""#), "what the operation would have made is not there: {heard}");
}

#[test]
fn a_publication_that_comes_with_the_last_values_is_heard_once() {
    let mut world = World::new(2, 1 << 20, Limits { outbox_len_max: 1 << 24, ..Limits::default() });
    let publisher = world.connect(1);
    let mut topics: Vec<String> = world.topics_at(1).take(10).collect();
    topics.sort();
    let value = format!("\"{}\"", "x".repeat(CATCH_UP_LEN_MAX / 5));
    for topic in &topics {
        world.say(publisher, post(topic, &value).as_bytes());
        world.turns(2);
    }
    let reader = world.upgrade(0, "/ws");
    world.say_text(reader, r#"{"op":"sub","topics":["t.*"]}"#);
    // The interest, and that it is noted.
    world.turns(1);
    world.turn_of(0);
    // The last value of the last topic changes as it is asked for: it comes as a publication and as a last value.
    let last = topics.last().expect("there are ten");
    world.say(publisher, post(last, &value).as_bytes());
    world.turn_of(1);
    let heard = world.hear_for(reader, 100);
    for topic in &topics {
        let count = heard.matches(&format!("{{\"t\":\"{topic}\",\"o\":")).count();
        assert_eq!(count, 1, "{topic}");
    }
    assert!(heard.contains(&format!("{{\"t\":\"{last}\",\"o\":2,")));
}

#[test]
fn many_patterns_in_one_operation_are_searched_for_over_several_turns() {
    let mut world = World::new(1, 1 << 20, Limits::default());
    let publisher = world.connect(0);
    let topics: Vec<String> = world.topics_at(0).take(100).collect();
    let body: String = topics.iter().map(|topic| format!("{{\"topic\":\"{topic}\",\"data\":1}}\n")).collect();
    let head = format!("POST /publish HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n", body.len());
    world.say(publisher, (head + &body).as_bytes());
    world.turns(1);
    let reader = world.upgrade(0, "/ws");
    let turns = 5;
    let patterns: Vec<String> = (0..turns * SEARCHES_PER_TURN_MAX - 1).map(|n| format!("\"*.x{n}\"")).collect();
    world.say_text(reader, &format!("{{\"op\":\"sub\",\"topics\":[\"t.>\",{}]}}", patterns.join(",")));
    assert_eq!(world.hear_for(reader, turns - 1), "", "no turn searches for more than its share");
    let heard = world.hear_for(reader, 3);
    assert!(heard.contains(r#"{"op":"ok""#));
    for topic in &topics {
        assert_eq!(heard.matches(&format!("{{\"t\":\"{topic}\",")).count(), 1, "{topic}");
    }
    world.net.reset(reader);
    world.net.reset(publisher);
    world.turns(5);
    world.assert_empty();
}

/// The cause was a reader's bound passed in the middle of a run: looking up the terms of what was held forgot the run's
/// topic, which nobody followed by name, and the next reader looked up a dead id.
#[test]
fn readers_that_pass_their_bound_in_the_middle_of_a_run_do_not_take_its_topic_away() {
    let len = HELD_LEN_MAX / 20;
    let mut world = World::new(2, 1 << 12, Limits { outbox_len_max: HELD_LEN_MAX as u32, ..Limits::default() });
    let publisher = world.connect(1);
    let topics: Vec<String> = world.topics_at(1).take(80).collect();
    let value = format!("\"{}\"", "x".repeat(len));
    let (old, new) = topics.split_at(40);
    for topic in old {
        world.say(publisher, post(topic, &value).as_bytes());
        world.turns(2);
    }
    let sub = |last| format!(r#"{{"op":"sub","topics":[">"],"mode":"latest","last":{last}}}"#);
    // Half of them wait for last values and read nothing, so that what is said meanwhile is held for them.
    let readers: Vec<_> = (0..12)
        .map(|n| {
            let reader = world.upgrade(0, "/ws");
            world.say_text(reader, &sub(n % 2 == 0));
            reader
        })
        .collect();
    world.turns(5);
    for topic in new {
        world.say(publisher, post(topic, &value).as_bytes());
        world.turns(2);
    }
    for reader in readers {
        let newest = topics.last().map(|newest| format!("{{\"t\":\"{newest}\",\"o\":1,")).expect("there are topics");
        let arrives = (0..3_000).any(|_| world.hear_for(reader, 1).contains(&newest));
        assert!(arrives, "the newest arrives");
        world.net.reset(reader);
    }
    world.net.reset(publisher);
    world.turns(5);
    world.assert_empty();
}

/// A client of `/ws` from an address of its own.
fn client(world: &mut World, address: u8) -> PeerId {
    let peer = world.net.connect(Some(0));
    world.net.set_address(peer, ([10, 0, 0, address], 1).into());
    world.turns(1);
    world.say(peer, handshake("/ws").as_bytes());
    world.turns(2);
    assert!(world.hear(peer).starts_with("HTTP/1.1 101"));
    peer
}

#[test]
fn an_address_that_takes_all_the_patterns_it_can_leaves_some_to_others() {
    let mut world = World::new(1, 1 << 22, Limits { topics_per_connection_max: 4_096, ..Limits::default() });
    let tail = ".*".repeat(123);
    let rude: Vec<_> = (0..2).map(|_| client(&mut world, 1)).collect();
    let (mut made, mut refused) = (0, 0);
    for n in 0..1_400 {
        let peer = rude[n % 2];
        world.say_text(peer, &format!(r#"{{"op":"sub","topics":["n{n}{tail}"],"last":false}}"#));
        let heard = world.hear_for(peer, 3);
        made += usize::from(heard.contains(r#""op":"ok""#));
        refused += usize::from(heard.contains("the client's address has its share of patterns"));
    }
    assert_eq!(made + refused, 1_400);
    assert!((1_000..1_100).contains(&made), "about half of what there is: {made}");
    for address in 2..5 {
        let polite = client(&mut world, address);
        world.say_text(polite, &format!(r#"{{"op":"sub","topics":["a{address}{tail}","n0{tail}"]}}"#));
        assert!(world.hear_for(polite, 4).contains(r#""op":"ok""#), "{address}");
    }
    for peer in rude {
        world.net.reset(peer);
    }
    world.turns(10);
    let again = client(&mut world, 1);
    world.say_text(again, &format!(r#"{{"op":"sub","topics":["again{tail}"]}}"#));
    assert!(world.hear_for(again, 4).contains(r#""op":"ok""#), "what they had is given back");
}

#[test]
fn topics_that_readers_make_leave_room_for_publishers() {
    let mut world = World::new(1, 1 << 20, Limits { topics_max: 100, ..Limits::default() });
    let reader = client(&mut world, 1);
    let topics: Vec<_> = (0..90).map(|n| format!("\"t.{n}\"")).collect();
    let mut refused = 0;
    for topic in &topics {
        world.say_text(reader, &format!(r#"{{"op":"sub","topics":[{topic}]}}"#));
        refused += usize::from(world.hear_for(reader, 3).contains("the gateway is at its limit of topics"));
    }
    assert_eq!(refused, 15);
    let publisher = client(&mut world, 2);
    for n in 0..25 {
        world.say_text(publisher, &format!(r#"{{"op":"pub","topic":"said.{n}","data":1,"id":{n}}}"#));
        assert!(world.hear_for(publisher, 3).contains(r#""op":"ok""#), "{n}");
    }
    world.say_text(publisher, r#"{"op":"pub","topic":"one.more","data":1}"#);
    assert!(world.hear_for(publisher, 3).contains("overloaded"));
}
