//! Messages that are begun and not ended, by clients that stay.
//!
//! Reference: Slowloris, one layer up.

use crate::common::Frame;
use crate::peer::Peer;
use crate::world::{Attack, check, scale};

#[test]
fn an_unfinished_message_has_as_long_as_an_unfinished_body() {
    let attack = Attack { name: "unfinished messages", bound: "body_timeout", memory_len_max: 96 << 20 };
    let connections = 100 * scale();
    check(&attack, &["--body-timeout", "3s"], |address| {
        let mut peers: Vec<_> = (0..connections).map(|_| Peer::websocket(address, "/raw/begun?last=0")).collect();
        let begun = Frame::text(vec![b'x'; 512 << 10]).encode();
        for (at, peer) in peers.iter_mut().enumerate() {
            // In the middle of a frame, or between the fragments of a message.
            if at % 2 == 0 {
                peer.write(&begun[..128 << 10]);
            } else {
                peer.write(Frame::text(vec![b'x'; 128 << 10]).unfinished().encode());
            }
        }
        for peer in &mut peers {
            assert_eq!(peer.read_close(), Some(1008), "it was asked for what it is");
        }
    });
}
