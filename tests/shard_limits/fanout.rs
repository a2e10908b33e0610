//! Fan-out to readers of many topics and of large runs, and how many connections there may be.

use fanwire::close::CloseReason;
use fanwire::driver::sim::PeerId;
use fanwire::limits::{BATCH_LINES_MAX, Limits, OUTBOX_SEGMENTS_MAX, RUN_LEN_MAX};

use crate::world::{World, get, handshake, post, text_frame};

#[test]
fn a_reader_of_more_topics_than_an_outbox_has_places_gets_all_that_one_turn_says() {
    let mut world = World::new(1, 1 << 22, Limits { outbox_len_max: 1 << 22, ..Limits::default() });
    let reader = world.upgrade(0, "/ws");
    world.say_text(reader, r#"{"op":"sub","topics":[">"]}"#);
    assert!(world.hear_for(reader, 3).contains("ok"));
    let lines = BATCH_LINES_MAX / 2;
    let publishers = 3;
    assert!(lines * publishers > OUTBOX_SEGMENTS_MAX);
    let publishers: Vec<_> = (0..publishers).map(|_| world.connect(0)).collect();
    let requests: Vec<Vec<u8>> = (0..publishers.len())
        .map(|publisher| {
            let line = |n: usize| format!("{{\"topic\":\"d.{publisher}.{n}\",\"data\":{n}}}\n");
            let body: String = (0..lines).map(line).collect();
            format!("POST /publish HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n{body}", body.len()).into_bytes()
        })
        .collect();
    // All but the last byte of each; with that all batches are there in one turn.
    for (&publisher, request) in publishers.iter().zip(&requests) {
        world.say(publisher, &request[..request.len() - 1]);
        world.turns(3);
    }
    for &publisher in &publishers {
        world.say(publisher, b"\n");
    }
    let heard = world.hear_for(reader, 10);
    assert_eq!(world.measure(0).closes[CloseReason::SlowReader.index()], 0);
    assert_eq!(heard.matches("\"o\":1,").count(), lines * publishers.len());
    assert!(heard.contains(r#"{"t":"d.2.5000","o":1,"d":5000}"#));
}

#[test]
fn what_one_topic_says_beyond_one_run_reaches_its_one_topic_readers_in_order() {
    let mut world = World::new(1, 4096, Limits { outbox_len_max: 1 << 22, ..Limits::default() });
    let reader = world.upgrade(0, "/raw/a?last=0");
    let payload = |n: usize| format!("<{n}>{}", "x".repeat(RUN_LEN_MAX / 5));
    let messages = 12;
    // All of it is there in one turn, three runs' worth, far more than the reader's kernel takes.
    let publishers: Vec<_> = (0..messages / 4).map(|_| world.upgrade(0, "/raw/a?echo=0&last=0")).collect();
    for (n, publisher) in publishers.into_iter().enumerate() {
        let bytes: Vec<u8> = (0..4).flat_map(|part| text_frame(&payload(4 * n + part))).collect();
        world.say(publisher, &bytes);
    }
    let heard = world.hear_for(reader, messages * RUN_LEN_MAX / 5 / 2048);
    let places: Vec<_> = (0..messages).filter_map(|n| heard.find(&format!("<{n}>"))).collect();
    assert_eq!(places.len(), messages, "each arrives");
    assert!(places.chunks(4).all(|of_one| of_one.is_sorted()), "each publisher's in its order: {places:?}");
}

/// Fault: what the kernel did not take of a fan-out is counted as sent.
#[test]
fn bytes_of_a_fanout_are_counted_as_sent_when_the_kernel_has_taken_them() {
    let room = 4_096;
    let mut world = World::new(1, room, Limits::default());
    let peers: Vec<_> = (0..3).map(|_| world.connect(0)).collect();
    for &peer in &peers[1..] {
        world.say(peer, handshake("/raw/a?last=0").as_bytes());
    }
    let mut heard = vec![0; peers.len()];
    let mut read = |world: &World, readers: &[PeerId]| {
        for (heard, &peer) in heard.iter_mut().zip(readers) {
            *heard += world.net.read(peer).len() as u64;
        }
        heard.iter().sum::<u64>()
    };
    world.turns(2);
    assert_eq!(world.measure(0).sent_len, read(&world, &peers));
    world.say(peers[0], post("a", &"x".repeat(20_000)).as_bytes());
    world.turns(2);
    let sent = read(&world, &peers);
    assert_eq!(world.measure(0).sent_len, sent, "the readers' kernels are full, and the rest waits");
    for _ in 0..20 {
        world.turns(1);
        assert_eq!(world.measure(0).sent_len, read(&world, &peers));
    }
    assert!(read(&world, &peers) > sent + 2 * (20_000 - room as u64), "all of it has arrived");
}

#[test]
fn a_connection_counts_from_its_coming_to_its_end() {
    let mut world = World::new(2, 1 << 16, Limits { connections_max: 3, ..Limits::default() });
    let mut peers: Vec<_> = (0..3).map(|n| world.upgrade(n % 2, "/echo")).collect();
    for round in 0..10 {
        let refused = world.connect(round % 2);
        world.say(refused, handshake("/echo").as_bytes());
        let heard = world.hear_for(refused, 3);
        assert!(heard.starts_with("HTTP/1.1 503") && heard.contains("Retry-After: "), "{heard}");
        let health = world.connect(round % 2);
        world.say(health, get("/healthz").as_bytes());
        assert!(world.hear_for(health, 3).starts_with("HTTP/1.1 200"), "health is told past the limit");
        for peer in [refused, health, peers.remove(0)] {
            world.net.reset(peer);
        }
        world.turns(3);
        peers.push(world.upgrade(round % 2, "/echo"));
    }
}
