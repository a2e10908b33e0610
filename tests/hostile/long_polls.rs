//! Polls that come back after very many small messages.
//!
//! One of 300,000 messages of a byte took 8.6 MB and 230 ms.

use crate::common::authority::Folder;
use crate::peer::Peer;
use crate::world::{Attack, check_prepared, scale};

const POLLS: usize = 10;

#[test]
fn an_answer_to_a_poll_is_about_a_mebibyte_however_small_its_messages_are() {
    let attack = Attack::new("polls of a long history", "bytes of an answer", 32 << 20);
    let folder = Folder::new();
    let rules = "[[topics]]\nmatch = \"long\"\nhistory = 1000000\nhistory_len_max = \"256MiB\"\n";
    let config = folder.write("config.toml", rules);
    let portions = 4 * scale();
    let prepare = |address| {
        let mut publisher = Peer::connect(address);
        for _ in 0..portions {
            publisher.publish("/publish", &b"{\"topic\":\"long\",\"data\":1}\n".repeat(16_000));
        }
        let state = Peer::get(address, "/topics/long");
        let state: serde_json::Value = serde_json::from_str(&state).expect("JSON");
        state["epoch"].as_str().expect("an epoch").to_owned()
    };
    check_prepared(&attack, &["--config", &config, "--memory-len-max", "512MiB"], prepare, |address, epoch| {
        for _ in 0..POLLS {
            let (mut peer, mut offset, mut answers) = (Peer::connect(address), 0, 0);
            while offset < portions * 16_000 {
                let target = format!("/poll?topic=long&since={epoch}-{offset}&timeout=0s");
                let (status, body) = peer.request("GET", &target, b"").expect("an answer");
                assert!(status == 200 && body.len() <= (1 << 20) + 256, "{status}, {} bytes", body.len());
                let answer: serde_json::Value = serde_json::from_slice(&body).expect("JSON");
                let messages = answer["messages"].as_array().expect("messages");
                assert_eq!(messages[0]["o"].as_u64(), Some(offset as u64 + 1), "nothing is left out");
                offset += messages.len();
                answers += 1;
            }
            assert!(answers > 1, "{answers}");
        }
    });
}
