//! More than `memory_len_max`: the largest is let go, the others do not notice.

use fanwire::close::CloseReason;
use fanwire::driver::sim::PeerId;
use fanwire::limits::{Limits, MEMORY_INTERVAL_MS, PUBLICATION_COST, REFERENCE_COST};
use fanwire::metrics::MemoryClass;

use crate::world::{World, post};

const KIB: u64 = 1024;

fn world(memory_len_max: u64) -> World {
    World::new(1, 4 * KIB as usize, Limits { memory_len_max, ..Limits::default() })
}

fn publish(world: &mut World, publisher: PeerId, count: usize) {
    publish_in(world, publisher, &["t"], count);
}

fn publish_in(world: &mut World, publisher: PeerId, topics: &[&str], count: usize) {
    for n in 0..count {
        for topic in topics {
            world.say(publisher, post(topic, &format!("{n:04}{}", "x".repeat(4_092))).as_bytes());
            world.turns(2);
            assert!(world.hear(publisher).contains("200 OK"));
        }
    }
}

fn held(world: &World) -> u64 {
    let memory = world.measure(0).memory;
    let bounded = [MemoryClass::History, MemoryClass::Outboxes, MemoryClass::Lag, MemoryClass::Reassembly];
    bounded.iter().map(|&class| memory[class as usize]).sum()
}

#[test]
fn readers_that_wait_for_most_are_closed_first_and_the_others_go_on() {
    let mut world = world(300 * KIB);
    let publisher = world.connect(0);
    let topics = ["t.0", "t.1", "t.2"];
    for topic in topics {
        world.upgrade(0, &format!("/raw/{topic}?last=0"));
    }
    publish_in(&mut world, publisher, &topics, 20);
    let later = world.upgrade(0, "/raw/t?last=0");
    // Three readers of forty messages and one of twenty: about 560 KiB, if all were left.
    for _ in 0..20 {
        publish_in(&mut world, publisher, &["t", "t.0", "t.1", "t.2"], 1);
        assert!(held(&world) <= 400 * KIB, "a quarter may be added before the next look, and what one turn brings");
    }
    world.pass_ms(MEMORY_INTERVAL_MS * 2);
    let metrics = world.measure(0);
    assert_eq!(metrics.shed[MemoryClass::Outboxes as usize], 2, "{metrics:?}");
    assert!(held(&world) <= 300 * KIB, "{metrics:?}");
    world.pass_ms(5_000);
    assert_eq!(world.measure(0).closes[CloseReason::Overloaded.index()], 2);
    assert_eq!(world.measure(0).websocket_connections, 2);
    let mut heard = String::new();
    for _ in 0..100 {
        world.pass_ms(10);
        heard.push_str(&world.hear(later));
    }
    assert_eq!(heard.matches("0000xxxx").count(), 20, "every message");
}

#[test]
fn a_reader_that_would_rather_skip_keeps_the_newest_and_lives() {
    let mut world = world(64 * KIB);
    let publisher = world.connect(0);
    let reader = world.upgrade(0, "/ws");
    world.say_text(reader, r#"{"op":"sub","topics":["t"],"mode":"drop_oldest","id":1}"#);
    world.turns(4);
    publish(&mut world, publisher, 40);
    world.pass_ms(MEMORY_INTERVAL_MS * 2);
    let metrics = world.measure(0);
    assert!(held(&world) <= 64 * KIB && metrics.shed[MemoryClass::Lag as usize] > 0, "{metrics:?}");
    assert_eq!(world.end(reader), None);
    let mut heard = String::new();
    for _ in 0..100 {
        world.pass_ms(10);
        heard.push_str(&world.hear(reader));
    }
    assert!(heard.contains(r#""op":"gap""#) && heard.contains("0039xxxx"), "what was skipped is told");
}

#[test]
fn a_reader_that_has_come_to_wait_for_everything_is_closed_and_skips_nothing() {
    let mut world = world(64 * KIB);
    let publisher = world.connect(0);
    let reader = world.upgrade(0, "/ws");
    for (mode, count) in [("drop_oldest", 4), ("queue", 40)] {
        world.say_text(reader, &format!(r#"{{"op":"sub","topics":["t"],"last":false,"mode":"{mode}","id":1}}"#));
        world.turns(4);
        publish(&mut world, publisher, count);
    }
    world.pass_ms(MEMORY_INTERVAL_MS * 2);
    let metrics = world.measure(0);
    assert_eq!((metrics.shed[MemoryClass::Lag as usize], metrics.skipped), (1, 0), "{metrics:?}");
    world.pass_ms(5_000);
    assert_eq!(world.measure(0).closes[CloseReason::Overloaded.index()], 1);
    assert!(!world.hear(reader).contains(r#""op":"gap""#));
}

#[test]
fn a_stream_that_is_cut_off_has_no_end() {
    let mut world = world(64 * KIB);
    let publisher = world.connect(0);
    let reader = world.connect(0);
    world.say(reader, b"GET /stream?topic=t HTTP/1.1\r\nHost: x\r\n\r\n");
    world.turns(4);
    publish(&mut world, publisher, 40);
    let mut heard = String::new();
    for _ in 0..100 {
        world.pass_ms(10);
        heard.push_str(&world.hear(reader));
    }
    world.pass_ms(5_000);
    assert_eq!(world.measure(0).closes[CloseReason::Overloaded.index()], 1);
    assert!(heard.contains("0000xxxx") && !heard.contains("0039xxxx"));
    assert!(!heard.ends_with("0\r\n\r\n"), "an end would say that it is all there is");
}

#[test]
fn unfinished_messages_go_with_their_senders_the_largest_first() {
    let mut world = world(1_800 * KIB);
    let begin = |len: usize, announced: u64| {
        // The header of a masked text frame, and a part of what it announces.
        let mut bytes = vec![0x81, 0xff];
        bytes.extend_from_slice(&announced.to_be_bytes());
        bytes.extend_from_slice(&[0; 4]);
        bytes.resize(bytes.len() + len, b'x');
        bytes
    };
    let large: Vec<_> = (0..4).map(|_| world.upgrade(0, "/echo")).collect();
    let small = world.upgrade(0, "/echo");
    for &peer in &large {
        world.say(peer, &begin(480_000, 500_000));
        world.turns(2);
    }
    world.say(small, &begin(1_000, 100_000));
    world.turns(2);
    world.pass_ms(5_000);
    let metrics = world.measure(0);
    assert!(metrics.shed[MemoryClass::Reassembly as usize] >= 1 && held(&world) <= 1_800 * KIB, "{metrics:?}");
    assert_eq!(world.end(small), None);
    world.net.set_reading(small, true);
    world.say(small, &vec![b'x'; 99_000]);
    let mut heard = 0;
    for _ in 0..1_000 {
        world.pass_ms(10);
        heard += world.hear(small).len();
    }
    assert!(heard >= 100_000, "{heard}");
}

#[test]
fn without_a_limit_nothing_is_let_go_and_the_shard_sleeps() {
    let mut world = world(0);
    let publisher = world.connect(0);
    let reader = world.upgrade(0, "/raw/t?last=0");
    publish(&mut world, publisher, 60);
    world.pass_ms(2_000);
    assert_eq!((world.measure(0).shed, world.end(reader)), ([0; MemoryClass::ALL.len()], None));
    assert!(world.measure(0).memory[MemoryClass::Outboxes as usize] > 100 * KIB);
    let last_values = world.measure(0).memory[MemoryClass::LastValues as usize];
    assert_eq!(last_values, 4 * KIB + (PUBLICATION_COST + REFERENCE_COST) as u64);
}
