//! Connections that are full of the shortest requests, all sent before the first answer.
//!
//! 16 KiB were looked at for each request, and all that was behind it was moved.

use crate::peer::Peer;
use crate::world::{Attack, check, scale};

const REQUESTS: usize = 4_000;
/// Answered at a time: no more than the gateway keeps for a peer that does not read.
const PORTION: usize = 500;

#[test]
fn requests_behind_others_wait_for_a_part_in_the_turn() {
    let attack = Attack::new("pipelined requests", "turn budget", 64 << 20);
    let connections = 10 * scale();
    check(&attack, &[], |address| {
        let requests = "GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n".repeat(PORTION);
        let mut peers: Vec<_> = (0..connections).map(|_| Peer::connect(address)).collect();
        for _ in 0..REQUESTS / PORTION {
            for peer in &mut peers {
                peer.write(&requests);
            }
            for peer in &mut peers {
                for _ in 0..PORTION {
                    assert_eq!(peer.read_response(), Some((200, b"ok\n".to_vec())));
                }
            }
        }
    });
}
