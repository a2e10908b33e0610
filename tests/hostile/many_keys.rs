//! Readers that are behind in a topic of a thousand keys, and readers of the events of 128 topics.
//!
//! All keys were looked through for each message and reader: 9 us. An event of 128 topics took 4.6 us, for all their
//! positions were written anew.

use crate::common::Frame;
use crate::peer::Peer;
use crate::world::{Attack, check, scale};

const KEYS: usize = 1_024;
const TOPICS: usize = 128;

#[test]
fn a_reader_that_is_behind_in_many_keys_costs_no_more_than_one_in_few() {
    let attack = Attack::new("readers behind in many keys", "turn budget", 64 << 20);
    let (readers, rounds) = (8 * scale(), 3);
    check(&attack, &[], |address| {
        let subscribe = "{\"op\":\"sub\",\"topics\":[\"keys\"],\"mode\":\"latest\",\"max_rate\":0.001,\"id\":1}";
        let mut peers: Vec<_> = (0..readers).map(|_| Peer::websocket(address, "/ws")).collect();
        for peer in &mut peers {
            peer.write(Frame::text(subscribe).encode());
            peer.expect_messages(1, "\"op\":\"ok\"");
        }
        let mut publisher = Peer::connect(address);
        for round in 0..rounds {
            let line = |key: usize| format!("{{\"topic\":\"keys\",\"key\":\"{key}\",\"data\":{round}}}\n");
            publisher.publish("/publish", (0..KEYS).map(line).collect::<String>().as_bytes());
        }
        for peer in &mut peers {
            // The rate lets the first through, and no more while the test runs.
            assert_eq!(peer.drain(), 1);
        }
    });
}

#[test]
fn an_event_costs_the_bytes_of_its_id_however_many_topics_its_reader_has() {
    let attack = Attack::new("events of many topics", "turn budget", 64 << 20);
    let (readers, rounds) = (8 * scale(), 4);
    check(&attack, &[], |address| {
        let topics: Vec<_> = (0..TOPICS).map(|at| format!("topic=t.{at}")).collect();
        let request = format!("GET /sse?last=0&{} HTTP/1.1\r\nHost: localhost\r\n\r\n", topics.join("&"));
        let mut peers: Vec<_> = (0..readers).map(|_| Peer::connect(address)).collect();
        for peer in &mut peers {
            peer.write(&request);
            peer.read_until(".joined");
        }
        let mut publisher = Peer::connect(address);
        for round in 0..rounds {
            let line = |at: usize| format!("{{\"topic\":\"t.{at}\",\"data\":{round}}}\n");
            publisher.publish("/publish", (0..TOPICS).map(line).collect::<String>().as_bytes());
        }
        publisher.publish("/publish/t.0", b"the last");
        for peer in &mut peers {
            peer.read_until("data: the last");
        }
    });
}
