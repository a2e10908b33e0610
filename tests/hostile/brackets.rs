//! Small compressed frames that are a million brackets of JSON.
//!
//! 50 connections with a frame of 1 kB each cost 10 ms of CPU a frame: readers got nothing for 14 s. Reference: the deep
//! and wide documents of CVE-2020-36518 (jackson-databind) and its kin.

use crate::common::deflate::deflated;
use crate::common::{Frame, Opcode};
use crate::peer::Peer;
use crate::world::{Attack, check, scale};

#[test]
fn json_that_is_all_brackets_waits_for_what_the_turn_has_left() {
    let attack = Attack::new("compressed brackets", "turn budget, price of JSON", 96 << 20);
    let connections = 6 * scale();
    let text = format!("[{}[]]", "[],".repeat((1 << 20) / 3 - 2));
    let frame = Frame::new(Opcode::TEXT, deflated(text)).with_rsv(4).encode();
    check(&attack, &[], |address| {
        let mut peers: Vec<_> = (0..connections).map(|_| Peer::websocket(address, "/ws")).collect();
        for peer in &mut peers {
            peer.write(&frame).write(&frame);
        }
        for peer in &mut peers {
            peer.expect_messages(2, "\"op\":\"err\"");
            assert_eq!(peer.drain(), 0, "the connection stays");
        }
    });
}
