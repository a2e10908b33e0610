//! Many connections, each with a few small frames that are large once they are inflated, all at once.
//!
//! 500 connections with seven of them silenced every reader of a shard for 21 s and took 3.2 GiB. Reference: CVE-2018-1000518
//! (Python `websockets`: compressed messages without a bound).

use crate::common::deflate::deflated;
use crate::common::{Frame, Opcode};
use crate::peer::Peer;
use crate::world::{Attack, check, scale};

const FRAMES: usize = 7;

#[test]
fn inflating_for_many_connections_is_bounded_in_each_turn() {
    let attack = Attack::new("compressed frames of many connections", "turn budget, put-off bytes, mail", 96 << 20);
    let connections = 60 * scale();
    let frame = Frame::new(Opcode::TEXT, deflated(vec![b'0'; 1 << 20])).with_rsv(4).encode();
    let frames = frame.repeat(FRAMES);
    check(&attack, &["--topics", "bomb.> last=false"], |address| {
        let open = |number| Peer::websocket(address, &format!("/raw/bomb.{number}?echo=0&last=0"));
        let mut peers: Vec<_> = (0..connections).map(open).collect();
        for peer in &mut peers {
            peer.write(&frames);
        }
        for (number, peer) in peers.iter_mut().enumerate() {
            assert_eq!(peer.drain(), 0, "its own messages are not told to it");
            // The last of them may still be on its way to the shard that is the topic's home.
            Peer::get_until(address, &format!("/topics/bomb.{number}"), &format!("\"offset\":{FRAMES},"));
        }
    });
}
