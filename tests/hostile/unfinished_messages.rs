//! Messages that are begun and not ended, by clients that stay.
//!
//! Reference: Slowloris, one layer up.

use crate::common::Frame;
use crate::peer::Peer;
use crate::world::{Attack, check, scale};

#[test]
fn an_unfinished_message_has_as_long_as_an_unfinished_body() {
    let attack = Attack::new("unfinished messages", "body_timeout", 96 << 20);
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
            // It was asked for the rest, or was one of too many.
            let code = peer.read_close();
            assert!(matches!(code, Some(1008 | 1013)), "{code:?}");
        }
    });
}
