//! Clients that ask to resume a thousand topics and are gone at once, again and again.
//!
//! 200 of them cost 36 ms of CPU each, took 637 MiB, and other shards answered nobody for 25 s. Reference: CVE-2023-44487
//! (HTTP/2, requests that are reset at once).

use crate::common::Frame;
use crate::common::authority::Folder;
use crate::peer::Peer;
use crate::world::{Attack, check_prepared, scale};

const TOPICS: usize = 1_000;
const KEPT: usize = 10;

#[test]
fn a_resume_ends_with_its_client() {
    let attack = Attack::new("resumes reset at once", "topics asked for at a time", 64 << 20);
    let folder = Folder::new();
    let config = folder.write("config.toml", "[[topics]]\nmatch = \"kept.>\"\nhistory = 10\n");
    let clients = 20 * scale();
    let prepare = |address| {
        let mut publisher = Peer::connect(address);
        for _ in 0..KEPT {
            let lines: String = (0..TOPICS).map(|at| format!("{{\"topic\":\"kept.{at}\",\"data\":{at}}}\n")).collect();
            publisher.publish("/publish", lines.as_bytes());
        }
        let topics: Vec<_> = (0..TOPICS).map(|at| format!("\"kept.{at}\"")).collect();
        let mut reader = Peer::websocket(address, "/ws");
        let subscribe = format!("{{\"op\":\"sub\",\"topics\":[{}],\"last\":false,\"id\":1}}", topics.join(","));
        reader.write(Frame::text(subscribe).encode());
        let (_, answer) = reader.read_frame().expect("an answer");
        let answer: serde_json::Value = serde_json::from_slice(&answer).expect("JSON");
        let epoch = |topic: &str| answer["topics"][topic]["epoch"].as_str().expect("an epoch").to_owned();
        let since = (0..TOPICS).map(|at| format!("\"kept.{at}\":\"{}-0\"", epoch(&format!("kept.{at}"))));
        let since = since.collect::<Vec<_>>().join(",");
        format!("{{\"op\":\"sub\",\"topics\":[{}],\"since\":{{{since}}},\"id\":2}}", topics.join(","))
    };
    check_prepared(&attack, &["--config", &config], prepare, |address, resume| {
        for _ in 0..clients {
            let mut peer = Peer::websocket(address, "/ws");
            peer.write(Frame::text(resume).encode());
            peer.reset();
        }
        // One that stays gets all of it.
        let mut peer = Peer::websocket(address, "/ws");
        peer.write(Frame::text(resume).encode());
        peer.expect_messages(1, "\"op\":\"ok\"");
        peer.expect_messages(TOPICS * KEPT, "\"t\":\"kept.");
    });
}
