//! Readers that skip rather than wait, and read nothing at all.
//!
//! One of `>` in mode `latest` took 1.6 GiB. And the other way round: 200 of them that shared 1,024 messages were counted
//! for each, so that the gateway reset a publisher in the middle of its request.

use crate::common::Frame;
use crate::peer::Peer;
use crate::world::{Attack, Metrics, check, scale};

const MIB: u64 = 1 << 20;

fn lag(address: std::net::SocketAddr) -> u64 {
    Metrics::of(address).sum_where("fanwire_memory_bytes", "class=\"lag\"")
}

#[test]
fn a_reader_of_everything_that_reads_nothing_is_let_go() {
    let topics = 60_000 * scale();
    // Each topic stays, with or without a last value.
    let topics_len = topics as u64 * 480;
    let attack = Attack {
        kept_len: topics_len + 2 * MIB,
        ..Attack::new("a stalled reader of everything", "memory_len_max", topics_len + (8 + 8 + 2) * MIB)
    };
    check(&attack, &["--memory-len-max", "8MiB", "--retained-len-max", "2MiB"], |address| {
        let mut reader = Peer::websocket(address, "/ws");
        reader.write(Frame::text(r#"{"op":"sub","topics":["all.>"],"mode":"latest","last":false,"id":1}"#).encode());
        reader.expect_messages(1, "\"op\":\"ok\"");
        let mut publisher = Peer::connect(address);
        // The bytes that the kernel buffers for it.
        let long = "x".repeat(1 << 16);
        while lag(address) == 0 {
            publisher.publish("/publish/all.long", long.as_bytes());
        }
        for portion in 0..topics / 4_000 {
            let line = |n| format!("{{\"topic\":\"all.{portion}.{n}\",\"data\":1}}\n");
            let lines: String = (0..4_000).map(line).collect();
            publisher.publish("/publish", lines.as_bytes());
        }
        reader.reset();
    });
}

#[test]
fn what_many_stalled_readers_share_counts_once() {
    const KEYS: usize = 1_024;
    let readers = 30 * scale();
    let attack = Attack::new("stalled readers of the same", "shares of what is shared", (16 + 8) * MIB);
    check(&attack, &["--memory-len-max", "16MiB"], |address| {
        let subscribe = Frame::text(r#"{"op":"sub","topics":["same"],"mode":"latest","last":false,"id":1}"#).encode();
        let mut peers: Vec<_> = (0..readers).map(|_| Peer::websocket(address, "/ws")).collect();
        for peer in &mut peers {
            peer.write(&subscribe);
            peer.expect_messages(1, "\"op\":\"ok\"");
        }
        // A publisher in the middle of its request.
        let mut publisher = Peer::connect(address);
        let body = vec![b'x'; 512 << 10];
        let head = format!("POST /publish/slow HTTP/1.1\r\nHost: localhost\r\nContent-Length: {}\r\n\r\n", body.len());
        publisher.write(head).write(&body[..256 << 10]);
        let mut other = Peer::connect(address);
        let payload = "x".repeat(1_000);
        let line = |n| format!("{{\"topic\":\"same\",\"key\":\"{n}\",\"data\":\"{payload}\"}}\n");
        let lines: String = (0..KEYS).map(line).collect();
        // All of them are behind by all keys: many times what may be held, if it was counted for each.
        let all = readers as u64 * KEYS as u64 * 1_000;
        while lag(address) < all {
            other.publish("/publish", lines.as_bytes());
        }
        assert!(all > 16 * MIB);
        publisher.write(&body[256 << 10..]);
        assert_eq!(
            publisher.read_response().map(|(status, _)| status),
            Some(200),
            "a publisher does not pay for readers"
        );
        peers.into_iter().for_each(Peer::reset);
    });
}
