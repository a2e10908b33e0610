//! A publisher that fills the message ids of a shard, so that another's repeat would be said again.
//!
//! 1.1 million ids in 13 s did that.

use crate::peer::Peer;
use crate::world::{Attack, check, scale};

const LINES: usize = 12_000;
/// Ids of 255 characters, so that few messages fill the bytes that there are.
const FILL_LEN: usize = 230;

#[test]
fn the_message_ids_of_one_publisher_are_not_those_of_another() {
    // Ids stay for their time.
    let attack = Attack { kept_len: 96 << 20, ..Attack::new("message ids", "the owner with most forgets", 128 << 20) };
    let batches = 5 * scale();
    check(&attack, &[], |address| {
        let publish = |id: &str| {
            let line = format!("{{\"topic\":\"once\",\"data\":1,\"message_id\":\"{id}\"}}\n");
            let (status, body) =
                Peer::connect(address).request("POST", "/publish", line.as_bytes()).expect("an answer");
            assert_eq!(status, 200);
            String::from_utf8(body).expect("text")
        };
        assert!(!publish("polite").contains("duplicate"));
        let mut peer = Peer::connect_from([127, 0, 0, 2], address);
        for batch in 0..batches {
            let id = |n: usize| {
                format!("{{\"topic\":\"once\",\"data\":1,\"message_id\":\"{batch}-{n}-{}\"}}\n", "x".repeat(FILL_LEN))
            };
            let body: String = (0..LINES).map(id).collect();
            peer.publish("/publish", body.as_bytes());
        }
        assert!(publish("polite").contains("duplicate"), "it is known");
    });
}
