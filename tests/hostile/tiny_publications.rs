//! A few connections that publish as fast as they can, as little as they can.
//!
//! Ten of them kept every reader from getting anything for 4 s.

use crate::common::Frame;
use crate::peer::Peer;
use crate::world::{Attack, check, scale};

const CONNECTIONS: usize = 10;
const PORTION: usize = 1_000;

#[test]
fn tiny_publications_share_the_turn_with_everybody_else() {
    let attack = Attack::new("tiny publications", "turn budget", 64 << 20);
    let portions = 3 * scale();
    let frame = Frame::text(r#"{"op":"pub","topic":"tiny","data":1}"#).encode();
    let frames = frame.repeat(PORTION);
    check(&attack, &[], |address| {
        std::thread::scope(|scope| {
            for _ in 0..CONNECTIONS {
                scope.spawn(|| {
                    let mut peer = Peer::websocket(address, "/ws");
                    for _ in 0..portions {
                        peer.write(&frames);
                        peer.expect_messages(PORTION, "\"op\":\"ok\"");
                    }
                });
            }
        });
    });
}
