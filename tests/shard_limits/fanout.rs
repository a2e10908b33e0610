//! Fan-out to readers of many topics.

use fanwire::close::CloseReason;
use fanwire::limits::{BATCH_LINES_MAX, Limits, OUTBOX_SEGMENTS_MAX};

use crate::world::World;

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
