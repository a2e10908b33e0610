//! Messages in fragments of one byte and of none, with pings between them.
//!
//! References: CVE-2020-11050 (Java-WebSocket), CVE-2023-0482 and others: memory and time for each fragment.

use crate::common::{Frame, Opcode};
use crate::peer::Peer;
use crate::world::{Attack, check, scale};

const FRAGMENTS: usize = 20_000;

#[test]
fn fragments_cost_their_bytes_and_no_more() {
    let attack = Attack::new("tiny fragments", "turn budget, message_len_max", 64 << 20);
    let connections = 4 * scale();
    let mut frames = Frame::new(Opcode::TEXT, "").unfinished().encode();
    for n in 0..FRAGMENTS {
        frames.extend(Frame::new(Opcode::CONTINUATION, if n % 2 == 0 { "x" } else { "" }).unfinished().encode());
        if n % 100 == 0 {
            frames.extend(Frame::ping("between").encode());
        }
    }
    frames.extend(Frame::new(Opcode::CONTINUATION, "").encode());
    check(&attack, &[], |address| {
        std::thread::scope(|scope| {
            for _ in 0..connections {
                scope.spawn(|| {
                    let mut peer = Peer::plain_websocket(address, "/echo");
                    peer.write(&frames);
                    assert_eq!(peer.read_message().map(|message| message.len()), Some(FRAGMENTS / 2));
                });
            }
        });
    });
}
